/*
 * arguments.c
 *	  The named arguments of a kseg function. See arguments.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "run/arguments.h"
#include "server/option.h"

static const char *const on_invalid_choices[] = {"dead_letter", "skip", "error", NULL}; /* as KsegOnInvalid */
static const char *const on_failure_choices[] = {"error", "report", NULL};

/* ---------- by name ---------- */

void
arguments_read(KsegArguments *arguments, FunctionCallInfo fcinfo)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	Oid *types;
	char **names;
	char *modes;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	/* Input arguments come first in every declaration of ours, so their positions are those of fcinfo. */
	get_func_arg_info(tuple, &types, &names, &modes);
	ReleaseSysCache(tuple);
	arguments->fcinfo = fcinfo;
	arguments->count = fcinfo->nargs;
	arguments->names = names;
}

/* The argument's value, if it is there and not NULL. */
static bool
arguments_find(const KsegArguments *arguments, const char *name, Datum *value)
{
	for (int i = 0; i < arguments->count; i++)
	{
		if (strcmp(arguments->names[i], name) != 0)
			continue;
		*value = arguments->fcinfo->args[i].value;
		return !arguments->fcinfo->args[i].isnull;
	}
	return false;
}

char *
arguments_text(const KsegArguments *arguments, const char *name)
{
	Datum value;

	return arguments_find(arguments, name, &value) ? TextDatumGetCString(value) : NULL;
}

bool
arguments_bool(const KsegArguments *arguments, const char *name)
{
	Datum value;

	return arguments_find(arguments, name, &value) && DatumGetBool(value);
}

bool
arguments_int64(const KsegArguments *arguments, const char *name, int64 *result)
{
	Datum value;

	if (!arguments_find(arguments, name, &value))
		return false;
	*result = DatumGetInt64(value);
	return true;
}

List *
arguments_text_list(const KsegArguments *arguments, const char *name, bool *given)
{
	Datum value;
	Datum *elements;
	bool *nulls;
	int count;
	List *list = NIL;

	*given = arguments_find(arguments, name, &value);
	if (!*given)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
			        (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not contain NULL", name)));
		list = lappend(list, TextDatumGetCString(elements[i]));
	}
	return list;
}

Jsonb *
arguments_object(const KsegArguments *arguments, const char *name)
{
	Datum value;
	Jsonb *object;

	if (!arguments_find(arguments, name, &value))
		return NULL;
	object = DatumGetJsonbPCopy(value);
	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be a JSON object", name)));
	return object;
}

/* ---------- what they mean ---------- */

int
arguments_choice(const KsegArguments *arguments, const char *name, const char *const *choices)
{
	char *value = arguments_text(arguments, name);
	const char *near;
	StringInfoData all;

	if (value == NULL)
		return 0;
	initStringInfo(&all);
	for (int i = 0; choices[i] != NULL; i++)
	{
		if (strcmp(choices[i], value) == 0)
			return i;
		appendStringInfo(&all, "%s'%s'", i > 0 ? ", " : "", choices[i]);
	}
	near = option_near_miss(value, choices);
	ereport(ERROR,
	        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for %s: \"%s\"", name, value),
	         near ? errhint("Perhaps you meant '%s'.", near) : errhint("Valid values are %s.", all.data)));
}

/* SELECT * FROM the relation's quoted name: row security, column rights, views and partitions follow from the query. */
static char *
arguments_relation_query(const KsegArguments *arguments)
{
	Datum value;
	Oid relation;

	if (!arguments_find(arguments, "relation", &value))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("relation must not be NULL")));
	relation = DatumGetObjectId(value);
	if (get_rel_name(relation) == NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relation)));
	return psprintf(
	    "SELECT * FROM %s",
	    quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation)));
}

static bool
arguments_have(const KsegArguments *arguments, const char *name)
{
	for (int i = 0; i < arguments->count; i++)
	{
		if (strcmp(arguments->names[i], name) == 0)
			return true;
	}
	return false;
}

/* An interval as ms, months of 30 days as everywhere in PostgreSQL's epoch arithmetic. */
static int
arguments_timeout(const KsegArguments *arguments)
{
	Datum value;
	Interval *interval;
	double ms;

	if (!arguments_find(arguments, "timeout", &value))
		return 0;
	interval = DatumGetIntervalP(value);
	ms = interval->time / 1000.0 +
	     ((double) interval->month * DAYS_PER_MONTH + interval->day) * SECS_PER_DAY * 1000.0;
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
