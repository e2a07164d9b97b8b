/*
 * run_arguments.c
 *	  What every run was called with. See run_arguments.h.
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "run/run_arguments.h"

static const char *const on_invalid_choices[] = {"dead_letter", "skip", "error", NULL}; /* as KsegOnInvalid */
static const char *const on_failure_choices[] = {"error", "report", NULL};

/* SELECT * FROM the relation's quoted name: row security, column rights, views and partitions follow from the query. */
static char *
arguments_relation_query(const KsegArguments *arguments)
{
	Oid relation;

	if (!arguments_oid(arguments, "relation", &relation))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("relation must not be NULL")));
	if (get_rel_name(relation) == NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relation)));
	return psprintf(
	    "SELECT * FROM %s",
	    quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation)));
}

static int
arguments_timeout(const KsegArguments *arguments)
{
	double ms;

	if (!arguments_interval_ms(arguments, "timeout", &ms))
		return 0;
	/* PostgreSQL's timers count in an int of ms: 24 days. */
	if (ms < 1 || ms > INT_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("timeout must be from 1 millisecond to 24 days"),
		                errhint("Leave it out, or give NULL, for none.")));
	return (int) ms;
}

void
arguments_of_run(KsegRunArguments *run, const KsegArguments *arguments, const char *server)
{
	int64 limit = 0;

	if (arguments_have(arguments, "relation"))
		run->query = arguments_relation_query(arguments);
	else
		run->query = arguments_text(arguments, "query");
	if (run->query == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("query must not be NULL")));
	run->server = arguments_text(arguments, "server");
	if (run->server == NULL)
		run->server = server;
	if (arguments_int64(arguments, "row_limit", &limit) && limit < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("row_limit must be at least 1"),
		                errhint("Leave it out, or give NULL, to take all rows.")));
	run->row_limit = limit;
	run->on_invalid = (KsegOnInvalid) arguments_choice(arguments, "on_invalid", on_invalid_choices);
	run->report = arguments_choice(arguments, "on_failure", on_failure_choices) == 1;
	run->timeout = arguments_timeout(arguments);
}
