/*
 * internal.c
 *	  Statements on kseg's own tables. See internal.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/own_table.h"
#include "stream/internal.h"

/* Where rows are written by what is run here; the first one's owner is whom it is run as. */
static const char *const internal_tables[] = {"stream_entry", "position_entry", "dead_letter_entry"};

static Oid
internal_owner(void)
{
	Oid owner = own_table_owner(internal_tables[0]);

	for (int i = 1; i < lengthof(internal_tables); i++)
		(void) own_table_owner(internal_tables[i]);
	return owner;
}

static void
internal_prepare(KsegInternal *statement)
{
	SPIPlanPtr plan = SPI_prepare(statement->text, statement->count, unconstify(Oid *, statement->types));

	if (plan == NULL)
		elog(ERROR, "could not prepare a statement on kseg's tables: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep a statement on kseg's tables");
	statement->plan = plan;
}

int
internal_execute(KsegInternal *statement, Datum *values, const char *nulls, bool read_only, long limit)
{
	Oid user;
	int security;
	int result;

	/* An ERROR on the way ends a (sub)transaction, and that puts the user back. */
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(internal_owner(), security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	if (statement->plan == NULL)
		internal_prepare(statement);
	result = SPI_execute_plan(statement->plan, values, nulls, read_only, limit);
	if (result <= 0)
		elog(ERROR, "could not run a statement on kseg's tables: %s", SPI_result_code_string(result));
	SetUserIdAndSecContext(user, security);
	return result;
}

uint64
internal_run(KsegInternal *statement, Datum *values, const char *nulls)
{
	uint64 rows;

	SPI_connect();
	(void) internal_execute(statement, values, nulls, false, 0);
	rows = SPI_processed;
	SPI_finish();
	return rows;
}
