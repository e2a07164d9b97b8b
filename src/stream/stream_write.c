/*
 * stream_write.c
 *	  Writing streams' definitions. See stream_write.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/near_miss.h"
#include "base/own_version.h"
#include "stream/internal.h"
#include "stream/stream_arguments.h"
#include "stream/stream_position.h"
#include "stream/stream_shared.h"
#include "stream/stream_write.h"

/* ---------- values ---------- */

/* What the definition's columns are written from; the same in INSERT and UPDATE. */
enum
{
	WRITE_NAME,
	WRITE_OWNER,
	WRITE_OWNER_NAME,
	WRITE_QUERY,
	WRITE_SEARCH_PATH,
	WRITE_TARGET,
	WRITE_KEY,
	WRITE_ON_CONFLICT,
	WRITE_DELETE_WHEN,
	WRITE_TOPICS,
	WRITE_BATCH_ROWS,
	WRITE_BATCH_INTERVAL,
	WRITE_WORKERS,
	WRITE_ON_ERROR,
	WRITE_RATE,
	WRITE_GROUP,
	WRITE_DEFINITION, /* so many */
	/* of a new stream */
	WRITE_START = WRITE_DEFINITION,
	WRITE_START_TIME,
	WRITE_ENABLED,
	WRITE_SYSTEM,
	WRITE_DATABASE,
	WRITE_NEW,                  /* so many */
	WRITE_ID = WRITE_DEFINITION /* of one that is there */
};

#define DEFINITION_TYPES                                                                                     \
	TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTARRAYOID,       \
	    INT4OID, FLOAT8OID, INT4OID, TEXTOID, FLOAT8OID, TEXTOID

static Datum
write_text(const char *text, char *null)
{
	*null = text == NULL ? 'n' : ' ';
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* NIL is NULL. */
static Datum
write_list(List *list, char *null)
{
	Datum *elements = palloc(sizeof(Datum) * Max(list_length(list), 1));
	ListCell *cell;
	int count = 0;

	*null = list == NIL ? 'n' : ' ';
	foreach (cell, list)
		elements[count++] = CStringGetTextDatum(lfirst(cell));
	return list == NIL ? (Datum) 0
	                   : PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* values and nulls have WRITE_DEFINITION places, and one for the text's end. */
static void
write_values(const KsegStreamEntry *entry, Datum *values, char *nulls)
{
	values[WRITE_NAME] = CStringGetTextDatum(entry->name);
	values[WRITE_OWNER] = ObjectIdGetDatum(entry->owner);
	values[WRITE_OWNER_NAME] = CStringGetTextDatum(entry->owner_name);
	values[WRITE_QUERY] = CStringGetTextDatum(entry->query);
	values[WRITE_SEARCH_PATH] = CStringGetTextDatum(entry->search_path);
	values[WRITE_TARGET] = CStringGetTextDatum(entry->target);
	values[WRITE_KEY] = write_list(entry->key, &nulls[WRITE_KEY]);
	values[WRITE_ON_CONFLICT] = CStringGetTextDatum(stream_on_conflict_words[entry->on_conflict]);
	values[WRITE_DELETE_WHEN] = write_text(entry->delete_when, &nulls[WRITE_DELETE_WHEN]);
	values[WRITE_TOPICS] = write_list(entry->topics, &nulls[WRITE_TOPICS]);
	values[WRITE_BATCH_ROWS] = Int32GetDatum(entry->batch_rows);
	values[WRITE_BATCH_INTERVAL] = Float8GetDatum(entry->batch_interval_ms);
	values[WRITE_WORKERS] = Int32GetDatum(entry->workers);
	values[WRITE_ON_ERROR] = CStringGetTextDatum(stream_on_error_words[entry->on_error]);
	values[WRITE_RATE] = Float8GetDatum(entry->max_dead_letter_rate);
	values[WRITE_GROUP] = write_text(entry->commit_group, &nulls[WRITE_GROUP]);
}

/* start and start_time at the places from `first` on. */
static void
write_start(const KsegStreamEntry *entry, Datum *values, char *nulls, int first)
{
	bool is_time = entry->start == KSEG_START_TIME;

	values[first] = CStringGetTextDatum(stream_start_words[entry->start]);
	values[first + 1] = is_time ? TimestampTzGetDatum(entry->start_time) : (Datum) 0;
	nulls[first + 1] = is_time ? ' ' : 'n';
}

/* Returns rows processed. The launcher looks at the streams when the transaction commits. */
static uint64
write_execute(KsegInternal *statement, Datum *values, const char *nulls)
{
	uint64 count = internal_run(statement, values, nulls);

	stream_shared_mark_dirty_at_commit();
	return count;
}

/* ---------- a new one ---------- */

static int64
write_new_id(KsegInternal *statement, Datum *values, const char *nulls)
{
	int64 id = 0;
	bool null;

	SPI_connect();
	internal_execute(statement, values, nulls, false, 0);
	if (SPI_processed == 1)
		id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
	SPI_finish();
	return id;
}

bool
stream_write_new(KsegStreamEntry *entry)
{
	static const Oid types[] = {DEFINITION_TYPES, TEXTOID, TIMESTAMPTZOID, BOOLOID, INT8OID, OIDOID};
	/* The check for the name is the INSERT's own: two sessions may make one at the same moment. */
	static KsegInternal insert = {"INSERT INTO kseg.stream_entry (name, owner, owner_name, query, "
	                              "search_path, target, key, on_conflict, "
	                              "delete_when, topics, batch_rows, batch_interval, workers, on_error, "
	                              "max_dead_letter_rate, commit_group, "
	                              "start, start_time, enabled, system_identifier, database, entry_table) "
	                              "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
	                              "$12 OPERATOR(pg_catalog.*) '1 millisecond'::pg_catalog.interval, $13, "
	                              "$14, $15, $16, $17, $18, $19, $20, $21, "
	                              "'kseg.stream_entry'::pg_catalog.regclass) "
	                              "ON CONFLICT (name) DO NOTHING RETURNING id",
	                              lengthof(types), types};
	Datum values[WRITE_NEW];
	char nulls[WRITE_NEW + 1];

	StaticAssertStmt(lengthof(types) == WRITE_NEW, "one type for each value");
	memset(nulls, ' ', WRITE_NEW);
	write_values(entry, values, nulls);
	write_start(entry, values, nulls, WRITE_START);
	values[WRITE_ENABLED] = BoolGetDatum(entry->enabled);
	values[WRITE_SYSTEM] = Int64GetDatum((int64) GetSystemIdentifier());
	values[WRITE_DATABASE] = ObjectIdGetDatum(MyDatabaseId);
	entry->id = write_new_id(&insert, values, nulls);
	stream_shared_mark_dirty_at_commit();
	return entry->id != 0;
}

bool
stream_write_exists(const char *name)
{
	static const Oid types[] = {TEXTOID};
	static KsegInternal find = {"SELECT 1 FROM kseg.stream_entry WHERE name OPERATOR(pg_catalog.=) $1",
	                            lengthof(types), types};
	Datum values[] = {CStringGetTextDatum(name)};
	bool found;

	SPI_connect();
	internal_execute(&find, values, NULL, false, 1);
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

void
stream_write_refuse_name(const char *name)
{
	ereport(
	    ERROR,
	    (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("stream \"%s\" already exists", name),
	     errhint(
	         "Choose another name, change it with kseg.alter_stream, or drop it with kseg.drop_stream.")));
}

/* ---------- one that is there ---------- */

/* Names of the streams that are the current role's to manage: what a hint may give away. Ends with NULL. */
static const char **
write_own_names(void)
{
	/* Streams of a database among which a near miss is looked for. */
	static KsegInternal list = {"SELECT name, owner FROM kseg.stream_entry ORDER BY id LIMIT 1000", 0, NULL};
	MemoryContext context = CurrentMemoryContext;
	const char **names;
	int count = 0;

	SPI_connect();
	internal_execute(&list, NULL, NULL, false, 0);
	names = MemoryContextAllocZero(context, sizeof(char *) * (SPI_processed + 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool null;
		Oid owner = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &null));

		if (superuser() || has_privs_of_role(GetUserId(), owner))
			names[count++] =
			    MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	}
	SPI_finish();
	return names;
}

static void
write_unknown(const char *name)
{
	const char *near = near_miss_find(name, write_own_names());

	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("stream \"%s\" does not exist", name),
	                near != NULL ? errhint("Perhaps you meant the stream \"%s\".", near)
	                             : errhint("SELECT name FROM kseg.stream shows yours in this database.")));
}

/* As the lock found it: the statement around this may have begun long before. */
static KsegStreamEntry *
write_read_now(const char *name)
{
	KsegStreamEntry *entry;

	CommandCounterIncrement();
	PushCopiedSnapshot(GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	entry = stream_entry_get_by_name(name);
	PopActiveSnapshot();
	return entry;
}

KsegStreamEntry *
stream_write_lock(const char *name)
{
	static const Oid types[] = {TEXTOID};
	static KsegInternal lock = {
	    "SELECT 1 FROM kseg.stream_entry WHERE name OPERATOR(pg_catalog.=) $1 FOR UPDATE", lengthof(types),
	    types};
	Datum values[] = {CStringGetTextDatum(name)};
	KsegStreamEntry *entry;

	own_version_check();
	if (InSecurityRestrictedOperation())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("cannot change a stream within a security-restricted operation")));
	/* Before the lock: who may not change it must not hold anybody up either. */
	entry = write_read_now(name);
	if (entry == NULL)
		write_unknown(name);
	stream_entry_check_owner(entry);
	SPI_connect();
	internal_execute(&lock, values, NULL, false, 1);
	SPI_finish();
	entry = write_read_now(name);
	if (entry == NULL)
		write_unknown(name);
	stream_entry_check_owner(entry);
	return entry;
}

void
stream_write_definition(const KsegStreamEntry *entry)
{
	static const Oid types[] = {DEFINITION_TYPES, INT8OID};
	static KsegInternal update = {
	    "UPDATE kseg.stream_entry SET name = $1, owner = $2, owner_name = $3, query = $4, search_path = $5, "
	    "target = $6, "
	    "key = $7, on_conflict = $8, delete_when = $9, topics = $10, batch_rows = $11, "
	    "batch_interval = $12 OPERATOR(pg_catalog.*) '1 millisecond'::pg_catalog.interval, workers = $13, "
	    "on_error = $14, "
	    "max_dead_letter_rate = $15, commit_group = $16, revision = revision OPERATOR(pg_catalog.+) 1 "
	    "WHERE id OPERATOR(pg_catalog.=) $17",
	    lengthof(types), types};
	Datum values[WRITE_DEFINITION + 1];
	char nulls[WRITE_DEFINITION + 2];

	memset(nulls, ' ', WRITE_DEFINITION + 1);
	write_values(entry, values, nulls);
	values[WRITE_ID] = Int64GetDatum(entry->id);
	write_execute(&update, values, nulls);
}

/* What a halt has written (stream_entry_halt) is gone when the stream is to go on. */
#define WRITE_NOT_HALTED                                                                                     \
	"halted = NULL, halted_at = NULL, halted_sqlstate = NULL, halted_message = NULL, halted_detail = NULL, " \
	"halted_hint = NULL"

void
stream_write_started(const KsegStreamEntry *entry)
{
	static const Oid types[] = {INT8OID, INT8OID, OIDOID, OIDOID, TEXTOID};
	static KsegInternal start = {
	    "UPDATE kseg.stream_entry SET enabled = true, changed_at = "
	    "pg_catalog.clock_timestamp(), " WRITE_NOT_HALTED
	    ", system_identifier = $2, database = $3, entry_table = tableoid, owner = $4, owner_name = $5, "
	    "revision = revision OPERATOR(pg_catalog.+) 1 WHERE id OPERATOR(pg_catalog.=) $1",
	    lengthof(types), types};
	Datum values[] = {Int64GetDatum(entry->id), Int64GetDatum((int64) GetSystemIdentifier()),
	                  ObjectIdGetDatum(MyDatabaseId), ObjectIdGetDatum(entry->owner),
	                  CStringGetTextDatum(entry->owner_name)};

	write_execute(&start, values, NULL);
}

void
stream_write_stopped(const KsegStreamEntry *entry)
{
	static const Oid types[] = {INT8OID};
	static KsegInternal stop = {
	    "UPDATE kseg.stream_entry SET enabled = false, changed_at = pg_catalog.clock_timestamp() "
	    "WHERE id OPERATOR(pg_catalog.=) $1",
	    lengthof(types), types};
	Datum values[] = {Int64GetDatum(entry->id)};

	write_execute(&stop, values, NULL);
}

void
stream_write_renamed(const KsegStreamEntry *entry, const char *old_name)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	static KsegInternal rename = {
	    "UPDATE kseg.dead_letter_entry SET stream = $2 WHERE stream OPERATOR(pg_catalog.=) $1",
	    lengthof(types), types};
	Datum values[] = {CStringGetTextDatum(old_name), CStringGetTextDatum(entry->name)};

	/* A batch that began before has written letters of the old name; one that begins now waits, and writes the new one. */
	position_lock_all(entry->id);
	write_execute(&rename, values, NULL);
}

void
stream_write_positions(const KsegStreamEntry *entry, List *positions)
{
	ListCell *cell;
	int added = 0;

	foreach (cell, positions)
		added += position_add(entry->id, lfirst(cell));
	stream_entry_add_positions(entry->id, added);
}

void
stream_write_reset(const KsegStreamEntry *entry, List *positions)
{
	static const Oid types[] = {INT8OID, TEXTOID, TIMESTAMPTZOID};
	static KsegInternal reset = {"UPDATE kseg.stream_entry SET start = $2, start_time = $3, begun = false, "
	                             "positions = 0, revision = revision OPERATOR(pg_catalog.+) 1 "
	                             "WHERE id OPERATOR(pg_catalog.=) $1",
	                             lengthof(types), types};
	static KsegInternal go_on = {
	    "UPDATE kseg.stream_entry SET changed_at = pg_catalog.clock_timestamp(), " WRITE_NOT_HALTED " "
	    "WHERE id OPERATOR(pg_catalog.=) $1 AND halted OPERATOR(pg_catalog.=) 'gap'",
	    1, types};
	Datum values[3] = {Int64GetDatum(entry->id)};
	char nulls[] = "   ";

	write_start(entry, values, nulls, 1);
	write_execute(&reset, values, nulls);
	write_execute(&go_on, values, NULL);
	position_remove_all(entry->id);
	stream_write_positions(entry, positions);
}

void
stream_write_dropped(const KsegStreamEntry *entry)
{
	static const Oid types[] = {INT8OID};
	static KsegInternal drop = {"DELETE FROM kseg.stream_entry WHERE id OPERATOR(pg_catalog.=) $1",
	                            lengthof(types), types};
	Datum values[] = {Int64GetDatum(entry->id)};

	position_remove_all(entry->id);
	write_execute(&drop, values, NULL);
}
