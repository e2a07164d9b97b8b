/*
 * run.c
 *	  One run, from the call to its record. See run.h.
 *
 * The attempt is in a subtransaction, which takes no XID, so it works on a standby; it is there so that a run which failed or
 * timed out can still be reported and recorded (on_failure => 'report'). An ERROR of the query itself, or a cancel, is always
 * passed on.
 *
 * What was sent stays sent: PostgreSQL's transaction ends at the socket. The CONTEXT of every error says how far the run
 * was.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"

#include "base/query_text.h"
#include "run/progress.h"
#include "run/query.h"
#include "run/run.h"

/* The run of this backend, if one is under way: one at a time, because progress has one slot. */
static KsegRun *current_run = NULL;

/* ---------- timeout of the whole run ---------- */

/* Between two cancels of a run that goes on after its timeout, in ms. */
#define RUN_TIMEOUT_AGAIN_MS 200

static TimeoutId run_timeout_id = MAX_TIMEOUTS;
static volatile sig_atomic_t run_timed_out = false;

/* In a signal handler: cancel whatever the backend does, as statement_timeout would; run_attempt knows why. */
static void
run_timeout_handler(void)
{
	run_timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
run_timeout_start(int timeout_ms)
{
	run_timed_out = false;
	if (timeout_ms == 0)
		return;
	if (run_timeout_id == MAX_TIMEOUTS)
		run_timeout_id = RegisterTimeout(USER_TIMEOUT, run_timeout_handler);
	/* Again and again: a function of the query may catch the first cancel. */
	enable_timeout_every(run_timeout_id, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms),
	                     RUN_TIMEOUT_AGAIN_MS);
}

/* After this no cancel of ours is pending any more. */
static void
run_timeout_stop(int timeout_ms)
{
	if (timeout_ms == 0)
		return;
	disable_timeout(run_timeout_id, false);
	if (run_timed_out)
		QueryCancelPending = false;
}

/* ---------- the attempt ---------- */

/* At every turn of the wire. A timeout that functions of the query have caught every time is not caught here. */
static void
run_report_progress(void *argument, const KsegSink *sink)
{
	progress_update(sink);
	if (run_timed_out)
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceling a run due to its timeout")));
}

static void
run_error_callback(void *argument)
{
	KsegRun *run = argument;

	if (run->sink == NULL)
		return;
	sink_figures(run->sink, &run->figures);
	errcontext("kseg run %s: " UINT64_FORMAT " rows read, " UINT64_FORMAT " events sent before",
	           DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&run->id))), run->figures.rows,
	           run->figures.sent);
}

/* Query and delivery. When it returns, the sink's link tells how it went. */
static void
run_deliver(KsegRun *run)
{
	const KsegRunArguments *arguments = run->arguments;
	KsegSinkOptions options = {.on_invalid = arguments->on_invalid,
	                           .row_limit = arguments->row_limit,
	                           .letters = run->letters,
	                           .letter_desc = run->letter_desc,
	                           .progress = run_report_progress,
	                           .argument = run};
	ErrorContextCallback callback = {
	    .previous = error_context_stack, .callback = run_error_callback, .arg = run};

	error_context_stack = &callback;
	run->sink = run->create_sink(run, &options);
	progress_start(&run->id, run->server_oid, sink_kind(run->sink));
	progress_phase(KSEG_PHASE_SENDING);
	query_execute(arguments->query, sink_receiver(run->sink));
	progress_phase(KSEG_PHASE_FINISHING);
	sink_finish(run->sink);
	error_context_stack = callback.previous;
}

/* What the end of the sink's link means. Figures are there. */
static KsegRunFailure *
run_failure_find(const KsegRun *run)
{
	KsegLink *link = sink_link(run->sink);
	KsegRunFailure *failure = run_failure_of_link(link);
	const char *repeat = failure != NULL ? run->repeat_hint(run, link_state(link)) : NULL;

	if (repeat != NULL)
		failure->hint = failure->hint != NULL ? psprintf("%s %s", failure->hint, repeat) : repeat;
	return failure;
}

/* The attempt ended with an ERROR: pass it on, unless it is our own timeout, which is a failure like others. */
static void
run_take_error(KsegRun *run, ErrorData *error)
{
	if (!run_timed_out || error->sqlerrcode != ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	FreeErrorData(error);
	run->failure = run_failure_of_timeout(run->arguments->timeout);
}

void
run_attempt(KsegRun *run)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		current_run = run;
		run_timeout_start(run->arguments->timeout);
		run_deliver(run);
		run_timeout_stop(run->arguments->timeout);
		sink_figures(run->sink, &run->figures);
		run->failure = run_failure_find(run);
		sink_close(run->sink);
		current_run = NULL;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		run_timeout_stop(run->arguments->timeout);
		if (run->sink != NULL)
		{
			sink_figures(run->sink, &run->figures);
			sink_close(run->sink);
		}
		current_run = NULL;
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL)
		run_take_error(run, error);
}

/* ---------- before and after ---------- */

/* UUID version 7 (RFC 9562): sorts by time, needs no sequence, and so works on a standby. */
static void
run_make_id(pg_uuid_t *id, TimestampTz now)
{
	uint64 ms = now / 1000 + ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) * SECS_PER_DAY * 1000;

	if (!pg_strong_random(id->data, UUID_LEN))
		ereport(ERROR,
		        (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes for a run's id")));
	for (int i = 0; i < 6; i++)
		id->data[i] = (unsigned char) (ms >> (8 * (5 - i)));
	id->data[6] = (id->data[6] & 0x0f) | 0x70;
	id->data[8] = (id->data[8] & 0x3f) | 0x80;
}

static bool
run_can_write(void)
{
	return !RecoveryInProgress() && !XactReadOnly;
}

static void
run_check_surroundings(const KsegRunArguments *arguments)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("kseg sends nothing from within a security-restricted operation"),
		         errdetail("Index expressions, materialized views and the like must not reach outside.")));
	if (current_run != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
		                errmsg("a run cannot be started inside another run's query")));
	if (arguments->on_invalid == KSEG_ON_INVALID_DEAD_LETTER && !run_can_write())
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
		                errmsg("dead letters cannot be kept in a read-only transaction or on a standby"),
		                errhint("Call with on_invalid => 'skip' or 'error'.")));
}

void
run_begin(KsegRun *run, const KsegRunArguments *arguments)
{
	memset(run, 0, sizeof(*run));
	run_check_surroundings(arguments);
	query_check(arguments->query);
	run->started = GetCurrentTimestamp();
	run->arguments = arguments;
	/* Now: the query may SET ROLE, and what the run leaves belongs to who called it. */
	run->role = GetUserNameFromId(GetUserId(), false);
	run_make_id(&run->id, run->started);
	if (run_can_write())
	{
		/* Before the subtransaction, so that the file it may spill to outlives it. */
		run->letter_desc = letter_desc();
		run->letters = tuplestore_begin_heap(false, false, work_mem);
	}
}

void
run_end(KsegRun *run)
{
	run->ended = GetCurrentTimestamp();
	if (run->failure != NULL && !run->arguments->report)
		run_raise_failure(run);
	progress_phase(KSEG_PHASE_RECORDING);
	if (run_can_write())
		run_record(run);
	progress_end();
	run_warn(run);
	if (run->letters != NULL)
		tuplestore_end(
		    run->letters); /* it may have spilled to a file, which a transaction must not leave open */
}

const char *
run_first_problem(const KsegRun *run)
{
	return run->failure != NULL ? run->failure->message : run->figures.first_problem;
}

Interval *
run_elapsed(const KsegRun *run)
{
	Interval *elapsed = palloc0(sizeof(Interval));

	elapsed->time = run->ended - run->started;
	return elapsed;
}
