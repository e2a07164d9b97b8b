/*
 * replay_letter.c
 *	  A dead letter that is replayed. See replay_letter.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "stream/internal.h"
#include "stream/replay_letter.h"

const char replay_letter_incomplete[] =
    "a part of it was too large to be kept: set what is missing, and incomplete to false";

/* ---------- reading ---------- */

/* In the order of the statement in replay_letter_get. */
enum
{
	LETTER_SERVER = 1,
	LETTER_CALL,
	LETTER_EVENT,
	LETTER_TOPIC,
	LETTER_PARTITION,
	LETTER_OFFSET,
	LETTER_TIME,
	LETTER_KEY,
	LETTER_VALUE,
	LETTER_HEADERS,
	LETTER_INCOMPLETE
};

/* A column; copies live in context. */
typedef struct LetterRow
{
	HeapTuple tuple;
	TupleDesc desc;
	MemoryContext context;
} LetterRow;

static char *
letter_text(const LetterRow *row, int column)
{
	bool null;
	Datum value = SPI_getbinval(row->tuple, row->desc, column, &null);

	return null ? NULL : MemoryContextStrdup(row->context, TextDatumGetCString(value));
}

/* A value of bytea; never NULL data for '', which is no NULL. */
static KsegText
letter_bytes(const LetterRow *row, int column)
{
	bool null;
	Datum value = SPI_getbinval(row->tuple, row->desc, column, &null);
	struct varlena *bytes;
	char *copy;
	Size length;

	if (null)
		return (KsegText){NULL, 0};
	bytes = PG_DETOAST_DATUM_PACKED(value);
	length = VARSIZE_ANY_EXHDR(bytes);
	copy = MemoryContextAlloc(row->context, length + 1);
	memcpy(copy, VARDATA_ANY(bytes), length);
	return (KsegText){copy, (uint32) length};
}

static int64
letter_number(const LetterRow *row, int column, bool wide)
{
	bool null;
	Datum value = SPI_getbinval(row->tuple, row->desc, column, &null);

	if (null)
		return -1;
	return wide ? DatumGetInt64(value) : DatumGetInt32(value);
}

static void
letter_read(const LetterRow *row, KsegReplayLetter *letter)
{
	bool null;

	letter->server = letter_text(row, LETTER_SERVER);
	letter->call = letter_text(row, LETTER_CALL);
	letter->event = letter_text(row, LETTER_EVENT);
	letter->topic = letter_text(row, LETTER_TOPIC);
	letter->partition = (int32) letter_number(row, LETTER_PARTITION, false);
	letter->offset = letter_number(row, LETTER_OFFSET, true);
	letter->time = DatumGetTimestampTz(SPI_getbinval(row->tuple, row->desc, LETTER_TIME, &null));
	letter->has_time = !null;
	letter->key = letter_bytes(row, LETTER_KEY);
	letter->value = letter_bytes(row, LETTER_VALUE);
	letter->headers = letter_text(row, LETTER_HEADERS);
	letter->incomplete = DatumGetBool(SPI_getbinval(row->tuple, row->desc, LETTER_INCOMPLETE, &null));
}

bool
replay_letter_get(int64 id, KsegReplayLetter *letter)
{
	static const Oid types[] = {INT8OID};
	static KsegInternal get = {.text = "SELECT server, call, event::pg_catalog.text, topic, partition, "
	                                   "\"offset\", message_time, key, value, "
	                                   "headers::pg_catalog.text, incomplete FROM kseg.dead_letter_entry "
	                                   "WHERE id OPERATOR(pg_catalog.=) $1",
	                           .count = lengthof(types),
	                           .types = types};
	LetterRow row = {.context = CurrentMemoryContext};
	Datum value = Int64GetDatum(id);

	memset(letter, 0, sizeof(*letter));
	letter->id = id;
	(void) internal_execute(&get, &value, NULL, false, 1);
	if (SPI_processed != 1)
		return false;
	row.tuple = SPI_tuptable->vals[0];
	row.desc = SPI_tuptable->tupdesc;
	letter_read(&row, letter);
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/* ---------- what becomes of it ---------- */

void
replay_letter_settle(KsegReplay *replay, int64 id)
{
	static const Oid types[] = {INT8OID};
	static KsegInternal settle = {.text =
	                                  "DELETE FROM kseg.dead_letter_entry WHERE id OPERATOR(pg_catalog.=) $1",
	                              .count = lengthof(types),
	                              .types = types};
	Datum value = Int64GetDatum(id);

	(void) internal_execute(&settle, &value, NULL, false, 0);
	replay->replayed++;
}

void
replay_letter_keep(KsegReplay *replay, int64 id, int sqlerrcode, int32 status, const char *reason)
{
	static const Oid types[] = {INT8OID, TEXTOID, TEXTOID, INT4OID};
	static KsegInternal keep = {
	    .text = "UPDATE kseg.dead_letter_entry SET reason = $2, sqlstate = $3, status = $4, "
	            "attempts = attempts OPERATOR(pg_catalog.+) 1 WHERE id OPERATOR(pg_catalog.=) $1",
	    .count = lengthof(types),
	    .types = types};
	Datum values[] = {Int64GetDatum(id), CStringGetTextDatum(reason),
	                  CStringGetTextDatum(unpack_sql_state(sqlerrcode)), Int32GetDatum(status)};
	char nulls[] = {' ', ' ', sqlerrcode == 0 ? 'n' : ' ', status == 0 ? 'n' : ' ', '\0'};

	(void) internal_execute(&keep, values, nulls, false, 0);
	replay->failed++;
	if (replay->first_problem == NULL)
		replay->first_problem = MemoryContextStrdup(GetMemoryChunkContext((void *) replay->ids), reason);
}
