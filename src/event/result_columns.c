/*
 * result_columns.c
 *	  The columns of a query's result by name. See result_columns.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "event/result_columns.h"

const char *
result_column_name(const KsegResultColumns *result, int i)
{
	return NameStr(TupleDescAttr(result->desc, i)->attname);
}

/* The column nearest to a misspelled name, or NULL. Half the name's letters may differ, as in PostgreSQL's own hints. */
static const char *
column_nearest(const KsegResultColumns *result, const char *name)
{
	int length = strlen(name);
	int best = Min(length / 2, 4) + 1;
	const char *nearest = NULL;

	for (int i = 0; i < result->desc->natts; i++)
	{
		const char *candidate = result_column_name(result, i);
		int distance;

		if (length > NAMEDATALEN)
			break;
		distance =
		    varstr_levenshtein_less_equal(name, length, candidate, strlen(candidate), 1, 1, 1, best, true);
		if (distance < best)
		{
			best = distance;
			nearest = candidate;
		}
	}
	return nearest;
}

int
result_column_find(const KsegResultColumns *result, const char *name)
{
	for (int i = 0; i < result->desc->natts; i++)
	{
		if (!result->excluded[i] && strcmp(result_column_name(result, i), name) == 0)
			return i;
	}
	return -1;
}

static void
column_refuse_unknown(const KsegResultColumns *result, const char *argument, const char *name)
{
	const char *nearest = column_nearest(result, name);

	ereport(ERROR,
	        (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("the query's result has no column \"%s\"", name),
	         errdetail("The argument %s names it.", argument),
	         nearest != NULL ? errhint("Perhaps you meant the column \"%s\".", nearest) : 0));
}

int
result_column_named(const KsegResultColumns *result, const char *argument, const char *name)
{
	int i = result_column_find(result, name);

	if (i >= 0)
		return i;
	for (i = 0; i < result->desc->natts; i++)
	{
		if (result->excluded[i] && strcmp(result_column_name(result, i), name) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			                errmsg("column \"%s\" is named by %s and by exclude", name, argument)));
	}
	column_refuse_unknown(result, argument, name);
	return -1;
}

static void
column_exclude(KsegResultColumns *result, const char *name)
{
	bool found = false;

	for (int i = 0; i < result->desc->natts; i++)
	{
		if (strcmp(result_column_name(result, i), name) != 0)
			continue;
		result->excluded[i] = true;
		found = true;
	}
	if (!found)
		column_refuse_unknown(result, "exclude", name);
}

void
result_columns_init(KsegResultColumns *result, TupleDesc desc, List *exclude)
{
	ListCell *cell;

	result->desc = desc;
	result->excluded = palloc0(sizeof(bool) * (desc->natts + 1));
	for (int i = 0; i < desc->natts; i++)
		result->excluded[i] = TupleDescAttr(desc, i)->attisdropped;
	foreach (cell, exclude)
		column_exclude(result, lfirst(cell));
}

void
result_columns_check_names(const KsegResultColumns *result)
{
	int used = 0;

	for (int i = 0; i < result->desc->natts; i++)
	{
		const char *name = result_column_name(result, i);

		if (result->excluded[i])
			continue;
		used++;
		if (strcmp(name, "?column?") == 0 || name[0] == '\0')
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			                errmsg("column %d of the query's result has no name", i + 1),
			                errhint("Name it with AS, or leave it out with exclude.")));
		if (result_column_find(result, name) != i)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
			                errmsg("the query's result has two columns \"%s\"", name),
			                errhint("Rename one with AS.")));
	}
	if (used == 0)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the query's result has no columns")));
}

void
result_column_open(const KsegResultColumns *result, int i, KsegColumn *column)
{
	column->attribute = i + 1;
	column->name = pstrdup(result_column_name(result, i));
	column->type =
	    event_type_create(CurrentMemoryContext, TupleDescAttr(result->desc, i)->atttypid, column->name);
}

const char *
result_name_utf8(const char *name)
{
	int length = strlen(name);

	if (GetDatabaseEncoding() == PG_SQL_ASCII)
	{
		if (!pg_verify_mbstr(PG_UTF8, name, length, true))
			ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
			                errmsg("the name \"%s\" is not valid UTF-8", name)));
		return name;
	}
	return pg_server_to_any(name, length, PG_UTF8);
}
