/*
 * segment_lane.c
 *	  One lane's life. See segment_lane.h for its states.
 *
 * Invariants: while state is not IDLE, head is closed and range is halve's next part; credit moves only when a part is
 * settled, and by exactly its events.
 */
#include "courier/segment_lane.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "courier/clock.h"
#include "courier/segment_failure.h"
#include "courier/wire_report.h"

/*
 * After so many events refused one by one, and none accepted, it is not single events: from then on a refused batch is
 * rejected as a whole. Halving costs two requests for each event, so an endpoint that refuses everything would be asked
 * millions of times.
 */
#define LANE_REFUSED_MAX 1000

/* ---------- batches ---------- */

static KsegBatch *
lane_get_batch(KsegRunway *runway)
{
	KsegBatch *batch = runway->spare;

	if (batch == NULL)
		return batch_create();
	runway->spare = batch->next;
	runway->spares--;
	batch_reset(batch);
	return batch;
}

/* Two a lane are in use when all goes well: so many are kept, with their memory. */
static void
lane_put_batch(KsegRunway *runway, KsegBatch *batch)
{
	if (runway->spares >= 2 * runway->status.lanes)
	{
		batch_free(batch);
		return;
	}
	batch->next = runway->spare;
	runway->spare = batch;
	runway->spares++;
}

static KsegBatch *
lane_open_batch(KsegLane *lane)
{
	KsegBatch *batch;

	if (lane->tail != NULL && !lane->tail->closed)
		return lane->tail;
	batch = lane_get_batch(lane->runway);
	if (lane->tail == NULL)
		lane->head = batch;
	else
		lane->tail->next = batch;
	lane->tail = batch;
	return batch;
}

void
lane_take_events(KsegLane *lane, const KsegEvents *events, int64_t now)
{
	KsegBatchCursor cursor;

	batch_cursor_init(&cursor, events);
	while (!batch_cursor_is_done(&cursor))
		batch_take(lane_open_batch(lane), &lane->runway->limits, &cursor, now);
	lane->runway->held += events->json_length - (events->count - 1);
}

static void
lane_drop_head(KsegLane *lane)
{
	KsegBatch *batch = lane->head;

	lane->head = batch->next;
	if (lane->head == NULL)
		lane->tail = NULL;
	lane_put_batch(lane->runway, batch);
}

/* ---------- when ---------- */

bool
lane_open(KsegLane *lane, KsegRunway *runway, uint32_t index)
{
	const KsegConfig *config = &runway->courier->config;
	char url[4096];

	*lane = (KsegLane){.runway = runway, .credit = &runway->credits[index]};
	snprintf(url, sizeof(url), "%s/v1/batch", config->endpoint);
	return request_open(&lane->request, config, url, &runway->courier->failure) &&
	       request_use_key(&lane->request, config->write_key, &runway->courier->failure);
}

int64_t
lane_next_due(const KsegLane *lane, int64_t now)
{
	int64_t due;

	if (lane->state == KSEG_LANE_SENDING || lane->head == NULL)
		return KSEG_CLOCK_NEVER;
	if (lane->state == KSEG_LANE_WAITING)
		due = lane->resume_ms;
	else if (lane->head->closed || lane->runway->courier->ended || lane->runway->starved)
		due = now;
	else
		due = lane->head->first_ms + lane->runway->courier->config.upload_interval_ms;
	return due > lane->runway->paused_until ? due : lane->runway->paused_until;
}

bool
lane_is_settled(const KsegLane *lane)
{
	return lane->head == NULL;
}

/* ---------- sending ---------- */

/* Take up the next part of the head batch, to be sent at once. False: there is none left. */
static bool
lane_take_part(KsegLane *lane)
{
	uint32_t from;
	uint32_t to;

	if (!halve_next(&lane->halve, &from, &to))
		return false;
	lane->range = batch_find_range(lane->head, from, to);
	lane->state = KSEG_LANE_WAITING;
	lane->resume_ms = 0;
	lane->attempts = 0;
	lane->retries = 0;
	lane->waits = 0;
	lane->first_failure_ms = -1;
	return true;
}

static void
lane_transmit(KsegLane *lane)
{
	KsegRunway *runway = lane->runway;
	KsegFailureReport *failure = &runway->courier->failure;

	lane->state = KSEG_LANE_SENDING;
	if (!body_build(&lane->body, &runway->form, lane->head, &lane->range, clock_unix_ms()))
		failure_set(failure, KSEG_FAILURE_INTERNAL, 0, "could not compress a request");
	else if (request_start_post(&lane->request, runway->multi, lane->body.data, lane->body.length,
	                            runway->form.compressor != NULL, lane->attempts, failure))
		lane->attempts++;
}

void
lane_send(KsegLane *lane)
{
	if (lane->state == KSEG_LANE_IDLE)
	{
		lane->head->closed = true;
		halve_start(&lane->halve, lane->head->count);
		lane_take_part(lane);
	}
	lane_transmit(lane);
}

/* ---------- settling ---------- */

/* The part is settled: give its credit back, and go on with the next part or the next batch. */
static void
lane_settle_part(KsegLane *lane)
{
	uint64_t bytes = batch_range_bytes(&lane->range);

	lane->credit->events += lane->range.to - lane->range.from;
	lane->credit->bytes += bytes;
	lane->credit->retrying = 0;
	lane->runway->held -= bytes;
	halve_settle(&lane->halve);
	if (!lane_take_part(lane))
	{
		lane->state = KSEG_LANE_IDLE;
		lane_drop_head(lane);
	}
}

static void
lane_accept_part(KsegLane *lane)
{
	KsegWireStatus *status = &lane->runway->status;

	status->sent += lane->range.to - lane->range.from;
	status->batches++;
	status->bytes += lane->body.plain_length;
	lane_settle_part(lane);
}

/* Reject every event of the part, with Segment's words. */
static void
lane_reject_part(KsegLane *lane)
{
	KsegCourier *courier = lane->runway->courier;
	uint32_t count = lane->range.to - lane->range.from;
	char words[KSEG_WORDS_MAX];
	char reason[KSEG_WORDS_MAX + 100];

	answer_read_words(&lane->request.answer, &courier->secret, words, sizeof(words));
	snprintf(reason, sizeof(reason), "%s%s", words,
	         count > 1 ? " (with its whole batch, as all events before it were refused one by one)" : "");
	for (uint32_t i = lane->range.from; i < lane->range.to; i++)
	{
		KsegBatchRange one = batch_find_range(lane->head, i, i + 1);

		wire_report_rejected(&courier->io, batch_row(lane->head, i), lane->request.answer.status, reason,
		                     lane->head->body.data + one.offset, one.length);
	}
	lane->runway->status.rejected += count;
	lane_settle_part(lane);
}

/* Refused for one event or its size: halve, until it is told which event it was. */
static void
lane_refuse_part(KsegLane *lane)
{
	const KsegWireStatus *status = &lane->runway->status;
	bool all_refused = status->sent == 0 && status->rejected >= LANE_REFUSED_MAX;

	if (all_refused || !halve_split(&lane->halve))
	{
		lane_reject_part(lane);
		return;
	}
	lane->credit->retrying = 0;
	lane_take_part(lane);
}

/* ---------- trying again ---------- */

/* A 32-bit number for jitter. Should the kernel have none to give, the middle will do. */
static uint32_t
lane_random(void)
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t) sizeof(random))
		return UINT32_MAX / 2;
	return random;
}

/*
 * Send the part again after wait_ms, if that is before it gets too old: a wait whose end nobody will see is not begun.
 * False: it is too old, and the run has failed.
 */
static bool
lane_wait(KsegLane *lane, CURLcode code, int64_t now, int64_t wait_ms)
{
	KsegCourier *courier = lane->runway->courier;

	if (lane->first_failure_ms < 0)
		lane->first_failure_ms = now;
	lane->credit->retrying = 1;
	lane->state = KSEG_LANE_WAITING;
	lane->resume_ms = now + wait_ms;
	if (lane->resume_ms - lane->first_failure_ms < courier->config.max_retry_age_ms)
		return true;
	segment_fail_exhausted(courier, &lane->request, code, lane->attempts, false);
	return false;
}

static void
lane_retry_part(KsegLane *lane, CURLcode code, int64_t now)
{
	KsegCourier *courier = lane->runway->courier;

	if (lane->retries == courier->config.max_retries)
		segment_fail_exhausted(courier, &lane->request, code, lane->attempts, true);
	else if (lane_wait(lane, code, now, answer_backoff_ms(lane->retries, lane_random())))
	{
		lane->retries++;
		lane->runway->status.retries++;
	}
}

/* 429: the rate is the whole source's, so every lane waits. It is no failure of the request, and not counted as one. */
static void
lane_pause_all(KsegLane *lane)
{
	/* Not the turn's time: the answer came after the turn had begun. And the clock's milliseconds are rounded down. */
	int64_t now = clock_now_ms() + 1;
	int64_t wait = answer_wait_ms(&lane->request.answer);

	if (wait == 0)
		wait = answer_backoff_ms(lane->waits++, lane_random());
	if (lane_wait(lane, CURLE_OK, now, wait) && lane->resume_ms > lane->runway->paused_until)
		lane->runway->paused_until = lane->resume_ms;
}

/* ---------- results ---------- */

static void
lane_take_answer(KsegLane *lane, int64_t now)
{
	KsegVerdict verdict = answer_sort(&lane->request.answer);

	switch (verdict)
	{
		case KSEG_VERDICT_ACCEPTED:
			lane_accept_part(lane);
			break;
		case KSEG_VERDICT_AGAIN:
			lane_retry_part(lane, CURLE_OK, now);
			break;
		case KSEG_VERDICT_WAIT:
			lane_pause_all(lane);
			break;
		case KSEG_VERDICT_HALVE:
			lane_refuse_part(lane);
			break;
		case KSEG_VERDICT_AUTH:
		case KSEG_VERDICT_REFUSED:
			segment_fail_answer(lane->runway->courier, &lane->request, verdict);
			break;
	}
}

void
lane_take_result(KsegLane *lane, CURLcode code, int64_t now)
{
	KsegWireStatus *status = &lane->runway->status;
	KsegTransfer transfer = request_finish(&lane->request, code);
	uint32_t answered = lane->request.answer.status;

	lane->runway->status_due = true;
	status->bytes_on_wire += lane->request.uploaded;
	if (transfer != KSEG_TRANSFER_ANSWERED)
		status->last_error = (uint32_t) code;
	else if (answered < 200 || answered > 299)
		status->last_status = answered;

	if (transfer == KSEG_TRANSFER_ANSWERED)
		lane_take_answer(lane, now);
	else if (transfer == KSEG_TRANSFER_AGAIN)
		lane_retry_part(lane, code, now);
	else
		segment_fail_transfer(lane->runway->courier, &lane->request, transfer, code);
}
