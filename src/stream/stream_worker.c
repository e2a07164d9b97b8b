/*
 * stream_worker.c
 *	  The life of a stream's worker. See stream_worker.h.
 *
 * A turn reads what has come or applies a batch; an error ends the turn and is sorted by stream_recover. The process ends with exit code 0
 * when it was told to, when its definition changed or when the stream has halted, and with 1 otherwise: any other end would restart the
 * server. Nothing of a batch is lost by an end, for its rows and its position are one transaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "stream/stream_slot.h"
#include "stream/stream_work.h"

/*
 * What a batch is planned for. Few, so that a join with a table goes by the table's index: a batch of ten thousand pays some microseconds a row
 * for that, where a hash of the whole table would be made anew for each batch of three.
 */
#define WORKER_EXPECTED_ROWS 100

/*
 * Settings of the session. A stream's rows and its position go together, so a commit needs no wait for the disk: after a crash both
 * are as they were a moment earlier, and the messages are read again (as PostgreSQL's own subscriptions do it). jit: a plan over a topic looks
 * expensive and runs for a batch; compiling it would take longer, each time. role and exit_on_error: what ALTER ROLE and ALTER DATABASE may have
 * set for people's sessions; a stream is its owner's, and an ERROR of a batch is what its messages are sorted by.
 */
static void
worker_set_up(void)
{
	topic_feed_expect(WORKER_EXPECTED_ROWS);
	SetConfigOption("synchronous_commit", "off", PGC_BACKEND, PGC_S_OVERRIDE);
	SetConfigOption("jit", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("role", "none", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("exit_on_error", "off", PGC_USERSET, PGC_S_OVERRIDE);
	kseg_compat_no_transaction_timeout();
}

static void
worker_begin(KsegStreamWork *work)
{
	memset(work, 0, sizeof(*work));
	memcpy(&work->argument, MyBgworkerEntry->bgw_extra, sizeof(work->argument));
	work->culprit.index = -1;
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	if (!stream_slot_take(&work->argument))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(work->argument.database, work->argument.owner,
	                                          KSEG_COMPAT_BYPASS_ROLE_LOGIN);
	worker_set_up();
	work->turn = AllocSetContextCreate(TopMemoryContext, "kseg stream turn", ALLOCSET_DEFAULT_SIZES);
	work->session = AllocSetContextCreate(TopMemoryContext, "kseg stream", ALLOCSET_DEFAULT_SIZES);
}

void
stream_transaction_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
stream_transaction_commit(const KsegStreamWork *work)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(work->turn);
}

/* What may have happened meanwhile. False: the turn has nothing to do. */
static bool
worker_look_around(KsegStreamWork *work)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	/* A process that is idle for long holds up what others say of changed catalogs. */
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
	if (stream_slot_is_over(work->entry != NULL ? work->entry->revision : 0))
		work->over = true;
	return !work->over;
}

/* False: it is not the time yet, and the time (or the latch) was waited for. */
static bool
worker_may_try(KsegStreamWork *work)
{
	long wait;

	if (work->next_try == 0)
		return true;
	wait = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), work->next_try);
	if (wait > 0)
	{
		stream_turn_sleep(wait);
		return false;
	}
	work->next_try = 0;
	return true;
}

static void
worker_step(KsegStreamWork *work)
{
	if (work->follow == NULL)
		stream_open(work);
	else if (work->beginning)
		stream_open_first(work);
	else if (work->applying)
		stream_apply(work);
	else
		stream_turn_read(work);
}

static void
worker_turn(KsegStreamWork *work)
{
	MemoryContextSwitchTo(work->turn);
	MemoryContextReset(work->turn);
	PG_TRY();
	{
		if (worker_look_around(work) && worker_may_try(work))
			worker_step(work);
	}
	PG_CATCH();
	{
		stream_recover(work);
	}
	PG_END_TRY();
}

void
kseg_stream_worker_main(Datum argument)
{
	static KsegStreamWork work;

	worker_begin(&work);
	while (!work.over)
		worker_turn(&work);
	stream_close(&work);
	pgstat_report_stat(true);
	proc_exit(0);
}
