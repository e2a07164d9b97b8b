/*
 * table_statement.c
 *	  The text of the statement that puts a query's rows into a table. See table_statement.h.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "sink/table_key.h"
#include "sink/table_order.h"
#include "sink/table_statement.h"

/* ---------- pieces ---------- */

/* The query's columns that go into the target: delete_when may use others. */
static List *
statement_columns(const KsegTableRequest *request)
{
	List *columns = NIL;
	ListCell *cell;

	foreach (cell, request->columns)
	{
		if (get_attnum(request->target, lfirst(cell)) > 0)
			columns = lappend(columns, lfirst(cell));
	}
	return columns;
}

/* "prefix.a, prefix.b"; prefix NULL: "a, b". */
static void
statement_append_names(StringInfo text, List *names, const char *prefix)
{
	ListCell *cell;

	foreach (cell, names)
	{
		if (cell != list_head(names))
			appendStringInfoString(text, ", ");
		if (prefix != NULL)
			appendStringInfo(text, "%s.", prefix);
		appendStringInfoString(text, quote_identifier(lfirst(cell)));
	}
}

static char *
statement_target(const KsegTableRequest *request)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(request->target)),
	                                  get_rel_name(request->target));
}

/* The user's texts stand on lines of their own: they may end with a comment. */
static void
statement_append_from(StringInfo text, const KsegTableRequest *request, bool numbered)
{
	if (numbered)
		appendStringInfo(text,
		                 " FROM (SELECT *, pg_catalog.row_number() OVER () AS " KSEG_TABLE_AT
		                 " FROM (\n%s\n) kseg_r) " KSEG_TABLE_QUERY,
		                 request->query);
	else
		appendStringInfo(text, " FROM (\n%s\n) " KSEG_TABLE_QUERY, request->query);
}

/* The key's values, and one more where NULLs keep rows apart: a row with a NULL in its key is the same as none but itself. */
static char *
statement_sameness(const KsegTableRequest *request)
{
	StringInfoData text;
	ListCell *cell;

	initStringInfo(&text);
	foreach (cell, request->key)
	{
		if (cell != list_head(request->key))
			appendStringInfoString(&text, ", ");
		table_key_append(&text, request->target, KSEG_TABLE_QUERY, lfirst(cell));
	}
	if (!table_key_keeps_nulls(request->target, request->key))
		return text.data;
	appendStringInfoString(&text, ", CASE WHEN ");
	foreach (cell, request->key)
	{
		if (cell != list_head(request->key))
			appendStringInfoString(&text, " OR ");
		appendStringInfo(&text, "%s.%s IS NULL", KSEG_TABLE_QUERY, quote_identifier(lfirst(cell)));
	}
	appendStringInfoString(&text, " THEN " KSEG_TABLE_QUERY "." KSEG_TABLE_AT " END");
	return text.data;
}

/* SELECT the last row of each key. more: further results, or "". Rows of an outer join that have no message come before all others. */
static void
statement_append_last(StringInfo text, const KsegTableRequest *request, const char *more)
{
	char *sameness = statement_sameness(request);

	appendStringInfo(text, "SELECT DISTINCT ON (%s) ", sameness);
	statement_append_names(text, statement_columns(request), KSEG_TABLE_QUERY);
	appendStringInfoString(text, more);
	statement_append_from(text, request, !OidIsValid(request->source));
	appendStringInfo(text, " ORDER BY %s, " KSEG_TABLE_QUERY "." KSEG_TABLE_AT " DESC NULLS LAST", sameness);
}

static void
statement_append_insert(StringInfo text, const KsegTableRequest *request)
{
	appendStringInfo(text, "INSERT INTO %s AS kseg_t (", statement_target(request));
	statement_append_names(text, statement_columns(request), NULL);
	appendStringInfoString(text, ") ");
}

/* Columns that a row that is there already takes over: all but the key's. */
static List *
statement_updated(const KsegTableRequest *request)
{
	List *updated = NIL;
	ListCell *column;

	foreach (column, statement_columns(request))
	{
		bool is_key = false;
		ListCell *key;

		foreach (key, request->key)
			is_key |= strcmp(lfirst(key), lfirst(column)) == 0;
		if (!is_key)
			updated = lappend(updated, lfirst(column));
	}
	return updated;
}

static void
statement_append_conflict(StringInfo text, const KsegTableRequest *request)
{
	List *updated = statement_updated(request);
	ListCell *cell;

	if (request->on_conflict == KSEG_TABLE_CONFLICT_ERROR)
		return;
	appendStringInfoString(text, " ON CONFLICT (");
	statement_append_names(text, request->key, NULL);
	if (request->on_conflict == KSEG_TABLE_CONFLICT_IGNORE || updated == NIL)
	{
		appendStringInfoString(text, ") DO NOTHING");
		return;
	}
	appendStringInfoString(text, ") DO UPDATE SET ");
	foreach (cell, updated)
		appendStringInfo(text, "%s%s = EXCLUDED.%s", cell == list_head(updated) ? "" : ", ",
		                 quote_identifier(lfirst(cell)), quote_identifier(lfirst(cell)));
}

/* ---------- the whole ---------- */

static void
statement_append_delete(StringInfo text, const KsegTableRequest *request)
{
	ListCell *cell;

	appendStringInfo(text, "DELETE FROM %s AS kseg_t USING kseg_rows WHERE kseg_rows.kseg_gone",
	                 statement_target(request));
	foreach (cell, request->key)
	{
		const char *column = quote_identifier(lfirst(cell));

		appendStringInfo(text, " AND (kseg_t.%s", column);
		table_key_append_equals(text, request->target, lfirst(cell));
		table_key_append(text, request->target, "kseg_rows", lfirst(cell));
		if (table_key_equates_nulls(request->target, request->key, lfirst(cell)))
			appendStringInfo(text, " OR kseg_t.%s IS NULL AND kseg_rows.%s IS NULL", column, column);
		appendStringInfoChar(text, ')');
	}
}

/* Both writes return a row for each of theirs, so that the statement's count is of both. */
static void
statement_append_both(StringInfo text, const KsegTableRequest *request)
{
	appendStringInfoString(text, "WITH kseg_rows AS MATERIALIZED (");
	statement_append_last(text, request, psprintf(", (\n%s\n) AS kseg_gone", request->delete_when));
	appendStringInfoString(text, "), kseg_deleted AS (");
	statement_append_delete(text, request);
	appendStringInfoString(text, " RETURNING 1), kseg_put AS (");
	statement_append_insert(text, request);
	appendStringInfoString(text, "SELECT ");
	statement_append_names(text, statement_columns(request), "kseg_rows");
	appendStringInfoString(text, " FROM kseg_rows WHERE kseg_rows.kseg_gone IS NOT TRUE");
	statement_append_conflict(text, request);
	appendStringInfoString(text, " RETURNING 1) SELECT 1 FROM kseg_deleted UNION ALL SELECT 1 FROM kseg_put");
}

char *
table_statement_build(const KsegTableRequest *request, bool last_wins)
{
	StringInfoData text;

	Assert(!last_wins || request->on_conflict == KSEG_TABLE_CONFLICT_UPDATE);
	initStringInfo(&text);
	if (request->delete_when != NULL)
	{
		statement_append_both(&text, request);
		return text.data;
	}
	statement_append_insert(&text, request);
	if (last_wins)
		statement_append_last(&text, request, "");
	else
	{
		appendStringInfoString(&text, "SELECT ");
		statement_append_names(&text, statement_columns(request), KSEG_TABLE_QUERY);
		statement_append_from(&text, request, false);
	}
	statement_append_conflict(&text, request);
	return text.data;
}

SPIPlanPtr
table_statement_prepare(const KsegTableRequest *request, bool last_wins)
{
	SPIPrepareOptions options = {.parserSetup = table_order_parser_setup,
	                             .parserSetupArg = DatumGetPointer(ObjectIdGetDatum(request->source))};
	SPIPlanPtr plan = SPI_prepare_extended(table_statement_build(request, last_wins), &options);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare_extended failed: %s", SPI_result_code_string(SPI_result));
	return plan;
}
