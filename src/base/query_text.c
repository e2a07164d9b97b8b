/*
 * query_text.c
 *	  The text of a query. See query_text.h.
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "parser/parser.h"

#include "base/query_text.h"

/* ---------- positions in errors ---------- */

/* As SPI's own callback does: a cursor position is one in the inner query. */
static void
query_position_callback(void *argument)
{
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) argument);
	}
}

static List *
query_parse(const char *text, RawParseMode mode)
{
	ErrorContextCallback callback = {
	    .previous = error_context_stack, .callback = query_position_callback, .arg = (void *) text};
	List *statements;

	error_context_stack = &callback;
	statements = raw_parser(text, mode);
	error_context_stack = callback.previous;
	return statements;
}

/* ---------- one SELECT ---------- */

/* SPI would refuse these too, but in words about a function's volatility, which the caller never chose. */
static void
query_check_reads(const SelectStmt *statement)
{
	ListCell *cell;

	if (statement->lockingClause != NIL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the query locks rows"),
		                errdetail("Only a query that reads is taken."),
		                errhint("Leave out FOR UPDATE or FOR SHARE.")));
	if (statement->withClause == NULL)
		return;
	foreach (cell, statement->withClause->ctes)
	{
		const CommonTableExpr *with = lfirst_node(CommonTableExpr, cell);

		if (!IsA(with->ctequery, SelectStmt))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("the query writes in its WITH part \"%s\"", with->ctename),
			                errdetail("Only a query that reads is taken.")));
	}
}

static RawStmt *
query_parse_select(const char *query)
{
	List *statements = query_parse(query, RAW_PARSE_DEFAULT);
	Node *statement;

	if (list_length(statements) != 1)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
		                statements == NIL ? errmsg("the query is empty")
		                                  : errmsg("the query has more than one statement"),
		                errhint("Give one SELECT. For several steps use WITH, or a view.")));
	statement = linitial_node(RawStmt, statements)->stmt;
	if (!IsA(statement, SelectStmt) || ((SelectStmt *) statement)->intoClause != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the query is not a SELECT"),
		                errdetail("Only a query that reads is taken.")));
	query_check_reads((SelectStmt *) statement);
	return linitial_node(RawStmt, statements);
}

void
query_check(const char *query)
{
	query_parse_select(query);
}

char *
query_check_statement(const char *query)
{
	const RawStmt *statement = query_parse_select(query);
	const char *begin = query + Max(statement->stmt_location, 0);

	return statement->stmt_len > 0 ? pnstrdup(begin, statement->stmt_len) : pstrdup(begin);
}

Query *
query_analyze(const char *query)
{
	RawStmt *statement = query_parse_select(query);
	ErrorContextCallback callback = {
	    .previous = error_context_stack, .callback = query_position_callback, .arg = (void *) query};
	Query *result;

	error_context_stack = &callback;
	result = parse_analyze_fixedparams(statement, query, NULL, 0, NULL);
	error_context_stack = callback.previous;
	return result;
}

/* ---------- one expression ---------- */

void
query_check_expression(const char *expression, const char *what)
{
	/* The parser's mode for PL/pgSQL's expressions takes what may follow SELECT. */
	List *statements = query_parse(expression, RAW_PARSE_PLPGSQL_EXPR);
	const SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);

	if (list_length(select->targetList) != 1 || linitial_node(ResTarget, select->targetList)->name != NULL ||
	    select->distinctClause != NIL || select->fromClause != NIL || select->whereClause != NULL ||
	    select->groupClause != NIL || select->havingClause != NULL || select->windowClause != NIL ||
	    select->sortClause != NIL || select->limitCount != NULL || select->limitOffset != NULL ||
	    select->lockingClause != NIL)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s is not one expression", what)));
}
