/*
 * stream_apply.c
 *	  A batch's transaction: rows and position together. See stream_work.h.
 *
 * In this order: the target's locks (with the plan), the positions by compare-and-set, the statement over the batch's records, dead letters for
 * what the columns could not take, commit. Only when that is done does anybody outside hear of it. There is no subtransaction: what
 * fails by a message's fault is applied again in smaller parts (stream_tries.h), each in a transaction like this one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "source/topic_row.h"
#include "stream/stream_fault.h"
#include "stream/stream_slot.h"
#include "stream/stream_work.h"

/* What a try moves and counts; of context turn. */
typedef struct ApplyTry
{
	int from; /* records from ... to - 1 */
	int to;
	KsegPositionStep *steps;
	int *indexes; /* of the steps: in the follow's partitions */
	int step_count;
	int64 newest_ms; /* KSEG_NO_TIMESTAMP: none */
	Size bytes;
	uint64 rows;
	uint64 letters;
} ApplyTry;

/* ---------- steps ---------- */

/* The step of a partition, made when it has none; step_of has each partition's place in steps, -1 none. */
static KsegPositionStep *
apply_step(const KsegStreamWork *work, ApplyTry *try, int *step_of, int index)
{
	const KsegPosition *settled = &work->settled[index];

	if (step_of[index] < 0)
	{
		step_of[index] = try->step_count;
		try->indexes[try->step_count] = index;
		try->steps[try->step_count++] =
		    (KsegPositionStep){settled->topic, settled->partition, settled->next, *settled};
	}
	return &try->steps[step_of[index]];
}

static void
apply_add_record(const KsegStreamWork *work, ApplyTry *try, int *step_of, const KsegRecord *record)
{
	KsegPositionStep *step;

	if (record->partition < 0 || record->partition >= work->settled_count)
		elog(ERROR, "kseg's courier sent a record of partition index %d, which it has not named",
		     record->partition);
	step = apply_step(work, try, step_of, record->partition);
	/* What is settled is never applied again, whatever a courier sends. */
	if (record->offset < step->now.next)
		elog(ERROR,
		     "kseg's courier sent offset " INT64_FORMAT
		     " of partition %d of topic \"%s\" behind offset " INT64_FORMAT,
		     (int64) record->offset, step->partition, step->topic, step->now.next);
	step->now.next = record->offset + 1;
	step->now.seen_offset = record->offset;
	step->now.seen_time = record->timestamp;
	try->newest_ms = Max(try->newest_ms, record->timestamp);
}

/* With the last of a batch's records go the positions that have moved without any: all that was taken from the courier is in it. */
static void
apply_add_progress(const KsegStreamWork *work, ApplyTry *try, int *step_of)
{
	int count;
	bool known;
	const KsegFollowPartition *partitions = topic_follow_partitions(work->follow, &count, &known);

	for (int i = 0; i < work->settled_count; i++)
	{
		int64 next = step_of[i] >= 0 ? try->steps[step_of[i]].now.next : work->settled[i].next;

		if (partitions[i].next > next)
			apply_step(work, try, step_of, i)->now.next = partitions[i].next;
	}
}

static ApplyTry *
apply_plan_try(const KsegStreamWork *work)
{
	ApplyTry *try = palloc0(sizeof(ApplyTry));
	int *step_of = palloc(sizeof(int) * Max(work->settled_count, 1));

	try->from = work->tries.from;
	try->to = work->culprit.index >= 0 ? try->from + 1 : stream_tries_to(&work->tries);
	try->steps = palloc(sizeof(KsegPositionStep) * Max(work->settled_count, 1));
	try->indexes = palloc(sizeof(int) * Max(work->settled_count, 1));
	try->newest_ms = KSEG_NO_TIMESTAMP;
	for (int i = 0; i < work->settled_count; i++)
		step_of[i] = -1;
	for (int i = try->from; i < try->to; i++)
	{
		KsegRecord record;

		topic_batch_get(work->batch, i, &record);
		apply_add_record(work, try, step_of, &record);
	}
	if (try->to == work->tries.count)
		apply_add_progress(work, try, step_of);
	return try;
}

/* ---------- what columns cannot take ---------- */

/* A record may be read again in the same statement (the inner side of a join): it is one letter all the same. */
static void
apply_take_problem(void *argument, int index, int sqlerrcode, const char *reason)
{
	KsegStreamWork *work = argument;
	MemoryContext previous;

	if (bms_is_member(index, work->problem_set))
		return;
	previous = MemoryContextSwitchTo(work->turn);
	work->problem_set = bms_add_member(work->problem_set, index);
	if (work->problem_count == work->problem_room)
	{
		work->problem_room = Max(16, 2 * work->problem_room);
		work->problems = work->problems == NULL
		                     ? palloc(sizeof(KsegStreamLetter) * work->problem_room)
		                     : repalloc(work->problems, sizeof(KsegStreamLetter) * work->problem_room);
	}
	work->problems[work->problem_count++] = (KsegStreamLetter){index, sqlerrcode, pstrdup(reason)};
	MemoryContextSwitchTo(previous);
}

static void
apply_set_feed(KsegStreamWork *work, const ApplyTry *try)
{
	work->problem_set = NULL;
	work->problems = NULL;
	work->problem_count = work->problem_room = 0;
	work->stopped_by_problem = false;
	work->feed = (KsegTopicFeed){
	    .table = work->reading->table,
	    .needed = work->reading->needed,
	    .row = work->reading->row,
	    .batch = work->batch,
	    .from = try->from,
	    .to = try->to,
	    .partitions = work->partitions,
	    .partition_count = work->settled_count,
	    .problem = apply_take_problem,
	    .argument = work,
	};
	topic_feed_set(&work->feed);
	work->feed.at = KSEG_WORK_UNREAD;
}

/* on_error 'stop': the first problem ends the try; what comes before it is applied in the next one. */
static void
apply_check_problems(KsegStreamWork *work)
{
	const KsegStreamLetter *first = work->problems;

	if (work->problem_count == 0 || work->entry->on_error != KSEG_STREAM_STOP)
		return;
	for (int i = 1; i < work->problem_count; i++)
	{
		if (work->problems[i].index < first->index)
			first = &work->problems[i];
	}
	work->stopped_by_problem = true;
	work->feed.at = first->index;
	ereport(ERROR, (errcode(first->sqlerrcode), errmsg_internal("%s", first->reason)));
}

/* ---------- the transaction ---------- */

/*
 * The plan was made anew: is it still what was checked, and what the courier sends what it needs? A view may read another topic now, a key
 * have another type. Takes up changed columns.
 */
static bool
apply_is_readable(KsegStreamWork *work)
{
	KsegStreamReading *now;
	bool same;

	if (!stream_statement_is_new(work->statement))
		return true;
	if (!stream_statement_is_current(work->statement, work->entry))
		return false;
	now = stream_reading_create(work->statement, work->session);
	same = now->digest == work->reading->digest;
	if (!same)
	{
		stream_reading_free(now);
		return false;
	}
	stream_reading_free(work->reading);
	work->reading = now;
	work->feed.table = now->table;
	work->feed.needed = now->needed;
	work->feed.row = now->row;
	topic_feed_set(&work->feed);
	work->feed.at = KSEG_WORK_UNREAD;
	return true;
}

static void
apply_write_letters(KsegStreamWork *work, ApplyTry *try)
{
	const char *server = work->reading->request.server->name;

	if (work->culprit.index >= 0)
	{
		stream_letter_write(work->entry, server, &work->feed, &work->culprit, 1);
		try->letters = 1;
	}
	else if (work->problem_count > 0)
	{
		stream_letter_write(work->entry, server, &work->feed, work->problems, work->problem_count);
		try->letters = work->problem_count;
	}
}

/* False: the definition has changed so that all must be opened anew. */
static bool
apply_run(KsegStreamWork *work, ApplyTry *try)
{
	SPI_connect();
	if (try->to > try->from && !apply_is_readable(work))
		return false;
	position_move(work->entry->id, try->steps, try->step_count);
	work->moved = true;
	KSEG_FAULT_POINT("before apply");
	if (try->to > try->from && work->culprit.index < 0)
		try->rows = stream_statement_run(work->statement);
	apply_check_problems(work);
	apply_write_letters(work, try);
	KSEG_FAULT_POINT("after apply");
	SPI_finish();
	return true;
}

static bool
apply_transaction(KsegStreamWork *work, ApplyTry *try)
{
	bool done;

	apply_set_feed(work, try);
	work->moved = false;
	stream_transaction_begin();
	done = apply_run(work, try);
	topic_feed_set(NULL);
	if (done)
	{
		KSEG_FAULT_POINT("before commit");
		stream_transaction_commit(work);
		KSEG_FAULT_POINT("after commit");
	}
	else
		AbortCurrentTransaction();
	MemoryContextSwitchTo(work->turn);
	return done;
}

/* ---------- afterwards ---------- */

static void
apply_settle_positions(KsegStreamWork *work, const ApplyTry *try)
{
	int64 *next = palloc(sizeof(int64) * Max(try->step_count, 1));

	for (int i = 0; i < try->step_count; i++)
	{
		KsegPosition *settled = &work->settled[try->indexes[i]];

		settled->next = next[i] = try->steps[i].now.next;
		settled->seen_offset = try->steps[i].now.seen_offset;
		settled->seen_time = try->steps[i].now.seen_time;
	}
	topic_follow_committed(work->follow, try->indexes, next, try->step_count);
}

/* 0: none, or one that PostgreSQL has not. */
static TimestampTz
apply_time(int64 ms)
{
	TimestampTz time;

	return ms >= 0 && topic_row_time(ms, &time) ? time : 0;
}

static void
apply_note_figures(KsegStreamWork *work, const ApplyTry *try)
{
	KsegStreamSettled settled = {
	    .messages = (uint64) (try->to - try->from),
	    .rows = try->rows,
	    .dead_letters = try->letters,
	    .bytes = work->batch->count > 0
	                 ? work->batch->bytes * (uint64) (try->to - try->from) / (uint64) work->batch->count
	                 : 0,
	    .lag_messages = stream_turn_lag(work),
	    .newest = apply_time(try->newest_ms),
	};
	int failures = stream_slot_settle(&settled);

	if (failures > 0)
		stream_tell_settled(work);
	if (failures > 0)
		ereport(LOG,
		        (errmsg("stream \"%s\" goes on after %d tries that failed", work->entry->name, failures)));
	/* Reported once a second at most; what is left, when nothing more comes (stream_turn.c). */
	work->stat_pending = pgstat_report_stat(false) > 0;
}

/* Too many dead letters: the stream halts. It has settled them, and goes on behind them when somebody starts it again. */
static void
apply_check_share(KsegStreamWork *work, const ApplyTry *try)
{
	ErrorData error = {.elevel = LOG, .sqlerrcode = ERRCODE_DATA_EXCEPTION};
	uint64 messages;
	uint64 letters;

	stream_share_add(&work->share, (uint64) (try->to - try->from), try->letters);
	if (!stream_share_get(&work->share, &messages, &letters) ||
	    (double) letters <= work->entry->max_dead_letter_rate * (double) messages)
		return;
	error.message =
	    psprintf("too many messages became dead letters: " UINT64_FORMAT " of the last " UINT64_FORMAT,
	             letters, messages);
	error.detail = psprintf("max_dead_letter_rate is %g.", work->entry->max_dead_letter_rate);
	error.hint = "Look at their reasons in kseg.dead_letter. When the cause is gone, start_stream lets the "
	             "stream go on "
	             "behind them, and replay_dead_letters applies them.";
	stream_halt(work, "dead_letters", &error);
}

static void
apply_end_try(KsegStreamWork *work, const ApplyTry *try)
{
	apply_settle_positions(work, try);
	if (work->culprit.index >= 0)
	{
		work->culprit.index = -1;
		pfree(unconstify(char *, work->culprit.reason));
	}
	else if (try->to > try->from)
		stream_statement_settle(work->statement);
	stream_tries_succeeded(&work->tries, try->to);
	if (work->tries.from >= work->tries.count)
		work->applying = false;
	apply_note_figures(work, try);
	if (!work->applying)
		topic_batch_reset(work->batch);
	apply_check_share(work, try);
}

void
stream_apply(KsegStreamWork *work)
{
	ApplyTry *try;

	/* What a courier should not have sent is read anew, not tried again. */
	work->phase = KSEG_PHASE_READING;
	KSEG_FAULT_POINT("after read");
	try = apply_plan_try(work);
	work->phase = KSEG_PHASE_APPLYING;
	pgstat_report_activity(
	    STATE_RUNNING, psprintf("stream %s: applying %d messages", work->entry->name, try->to - try->from));
	if (apply_transaction(work, try))
		apply_end_try(work, try);
	else
		stream_close(work);
}
