/*
 * letter_discard.c
 *	  kseg.discard_dead_letters(): the DELETE that everybody may write himself on kseg.dead_letter, by its usual conditions.
 *
 * Owns nothing: it runs as the caller and through the view, which shows him what he may discard.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "base/query_text.h"

static char *
discard_statement(const char *filter)
{
	return psprintf("DELETE FROM kseg.dead_letter d "
	                "WHERE ($1 IS NULL OR d.run OPERATOR(pg_catalog.=) $1) "
	                "AND ($2 IS NULL OR d.created OPERATOR(pg_catalog.<) "
	                "(pg_catalog.now() OPERATOR(pg_catalog.-) $2)) "
	                "AND ($3 IS NULL OR d.stream OPERATOR(pg_catalog.=) $3) AND (\n%s\n)",
	                filter);
}

PG_FUNCTION_INFO_V1(kseg_sql_discard_dead_letters);

/* discard_dead_letters(run uuid, older_than interval, stream text, filter text) RETURNS bigint: how many. Each may be NULL. */
Datum
kseg_sql_discard_dead_letters(PG_FUNCTION_ARGS)
{
	Oid types[] = {UUIDOID, INTERVALOID, TEXTOID};
	Datum values[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	char nulls[] = {PG_ARGISNULL(0) ? 'n' : ' ', PG_ARGISNULL(1) ? 'n' : ' ', PG_ARGISNULL(2) ? 'n' : ' ',
	                '\0'};
	const char *filter = "true";
	int64 count;

	if (!PG_ARGISNULL(3))
	{
		filter = text_to_cstring(PG_GETARG_TEXT_PP(3));
		query_check_expression(filter, "filter");
	}
	SPI_connect();
	if (SPI_execute_with_args(discard_statement(filter), lengthof(types), types, values, nulls, false, 0) !=
	    SPI_OK_DELETE)
		elog(ERROR, "could not discard dead letters: %s", SPI_result_code_string(SPI_result));
	count = (int64) SPI_processed;
	SPI_finish();
	PG_RETURN_INT64(count);
}
