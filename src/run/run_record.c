/*
 * run_record.c
 *	  Writes a run and its dead letters into kseg's tables, in the caller's transaction.
 *
 * The tables give no right to anybody, so this switches to their owner for its few INSERTs, which name everything with its
 * schema and use no operator or cast that a search_path could replace. There is no autonomous transaction in PostgreSQL:
 * what is recorded here goes if the caller rolls back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/own_table.h"
#include "kseg.h"
#include "run/run.h"

static Datum
record_text(const char *text, char *null)
{
	*null = text == NULL ? 'n' : ' ';
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
record_execute(const char *statement, int count, Oid *types, Datum *values, const char *nulls)
{
	int result = SPI_execute_with_args(statement, count, types, values, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "could not record a run: %s", SPI_result_code_string(result));
}

static void
record_run(const KsegRun *run, const char *role)
{
	const KsegFigures *figures = &run->figures;
	Oid types[] = {UUIDOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	               INT8OID, INT8OID, INT8OID, INT8OID, INT8OID,        INT8OID,
	               INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID,        TEXTOID};
	char nulls[] = "                  ";
	Datum values[] = {
	    UUIDPGetDatum(&run->id),
	    CStringGetTextDatum(role),
	    CStringGetTextDatum(run->server),
	    CStringGetTextDatum(run->call),
	    TimestampTzGetDatum(run->started),
	    TimestampTzGetDatum(run->ended),
	    Int64GetDatum(figures->rows),
	    Int64GetDatum(figures->sent),
	    Int64GetDatum(figures->repeated),
	    Int64GetDatum(figures->invalid),
	    Int64GetDatum(figures->rejected),
	    Int64GetDatum(figures->open),
	    Int64GetDatum(figures->batches),
	    Int64GetDatum(figures->retries),
	    Int64GetDatum(figures->bytes),
	    Int64GetDatum(figures->bytes_on_wire),
	    record_text(figures->first_problem, &nulls[16]),
	    record_text(run->failure ? run->failure->message : NULL, &nulls[17]),
	};

	StaticAssertStmt(lengthof(types) == 18 && sizeof(nulls) == 19,
	                 "one type and one null flag for each value");
	record_execute("INSERT INTO kseg.run_entry (run, run_by, server, call, started, ended, rows, sent, "
	               "repeated, invalid, "
	               "rejected, open, batches, retries, bytes, bytes_on_wire, first_problem, failure) VALUES "
	               "($1, $2, $3, $4, "
	               "$5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
	               lengthof(types), types, values, nulls);
}

static void
record_letters(const KsegRun *run, const char *role)
{
	static const char *const statement =
	    "INSERT INTO kseg.dead_letter_entry (run, run_by, server, call, "
	    "row, user_id, message_id, status, reason, event, topic, partition, key, "
	    "value, headers, incomplete) "
	    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::pg_catalog.json, "
	    "$11, $12, $13, $14, $15::pg_catalog.jsonb, $16)";
	Oid types[] = {UUIDOID, TEXTOID, TEXTOID, TEXTOID, INT8OID,  TEXTOID,  TEXTOID, INT4OID,
	               TEXTOID, TEXTOID, TEXTOID, INT4OID, BYTEAOID, BYTEAOID, TEXTOID, BOOLOID};
	TupleTableSlot *slot = MakeSingleTupleTableSlot(run->letter_desc, &TTSOpsMinimalTuple);
	SPIPlanPtr plan = SPI_prepare(statement, lengthof(types), types);
	Datum values[lengthof(types)] = {UUIDPGetDatum(&run->id), CStringGetTextDatum(role),
	                                 CStringGetTextDatum(run->server), CStringGetTextDatum(run->call)};
	char nulls[lengthof(types) + 1] = "                ";

	StaticAssertStmt(lengthof(types) == 4 + KSEG_LETTER_COLUMNS, "one parameter for each column of a letter");
	if (plan == NULL)
		elog(ERROR, "could not record dead letters: %s", SPI_result_code_string(SPI_result));
	while (tuplestore_gettupleslot(run->letters, true, false, slot))
	{
		slot_getallattrs(slot);
		for (int i = 0; i < KSEG_LETTER_COLUMNS; i++)
		{
			values[4 + i] = slot->tts_values[i];
			nulls[4 + i] = slot->tts_isnull[i] ? 'n' : ' ';
		}
		if (SPI_execute_plan(plan, values, nulls, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not record a dead letter");
		ExecClearTuple(slot);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * What is older than its retention goes when something new is recorded: no worker is needed to forget people's data. Rows
 * that another transaction is removing are left to it: waiting, a run would wait as long as somebody else's transaction
 * is open. With a transaction's snapshot even a finished removal would be a serialization failure of a run whose events
 * are sent, so there nothing is removed; a later run does it.
 */
static void
record_forget(const char *statement, int days)
{
	Oid type = INT4OID;
	Datum value = Int32GetDatum(days);

	if (days >= 0 && !IsolationUsesXactSnapshot())
		record_execute(statement, 1, &type, &value, NULL);
}

void
run_record(const KsegRun *run)
{
	const char *role = run->role;
	Oid user;
	int security;

	(void) own_table_owner("dead_letter_entry");
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(own_table_owner("run_entry"),
	                       security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	SPI_connect();
	record_forget("DELETE FROM kseg.dead_letter_entry WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY("
	              "SELECT id FROM kseg.dead_letter_entry WHERE created OPERATOR(pg_catalog.<) "
	              "(pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(days => $1)) "
	              "FOR UPDATE SKIP LOCKED))",
	              kseg_dead_letter_retention);
	record_forget("DELETE FROM kseg.run_entry WHERE run OPERATOR(pg_catalog.=) ANY (ARRAY("
	              "SELECT run FROM kseg.run_entry WHERE ended OPERATOR(pg_catalog.<) "
	              "(pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(days => $1)) "
	              "FOR UPDATE SKIP LOCKED))",
	              kseg_run_retention);
	record_run(run, role);
	if (run->letters != NULL)
		record_letters(run, role);
	SPI_finish();
	SetUserIdAndSecContext(user, security);
}
