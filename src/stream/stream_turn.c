/*
 * stream_turn.c
 *	  One turn of reading: what has come is taken, until a batch is due. See stream_work.h.
 *
 * No transaction is open while anything is waited for.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "source/topic_row.h"
#include "stream/stream_slot.h"
#include "stream/stream_work.h"

/* A batch's bytes: a batch of large messages is applied before it is full. With what the courier holds, it bounds a worker's memory. */
#define TURN_BATCH_BYTES (16 * 1024 * 1024)

/*
 * While the stream is behind, a batch waits for what the courier holds ready: the socket brings 200 kB in one go, and what a transaction costs for
 * itself (a third of a millisecond, with sixteen positions) is the same for a thousand messages as for ten thousand. It is behind when so many
 * messages are known to be there that have not come: fewer, markers of transactions among them, go with the next batch.
 */
#define TURN_BEHIND 1000

/* Nothing has come for so long, which is ten times what the courier needs when it has something: it has nothing. */
#define TURN_MORE_MS 5

/* So long at most, whatever comes: of what a stream that is behind makes a message wait, it is the smallest part. */
#define TURN_FILL_MS 20

/*
 * Positions that have moved without records (the markers of transactions, what compaction has removed) are stored with the next batch, or by
 * themselves after so long: a stream that is otherwise idle writes nothing for each transaction of others.
 */
#define TURN_IDLE_MS 10000

/* Statistics that a batch could not report, because the last report was less than a second ago, are reported after this. */
#define TURN_STAT_MS 1000

/* How often dead letters that are too old are looked for: their age is given in days. */
#define TURN_FORGET_MS       (3600 * 1000)
#define TURN_FORGET_AGAIN_MS (60 * 1000)

void
stream_turn_sleep(long timeout_ms)
{
	static uint32 event;
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout_ms >= 0 ? WL_TIMEOUT : 0);

	if (event == 0)
		event = kseg_compat_wait_event("KsegStreamRetry");
	(void) WaitLatch(MyLatch, events, timeout_ms, event);
	ResetLatch(MyLatch);
}

/* ---------- what there is ---------- */

static bool
turn_is_full(const KsegStreamWork *work)
{
	return work->batch->count >= work->entry->batch_rows || work->batch->bytes >= TURN_BATCH_BYTES;
}

/* It runs when the courier has said which partitions there are; what failed before is over with the first batch only. */
static void
turn_note_running(KsegStreamWork *work)
{
	int count;
	bool known;

	if (work->running)
		return;
	(void) topic_follow_partitions(work->follow, &count, &known);
	if (!known)
		return;
	stream_slot_set_running();
	work->running = true;
	stream_tell_opened(work);
}

/* The oldest of a batch's records, those before `from` having been looked at. One with a time in the future, or none, is as old as the batch. */
static void
turn_note_oldest(KsegStreamWork *work, int from)
{
	int64 oldest_ms = PG_INT64_MAX;
	TimestampTz oldest;

	for (int i = from; i < work->batch->count; i++)
	{
		KsegRecord record;

		topic_batch_get(work->batch, i, &record);
		if (record.timestamp >= 0)
			oldest_ms = Min(oldest_ms, record.timestamp);
	}
	if (topic_row_time(oldest_ms, &oldest))
		work->batch_time = Min(work->batch_time, oldest);
}

/* Take what has come into the batch. */
static void
turn_take(KsegStreamWork *work)
{
	KsegFrame frame;

	while (!turn_is_full(work) && topic_follow_poll(work->follow, &frame))
	{
		int before = work->batch->count;

		if (before == 0)
			work->batch_begun = work->batch_time = GetCurrentTimestamp();
		topic_batch_add(work->batch, &frame);
		turn_note_oldest(work, before);
	}
	stream_take_partitions(work);
	stream_slot_set_trouble(topic_follow_trouble(work->follow));
	turn_note_running(work);
}

/* Messages that are known to be there and have not been taken; counted up to TURN_BEHIND. */
static int64
turn_count_missing(const KsegStreamWork *work)
{
	int count;
	bool known;
	const KsegFollowPartition *partitions = topic_follow_partitions(work->follow, &count, &known);
	int64 missing = 0;

	for (int i = 0; i < count && missing < TURN_BEHIND; i++)
		missing += Max(partitions[i].end - partitions[i].next, 0);
	return missing;
}

static bool
turn_is_behind(const KsegStreamWork *work)
{
	return turn_count_missing(work) >= TURN_BEHIND;
}

/* Take what comes now, too, as long as the stream is behind. */
static void
turn_fill(KsegStreamWork *work)
{
	/* With an interval batches wait for it anyway, and in turn_wait. */
	while (work->entry->batch_interval_ms == 0 && work->batch->count > 0 && !turn_is_full(work) &&
	       turn_is_behind(work) &&
	       !TimestampDifferenceExceeds(work->batch_begun, GetCurrentTimestamp(), TURN_FILL_MS) &&
	       topic_follow_wait(work->follow, TURN_MORE_MS))
		turn_take(work);
}

/* Has the courier come further than what is stored? Without records in the batch that is progress of its own. */
static bool
turn_has_progress(const KsegStreamWork *work)
{
	int count;
	bool known;
	const KsegFollowPartition *partitions = topic_follow_partitions(work->follow, &count, &known);

	for (int i = 0; i < work->settled_count; i++)
	{
		if (partitions[i].next > work->settled[i].next)
			return true;
	}
	return false;
}

/* ---------- how far it is behind ---------- */

int64
stream_turn_lag(const KsegStreamWork *work)
{
	int count;
	bool known;
	const KsegFollowPartition *partitions = topic_follow_partitions(work->follow, &count, &known);
	int64 lag = 0;

	for (int i = 0; i < work->settled_count; i++)
	{
		if (partitions[i].end < 0)
			return -1;
		/* A message may come before the news that the log has grown by it. */
		lag += Max(Max(partitions[i].end, partitions[i].next) - work->settled[i].next, 0);
	}
	return known ? lag : -1;
}

/*
 * The time of the oldest message that has come and is not settled; 0: there is none. Of messages that are there and have not come nobody knows the
 * time: they count from when they were heard of, or, behind a batch, as old as that one: with the next one it is known again.
 */
static TimestampTz
turn_oldest(const KsegStreamWork *work)
{
	TimestampTz before = stream_slot_get_oldest();
	int count;
	bool known;

	if (work->batch->count > 0)
		return work->batch_time;
	(void) topic_follow_partitions(work->follow, &count, &known);
	if (known && turn_count_missing(work) == 0)
		return 0;
	return !known || before != 0 ? before : GetCurrentTimestamp();
}

/* Before anything that may take long: kseg.stream_status shows it meanwhile. */
static void
turn_note_lag(const KsegStreamWork *work)
{
	stream_slot_set_lag(stream_turn_lag(work), turn_oldest(work));
}

/* ---------- once an hour ---------- */

/*
 * Dead letters that are older than their retention, once an hour, by a stream that makes none, too. One worker of each stream is enough.
 * When there are more than go at once, a minute later.
 */
static void
turn_forget_letters(KsegStreamWork *work)
{
	TimestampTz now;
	bool all;

	if (work->argument.worker != 0 || !work->running)
		return;
	now = GetCurrentTimestamp();
	if (now < work->next_forget)
		return;
	/* Before: what fails is tried again in an hour, too. */
	work->next_forget = TimestampTzPlusMilliseconds(now, TURN_FORGET_MS);
	stream_transaction_begin();
	all = stream_letter_forget();
	stream_transaction_commit(work);
	if (!all)
		work->next_forget = TimestampTzPlusMilliseconds(now, TURN_FORGET_AGAIN_MS);
}

/* ---------- is a batch due? ---------- */

/* Milliseconds until it is; 0: now; -1: not before something comes. */
static long
turn_until_due(KsegStreamWork *work)
{
	TimestampTz now;

	if (work->batch->count > 0)
	{
		work->idle_since = 0;
		if (turn_is_full(work) || work->entry->batch_interval_ms == 0)
			return 0;
		now = GetCurrentTimestamp();
		return TimestampDifferenceMilliseconds(
		    now, TimestampTzPlusMilliseconds(work->batch_begun, work->entry->batch_interval_ms));
	}
	if (!turn_has_progress(work))
	{
		work->idle_since = 0;
		return -1;
	}
	now = GetCurrentTimestamp();
	if (work->idle_since == 0)
		work->idle_since = now;
	return TimestampDifferenceMilliseconds(now, TimestampTzPlusMilliseconds(work->idle_since, TURN_IDLE_MS));
}

static long
turn_until_forget(const KsegStreamWork *work)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), work->next_forget);
}

static void
turn_wait(KsegStreamWork *work, long timeout_ms)
{
	if (timeout_ms < 0 && work->next_forget != 0)
		timeout_ms = turn_until_forget(work);
	turn_note_lag(work);
	pgstat_report_activity(STATE_IDLE, psprintf("stream %s: waiting for messages", work->entry->name));
	if (work->stat_pending && (timeout_ms < 0 || timeout_ms > TURN_STAT_MS))
		timeout_ms = TURN_STAT_MS;
	/* A transaction of this turn may have waited on the same latch, and taken away the wake-up that said so. */
	if (ConfigReloadPending || stream_slot_is_over(work->entry->revision))
		return;
	if (!topic_follow_wait(work->follow, timeout_ms) && work->stat_pending)
	{
		pgstat_report_stat(true);
		work->stat_pending = false;
	}
}

void
stream_turn_read(KsegStreamWork *work)
{
	long wait;

	work->phase = KSEG_PHASE_READING;
	turn_take(work);
	turn_fill(work);
	turn_forget_letters(work);
	wait = turn_until_due(work);
	if (wait != 0)
	{
		turn_wait(work, wait);
		return;
	}
	work->idle_since = 0;
	turn_note_lag(work);
	work->applying = true;
	stream_tries_begin(&work->tries, work->batch->count);
	stream_apply(work);
}
