/*
 * stream_position.c
 *	  How far a stream has come. See stream_position.h.
 *
 * A step is one UPDATE of one row, and the steps are sorted: a batch of a busy stream has one step for each partition, a batch of a
 * slow one a single one, and one statement for all of them would take its locks in whatever order its plan finds the rows.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "stream/internal.h"
#include "stream/stream_position.h"

/* ---------- reading ---------- */

static void
position_of_row(HeapTuple row, TupleDesc desc, KsegPosition *position, MemoryContext context)
{
	bool null;

	position->topic = MemoryContextStrdup(context, TextDatumGetCString(SPI_getbinval(row, desc, 1, &null)));
	position->partition = DatumGetInt32(SPI_getbinval(row, desc, 2, &null));
	position->next = DatumGetInt64(SPI_getbinval(row, desc, 3, &null));
	position->seen_offset = DatumGetInt64(SPI_getbinval(row, desc, 4, &null));
	position->seen_time = DatumGetInt64(SPI_getbinval(row, desc, 5, &null));
	position->followed = DatumGetBool(SPI_getbinval(row, desc, 6, &null));
}

KsegPosition *
position_list(int64 stream, int *count)
{
	static const Oid types[] = {INT8OID};
	static KsegInternal list = {
	    "SELECT topic, partition, next_offset, seen_offset, seen_time, followed FROM kseg.position_entry "
	    "WHERE stream OPERATOR(pg_catalog.=) $1 ORDER BY topic COLLATE pg_catalog.\"C\", partition",
	    lengthof(types), types};
	Datum values[] = {Int64GetDatum(stream)};
	MemoryContext context = CurrentMemoryContext;
	KsegPosition *positions;

	SPI_connect();
	internal_execute(&list, values, NULL, true, 0);
	*count = (int) SPI_processed;
	positions = MemoryContextAlloc(context, sizeof(KsegPosition) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		position_of_row(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &positions[i], context);
	SPI_finish();
	return positions;
}

/* ---------- writing ---------- */

bool
position_add(int64 stream, const KsegPosition *position)
{
	static const Oid types[] = {INT8OID, TEXTOID, INT4OID, INT8OID, INT8OID, INT8OID};
	static KsegInternal add = {
	    "INSERT INTO kseg.position_entry (stream, topic, partition, next_offset, seen_offset, seen_time) "
	    "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (stream, topic, partition) DO NOTHING",
	    lengthof(types), types};
	Datum values[] = {Int64GetDatum(stream),
	                  CStringGetTextDatum(position->topic),
	                  Int32GetDatum(position->partition),
	                  Int64GetDatum(position->next),
	                  Int64GetDatum(position->seen_offset),
	                  Int64GetDatum(position->seen_time)};

	return internal_run(&add, values, NULL) == 1;
}

void
position_set_followed(int64 stream, const char *topic, int32 partition, bool followed)
{
	static const Oid types[] = {INT8OID, TEXTOID, INT4OID, BOOLOID};
	static KsegInternal set = {"UPDATE kseg.position_entry SET followed = $4 "
	                           "WHERE stream OPERATOR(pg_catalog.=) $1 AND topic OPERATOR(pg_catalog.=) $2 "
	                           "AND partition OPERATOR(pg_catalog.=) $3",
	                           lengthof(types), types};
	Datum values[] = {Int64GetDatum(stream), CStringGetTextDatum(topic), Int32GetDatum(partition),
	                  BoolGetDatum(followed)};

	(void) internal_run(&set, values, NULL);
}

/* ---------- all of a stream's ---------- */

void
position_lock_all(int64 stream)
{
	static const Oid types[] = {INT8OID};
	static KsegInternal lock = {"SELECT 1 FROM kseg.position_entry WHERE stream OPERATOR(pg_catalog.=) $1 "
	                            "ORDER BY topic COLLATE pg_catalog.\"C\", partition FOR UPDATE",
	                            lengthof(types), types};
	Datum values[] = {Int64GetDatum(stream)};

	(void) internal_run(&lock, values, NULL);
}

/* Is one there that the transaction's snapshot does not show? */
static bool
position_is_left(int64 stream)
{
	static const Oid types[] = {INT8OID};
	static KsegInternal look = {"SELECT 1 FROM kseg.position_entry WHERE stream OPERATOR(pg_catalog.=) $1",
	                            lengthof(types), types};
	Datum values[] = {Int64GetDatum(stream)};
	bool left;

	PushActiveSnapshot(GetLatestSnapshot());
	internal_execute(&look, values, NULL, true, 1);
	left = SPI_processed > 0;
	PopActiveSnapshot();
	return left;
}

void
position_remove_all(int64 stream)
{
	static const Oid types[] = {INT8OID};
	static KsegInternal forget = {"DELETE FROM kseg.position_entry WHERE stream OPERATOR(pg_catalog.=) $1",
	                              lengthof(types), types};
	Datum values[] = {Int64GetDatum(stream)};

	position_lock_all(stream);
	SPI_connect();
	internal_execute(&forget, values, NULL, false, 0);
	if (IsolationUsesXactSnapshot() && position_is_left(stream))
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
		                errmsg("could not serialize access due to concurrent update"),
		                errdetail("The stream has stored positions since this transaction began."),
		                errhint("Try again, or in a transaction of READ COMMITTED.")));
	SPI_finish();
}

/* ---------- moving ---------- */

static int
position_compare_steps(const void *a, const void *b)
{
	const KsegPositionStep *one = a;
	const KsegPositionStep *other = b;
	int topics = strcmp(one->topic, other->topic);

	if (topics != 0)
		return topics;
	return one->partition < other->partition ? -1 : one->partition > other->partition;
}

/* Compare and set: no row is there to be updated when somebody has moved it. */
static bool
position_move_one(int64 stream, const KsegPositionStep *step)
{
	static const Oid types[] = {INT8OID, TEXTOID, INT4OID, INT8OID, INT8OID, INT8OID, INT8OID};
	static KsegInternal move = {
	    "UPDATE kseg.position_entry SET next_offset = $5, seen_offset = $6, seen_time = $7, updated = "
	    "pg_catalog.now() "
	    "WHERE stream OPERATOR(pg_catalog.=) $1 AND topic OPERATOR(pg_catalog.=) $2 "
	    "AND partition OPERATOR(pg_catalog.=) $3 AND next_offset OPERATOR(pg_catalog.=) $4",
	    lengthof(types), types};
	Datum values[] = {Int64GetDatum(stream),
	                  CStringGetTextDatum(step->topic),
	                  Int32GetDatum(step->partition),
	                  Int64GetDatum(step->was),
	                  Int64GetDatum(step->now.next),
	                  Int64GetDatum(step->now.seen_offset),
	                  Int64GetDatum(step->now.seen_time)};

	internal_execute(&move, values, NULL, false, 0);
	return SPI_processed == 1;
}

void
position_move(int64 stream, const KsegPositionStep *steps, int count)
{
	KsegPositionStep *sorted = palloc(sizeof(KsegPositionStep) * Max(count, 1));

	memcpy(sorted, steps, sizeof(KsegPositionStep) * count);
	qsort(sorted, count, sizeof(KsegPositionStep), position_compare_steps);
	SPI_connect();
	for (int i = 0; i < count; i++)
	{
		if (!position_move_one(stream, &sorted[i]))
			ereport(ERROR,
			        (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			         errmsg("the position of a stream is not where its batch began"),
			         errdetail("Partition %d of topic \"%s\" was at offset " INT64_FORMAT
			                   " when the batch was read.",
			                   sorted[i].partition, sorted[i].topic, sorted[i].was),
			         errhint("Somebody else has moved it: another worker, reset_stream, or a restore. The "
			                 "batch is read again from where it is now.")));
	}
	SPI_finish();
	pfree(sorted);
}
