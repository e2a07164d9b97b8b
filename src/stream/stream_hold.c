/*
 * stream_hold.c
 *	  Holds: keeping kseg's processes out of a database until the end of a (sub)transaction.
 *
 * Owns: the counts in shared memory, and what this backend has added to them: every way in which a transaction ends takes it back, a backend's
 * FATAL too (PostgreSQL aborts its transaction then). Refuses: to know for which statements (stream_hooks.c).
 *
 * The launcher starts nothing in a database that is held, and a process that it has asked for before finds out when it takes its slot
 * (stream_shared_attach): so only those need to be ended whose pid is in shared memory.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "stream/stream_hold.h"
#include "stream/stream_shared.h"

/* Issue 5: a plain DROP DATABASE works within five seconds. PostgreSQL itself waits as long again (CountOtherDBBackends). */
#define HOLD_WAIT_MS 5000

typedef struct KsegHold
{
	Oid database;
	SubTransactionId transaction;
} KsegHold;

/* Of KsegHold, in TopMemoryContext. */
static List *holds = NIL;

static void
hold_release(KsegHold *hold)
{
	KsegStreamDatabase *entry;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	entry = stream_shared_database(hold->database, false);
	if (entry != NULL && entry->holds > 0)
	{
		entry->holds--;
		entry->dirty = true; /* it may be gone, or have another extension, or none */
	}
	LWLockRelease(kseg_streams->lock);
}

/* Release those of this subtransaction, or (InvalidSubTransactionId) all. */
static void
hold_release_of(SubTransactionId transaction)
{
	ListCell *cell;
	bool released = false;

	foreach (cell, holds)
	{
		KsegHold *hold = lfirst(cell);

		if (transaction != InvalidSubTransactionId && hold->transaction != transaction)
			continue;
		holds = foreach_delete_current(holds, cell);
		hold_release(hold);
		pfree(hold);
		released = true;
	}
	if (released)
		stream_shared_wake_launcher();
}

static void
hold_transaction_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		hold_release_of(InvalidSubTransactionId);
}

static void
hold_subtransaction_ended(SubXactEvent event, SubTransactionId transaction, SubTransactionId parent,
                          void *arg)
{
	ListCell *cell;

	if (event == SUBXACT_EVENT_ABORT_SUB)
		hold_release_of(transaction);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		foreach (cell, holds)
		{
			KsegHold *hold = lfirst(cell);

			if (hold->transaction == transaction)
				hold->transaction = parent;
		}
	}
}

static bool
hold_is_mine(Oid database)
{
	ListCell *cell;

	foreach (cell, holds)
	{
		if (((KsegHold *) lfirst(cell))->database == database)
			return true;
	}
	return false;
}

static void
hold_watch_transactions(void)
{
	static bool watching = false;

	if (watching)
		return;
	RegisterXactCallback(hold_transaction_ended, NULL);
	RegisterSubXactCallback(hold_subtransaction_ended, NULL);
	watching = true;
}

/* Count it, and remember that. Memory is had before anything is counted. */
static void
hold_count(Oid database)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	KsegHold *hold = palloc(sizeof(KsegHold));
	KsegStreamDatabase *entry;

	hold->database = database;
	hold->transaction = GetCurrentSubTransactionId();
	holds = lappend(holds, hold);
	MemoryContextSwitchTo(old);
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	entry = stream_shared_database(database, true);
	if (entry != NULL)
		entry->holds++;
	LWLockRelease(kseg_streams->lock);
	if (entry != NULL)
		return;
	holds = list_delete_last(holds);
	pfree(hold);
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
	                errmsg("too many databases are kept free of streams' workers at once"),
	                errhint("Try again when other DROP DATABASE, ALTER DATABASE, CREATE DATABASE and DROP "
	                        "EXTENSION statements have ended.")));
}

/* Whether kseg has a process in the database; with signal, each is sent that. */
static bool
hold_has_processes(Oid database, int signal)
{
	KsegStreamDatabase *entry;
	bool any = false;

	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	entry = stream_shared_database(database, false);
	if (entry != NULL && entry->survey_pid != 0)
	{
		any = true;
		if (signal != 0)
			kill(entry->survey_pid, signal);
	}
	for (int i = 0; i < kseg_streams->slot_count; i++)
	{
		const KsegStreamSlot *slot = &kseg_streams->slots[i];

		if (!slot->used || slot->database != database || slot->pid == 0)
			continue;
		any = true;
		if (signal != 0)
			kill(slot->pid,
			     signal); /* it is that process still: it clears the pid before it ends, under this lock */
	}
	LWLockRelease(kseg_streams->lock);
	return any;
}

static void
hold_wait(Oid database)
{
	static uint32 wait_event = 0;
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), HOLD_WAIT_MS);
	long left = HOLD_WAIT_MS;

	if (wait_event == 0)
		wait_event = kseg_compat_wait_event("KsegHold");
	ConditionVariablePrepareToSleep(&kseg_streams->changed);
	while (left > 0 && hold_has_processes(database, 0))
	{
		ConditionVariableTimedSleep(&kseg_streams->changed, left, wait_event);
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
	}
	ConditionVariableCancelSleep();
}

void
stream_hold_take(Oid database)
{
	if (hold_is_mine(database))
		return;
	hold_watch_transactions();
	hold_count(database);
	if (hold_has_processes(database, SIGTERM))
		hold_wait(database);
}
