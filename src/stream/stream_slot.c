/*
 * stream_slot.c
 *	  A worker's own slot. See stream_slot.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "stream/stream_failure.h"
#include "stream/stream_slot.h"

/* This process's; NULL before it is taken. */
static KsegStreamSlot *slot;

/* ---------- whose it is ---------- */

static void
slot_set_state(KsegStreamState state)
{
	if (slot->state != state)
	{
		slot->state = state;
		slot->since = GetCurrentTimestamp();
	}
}

bool
stream_slot_take(const KsegStreamWorkerArgument *argument)
{
	if (!stream_shared_is_there() || argument->slot < 0 || argument->slot >= kseg_streams->slot_count)
		return false;
	slot = stream_shared_attach(argument->slot, argument->database, argument->stream, argument->worker);
	return slot != NULL;
}

/* ---------- what it is told ---------- */

bool
stream_slot_is_over(int64 revision)
{
	bool over;

	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	over = slot->stop || (revision != 0 && slot->revision > revision);
	LWLockRelease(kseg_streams->lock);
	return over;
}

/* ---------- what it tells ---------- */

void
stream_slot_set_revision(int64 revision)
{
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	slot->running_revision = revision;
	LWLockRelease(kseg_streams->lock);
}

void
stream_slot_set_running(void)
{
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	if (!slot->stop)
		slot_set_state(KSEG_STREAM_RUNNING);
	slot->next_try = 0;
	LWLockRelease(kseg_streams->lock);
}

static void
slot_clip(char *to, Size room, const char *text)
{
	Size length = pg_mbcliplen(text, strlen(text), room - 1);

	memcpy(to, text, length);
	to[length] = '\0';
}

/* Message, detail and hint in one text. */
static void
slot_note_error(const ErrorData *error)
{
	char words[3 * KSEG_STREAM_ERROR_MAX];

	snprintf(words, sizeof(words), "%s%s%s%s%s", error->message != NULL ? error->message : "",
	         error->detail != NULL ? " DETAIL: " : "", error->detail != NULL ? error->detail : "",
	         error->hint != NULL ? " HINT: " : "", error->hint != NULL ? error->hint : "");
	slot_clip(slot->error, sizeof(slot->error), words);
	strlcpy(slot->sqlstate, unpack_sql_state(error->sqlerrcode), sizeof(slot->sqlstate));
	slot->error_at = GetCurrentTimestamp();
}

void
stream_slot_set_error(const ErrorData *error)
{
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	slot_note_error(error);
	LWLockRelease(kseg_streams->lock);
}

TimestampTz
stream_slot_set_retrying(const ErrorData *error, bool *first)
{
	TimestampTz next_try;
	int wait;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	slot_note_error(error);
	*first = slot->failures == 0;
	if (slot->failures < INT_MAX)
		slot->failures++;
	wait = stream_failure_backoff_ms(slot->failures, (uint32) slot->stream * 31 + (uint32) slot->worker);
	next_try = TimestampTzPlusMilliseconds(slot->error_at, wait);
	slot->next_try = next_try;
	if (!slot->stop)
		slot_set_state(KSEG_STREAM_RETRYING);
	LWLockRelease(kseg_streams->lock);
	return next_try;
}

void
stream_slot_set_trouble(const char *trouble)
{
	char clipped[KSEG_STREAM_ERROR_MAX];

	slot_clip(clipped, sizeof(clipped), trouble);
	/* Nobody else writes it, so it may be looked at without the lock. */
	if (strcmp(slot->trouble, clipped) == 0)
		return;
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	strlcpy(slot->trouble, clipped, sizeof(slot->trouble));
	LWLockRelease(kseg_streams->lock);
}

int
stream_slot_settle(const KsegStreamSettled *settled)
{
	TimestampTz now = GetCurrentTimestamp();
	KsegStreamFigures *figures;
	int failures;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	figures = &slot->figures;
	stream_rate_add(&figures->rows_per_second, settled->rows, now);
	figures->messages += settled->messages;
	figures->rows += settled->rows;
	figures->batches++;
	figures->dead_letters += settled->dead_letters;
	figures->bytes += settled->bytes;
	figures->lag_messages = settled->lag_messages;
	if (settled->lag_messages == 0)
		figures->oldest = 0;
	figures->newest = Max(figures->newest, settled->newest);
	figures->settled = now;
	failures = slot->failures;
	slot->failures = 0;
	slot->next_try = 0;
	if (!slot->stop)
		slot_set_state(KSEG_STREAM_RUNNING);
	LWLockRelease(kseg_streams->lock);
	return failures;
}

void
stream_slot_set_lag(int64 lag_messages, TimestampTz oldest)
{
	/* Nobody else writes them, so they may be looked at without the lock. */
	if (slot->figures.lag_messages == lag_messages && slot->figures.oldest == oldest)
		return;
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	slot->figures.lag_messages = lag_messages;
	slot->figures.oldest = oldest;
	LWLockRelease(kseg_streams->lock);
}

TimestampTz
stream_slot_get_oldest(void)
{
	return slot->figures.oldest;
}
