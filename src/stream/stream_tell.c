/*
 * stream_tell.c
 *	  NOTIFY kseg_stream of what a worker does: that its stream runs, and that it tries again. See stream_work.h.
 *
 * Owns: that each change is told once. Refuses: what others tell, the functions (starting, stopped, dropped) and whoever halts a stream. Of a
 * stream's workers the first one speaks for all: with several, the others may fail or run meanwhile, and kseg.stream_status has them all.
 */
#include "postgres.h"

#include "stream/stream_entry.h"
#include "stream/stream_work.h"

/* In a transaction of its own. Noted before: when this very transaction fails, it is not tried again and again. */
static void
tell_state(KsegStreamWork *work, KsegStreamTold told, const char *state, const char *message)
{
	if (work->argument.worker != 0 || work->told == told || work->entry == NULL)
		return;
	work->told = told;
	stream_transaction_begin();
	stream_entry_notify(work->entry->name, state, message);
	stream_transaction_commit(work);
}

void
stream_tell_opened(KsegStreamWork *work)
{
	/* What failed while it was applied has not succeeded because its topics could be opened anew. */
	if (work->told != KSEG_TOLD_APPLYING_FAILED)
		tell_state(work, KSEG_TOLD_RUNNING, "running", NULL);
}

void
stream_tell_settled(KsegStreamWork *work)
{
	tell_state(work, KSEG_TOLD_RUNNING, "running", NULL);
}

/* Everybody in the database may listen. What fails while a batch is applied may be a trigger's own words, with what is in a message. */
static const char *
tell_public_message(const KsegStreamWork *work, const ErrorData *error)
{
	if (work->phase != KSEG_PHASE_APPLYING)
		return error->message;
	return psprintf("a batch could not be applied (SQLSTATE %s); kseg.stream_status says why",
	                unpack_sql_state(error->sqlerrcode));
}

void
stream_tell_retrying(KsegStreamWork *work, const ErrorData *error)
{
	KsegStreamTold told =
	    work->phase == KSEG_PHASE_APPLYING ? KSEG_TOLD_APPLYING_FAILED : KSEG_TOLD_OPENING_FAILED;

	/* It was told already that it tries again. */
	if (work->told == KSEG_TOLD_APPLYING_FAILED || work->told == KSEG_TOLD_OPENING_FAILED)
		work->told = told;
	else
		tell_state(work, told, "retrying", tell_public_message(work, error));
}
