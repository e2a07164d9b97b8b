/*
 * stream_shared.c
 *	  Shared memory of streams: its making, finding things in it, marks and wake-ups.
 *
 * Owns: the layout, the one lock, and how a worker takes and leaves its slot. Refuses: to decide who runs (launcher.c), to say what is
 * wanted (stream_survey.c), and to be there without shared_preload_libraries.
 *
 * After a crash the postmaster makes shared memory anew: everything is empty again, the launcher is started again and looks at all databases.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "stream/launcher.h"
#include "stream/stream_hooks.h"
#include "stream/stream_shared.h"

/* A process that is not forked inherits neither the hooks' variables nor a pointer; and the courier is forked, too. */
#ifdef EXEC_BACKEND
#error "kseg needs a PostgreSQL whose processes are forked"
#endif

/* A process each; PostgreSQL's own limit on them, max_worker_processes, is 262143, and nobody comes near. A slot has about 2.5 kB. */
#define SHARED_WORKERS_MAX 1024

/* Databases that one transaction can mark; it changes streams of its own, and makes or renames one at most. */
#define SHARED_MARKS_MAX 4

#define SHARED_TRANCHE "kseg"

KsegStreamShared *kseg_streams = NULL;
int kseg_max_stream_workers = 32;

static shmem_request_hook_type previous_request = NULL;
static shmem_startup_hook_type previous_startup = NULL;

/* What this transaction is to mark when it commits. */
static Oid marks[SHARED_MARKS_MAX];
static int mark_count = 0;
static bool mark_all = false;

static int
shared_database_count(void)
{
	return kseg_max_stream_workers + KSEG_STREAM_SPARE_DATABASES;
}

static Size
shared_databases_offset(void)
{
	return MAXALIGN(sizeof(KsegStreamShared));
}

static Size
shared_slots_offset(void)
{
	return add_size(shared_databases_offset(),
	                MAXALIGN(mul_size(shared_database_count(), sizeof(KsegStreamDatabase))));
}

static Size
shared_size(void)
{
	return add_size(shared_slots_offset(), mul_size(kseg_max_stream_workers, sizeof(KsegStreamSlot)));
}

static void
shared_request(void)
{
	if (previous_request != NULL)
		previous_request();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(SHARED_TRANCHE, 1);
}

static void
shared_startup(void)
{
	bool found;
	KsegStreamShared *shared;

	if (previous_startup != NULL)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("kseg streams", shared_size(), &found);
	if (!found)
	{
		memset(shared, 0, shared_size());
		shared->lock = &GetNamedLWLockTranche(SHARED_TRANCHE)->lock;
		shared->database_count = shared_database_count();
		shared->slot_count = kseg_max_stream_workers;
		shared->all_dirty = true;
		ConditionVariableInit(&shared->changed);
		shared->databases = (KsegStreamDatabase *) ((char *) shared + shared_databases_offset());
		shared->slots = (KsegStreamSlot *) ((char *) shared + shared_slots_offset());
	}
	kseg_streams = shared;
	LWLockRelease(AddinShmemInitLock);
}

void
stream_shared_init(void)
{
	/* 32: a machine with more busy streams than that has somebody who sets things; 2.5 kB each, used or not. */
	DefineCustomIntVariable(
	    "kseg.max_stream_workers", "Most workers of streams in the whole cluster.",
	    "Each takes one of max_worker_processes while it runs, and the launcher one more.",
	    &kseg_max_stream_workers, 32, 0, SHARED_WORKERS_MAX, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	previous_request = shmem_request_hook;
	shmem_request_hook = shared_request;
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = shared_startup;
	stream_hooks_install();
	launcher_register();
}

/* ---- databases */

/* Whether any slot is of this database; the lock is held. */
static bool
shared_database_has_slots(Oid database)
{
	for (int i = 0; i < kseg_streams->slot_count; i++)
	{
		if (kseg_streams->slots[i].used && kseg_streams->slots[i].database == database)
			return true;
	}
	return false;
}

/* An entry that may become another database's: it is free, or knows nothing that a new survey would not find. NULL: none. */
static KsegStreamDatabase *
shared_spare_database(void)
{
	KsegStreamDatabase *spare = NULL;

	for (int i = 0; i < kseg_streams->database_count; i++)
	{
		KsegStreamDatabase *entry = &kseg_streams->databases[i];

		if (!OidIsValid(entry->database))
			return entry;
		if (entry->dirty || entry->surveying || entry->survey_pid != 0 || entry->holds > 0)
			continue;
		/* Rather one without streams than one whose finding somebody may want to see. */
		if (!shared_database_has_slots(entry->database) &&
		    (spare == NULL || entry->finding == KSEG_SURVEY_NONE))
			spare = entry;
	}
	return spare;
}

KsegStreamDatabase *
stream_shared_database(Oid database, bool make)
{
	KsegStreamDatabase *entry;

	Assert(LWLockHeldByMe(kseg_streams->lock) && OidIsValid(database));
	for (int i = 0; i < kseg_streams->database_count; i++)
	{
		if (kseg_streams->databases[i].database == database)
			return &kseg_streams->databases[i];
	}
	entry = make ? shared_spare_database() : NULL;
	if (entry != NULL)
	{
		memset(entry, 0, sizeof(*entry));
		entry->database = database;
	}
	return entry;
}

bool
stream_shared_is_held(Oid database)
{
	KsegStreamDatabase *entry = stream_shared_database(database, false);

	return entry != NULL && entry->holds > 0;
}

void
stream_shared_mark_dirty(Oid database)
{
	KsegStreamDatabase *entry;

	if (!stream_shared_is_there())
		return;
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	entry = stream_shared_database(database, true);
	if (entry != NULL)
	{
		entry->dirty = true;
		entry->failures = 0; /* somebody has done something: no need to wait any longer */
	}
	else
		kseg_streams->all_dirty = true;
	LWLockRelease(kseg_streams->lock);
	stream_shared_wake_launcher();
}

void
stream_shared_mark_used_dirty(void)
{
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	for (int i = 0; i < kseg_streams->database_count; i++)
	{
		KsegStreamDatabase *entry = &kseg_streams->databases[i];

		if (OidIsValid(entry->database) && shared_database_has_slots(entry->database))
			entry->dirty = true;
	}
	LWLockRelease(kseg_streams->lock);
	stream_shared_wake_launcher();
}

/* ---- marks of a transaction */

/* A transaction's end. What was marked in a subtransaction that was rolled back is marked all the same: a survey more does no harm. */
static void
shared_transaction_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE ||
	    event == XACT_EVENT_PARALLEL_PRE_COMMIT)
		return;
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
	{
		for (int i = 0; i < mark_count; i++)
			stream_shared_mark_dirty(marks[i]);
		if (mark_all)
			stream_shared_mark_used_dirty();
	}
	mark_count = 0;
	mark_all = false;
}

static void
shared_watch_transactions(void)
{
	static bool watching = false;

	if (watching)
		return;
	RegisterXactCallback(shared_transaction_ended, NULL);
	watching = true;
}

void
stream_shared_mark_database_at_commit(Oid database)
{
	if (!stream_shared_is_there() || !OidIsValid(database))
		return;
	shared_watch_transactions();
	for (int i = 0; i < mark_count; i++)
	{
		if (marks[i] == database)
			return;
	}
	if (mark_count < SHARED_MARKS_MAX)
		marks[mark_count++] = database;
}

void
stream_shared_mark_dirty_at_commit(void)
{
	stream_shared_mark_database_at_commit(MyDatabaseId);
}

void
stream_shared_mark_used_at_commit(void)
{
	if (!stream_shared_is_there())
		return;
	shared_watch_transactions();
	mark_all = true;
}

/* ---- wake-ups */

/* A process that has ended meanwhile is not found; one that was started under its number is woken for nothing. */
void
stream_shared_wake(pid_t pid)
{
	PGPROC *process = pid != 0 ? BackendPidGetProc(pid) : NULL;

	if (process != NULL)
		SetLatch(&process->procLatch);
}

void
stream_shared_wake_launcher(void)
{
	pid_t launcher;

	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	launcher = kseg_streams->launcher;
	LWLockRelease(kseg_streams->lock);
	stream_shared_wake(launcher);
}

/* ---- slots */

/* The worker's process ends. Registered before it connects, so this comes after it has left the database's list of processes. */
static void
shared_detach(int code, Datum argument)
{
	KsegStreamSlot *slot = &kseg_streams->slots[DatumGetInt32(argument)];
	KsegStreamDatabase *entry;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	if (slot->pid == MyProcPid)
	{
		entry = stream_shared_database(slot->database, true);
		if (slot->stop || !slot->wanted || slot->running_revision < slot->revision ||
		    (entry != NULL && entry->holds > 0))
			slot->state = KSEG_STREAM_WAITING;
		else
		{
			/* It may have halted its stream, or have lost its owner: ask before it is started again. */
			slot->was_ready = slot->state != KSEG_STREAM_STARTING || slot->error_at >= slot->since;
			slot->state = KSEG_STREAM_ENDED;
			if (entry != NULL)
				entry->dirty = true;
		}
		slot->since = GetCurrentTimestamp();
		slot->pid = 0;
	}
	LWLockRelease(kseg_streams->lock);
	ConditionVariableBroadcast(&kseg_streams->changed);
	stream_shared_wake_launcher();
}

/* The lock is held. */
static void
shared_take_slot(KsegStreamSlot *slot)
{
	slot->pid = MyProcPid;
	slot->state = KSEG_STREAM_STARTING;
	slot->running_revision = slot->revision;
	slot->trouble[0] = '\0';
	memset(&slot->figures, 0, sizeof(slot->figures));
	slot->figures.lag_messages = -1;
	stream_rate_begin(&slot->figures.rows_per_second, GetCurrentTimestamp());
}

KsegStreamSlot *
stream_shared_attach(int32 index, Oid database, int64 stream, int32 worker)
{
	KsegStreamSlot *slot = &kseg_streams->slots[index];
	bool taken = false;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	/* The launcher may have given the slot to another stream since it asked for this process, or another process has taken it. */
	if (slot->used && slot->database == database && slot->stream == stream && slot->worker == worker &&
	    slot->pid == 0)
	{
		taken = slot->wanted && !slot->stop && !stream_shared_is_held(database);
		if (taken)
			shared_take_slot(slot);
		else
			slot->state = KSEG_STREAM_WAITING;
	}
	LWLockRelease(kseg_streams->lock);
	if (taken)
		on_shmem_exit(shared_detach, Int32GetDatum(index));
	stream_shared_wake_launcher();
	return taken ? slot : NULL;
}

bool
stream_shared_get(Oid database, int64 stream, int32 worker, KsegStreamSlot *copy)
{
	bool found = false;

	if (!stream_shared_is_there())
		return false;
	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	for (int i = 0; i < kseg_streams->slot_count && !found; i++)
	{
		const KsegStreamSlot *slot = &kseg_streams->slots[i];

		found = slot->used && slot->database == database && slot->stream == stream && slot->worker == worker;
		if (found)
			*copy = *slot;
	}
	LWLockRelease(kseg_streams->lock);
	return found;
}

KsegStreamSlot *
stream_shared_list(Oid database, int *count)
{
	KsegStreamSlot *list;

	*count = 0;
	if (!stream_shared_is_there())
		return NULL;
	list = palloc(mul_size(Max(kseg_streams->slot_count, 1), sizeof(KsegStreamSlot)));
	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	for (int i = 0; i < kseg_streams->slot_count; i++)
	{
		const KsegStreamSlot *slot = &kseg_streams->slots[i];

		if (slot->used && (!OidIsValid(database) || slot->database == database))
			list[(*count)++] = *slot;
	}
	LWLockRelease(kseg_streams->lock);
	return list;
}

const char *
stream_state_name(KsegStreamState state)
{
	static const char *const names[] = {"waiting", "starting", "running", "retrying", "stopping", "ended"};

	return names[state];
}
