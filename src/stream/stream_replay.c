/*
 * stream_replay.c
 *	  kseg.replay_dead_letters(): which letters, and for each stream and run of them the replay.
 *
 * Owns: the choice of letters. It is made as the caller and through the view kseg.dead_letter, filter included: so nobody replays what he
 * may not see, and a filter can do nothing that its author could not do without it. The letters are locked there until the end of the
 * transaction: two replays at once do not deliver one twice.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "base/own_version.h"
#include "base/query_text.h"
#include "base/result_set.h"
#include "stream/stream_entry.h"
#include "stream/stream_replay.h"

/* Letters' ids that are fetched at once. */
#define REPLAY_FETCH 1000

/* What is asked for; NULL: everything. */
typedef struct ReplayChoice
{
	char *stream;
	pg_uuid_t *run;
	char *filter;
	int64 limit; /* -1: none */
} ReplayChoice;

/* The letters of one stream, or of one run. */
typedef struct ReplayGroup
{
	char *stream; /* NULL: a run's */
	pg_uuid_t run;
} ReplayGroup;

/* ---------- choosing ---------- */

static char *
choice_condition(const ReplayChoice *choice)
{
	return psprintf("($1 IS NULL OR d.stream OPERATOR(pg_catalog.=) $1) AND "
	                "($2 IS NULL OR d.run OPERATOR(pg_catalog.=) $2) AND (\n%s\n)",
	                choice->filter != NULL ? choice->filter : "true");
}

/* Which streams and runs have letters that are meant, in the current memory context. SPI connected. */
static List *
choice_groups(const ReplayChoice *choice, MemoryContext context)
{
	Oid types[] = {TEXTOID, UUIDOID};
	Datum values[] = {choice->stream != NULL ? CStringGetTextDatum(choice->stream) : (Datum) 0,
	                  UUIDPGetDatum(choice->run)};
	char nulls[] = {choice->stream == NULL ? 'n' : ' ', choice->run == NULL ? 'n' : ' ', '\0'};
	char *statement =
	    psprintf("SELECT DISTINCT d.stream, d.run FROM kseg.dead_letter d WHERE %s ORDER BY 1, 2",
	             choice_condition(choice));
	List *groups = NIL;

	if (SPI_execute_with_args(statement, lengthof(types), types, values, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for dead letters");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext previous = MemoryContextSwitchTo(context);
		ReplayGroup *group = palloc0(sizeof(ReplayGroup));
		bool null;
		Datum value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &null);

		group->stream = null ? NULL : TextDatumGetCString(value);
		value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &null);
		if (!null)
			group->run = *DatumGetUUIDP(value);
		groups = lappend(groups, group);
		MemoryContextSwitchTo(previous);
	}
	return groups;
}

/* Take the fetched ids to the others. */
static void
group_take_ids(KsegReplay *replay, int64 *room)
{
	int64 *ids = unconstify(int64 *, replay->ids);

	if (replay->count + (int64) SPI_processed > *room)
	{
		*room = Max(2 * *room, replay->count + (int64) SPI_processed);
		ids = repalloc_huge(ids, sizeof(int64) * *room);
	}
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool null;

		ids[replay->count++] =
		    DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &null));
	}
	replay->ids = ids;
}

/* Lock the group's letters and list their ids, in the given memory context. */
static void
group_choose(const ReplayGroup *group, const ReplayChoice *choice, MemoryContext context, KsegReplay *replay)
{
	Oid types[] = {TEXTOID, UUIDOID, INT8OID};
	Datum values[] = {group->stream != NULL ? CStringGetTextDatum(group->stream) : (Datum) 0,
	                  UUIDPGetDatum(&group->run), Int64GetDatum(choice->limit)};
	char nulls[] = {group->stream == NULL ? 'n' : ' ', group->stream != NULL ? 'n' : ' ',
	                choice->limit < 0 ? 'n' : ' ', '\0'};
	char *statement =
	    psprintf("SELECT d.id FROM kseg.dead_letter d WHERE %s ORDER BY d.id LIMIT $3 FOR UPDATE",
	             choice_condition(choice));
	int64 room = REPLAY_FETCH;
	Portal portal;

	memset(replay, 0, sizeof(*replay));
	replay->ids = MemoryContextAllocHuge(context, sizeof(int64) * room);
	portal = SPI_cursor_open_with_args(NULL, statement, lengthof(types), types, values, nulls, false, 0);
	do
	{
		SPI_cursor_fetch(portal, true, REPLAY_FETCH);
		group_take_ids(replay, &room);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
}

/* ---------- the whole ---------- */

static void
replay_groups(List *groups, ReplayChoice *choice, MemoryContext context, KsegReplay *total)
{
	ListCell *cell;

	foreach (cell, groups)
	{
		const ReplayGroup *group = lfirst(cell);
		KsegReplay replay;

		group_choose(group, choice, context, &replay);
		if (replay.count > 0 && group->stream != NULL)
			replay_stream(group->stream, &replay);
		else if (replay.count > 0)
			replay_run(&replay);
		total->replayed += replay.replayed;
		total->failed += replay.failed;
		if (total->first_problem == NULL)
			total->first_problem = replay.first_problem;
		if (choice->limit >= 0)
			choice->limit -= replay.count;
		if (choice->limit == 0)
			break;
	}
}

static void
replay_read_arguments(FunctionCallInfo fcinfo, ReplayChoice *choice)
{
	choice->stream = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	choice->run = PG_ARGISNULL(1) ? NULL : PG_GETARG_UUID_P(1);
	choice->filter = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	choice->limit = PG_ARGISNULL(3) ? -1 : PG_GETARG_INT64(3);
	if (choice->filter != NULL)
		query_check_expression(choice->filter, "filter");
	if (!PG_ARGISNULL(3) && choice->limit < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("row_limit must be at least 1, or NULL for all")));
	if (choice->stream != NULL && choice->run != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("a dead letter is of a stream or of a run, not of both"),
		                errhint("Leave out one of them.")));
	if (InSecurityRestrictedOperation())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("kseg replays nothing from within a security-restricted operation")));
}

PG_FUNCTION_INFO_V1(kseg_sql_replay_dead_letters);

/*
 * replay_dead_letters(stream text, run uuid, filter text, row_limit bigint) RETURNS TABLE (replayed bigint, failed bigint, first_problem
 * text)
 */
Datum
kseg_sql_replay_dead_letters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = result_set_begin(fcinfo);
	MemoryContext context = CurrentMemoryContext;
	KsegReplay total = {0};
	ReplayChoice choice;
	List *groups;
	Datum values[3];
	bool nulls[3] = {false};

	own_version_check();
	replay_read_arguments(fcinfo, &choice);
	SPI_connect();
	groups = choice_groups(&choice, context);
	if (groups == NIL && choice.stream != NULL && stream_entry_get_by_name(choice.stream) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
		                errmsg("stream \"%s\" does not exist, and there are no dead letters of it that you "
		                       "may see",
		                       choice.stream)));
	replay_groups(groups, &choice, context, &total);
	SPI_finish();
	values[0] = Int64GetDatum(total.replayed);
	values[1] = Int64GetDatum(total.failed);
	nulls[2] = total.first_problem == NULL;
	values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(total.first_problem);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}
