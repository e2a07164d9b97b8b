/*
 * query.c
 *	  Run the caller's query. See query.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"

#include "run/query.h"

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
