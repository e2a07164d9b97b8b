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

static const char *const nulls_choices[] = {"omit", "send", NULL};
static const char *const on_invalid_choices[] = {"dead_letter", "skip", "error", NULL}; /* as KsegOnInvalid */
static const char *const on_failure_choices[] = {"error", "report", NULL};
static const char *const call_choices[] = {"track",  "identify", "group", "page",
                                           "screen", "alias",    NULL}; /* as KsegCall */

/* Arguments that name a column or a constant, and where they go. */
static const struct
{
	const char *name;
	size_t offset; /* of a const char * in KsegMapping */
} mapping_arguments[] = {
    {"event", offsetof(KsegMapping, event)},
    {"event_column", offsetof(KsegMapping, event_column)},
    {"user_id", offsetof(KsegMapping, user_id)},
    {"anonymous_id", offsetof(KsegMapping, anonymous_id)},
    {"group_id", offsetof(KsegMapping, group_id)},
    {"previous_id", offsetof(KsegMapping, previous_id)},
    {"name", offsetof(KsegMapping, name)},
    {"category", offsetof(KsegMapping, category)},
    {"event_time", offsetof(KsegMapping, event_time)},
    {"message_id", offsetof(KsegMapping, message_id)},
};

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

/* The index of the argument's value among the choices; the first one when it is not given. */
static int
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

static void
arguments_of_mapping(KsegMapping *mapping, const KsegArguments *arguments)
{
	bool given;

	for (int i = 0; i < lengthof(mapping_arguments); i++)
		*(const char **) ((char *) mapping + mapping_arguments[i].offset) =
		    arguments_text(arguments, mapping_arguments[i].name);
	mapping->properties = arguments_text_list(arguments, "properties", &mapping->has_properties);
	if (!mapping->has_properties)
		mapping->properties = arguments_text_list(arguments, "traits", &mapping->has_properties);
	mapping->exclude = arguments_text_list(arguments, "exclude", &given);
	mapping->context = arguments_object(arguments, "context");
	mapping->integrations = arguments_object(arguments, "integrations");
	mapping->send_nulls = arguments_choice(arguments, "nulls", nulls_choices) == 1;
	if (mapping->event != NULL && mapping->event_column != NULL)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("event and event_column exclude each other"),
		     errhint("event is the same name for every row; event_column names the column that has it.")));
	if (mapping->event != NULL && mapping->event[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("event must not be empty")));
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

static void
arguments_of_query(KsegRunArguments *run, const KsegArguments *arguments)
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
		run->server = "segment";
	if (arguments_int64(arguments, "row_limit", &limit) && limit < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("row_limit must be at least 1"),
		                errhint("Leave it out, or give NULL, to take all rows.")));
	run->row_limit = limit;
}

void
arguments_of_run(KsegRunArguments *run, FunctionCallInfo fcinfo, KsegCall call)
{
	KsegArguments arguments;

	arguments_read(&arguments, fcinfo);
	memset(run, 0, sizeof(*run));
	run->mapping.call = call;
	arguments_of_query(run, &arguments);
	arguments_of_mapping(&run->mapping, &arguments);
	run->on_invalid = (KsegOnInvalid) arguments_choice(&arguments, "on_invalid", on_invalid_choices);
	run->report = arguments_choice(&arguments, "on_failure", on_failure_choices) == 1;
	run->timeout = arguments_timeout(&arguments);
}

void
arguments_of_preview(KsegRunArguments *run, FunctionCallInfo fcinfo)
{
	KsegArguments arguments;

	arguments_read(&arguments, fcinfo);
	memset(run, 0, sizeof(*run));
	run->mapping.call = (KsegCall) arguments_choice(&arguments, "call", call_choices);
	arguments_of_query(run, &arguments);
	arguments_of_mapping(&run->mapping, &arguments);
}
