/*
 * arguments.c
 *	  The named arguments of a kseg function. See arguments.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/arguments.h"
#include "base/near_miss.h"

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

bool
arguments_have(const KsegArguments *arguments, const char *name)
{
	for (int i = 0; i < arguments->count; i++)
	{
		if (strcmp(arguments->names[i], name) == 0)
			return true;
	}
	return false;
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

bool
arguments_int(const KsegArguments *arguments, const char *name, int *result)
{
	Datum value;

	if (!arguments_find(arguments, name, &value))
		return false;
	*result = DatumGetInt32(value);
	return true;
}

bool
arguments_double(const KsegArguments *arguments, const char *name, double *result)
{
	Datum value;

	if (!arguments_find(arguments, name, &value))
		return false;
	*result = DatumGetFloat8(value);
	return true;
}

/* Months of 30 days, as everywhere in PostgreSQL's epoch arithmetic. */
bool
arguments_interval_ms(const KsegArguments *arguments, const char *name, double *ms)
{
	Datum value;
	const Interval *interval;

	if (!arguments_find(arguments, name, &value))
		return false;
	interval = DatumGetIntervalP(value);
	*ms = interval->time / 1000.0 +
	      ((double) interval->month * DAYS_PER_MONTH + interval->day) * SECS_PER_DAY * 1000.0;
	return true;
}

bool
arguments_oid(const KsegArguments *arguments, const char *name, Oid *result)
{
	Datum value;

	if (!arguments_find(arguments, name, &value))
		return false;
	*result = DatumGetObjectId(value);
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
	near = near_miss_find(value, choices);
	ereport(ERROR,
	        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for %s: \"%s\"", name, value),
	         near ? errhint("Perhaps you meant '%s'.", near) : errhint("Valid values are %s.", all.data)));
}
