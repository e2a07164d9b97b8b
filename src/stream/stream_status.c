/*
 * stream_status.c
 *	  What the views of streams are made of: the slots of shared memory, whose a stream is, and why one has no slot.
 *
 * Owns: kseg.stream_slots(), kseg.stream_is_mine(), kseg.stream_is_copy() and kseg.stream_hindrance(). Refuses: to ask a broker, to wait for a lock on a
 * table, and to change anything: whoever looks must never be able to disturb what he looks at.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/result_set.h"
#include "stream/stream_entry.h"
#include "stream/stream_shared.h"

/* ---------- slots ---------- */

/* A column's value, or NULL where shared memory has 0 or "" for none. */
static void
slot_put_time(Datum *value, bool *null, TimestampTz time)
{
	*null = time == 0;
	*value = TimestampTzGetDatum(time);
}

static void
slot_put_text(Datum *value, bool *null, const char *text)
{
	*null = text[0] == '\0';
	*value = *null ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
slot_put(ReturnSetInfo *result, const KsegStreamSlot *slot, TimestampTz now)
{
	const KsegStreamFigures *figures = &slot->figures;
	Datum values[22];
	bool nulls[22] = {false};
	int i = 0;

	values[i++] = Int64GetDatum(slot->stream);
	values[i++] = Int32GetDatum(slot->worker);
	values[i++] = Int32GetDatum(slot->workers);
	values[i++] = CStringGetTextDatum(stream_state_name(slot->state));
	slot_put_time(&values[i], &nulls[i], slot->since), i++;
	nulls[i] = slot->pid == 0;
	values[i++] = Int32GetDatum(slot->pid);
	values[i++] = Int64GetDatum((int64) figures->messages);
	values[i++] = Int64GetDatum((int64) figures->rows);
	values[i++] = Int64GetDatum((int64) figures->batches);
	values[i++] = Int64GetDatum((int64) figures->dead_letters);
	values[i++] = Int64GetDatum((int64) figures->bytes);
	nulls[i] = figures->lag_messages < 0;
	values[i++] = Int64GetDatum(figures->lag_messages);
	slot_put_time(&values[i], &nulls[i], figures->oldest), i++;
	slot_put_time(&values[i], &nulls[i], figures->newest), i++;
	slot_put_time(&values[i], &nulls[i], figures->settled), i++;
	values[i++] = Float8GetDatum(stream_rate_get(&figures->rows_per_second, now));
	values[i++] = Int32GetDatum(slot->failures);
	slot_put_time(&values[i], &nulls[i], slot->next_try), i++;
	slot_put_text(&values[i], &nulls[i], slot->trouble), i++;
	slot_put_text(&values[i], &nulls[i], slot->sqlstate), i++;
	slot_put_text(&values[i], &nulls[i], slot->error), i++;
	slot_put_time(&values[i], &nulls[i], slot->error_at), i++;
	Assert(i == lengthof(values));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(kseg_sql_stream_slots);

/* stream_slots() RETURNS SETOF (…): this database's slots of the caller's roles, or all with pg_read_all_stats. */
Datum
kseg_sql_stream_slots(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = result_set_begin(fcinfo);
	bool all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	TimestampTz now = GetCurrentTimestamp();
	KsegStreamSlot *slots;
	int count;

	if (!stream_shared_is_there())
		return (Datum) 0;
	slots = stream_shared_list(MyDatabaseId, &count);
	for (int i = 0; i < count; i++)
	{
		if (all || has_privs_of_role(GetUserId(), slots[i].owner))
			slot_put(result, &slots[i], now);
	}
	return (Datum) 0;
}

/* ---------- whose ---------- */

/* Was the entry made here? By the three arguments from this one on. */
static bool
status_is_here(FunctionCallInfo fcinfo, int first)
{
	return stream_entry_is_here(PG_GETARG_INT64(first), PG_GETARG_OID(first + 1), PG_GETARG_OID(first + 2));
}

PG_FUNCTION_INFO_V1(kseg_sql_stream_is_copy);

/* stream_is_copy(system_identifier bigint, database oid, entry_table oid) RETURNS boolean: has the entry come with a copy of its database? */
Datum
kseg_sql_stream_is_copy(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!status_is_here(fcinfo, 0));
}

PG_FUNCTION_INFO_V1(kseg_sql_stream_is_mine);

/*
 * stream_is_mine(owner oid, owner_name text, system_identifier bigint, database oid, entry_table oid) RETURNS boolean: has the caller the
 * rights of this stream's owner? Where the entry was made the role goes by its OID, so that a renamed one keeps its streams; in a copy the same
 * OID may be anybody's, so there it goes by name.
 */
Datum
kseg_sql_stream_is_mine(PG_FUNCTION_ARGS)
{
	Oid owner = PG_GETARG_OID(0);

	if (!status_is_here(fcinfo, 2))
		owner = get_role_oid(text_to_cstring(PG_GETARG_TEXT_PP(1)), true);
	PG_RETURN_BOOL(superuser() || (OidIsValid(owner) && has_privs_of_role(GetUserId(), owner)));
}

PG_FUNCTION_INFO_V1(kseg_sql_stream_owner);

/* stream_owner(owner oid, owner_name text, system_identifier bigint, database oid, entry_table oid) RETURNS text: its name as it is now. */
Datum
kseg_sql_stream_owner(PG_FUNCTION_ARGS)
{
	char *name = NULL;

	if (status_is_here(fcinfo, 2))
		name = GetUserNameFromId(PG_GETARG_OID(0), true);
	if (name == NULL)
		PG_RETURN_TEXT_P(PG_GETARG_TEXT_PP(1));
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/* ---------- why there is no slot ---------- */

/* What is known of this database; false: nothing yet. */
static bool
status_find_database(KsegStreamDatabase *copy, int *slots_used)
{
	bool found = false;

	*slots_used = 0;
	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	for (int i = 0; i < kseg_streams->database_count && !found; i++)
	{
		found = kseg_streams->databases[i].database == MyDatabaseId;
		if (found)
			*copy = kseg_streams->databases[i];
	}
	for (int i = 0; i < kseg_streams->slot_count; i++)
		*slots_used += kseg_streams->slots[i].used;
	LWLockRelease(kseg_streams->lock);
	return found;
}

static char *
status_hindrance(void)
{
	KsegStreamDatabase database;
	int used;

	if (!stream_shared_is_there())
		return pstrdup("kseg is not in shared_preload_libraries");
	if (RecoveryInProgress())
		return pstrdup("the server is in recovery: streams run when it is promoted");
	if (!status_find_database(&database, &used) || database.finding == KSEG_SURVEY_UNKNOWN ||
	    database.finding == KSEG_SURVEY_NONE)
		return pstrdup("kseg's launcher has not looked at this database yet");
	if (database.holds > 0)
		return pstrdup("the database is being dropped, renamed, moved or copied");
	if (database.finding == KSEG_SURVEY_VERSION)
		return psprintf("the extension has version %s, the loaded library has " KSEG_VERSION
		                ": ALTER EXTENSION kseg UPDATE, and restart the server",
		                database.extension_version);
	if (database.finding == KSEG_SURVEY_FAILED)
		return psprintf("this database could not be looked at: %s", database.error);
	if (used >= kseg_streams->slot_count)
		return psprintf("all %d workers of kseg.max_stream_workers are taken", kseg_streams->slot_count);
	return pstrdup("kseg's launcher has not seen it yet");
}

PG_FUNCTION_INFO_V1(kseg_sql_stream_hindrance);

/* stream_hindrance() RETURNS text: why a stream of this database that should run has no slot. */
Datum
kseg_sql_stream_hindrance(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(status_hindrance()));
}
