/*
 * launcher.c
 *	  The launcher's life and loop (launcher.h), and asking the postmaster for processes.
 *
 * Each turn looks at all that is wanted and all that is there (level, not edge): nothing is lost when a wake-up is, and a launcher that
 * was started anew goes on where the old one was. An ERROR ends the process, and the postmaster starts it again, as PostgreSQL's own
 * logical replication launcher has it: the workers run on meanwhile.
 *
 * Between turns it sleeps on its latch. Without streams it has nothing to wait for but that: an idle cluster costs nothing.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "stream/launcher.h"
#include "stream/launcher_parts.h"

/* Seconds after which the postmaster starts a launcher again that has failed: as PostgreSQL's own launcher. */
#define LAUNCHER_RESTART_S 5

/* A refused background worker is asked for again after a second, doubled up to half a minute. */
#define LAUNCHER_REFUSED_MS     1000
#define LAUNCHER_REFUSED_MAX_MS 30000

/* A shortage is told when it begins, and again after so long: with each worker that ends it begins anew, and a line each fills disks. */
#define LAUNCHER_TELL_MS (10 * 60 * 1000)

void
launcher_register(void)
{
	BackgroundWorker worker = {
	    .bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
	    .bgw_start_time = BgWorkerStart_RecoveryFinished, /* a standby's streams begin with its promotion */
	    .bgw_restart_time = LAUNCHER_RESTART_S,
	};

	strlcpy(worker.bgw_name, "kseg launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "kseg launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "kseg", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "kseg_launcher_main", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

void
launcher_wake_at(KsegLauncher *launcher, TimestampTz when)
{
	if (launcher->wake == 0 || when < launcher->wake)
		launcher->wake = when;
}

/* ---- asking for processes */

static void
launcher_set_short_of_workers(bool short_of_workers)
{
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	kseg_streams->short_of_workers = short_of_workers;
	LWLockRelease(kseg_streams->lock);
}

static void
launcher_note_refused(KsegLauncher *launcher)
{
	int wait = LAUNCHER_REFUSED_MS;

	for (int i = 0; i < launcher->refused && wait < LAUNCHER_REFUSED_MAX_MS; i++)
		wait *= 2;
	launcher->refused_until = TimestampTzPlusMilliseconds(launcher->now, Min(wait, LAUNCHER_REFUSED_MAX_MS));
	launcher->refused++;
	launcher_set_short_of_workers(true);
	if (launcher->told_refused != 0 &&
	    launcher->now < TimestampTzPlusMilliseconds(launcher->told_refused, LAUNCHER_TELL_MS))
		return;
	launcher->told_refused = launcher->now;
	ereport(LOG, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
	              errmsg("kseg: streams wait for a free background worker"),
	              errhint("Raise max_worker_processes (now %d).", max_worker_processes)));
}

static void
launcher_note_granted(KsegLauncher *launcher)
{
	if (launcher->refused == 0)
		return;
	launcher->refused = 0;
	launcher->refused_until = 0;
	launcher_set_short_of_workers(false);
}

BackgroundWorkerHandle *
launcher_ask(KsegLauncher *launcher, BackgroundWorker *worker)
{
	BackgroundWorkerHandle *handle = NULL;
	MemoryContext old;

	if (launcher->now < launcher->refused_until)
	{
		launcher_wake_at(launcher, launcher->refused_until);
		return NULL;
	}
	worker->bgw_flags |= BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	worker->bgw_notify_pid = MyProcPid;
	strlcpy(worker->bgw_library_name, "kseg", sizeof(worker->bgw_library_name));
	old = MemoryContextSwitchTo(launcher->memory);
	if (!RegisterDynamicBackgroundWorker(worker, &handle))
		handle = NULL;
	MemoryContextSwitchTo(old);
	if (handle == NULL)
	{
		launcher_note_refused(launcher);
		launcher_wake_at(launcher, launcher->refused_until);
	}
	else
		launcher_note_granted(launcher);
	return handle;
}

/* ---- life */

static void
launcher_leave(int code, Datum argument)
{
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	kseg_streams->launcher = 0;
	LWLockRelease(kseg_streams->lock);
}

/* A launcher that is started anew looks at everything: it does not know what its predecessor was about. */
static void
launcher_enter(KsegLauncher *launcher)
{
	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	kseg_streams->launcher = MyProcPid;
	kseg_streams->all_dirty = true;
	launcher_adopt_survey(launcher);
	LWLockRelease(kseg_streams->lock);
	on_shmem_exit(launcher_leave, (Datum) 0);
}

static KsegLauncher *
launcher_new(void)
{
	MemoryContext memory = AllocSetContextCreate(TopMemoryContext, "kseg launcher", ALLOCSET_DEFAULT_SIZES);
	KsegLauncher *launcher = MemoryContextAllocZero(memory, sizeof(KsegLauncher));

	launcher->memory = memory;
	launcher->slots =
	    MemoryContextAllocZero(memory, Max(kseg_streams->slot_count, 1) * sizeof(KsegLauncherSlot));
	return launcher;
}

/* What pg_stat_activity shows: it has no database, so this is all there is to see of it. */
static void
launcher_report(void)
{
	static int shown = -1;
	int workers = 0;
	char text[64];

	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	for (int i = 0; i < kseg_streams->slot_count; i++)
		workers += kseg_streams->slots[i].used && kseg_streams->slots[i].pid != 0;
	LWLockRelease(kseg_streams->lock);
	if (workers == shown)
		return;
	shown = workers;
	snprintf(text, sizeof(text), workers == 1 ? "%d stream worker" : "%d stream workers", workers);
	pgstat_report_activity(STATE_IDLE, text);
}

static void
launcher_turn(KsegLauncher *launcher)
{
	launcher->now = GetCurrentTimestamp();
	if (launcher->refused_until <= launcher->now)
		launcher->refused_until = 0;
	launcher->wake = launcher->refused_until;
	launcher_tend_surveys(launcher);
	for (int i = 0; i < kseg_streams->slot_count; i++)
		launcher_tend_slot(launcher, i);
	launcher_report();
}

static void
launcher_wait(KsegLauncher *launcher)
{
	static uint32 wait_event = 0;
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	long wait = -1;

	if (wait_event == 0)
		wait_event = kseg_compat_wait_event("KsegLauncher");
	if (launcher->wake != 0)
	{
		events |= WL_TIMEOUT;
		wait = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), launcher->wake);
	}
	/* Whoever sets the latch may have ended and made room. */
	if (WaitLatch(MyLatch, events, wait, wait_event) & WL_LATCH_SET)
		launcher->refused_until = 0;
	ResetLatch(MyLatch);
}

void
kseg_launcher_main(Datum argument)
{
	KsegLauncher *launcher;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("kseg launcher");
	launcher = launcher_new();
	launcher_enter(launcher);
	for (;;)
	{
		/* 1: the postmaster starts it again, unless it is what ends. Not by die's FATAL: an end that was asked for is no error. */
		if (ProcDiePending)
			proc_exit(1);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		launcher_turn(launcher);
		launcher_wait(launcher);
	}
}
