/*
 * launcher_slot.c
 *	  One worker's slot, brought closer to what is wanted with each turn of the launcher.
 *
 *	            asked for                attached
 *	  WAITING ───────────────▶ STARTING ───────────▶ (the worker's own: RUNNING, RETRYING)
 *	     ▲                        │                      │            │ not wanted, other revision
 *	     │ told to end            │ 60 s                 │ by itself  ▼
 *	     ├────────────────────────┼──────────────────────┼──────── STOPPING ── 60 s ──▶ SIGTERM
 *	     │ surveyed, backed off   ▼                      ▼
 *	     └──────────────────── RETRYING ◀───────────── ENDED             and not wanted, no process: the slot is free
 *
 * Owns: these transitions, and freeing slots. What is to be done is decided from a copy of the slot (slot_decide); it is done under the lock
 * only if the slot still is what it was. Refuses: to believe that a process runs because it was asked for: one that has not attached after
 * a minute is given up.
 */
#include "postgres.h"

#include <errno.h>
#include <signal.h>

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "stream/launcher_parts.h"
#include "stream/stream_failure.h"
#include "stream/stream_fault.h"
#include "stream/stream_worker.h"

/* A process is started in milliseconds. A minute without it is a machine that cannot fork; and a batch takes no minute either. */
#define SLOT_START_MS 60000
#define SLOT_STOP_MS  60000
/* Between two SIGTERMs to a process that does not end. */
#define SLOT_PRESS_MS 10000

typedef enum KsegSlotAction
{
	SLOT_NOTHING,
	SLOT_FREE,
	SLOT_ASK,     /* for a process */
	SLOT_FORGET,  /* the process that was asked for: it has ended without attaching, or not come */
	SLOT_CANCEL,  /* the same, because it is not wanted any more */
	SLOT_TELL,    /* the process to end after its batch */
	SLOT_PRESS,   /* it to end now */
	SLOT_LOST,    /* the process is gone and has not said so */
	SLOT_BACK_OFF /* it has ended by itself: when to try again */
} KsegSlotAction;

/* A test that stops a process waits for less. */
static int
slot_stop_ms(void)
{
	return KSEG_FAULT_LIMIT("stop limit", SLOT_STOP_MS);
}

static bool
slot_has_passed(KsegLauncher *launcher, TimestampTz since, int ms)
{
	TimestampTz when = TimestampTzPlusMilliseconds(since, ms);

	if (launcher->now >= when)
		return true;
	launcher_wake_at(launcher, when);
	return false;
}

/* There is a process. */
static KsegSlotAction
slot_decide_process(KsegLauncher *launcher, const KsegLauncherSlot *mine, const KsegStreamSlot *slot)
{
	if (kill(slot->pid, 0) != 0 && errno == ESRCH)
		return SLOT_LOST;
	if (slot->wanted && slot->running_revision >= slot->revision)
		return SLOT_NOTHING;
	if (mine->told == 0)
		return SLOT_TELL;
	if (!slot_has_passed(launcher, mine->told, slot_stop_ms()))
		return SLOT_NOTHING;
	if (mine->pressed != 0 && !slot_has_passed(launcher, mine->pressed, SLOT_PRESS_MS))
		return SLOT_NOTHING;
	return SLOT_PRESS;
}

/* One was asked for, and has not attached yet. */
static KsegSlotAction
slot_decide_starting(KsegLauncher *launcher, const KsegLauncherSlot *mine, const KsegStreamSlot *slot)
{
	pid_t pid;

	if (!slot->wanted)
		return SLOT_CANCEL;
	if (mine->handle != NULL && GetBackgroundWorkerPid(mine->handle, &pid) == BGWH_STOPPED)
		return SLOT_FORGET;
	return slot_has_passed(launcher, slot->since, SLOT_START_MS) ? SLOT_FORGET : SLOT_NOTHING;
}

/* There is none. may_start: nothing else speaks against one. */
static KsegSlotAction
slot_decide_none(KsegLauncher *launcher, const KsegStreamSlot *slot, bool may_start)
{
	if (!slot->wanted)
		return SLOT_FREE;
	if (slot->state == KSEG_STREAM_ENDED)
		return SLOT_BACK_OFF;
	if (launcher->now < slot->next_try)
	{
		launcher_wake_at(launcher, slot->next_try);
		return SLOT_NOTHING;
	}
	return may_start ? SLOT_ASK : SLOT_NOTHING;
}

static KsegSlotAction
slot_decide(KsegLauncher *launcher, const KsegLauncherSlot *mine, const KsegStreamSlot *slot, bool may_start)
{
	if (slot->pid != 0)
		return slot_decide_process(launcher, mine, slot);
	if (slot->state == KSEG_STREAM_STARTING)
		return slot_decide_starting(launcher, mine, slot);
	return slot_decide_none(launcher, slot, may_start);
}

/*
 * May a process be started for it? Not while its database is held, or about to be surveyed: then what is wanted may be out of date; the
 * survey's end wakes us. Nor while a worker of the same stream runs by an older definition: both would read the same partitions, and
 * one of them would run in vain against the other's position. The lock is held.
 */
static bool
slot_may_start(const KsegStreamSlot *slot)
{
	KsegStreamDatabase *entry = stream_shared_database(slot->database, false);

	if (entry != NULL && (entry->holds > 0 || entry->dirty || entry->surveying))
		return false;
	for (int i = 0; i < kseg_streams->slot_count; i++)
	{
		const KsegStreamSlot *other = &kseg_streams->slots[i];

		if (other->used && other->database == slot->database && other->stream == slot->stream &&
		    other->pid != 0 && (!other->wanted || other->running_revision < slot->revision))
			return false;
	}
	return true;
}

/* ---- doing it; each under the lock, which it takes */

static void
slot_set_state(KsegStreamSlot *slot, KsegStreamState state)
{
	slot->state = state;
	slot->since = GetCurrentTimestamp();
}

/* The handle of a process that is not wanted, or has ended. */
static void
slot_drop_handle(KsegLauncherSlot *mine, bool terminate)
{
	if (mine->handle == NULL)
		return;
	if (terminate)
		TerminateBackgroundWorker(mine->handle);
	pfree(mine->handle);
	mine->handle = NULL;
}

/* Databases whose streams wait for a slot are to be surveyed: there is one. The lock is held. */
static void
slot_offer(void)
{
	for (int i = 0; i < kseg_streams->database_count; i++)
	{
		KsegStreamDatabase *entry = &kseg_streams->databases[i];

		if (OidIsValid(entry->database) && entry->short_of_slots)
			entry->dirty = true;
	}
	SetLatch(MyLatch); /* the surveys' turn is before the slots' */
}

static void
slot_free(KsegLauncherSlot *mine, KsegStreamSlot *slot)
{
	slot_drop_handle(mine, false);
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	/* A survey may have found it wanted meanwhile. */
	if (!slot->wanted && slot->pid == 0)
	{
		memset(slot, 0, sizeof(*slot));
		slot_offer();
	}
	LWLockRelease(kseg_streams->lock);
}

static void
slot_fill_worker(BackgroundWorker *worker, const KsegStreamSlot *slot, int index)
{
	KsegStreamWorkerArgument argument = {
	    .database = slot->database,
	    .owner = slot->owner,
	    .stream = slot->stream,
	    .worker = slot->worker,
	    .slot = index,
	};

	StaticAssertStmt(sizeof(argument) <= BGW_EXTRALEN, "a worker's argument fits");
	snprintf(worker->bgw_name, BGW_MAXLEN, "kseg stream %s [%d]", slot->name, slot->worker);
	strlcpy(worker->bgw_type, "kseg stream", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, KSEG_STREAM_WORKER_MAIN, BGW_MAXLEN);
	worker->bgw_main_arg = Int32GetDatum(index);
	memcpy(worker->bgw_extra, &argument, sizeof(argument));
}

/* STARTING before it is asked for: it may attach before we are back. */
static void
slot_ask(KsegLauncher *launcher, KsegLauncherSlot *mine, KsegStreamSlot *slot, int index)
{
	BackgroundWorker worker = {0};
	bool starting = false;

	slot_drop_handle(mine, false);
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	if (slot->wanted && slot->pid == 0 && slot_may_start(slot))
	{
		starting = true;
		slot->stop = false;
		slot_set_state(slot, KSEG_STREAM_STARTING);
		slot_fill_worker(&worker, slot, index);
	}
	LWLockRelease(kseg_streams->lock);
	if (!starting)
		return;
	mine->told = mine->pressed = 0;
	mine->handle = launcher_ask(launcher, &worker);
	if (mine->handle != NULL)
		return;
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	slot_set_state(slot, KSEG_STREAM_WAITING);
	snprintf(slot->trouble, sizeof(slot->trouble), "no background worker is free: max_worker_processes is %d",
	         max_worker_processes);
	LWLockRelease(kseg_streams->lock);
}

/* The lock is held. What ends before it was ready has had no way to say why, nor what was ended from outside. */
static void
slot_count_failure(KsegStreamSlot *slot, TimestampTz now, bool was_ready)
{
	uint32 salt = hash_combine(hash_uint32(slot->database),
	                           hash_bytes((const unsigned char *) &slot->stream, sizeof(slot->stream)));

	slot->failures++;
	slot_set_state(slot, KSEG_STREAM_RETRYING);
	slot->next_try = TimestampTzPlusMilliseconds(now, stream_failure_backoff_ms(slot->failures, salt));
	if (was_ready && slot->error[0] != '\0')
		return;
	strlcpy(slot->error, "the worker's process has ended; the server's log has why", sizeof(slot->error));
	strlcpy(slot->sqlstate, "58000", sizeof(slot->sqlstate));
	slot->error_at = now;
}

/* It has not come, and is not to come any more. */
static void
slot_forget(KsegLauncher *launcher, KsegLauncherSlot *mine, KsegStreamSlot *slot)
{
	slot_drop_handle(mine, true);
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	if (slot->pid == 0 && slot->state == KSEG_STREAM_STARTING)
		slot_count_failure(slot, launcher->now, false);
	LWLockRelease(kseg_streams->lock);
	SetLatch(MyLatch);
}

static void
slot_cancel(KsegLauncherSlot *mine, KsegStreamSlot *slot)
{
	slot_drop_handle(mine, true);
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	if (slot->pid == 0 && slot->state == KSEG_STREAM_STARTING)
		slot_set_state(slot, KSEG_STREAM_WAITING);
	LWLockRelease(kseg_streams->lock);
	SetLatch(MyLatch); /* free it in the next turn */
}

static void
slot_tell(KsegLauncher *launcher, KsegLauncherSlot *mine, KsegStreamSlot *slot)
{
	pid_t pid;

	mine->told = launcher->now;
	launcher_wake_at(launcher, TimestampTzPlusMilliseconds(launcher->now, slot_stop_ms()));
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	pid = slot->pid;
	if (pid != 0)
	{
		slot->stop = true;
		slot_set_state(slot, KSEG_STREAM_STOPPING);
	}
	LWLockRelease(kseg_streams->lock);
	stream_shared_wake(pid);
}

static void
slot_press(KsegLauncher *launcher, KsegLauncherSlot *mine, KsegStreamSlot *slot)
{
	mine->pressed = launcher->now;
	launcher_wake_at(launcher, TimestampTzPlusMilliseconds(launcher->now, SLOT_PRESS_MS));
	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	if (slot->pid != 0)
		kill(slot->pid, SIGTERM);
	LWLockRelease(kseg_streams->lock);
}

/* Cannot happen: who ends without saying so was killed, and then the postmaster makes shared memory anew. */
static void
slot_note_lost(KsegStreamSlot *slot, pid_t pid)
{
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	if (slot->pid == pid)
	{
		slot->pid = 0;
		slot_set_state(slot, KSEG_STREAM_ENDED);
	}
	LWLockRelease(kseg_streams->lock);
	SetLatch(MyLatch);
}

static void
slot_back_off(KsegLauncher *launcher, KsegLauncherSlot *mine, KsegStreamSlot *slot)
{
	slot_drop_handle(mine, false);
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	if (slot->pid == 0 && slot->state == KSEG_STREAM_ENDED)
		slot_count_failure(slot, launcher->now, slot->was_ready);
	LWLockRelease(kseg_streams->lock);
	launcher_wake_at(launcher, slot->next_try);
}

void
launcher_tend_slot(KsegLauncher *launcher, int index)
{
	KsegStreamSlot *slot = &kseg_streams->slots[index];
	KsegLauncherSlot *mine = &launcher->slots[index];
	KsegStreamSlot copy;
	bool may_start;

	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	copy = *slot;
	may_start = copy.used && launcher->now >= launcher->refused_until && slot_may_start(slot);
	LWLockRelease(kseg_streams->lock);
	if (!copy.used)
		return;
	switch (slot_decide(launcher, mine, &copy, may_start))
	{
		case SLOT_NOTHING:
			break;
		case SLOT_FREE:
			slot_free(mine, slot);
			break;
		case SLOT_ASK:
			slot_ask(launcher, mine, slot, index);
			break;
		case SLOT_FORGET:
			slot_forget(launcher, mine, slot);
			break;
		case SLOT_CANCEL:
			slot_cancel(mine, slot);
			break;
		case SLOT_TELL:
			slot_tell(launcher, mine, slot);
			break;
		case SLOT_PRESS:
			slot_press(launcher, mine, slot);
			break;
		case SLOT_LOST:
			slot_note_lost(slot, copy.pid);
			break;
		case SLOT_BACK_OFF:
			slot_back_off(launcher, mine, slot);
			break;
	}
}
