/*
 * stream_recover.c
 *	  What follows from an error of a turn. See stream_work.h.
 *
 *	  a message's fault      the batch is applied in smaller parts, until the one message is found: a dead letter, or (on_error 'stop') a halt
 *	  the surroundings'      wait, and do the same again; what is in memory is kept where it can still be right
 *	  the definition's       the stream halts: 'failed'
 *	  a gap                  the stream halts: 'gap'
 *
 * Logged is what changes: that a stream begins to fail, and that it halts.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "stream/stream_failure.h"
#include "stream/stream_fault.h"
#include "stream/stream_slot.h"
#include "stream/stream_work.h"

/* ---------- back to a state in which anything can be done ---------- */

/* As PostgresMain does after an error. The error, of context turn. */
static ErrorData *
recover_clean(KsegStreamWork *work)
{
	ErrorData *error;

	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;
	MemoryContextSwitchTo(work->turn);
	error = CopyErrorData();
	FlushErrorState();
	topic_feed_set(NULL);
	AbortOutOfAnyTransaction();
	/* An error outside of a transaction has nobody else to do this. */
	LWLockReleaseAll();
	pgstat_report_wait_end();
	MemoryContextSwitchTo(work->turn);
	RESUME_INTERRUPTS();
	return error;
}

static const char *
recover_name(const KsegStreamWork *work)
{
	return work->entry != NULL ? work->entry->name : MyBgworkerEntry->bgw_name;
}

/* An error in the log, as a LOG line of what follows from it. */
static void
recover_log(const char *what, const ErrorData *error)
{
	ereport(LOG, (errcode(error->sqlerrcode), errmsg_internal("%s: %s", what, error->message),
	              error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
	              error->hint != NULL ? errhint("%s", error->hint) : 0,
	              error->context != NULL ? errcontext("%s", error->context) : 0));
}

/* ---------- halting ---------- */

/* In a transaction of its own. */
void
stream_halt(KsegStreamWork *work, const char *halted, const ErrorData *error)
{
	char *what = psprintf("stream \"%s\" has halted", recover_name(work));
	bool done = false;

	stream_slot_set_error(error);
	KSEG_FAULT_POINT("before halt");
	stream_transaction_begin();
	if (OidIsValid(get_extension_oid("kseg", true)))
		done = stream_entry_halt(work->argument.stream, work->entry != NULL ? work->entry->revision : 0,
		                         halted, error);
	if (done)
		stream_shared_mark_dirty_at_commit();
	stream_transaction_commit(work);
	KSEG_FAULT_POINT("after halt");
	if (done)
		recover_log(what, error);
	work->over = true;
}

/* ---------- the four kinds ---------- */

static void
recover_wait(KsegStreamWork *work, const ErrorData *error)
{
	bool first;

	work->next_try = stream_slot_set_retrying(error, &first);
	stream_tell_retrying(work, error);
	pgstat_report_activity(STATE_IDLE, psprintf("stream %s: waiting for its next try", recover_name(work)));
	if (first)
		recover_log(psprintf("stream \"%s\" waits and tries again", recover_name(work)), error);
	/*
	 * In memory is a batch that can be applied again, unless somebody else has moved a position, the courier has failed, or the statement itself
	 * cannot be planned (a foreign table that was dropped and made again is another one): then all is opened anew, when it is time.
	 */
	if (work->phase != KSEG_PHASE_APPLYING ||
	    (!work->moved && (error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
	                      error->sqlerrcode == ERRCODE_INTERNAL_ERROR)))
		stream_close(work);
}

/* One line: a message and its detail. */
static char *
recover_reason(const ErrorData *error, MemoryContext context)
{
	char *reason = psprintf("%s%s%s", error->message, error->detail != NULL ? ": " : "",
	                        error->detail != NULL ? error->detail : "");

	for (char *at = reason; *at != '\0'; at++)
	{
		if (*at == '\n' || *at == '\r')
			*at = ' ';
	}
	return MemoryContextStrdup(context, reason);
}

/* The error, with the place of the message it is about in its detail. */
static ErrorData *
recover_name_message(const KsegStreamWork *work, int index, const ErrorData *error)
{
	ErrorData *named = palloc(sizeof(ErrorData));
	const KsegPosition *position;
	KsegRecord record;
	char *place;

	topic_batch_get(work->batch, index, &record);
	position = &work->settled[record.partition];
	place = psprintf("The message is in topic \"%s\", partition %d, offset " INT64_FORMAT ".",
	                 position->topic, position->partition, (int64) record.offset);
	*named = *error;
	named->detail = error->detail != NULL ? psprintf("%s %s", error->detail, place) : place;
	if (named->hint == NULL)
		named->hint = "With on_error 'dead_letter' the stream would keep such a message and go on.";
	return named;
}

/* tries.from is to blame. */
static void
recover_take_culprit(KsegStreamWork *work, const ErrorData *error)
{
	int index = work->tries.from;

	stream_slot_set_error(error);
	if (work->entry->on_error == KSEG_STREAM_STOP)
	{
		stream_halt(work, "failed", recover_name_message(work, index, error));
		return;
	}
	work->culprit = (KsegStreamLetter){index, error->sqlerrcode, recover_reason(error, work->session)};
}

static void
recover_isolate(KsegStreamWork *work, const ErrorData *error)
{
	if (!work->stopped_by_problem && stream_statement_take_last(work->statement, error->sqlerrcode))
		return;
	if (stream_tries_failed(&work->tries, work->feed.to, work->feed.at, work->stopped_by_problem))
		recover_take_culprit(work, error);
}

/* The courier says itself why it gave up. One of another build is there while a package is upgraded: until the server is restarted. */
static KsegStreamFault
recover_sort_reading(const KsegStreamWork *work, KsegStreamFault fault)
{
	KsegFailure reason = work->follow != NULL ? topic_follow_failure(work->follow) : 0;

	if (reason == KSEG_FAILURE_GAP)
		return KSEG_FAULT_GAP;
	if (reason == KSEG_FAILURE_BUILD)
		return KSEG_FAULT_SURROUNDINGS;
	/* It has run with a password that was right: the user mapping may have the new one. A courier that is opened with it tells. */
	if (reason == KSEG_FAILURE_AUTH && work->running)
		return KSEG_FAULT_SURROUNDINGS;
	return fault == KSEG_FAULT_MESSAGE ? KSEG_FAULT_DEFINITION : fault;
}

/*
 * A message's fault it can only be when one was handed out. What cannot be applied as a letter, or fails outside of a batch, is nobody's
 * message's.
 */
static KsegStreamFault
recover_sort(const KsegStreamWork *work, const ErrorData *error)
{
	KsegStreamFault fault = stream_failure_sort(error);

	/* Of a definition that could not even be read nothing is known. */
	if (work->entry == NULL)
		return KSEG_FAULT_SURROUNDINGS;
	if (work->phase == KSEG_PHASE_READING)
		return recover_sort_reading(work, fault);
	if (work->phase == KSEG_PHASE_APPLYING && work->stopped_by_problem)
		return KSEG_FAULT_MESSAGE;
	if (fault == KSEG_FAULT_MESSAGE &&
	    (work->phase != KSEG_PHASE_APPLYING || work->feed.at == KSEG_WORK_UNREAD || work->culprit.index >= 0))
		return KSEG_FAULT_DEFINITION;
	return fault;
}

static void
recover_from(KsegStreamWork *work, const ErrorData *error)
{
	switch (recover_sort(work, error))
	{
		case KSEG_FAULT_MESSAGE:
			recover_isolate(work, error);
			break;
		case KSEG_FAULT_SURROUNDINGS:
			recover_wait(work, error);
			break;
		case KSEG_FAULT_DEFINITION:
			stream_halt(work, "failed", error);
			break;
		case KSEG_FAULT_GAP:
			stream_halt(work, "gap", error);
			break;
	}
}

void
stream_recover(KsegStreamWork *work)
{
	ErrorData *error = recover_clean(work);

	PG_TRY();
	{
		recover_from(work, error);
	}
	PG_CATCH();
	{
		/* That a stream halts could not be written. What led to it comes again, with the next try. */
		error = recover_clean(work);
		work->phase = KSEG_PHASE_OPENING;
		recover_wait(work, error);
	}
	PG_END_TRY();
}
