/*
 * stream_letter.c
 *	  Dead letters of streams. See stream_letter.h.
 *
 * Many letters go into one statement as arrays: a batch in which every message is bad has as many as messages. What a letter holds comes
 * from anybody who can produce, so nothing in it may fail here: what PostgreSQL would not take is left out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "kseg.h"
#include "link/link_text.h"
#include "sink/letter.h"
#include "stream/internal.h"
#include "stream/stream_letter.h"

/*
 * Most letters of one statement, and most bytes of their messages after which none is added: the statement's own cost is spread over enough
 * of them, and its arrays, which exist two or three times over, stay below 100 MB even when the last message is as large as they come.
 */
#define LETTER_STATEMENT_COUNT 1000
#define LETTER_STATEMENT_BYTES (8 * 1024 * 1024)

/* What is older than its retention is looked for so often at most, and so many go at once: a batch must not wait for it long. */
#define LETTER_FORGET_MS    (60 * 1000)
#define LETTER_FORGET_COUNT 10000

/* The arrays, in the statement's order. */
enum
{
	LETTER_TOPIC = 0,
	LETTER_PARTITION,
	LETTER_OFFSET,
	LETTER_TIME,
	LETTER_KEY,
	LETTER_VALUE,
	LETTER_HEADERS,
	LETTER_EVENT,
	LETTER_SQLSTATE,
	LETTER_REASON,
	LETTER_INCOMPLETE, /* a part is not kept */
	LETTER_ARRAYS
};

static const Oid array_elements[LETTER_ARRAYS] = {TEXTOID,  INT4OID,  INT8OID, TIMESTAMPTZOID,
                                                  BYTEAOID, BYTEAOID, TEXTOID, TEXTOID,
                                                  TEXTOID,  TEXTOID,  BOOLOID};

/* Parameters in front of the arrays: stream, run_by, server. */
#define LETTER_SCALARS 3

typedef struct LetterColumn
{
	Datum values[LETTER_STATEMENT_COUNT];
	bool nulls[LETTER_STATEMENT_COUNT];
} LetterColumn;

typedef struct LetterStatement
{
	LetterColumn columns[LETTER_ARRAYS];
	int count;
	Size bytes;
} LetterStatement;

/* ---------- one letter ---------- */

static void
letter_put(LetterStatement *statement, int column, Datum value)
{
	statement->columns[column].values[statement->count] = value;
	statement->columns[column].nulls[statement->count] = false;
}

/* A part of the message as it is; what is too large is left out, and the reason says so. */
static void
letter_put_part(LetterStatement *statement, int column, KsegText part, const char *name, StringInfo reason)
{
	if (part.data == NULL)
		return;
	if (part.length > KSEG_LETTER_EVENT_MAX)
	{
		appendStringInfo(reason, " (its %s of %u bytes is not kept)", name, part.length);
		return;
	}
	statement->bytes += part.length;
	/* A text in memory has the layout of a bytea. */
	letter_put(statement, column, PointerGetDatum(cstring_to_text_with_len(part.data, (int) part.length)));
}

/* The headers are the courier's own JSON, which jsonb takes. */
static void
letter_put_headers(LetterStatement *statement, KsegText headers, StringInfo reason)
{
	if (headers.data != NULL && headers.length <= KSEG_LETTER_EVENT_MAX)
	{
		statement->bytes += headers.length;
		letter_put(statement, LETTER_HEADERS,
		           CStringGetTextDatum(link_text_to_server(headers.data, headers.length)));
	}
	else if (headers.data != NULL)
		appendStringInfo(reason, " (its headers of %u bytes are not kept)", headers.length);
}

/*
 * May it be json that every operator takes? An escape for a character that the database has not (\u0000 in any) is one that json holds,
 * but a query that looks into such a value fails, and with it what it says of all other letters.
 */
static bool
letter_is_json(KsegText value)
{
	bool unescape = GetDatabaseEncoding() == PG_UTF8;

	if (value.data == NULL || value.length > KSEG_LETTER_EVENT_MAX ||
	    !pg_verify_mbstr(PG_UTF8, value.data, value.length, true) ||
	    letter_is_too_deep(value.data, value.length))
		return false;
	/* In UTF-8 the parser says so of an escape; in another encoding it would raise an ERROR. */
	if (!unescape && memmem(value.data, value.length, "\\u", 2) != NULL)
		return false;
	return pg_parse_json(kseg_compat_json_lex(value.data, value.length, unescape), &nullSemAction) ==
	       JSON_SUCCESS;
}

static void
letter_put_message(LetterStatement *statement, const KsegTopicFeed *feed, const KsegRecord *record,
                   StringInfo reason)
{
	KsegText value;
	KsegText key;
	KsegText headers;

	topic_feed_message(record, feed->batch->fields, &value, &key, &headers);
	/* Of a message that was too large for a frame the courier sends no field at all. It is no tombstone for that. */
	if (value.data == NULL && (record->flags & KSEG_RECORD_TOMBSTONE) == 0)
		appendStringInfoString(reason, " (the message is not kept: it is too large)");
	letter_put_part(statement, LETTER_VALUE, value, "value", reason);
	letter_put_part(statement, LETTER_KEY, key, "key", reason);
	letter_put_headers(statement, headers, reason);
	if (letter_is_json(value))
		letter_put(statement, LETTER_EVENT,
		           CStringGetTextDatum(link_text_to_server(value.data, value.length)));
}

static void
letter_add(LetterStatement *statement, const KsegTopicFeed *feed, const KsegStreamLetter *letter)
{
	const KsegFeedPartition *place;
	StringInfoData reason;
	KsegRecord record;
	Timestamp time;

	for (int i = 0; i < LETTER_ARRAYS; i++)
		statement->columns[i].nulls[statement->count] = true;
	topic_batch_get(feed->batch, letter->index, &record);
	Assert(record.partition >= 0 && record.partition < feed->partition_count);
	place = &feed->partitions[record.partition];
	letter_put(statement, LETTER_TOPIC, CStringGetTextDatum(place->topic));
	letter_put(statement, LETTER_PARTITION, Int32GetDatum(place->partition));
	letter_put(statement, LETTER_OFFSET, Int64GetDatum(record.offset));
	if (record.timestamp != KSEG_NO_TIMESTAMP && topic_row_time(record.timestamp, &time))
		letter_put(statement, LETTER_TIME, TimestampTzGetDatum(time));
	initStringInfo(&reason);
	appendStringInfoString(&reason, letter->reason);
	letter_put_message(statement, feed, &record, &reason);
	letter_put(statement, LETTER_SQLSTATE, CStringGetTextDatum(unpack_sql_state(letter->sqlerrcode)));
	letter_put(statement, LETTER_REASON, CStringGetTextDatum(reason.data));
	/* The reason grows by each part that is not kept. */
	letter_put(statement, LETTER_INCOMPLETE, BoolGetDatum((size_t) reason.len > strlen(letter->reason)));
	statement->count++;
}

/* ---------- many ---------- */

static Datum
letter_array(LetterStatement *statement, int column)
{
	LetterColumn *elements = &statement->columns[column];
	Oid element = array_elements[column];
	int count = statement->count;
	int bound = 1;
	int16 length;
	bool by_value;
	char alignment;

	get_typlenbyvalalign(element, &length, &by_value, &alignment);
	return PointerGetDatum(construct_md_array(elements->values, elements->nulls, 1, &count, &bound, element,
	                                          length, by_value, alignment));
}

/*
 * unnest of several arrays is the parser's own word, not looked up in a search_path. The stream's name is the one of now: it may have been
 * renamed while the transaction waited for its positions (stream_write_renamed).
 */
static void
letter_insert(const KsegStreamEntry *entry, const char *server, LetterStatement *statement)
{
	static const Oid types[LETTER_SCALARS + LETTER_ARRAYS] = {INT8OID,
	                                                          TEXTOID,
	                                                          TEXTOID,
	                                                          TEXTARRAYOID,
	                                                          INT4ARRAYOID,
	                                                          INT8ARRAYOID,
	                                                          TIMESTAMPTZARRAYOID,
	                                                          BYTEAARRAYOID,
	                                                          BYTEAARRAYOID,
	                                                          TEXTARRAYOID,
	                                                          TEXTARRAYOID,
	                                                          TEXTARRAYOID,
	                                                          TEXTARRAYOID,
	                                                          BOOLARRAYOID};
	static KsegInternal insert = {
	    .text =
	        "INSERT INTO kseg.dead_letter_entry (stream, run_by, server, call, topic, partition, "
	        "\"offset\", message_time, key, value, headers, event, sqlstate, reason, incomplete) "
	        "SELECT (SELECT e.name FROM kseg.stream_entry e WHERE e.id OPERATOR(pg_catalog.=) $1), $2, $3, "
	        "'stream', l.topic, l.partition, l.place, l.time, l.key, l.value, "
	        "l.headers::pg_catalog.jsonb, l.event::pg_catalog.json, l.sqlstate, l.reason, "
	        "l.incomplete FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS l "
	        "(topic, partition, place, time, key, value, headers, event, sqlstate, reason, incomplete)",
	    .count = lengthof(types),
	    .types = types};
	Datum values[lengthof(types)] = {Int64GetDatum(entry->id), CStringGetTextDatum(entry->owner_name),
	                                 CStringGetTextDatum(server)};

	for (int i = 0; i < LETTER_ARRAYS; i++)
		values[LETTER_SCALARS + i] = letter_array(statement, i);
	(void) internal_execute(&insert, values, NULL, false, 0);
}

/*
 * What is older than its retention goes when something new is kept (as run_record.c does), and what somebody else is removing is left to
 * him. With a transaction's snapshot a finished removal would be a serialization failure: then nothing is removed.
 */
static uint64
letter_forget(void)
{
	static const Oid types[] = {INT4OID};
	static KsegInternal forget = {
	    .text = "DELETE FROM kseg.dead_letter_entry WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY("
	            "SELECT id FROM kseg.dead_letter_entry WHERE created OPERATOR(pg_catalog.<) "
	            "(pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(days => $1)) "
	            "LIMIT " CppAsString2(LETTER_FORGET_COUNT) " FOR UPDATE SKIP LOCKED))",
	    .count = lengthof(types),
	    .types = types};
	Datum values[] = {Int32GetDatum(kseg_dead_letter_retention)};

	if (kseg_dead_letter_retention < 0 || IsolationUsesXactSnapshot())
		return 0;
	(void) internal_execute(&forget, values, NULL, false, 0);
	return SPI_processed;
}

bool
stream_letter_forget(void)
{
	uint64 count;

	SPI_connect();
	count = letter_forget();
	SPI_finish();
	return count < LETTER_FORGET_COUNT;
}

/* With new letters, but not with each of them. */
static void
letter_forget_now_and_then(void)
{
	static TimestampTz last = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(last, now, LETTER_FORGET_MS))
		return;
	last = now;
	(void) letter_forget();
}

void
stream_letter_write(const KsegStreamEntry *entry, const char *server, const KsegTopicFeed *feed,
                    const KsegStreamLetter *letters, int count)
{
	MemoryContext context;
	MemoryContext previous;

	if (count == 0)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "kseg letters", ALLOCSET_DEFAULT_SIZES);
	previous = MemoryContextSwitchTo(context);
	letter_forget_now_and_then();
	for (int i = 0; i < count;)
	{
		LetterStatement *statement = palloc0(sizeof(LetterStatement));

		while (i < count && statement->count < LETTER_STATEMENT_COUNT &&
		       statement->bytes < LETTER_STATEMENT_BYTES)
			letter_add(statement, feed, &letters[i++]);
		letter_insert(entry, server, statement);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}
