/*
 * stream_entry.c
 *	  A stream's definition. See stream_entry.h.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "stream/internal.h"
#include "stream/stream_entry.h"
#include "stream/stream_failure.h"

/* ---------- reading ---------- */

#define ENTRY_COLUMNS                                                                                        \
	"id, name, owner, owner_name, query, search_path, target, key, on_conflict, delete_when, start, "        \
	"start_time, topics, batch_rows, "                                                                       \
	"(extract(epoch FROM batch_interval) OPERATOR(pg_catalog.*) "                                            \
	"1000::pg_catalog.numeric)::pg_catalog.int4, workers, "                                                  \
	"on_error, max_dead_letter_rate, commit_group, enabled, halted, begun, positions, revision, "            \
	"system_identifier, database, entry_table"

/* In the order of ENTRY_COLUMNS. */
enum
{
	ENTRY_ID = 1,
	ENTRY_NAME,
	ENTRY_OWNER,
	ENTRY_OWNER_NAME,
	ENTRY_QUERY,
	ENTRY_SEARCH_PATH,
	ENTRY_TARGET,
	ENTRY_KEY,
	ENTRY_ON_CONFLICT,
	ENTRY_DELETE_WHEN,
	ENTRY_START,
	ENTRY_START_TIME,
	ENTRY_TOPICS,
	ENTRY_BATCH_ROWS,
	ENTRY_BATCH_INTERVAL,
	ENTRY_WORKERS,
	ENTRY_ON_ERROR,
	ENTRY_MAX_DEAD_LETTER_RATE,
	ENTRY_COMMIT_GROUP,
	ENTRY_ENABLED,
	ENTRY_HALTED,
	ENTRY_BEGUN,
	ENTRY_POSITIONS,
	ENTRY_REVISION,
	ENTRY_SYSTEM_IDENTIFIER,
	ENTRY_DATABASE,
	ENTRY_TABLE
};

/* The row that is read, and where what it holds is to live. */
typedef struct EntryRow
{
	HeapTuple tuple;
	TupleDesc desc;
	MemoryContext context;
} EntryRow;

/* NULL for NULL. */
static char *
entry_text(const EntryRow *row, int column)
{
	bool null;
	Datum value = SPI_getbinval(row->tuple, row->desc, column, &null);

	return null ? NULL : MemoryContextStrdup(row->context, TextDatumGetCString(value));
}

/* A value that is never NULL. */
static Datum
entry_value(const EntryRow *row, int column)
{
	bool null;
	Datum value = SPI_getbinval(row->tuple, row->desc, column, &null);

	if (null)
		elog(ERROR, "column %d of a stream's entry is null", column);
	return value;
}

/* A text array as a list of char *; NIL for NULL. */
static List *
entry_texts(const EntryRow *row, int column)
{
	bool null;
	Datum value = SPI_getbinval(row->tuple, row->desc, column, &null);
	MemoryContext previous;
	List *texts = NIL;
	Datum *elements;
	bool *nulls;
	int count;

	if (null)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	previous = MemoryContextSwitchTo(row->context);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			texts = lappend(texts, TextDatumGetCString(elements[i]));
	}
	MemoryContextSwitchTo(previous);
	return texts;
}

/* The index of the word in the list, which ends with NULL. */
static int
entry_word(const EntryRow *row, int column, const char *const *words)
{
	const char *said = entry_text(row, column);

	for (int i = 0; said != NULL && words[i] != NULL; i++)
	{
		if (strcmp(said, words[i]) == 0)
			return i;
	}
	elog(ERROR, "column %d of a stream's entry has no word that kseg knows: %s", column,
	     said != NULL ? said : "null");
}

bool
stream_entry_is_here(int64 system_identifier, Oid database, Oid entry_table)
{
	Oid schema = get_namespace_oid("kseg", true);

	return (uint64) system_identifier == GetSystemIdentifier() && database == MyDatabaseId &&
	       OidIsValid(schema) && entry_table == get_relname_relid("stream_entry", schema);
}

/*
 * Whose it is: by OID where it was made, by name in a copy (a restore, a template, a clone), where OIDs mean somebody else. A copy does
 * not run until it is started there.
 */
static void
entry_read_owner(const EntryRow *row, KsegStreamEntry *entry)
{
	bool here = stream_entry_is_here(DatumGetInt64(entry_value(row, ENTRY_SYSTEM_IDENTIFIER)),
	                                 DatumGetObjectId(entry_value(row, ENTRY_DATABASE)),
	                                 DatumGetObjectId(entry_value(row, ENTRY_TABLE)));
	Oid owner = DatumGetObjectId(entry_value(row, ENTRY_OWNER));

	entry->owner_name = entry_text(row, ENTRY_OWNER_NAME);
	if (here)
	{
		char *name = GetUserNameFromId(owner, true);

		entry->owner = name != NULL ? owner : InvalidOid;
		if (name != NULL)
			entry->owner_name = MemoryContextStrdup(row->context, name);
		return;
	}
	entry->owner = get_role_oid(entry->owner_name, true);
	if (entry->halted == NULL)
		entry->halted = MemoryContextStrdup(row->context, "copy");
}

static void
entry_read_start(const EntryRow *row, KsegStreamEntry *entry)
{
	static const char *const starts[] = {"earliest", "latest", "timestamp", NULL};

	entry->start = (KsegStreamStart) entry_word(row, ENTRY_START, starts);
	if (entry->start == KSEG_START_TIME)
		entry->start_time = DatumGetTimestampTz(entry_value(row, ENTRY_START_TIME));
}

static KsegStreamEntry *
entry_read(const EntryRow *row)
{
	static const char *const conflicts[] = {"error", "ignore", "update", NULL};
	static const char *const errors[] = {"dead_letter", "stop", NULL};
	KsegStreamEntry *entry = MemoryContextAllocZero(row->context, sizeof(KsegStreamEntry));

	entry->id = DatumGetInt64(entry_value(row, ENTRY_ID));
	entry->name = entry_text(row, ENTRY_NAME);
	entry->query = entry_text(row, ENTRY_QUERY);
	entry->search_path = entry_text(row, ENTRY_SEARCH_PATH);
	entry->target = entry_text(row, ENTRY_TARGET);
	entry->key = entry_texts(row, ENTRY_KEY);
	entry->on_conflict = (KsegStreamOnConflict) entry_word(row, ENTRY_ON_CONFLICT, conflicts);
	entry->delete_when = entry_text(row, ENTRY_DELETE_WHEN);
	entry_read_start(row, entry);
	entry->topics = entry_texts(row, ENTRY_TOPICS);
	entry->batch_rows = DatumGetInt32(entry_value(row, ENTRY_BATCH_ROWS));
	entry->batch_interval_ms = DatumGetInt32(entry_value(row, ENTRY_BATCH_INTERVAL));
	entry->workers = DatumGetInt32(entry_value(row, ENTRY_WORKERS));
	entry->on_error = (KsegStreamOnError) entry_word(row, ENTRY_ON_ERROR, errors);
	entry->max_dead_letter_rate = DatumGetFloat8(entry_value(row, ENTRY_MAX_DEAD_LETTER_RATE));
	entry->commit_group = entry_text(row, ENTRY_COMMIT_GROUP);
	entry->enabled = DatumGetBool(entry_value(row, ENTRY_ENABLED));
	entry->halted = entry_text(row, ENTRY_HALTED);
	entry->begun = DatumGetBool(entry_value(row, ENTRY_BEGUN));
	entry->positions = DatumGetInt32(entry_value(row, ENTRY_POSITIONS));
	entry->revision = DatumGetInt64(entry_value(row, ENTRY_REVISION));
	entry_read_owner(row, entry);
	return entry;
}

/* The one row that the statement finds for the value, if any. */
static KsegStreamEntry *
entry_find(KsegInternal *statement, Datum value)
{
	EntryRow row = {.context = CurrentMemoryContext};
	KsegStreamEntry *entry = NULL;

	SPI_connect();
	internal_execute(statement, &value, NULL, true, 1);
	if (SPI_processed == 1)
	{
		row.tuple = SPI_tuptable->vals[0];
		row.desc = SPI_tuptable->tupdesc;
		entry = entry_read(&row);
	}
	SPI_finish();
	return entry;
}

KsegStreamEntry *
stream_entry_get(int64 id)
{
	static const Oid types[] = {INT8OID};
	static KsegInternal by_id = {"SELECT " ENTRY_COLUMNS
	                             " FROM kseg.stream_entry WHERE id OPERATOR(pg_catalog.=) $1",
	                             lengthof(types), types};

	return entry_find(&by_id, Int64GetDatum(id));
}

KsegStreamEntry *
stream_entry_get_by_name(const char *name)
{
	static const Oid types[] = {TEXTOID};
	static KsegInternal by_name = {"SELECT " ENTRY_COLUMNS
	                               " FROM kseg.stream_entry WHERE name OPERATOR(pg_catalog.=) $1",
	                               lengthof(types), types};

	return entry_find(&by_name, CStringGetTextDatum(name));
}

void
stream_entry_check_owner(const KsegStreamEntry *entry)
{
	if (superuser() || (OidIsValid(entry->owner) && has_privs_of_role(GetUserId(), entry->owner)))
		return;
	ereport(ERROR,
	        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of stream \"%s\"", entry->name),
	         errdetail("It belongs to role \"%s\".", entry->owner_name)));
}

/* ---------- writing ---------- */

static Datum
entry_put_text(const char *text, char *null)
{
	*null = text == NULL ? 'n' : ' ';
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static const char *
entry_halted_message(const ErrorData *error)
{
	return error != NULL && error->message != NULL ? error->message : NULL;
}

/* Everybody in the database may listen, and what is wrong with a message says what is in it. */
static const char *
entry_public_message(const char *halted, const ErrorData *error)
{
	if (error != NULL && strcmp(halted, "failed") == 0 && stream_failure_sort(error) == KSEG_FAULT_MESSAGE)
		return "a message could not be applied; kseg.stream says why";
	return entry_halted_message(error);
}

bool
stream_entry_halt(int64 id, int64 revision, const char *halted, const ErrorData *error)
{
	static const Oid types[] = {INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	static KsegInternal halt = {
	    "UPDATE kseg.stream_entry SET halted = $3, halted_at = pg_catalog.clock_timestamp(), halted_sqlstate "
	    "= $4, "
	    "halted_message = $5, halted_detail = $6, halted_hint = $7 "
	    "WHERE id OPERATOR(pg_catalog.=) $1 AND revision OPERATOR(pg_catalog.=) $2 AND halted IS NULL "
	    "RETURNING name",
	    lengthof(types), types};
	char nulls[] = "       ";
	Datum values[] = {
	    Int64GetDatum(id),
	    Int64GetDatum(revision),
	    CStringGetTextDatum(halted),
	    entry_put_text(error != NULL ? unpack_sql_state(error->sqlerrcode) : NULL, &nulls[3]),
	    entry_put_text(entry_halted_message(error), &nulls[4]),
	    entry_put_text(error != NULL ? error->detail : NULL, &nulls[5]),
	    entry_put_text(error != NULL ? error->hint : NULL, &nulls[6]),
	};
	bool done;

	SPI_connect();
	internal_execute(&halt, values, nulls, false, 0);
	done = SPI_processed == 1;
	if (done)
		stream_entry_notify(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), halted,
		                    entry_public_message(halted, error));
	SPI_finish();
	return done;
}

bool
stream_entry_hold(int64 id, int64 revision)
{
	static const Oid types[] = {INT8OID, INT8OID};
	static KsegInternal hold = {"SELECT 1 FROM kseg.stream_entry WHERE id OPERATOR(pg_catalog.=) $1 "
	                            "AND revision OPERATOR(pg_catalog.=) $2 FOR NO KEY UPDATE",
	                            lengthof(types), types};
	Datum values[] = {Int64GetDatum(id), Int64GetDatum(revision)};

	return internal_run(&hold, values, NULL) == 1;
}

void
stream_entry_set_begun(int64 id, int64 revision)
{
	static const Oid types[] = {INT8OID, INT8OID};
	static KsegInternal begun = {
	    "UPDATE kseg.stream_entry SET begun = true WHERE id OPERATOR(pg_catalog.=) $1 "
	    "AND revision OPERATOR(pg_catalog.=) $2",
	    lengthof(types), types};
	Datum values[] = {Int64GetDatum(id), Int64GetDatum(revision)};

	(void) internal_run(&begun, values, NULL);
}

void
stream_entry_add_positions(int64 id, int count)
{
	static const Oid types[] = {INT8OID, INT4OID};
	static KsegInternal add = {"UPDATE kseg.stream_entry SET positions = positions OPERATOR(pg_catalog.+) $2 "
	                           "WHERE id OPERATOR(pg_catalog.=) $1",
	                           lengthof(types), types};
	Datum values[] = {Int64GetDatum(id), Int32GetDatum(count)};

	if (count > 0)
		(void) internal_run(&add, values, NULL);
}

/* ---------- telling ---------- */

/*
 * Bytes of a message that a notification carries: six times as many, when each is a \u001b, still fit into the 7,872 that PostgreSQL
 * takes (NOTIFY_PAYLOAD_MAX_LENGTH, async.c), with a name of 63 bytes. The whole message is in kseg.stream_status.
 */
#define NOTIFY_MESSAGE_MAX 1000
#define NOTIFY_PAYLOAD_MAX (BLCKSZ - NAMEDATALEN - 128)

static void
notify_member(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "%s\"%s\": ", json->len > 1 ? ", " : "", name);
	if (value == NULL)
		appendStringInfoString(json, "null");
	else
		escape_json(json, value);
}

static void
notify_payload(StringInfo json, const char *name, const char *state, const char *message)
{
	resetStringInfo(json);
	appendStringInfoChar(json, '{');
	notify_member(json, "stream", name);
	notify_member(json, "state", state);
	notify_member(json, "message", message);
	appendStringInfoChar(json, '}');
}

void
stream_entry_notify(const char *name, const char *state, const char *message)
{
	StringInfoData json;

	initStringInfo(&json);
	if (message != NULL)
		message = pnstrdup(message, pg_mbcliplen(message, strlen(message), NOTIFY_MESSAGE_MAX));
	notify_payload(&json, name, state, message);
	if (json.len >= NOTIFY_PAYLOAD_MAX)
		notify_payload(&json, pnstrdup(name, pg_mbcliplen(name, strlen(name), NAMEDATALEN - 1)), state,
		               message);
	Async_Notify("kseg_stream", json.data);
	pfree(json.data);
}
