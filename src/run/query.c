/*
 * query.c
 *	  Run the caller's query. See query.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"

#include "run/query.h"

/* As SPI's own callback does: a cursor position is one in the inner query. */
static void
query_parse_callback(void *argument)
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
query_parse(const char *query)
{
	ErrorContextCallback callback;
	List *statements;

	callback.previous = error_context_stack;
	callback.callback = query_parse_callback;
	callback.arg = (void *) query;
	error_context_stack = &callback;
	statements = raw_parser(query, RAW_PARSE_DEFAULT);
	error_context_stack = callback.previous;
	return statements;
}

/* SPI would refuse these too, but in words about a function's volatility, which the caller never chose. */
static void
query_check_reads(const SelectStmt *statement)
{
	ListCell *cell;

	if (statement->lockingClause != NIL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the query locks rows"),
		                errdetail("Only a query that reads can be sent."),
		                errhint("Leave out FOR UPDATE or FOR SHARE.")));
	if (statement->withClause == NULL)
		return;
	foreach (cell, statement->withClause->ctes)
	{
		const CommonTableExpr *with = lfirst_node(CommonTableExpr, cell);

		if (!IsA(with->ctequery, SelectStmt))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("the query writes in its WITH part \"%s\"", with->ctename),
			                errdetail("Only a query that reads can be sent.")));
	}
}

void
query_check(const char *query)
{
	List *statements = query_parse(query);
	Node *statement;

	if (list_length(statements) != 1)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
		                statements == NIL ? errmsg("the query is empty")
		                                  : errmsg("the query has more than one statement"),
		                errhint("Give one SELECT. For several steps use WITH, or a view.")));
	statement = linitial_node(RawStmt, statements)->stmt;
	if (!IsA(statement, SelectStmt) || ((SelectStmt *) statement)->intoClause != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the query is not a SELECT"),
		                errdetail("Only a query that reads can be sent.")));
	query_check_reads((SelectStmt *) statement);
}

void
query_execute(const char *query, DestReceiver *receiver)
{
	SPIExecuteOptions options = {.read_only = true, .must_return_tuples = true, .dest = receiver};
	bool read_only = XactReadOnly;
	int result;

	/*
	 * SPI's read_only refuses statements that write, but not the ones inside a volatile function. The variable itself,
	 * because since 16 the setting cannot be changed for a while only. On an ERROR the abort of the
	 * (sub)transaction sets it back: xact.c keeps it for each of them.
	 */
	XactReadOnly = true;
	SPI_connect();
	result = SPI_execute_extended(query, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_extended failed: %s", SPI_result_code_string(result));
	SPI_finish();
	XactReadOnly = read_only;
}
