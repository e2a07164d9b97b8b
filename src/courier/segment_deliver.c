/*
 * segment_deliver.c
 *	  The job segment_deliver: events to Segment's batch endpoint, over as many lanes as CONFIG says.
 *
 * Owns: the lanes and libcurl's multi handle. Refuses: to judge an answer (segment_answer.c) or to know the wire's talk
 * (courier_loop.c).
 *
 * Bounded memory: PostgreSQL holds to its credit, so lanes hold at most that. A peer that did not would meet
 * deliver_is_full: nothing more is read from the wire until something is settled, and the socket is full.
 */
#include <stdlib.h>

#include "courier/segment_failure.h"
#include "courier/clock.h"
#include "courier/segment_lane.h"
#include "courier/segment_multi.h"
#include "courier/wire_report.h"

typedef struct KsegDeliver
{
	KsegRunway runway;
	KsegLane lanes[KSEG_LANES_MAX];
} KsegDeliver;

static bool
deliver_open_lanes(KsegDeliver *deliver)
{
	for (uint32_t i = 0; i < deliver->runway.status.lanes; i++)
	{
		if (!lane_open(&deliver->lanes[i], &deliver->runway, i))
			return false;
	}
	return true;
}

/* What it opens is _exit's to close: a run that cannot begin has no other way to go. */
static void *
deliver_open(KsegCourier *courier)
{
	KsegDeliver *deliver = memory_resize(NULL, sizeof(KsegDeliver));
	KsegRunway *runway = &deliver->runway;

	*deliver = (KsegDeliver){.runway = {.courier = courier}};
	runway->status.lanes = (uint32_t) courier->config.lanes;
	runway->multi = multi_open((long) courier->config.lanes, &courier->failure);
	if (runway->multi == NULL || !segment_check_config(courier, NULL) || !deliver_open_lanes(deliver))
		return NULL;
	body_form_open(&runway->form, &courier->config);
	runway->limits = (KsegBatchLimits){.events = (uint32_t) courier->config.upload_size,
	                                   .json = body_form_room(&runway->form)};
	return deliver;
}

static void
deliver_take_events(void *state, uint16_t lane, const KsegEvents *events, int64_t now)
{
	KsegDeliver *deliver = state;

	lane_take_events(&deliver->lanes[lane], events, now);
}

/* The lanes' share of bytes (wire.h, KSEG_LANE_BYTES), what PostgreSQL has not read yet included. */
static bool
deliver_is_full(const void *state)
{
	const KsegDeliver *deliver = state;
	const KsegRunway *runway = &deliver->runway;

	return runway->held + wire_io_pending(&runway->courier->io) >
	       (size_t) runway->status.lanes * KSEG_LANE_BYTES;
}

/* Take the results of every transfer that has ended. False: there was none. */
static bool
deliver_take_results(KsegDeliver *deliver, int64_t now)
{
	KsegRequest *request;
	CURLcode code;
	bool any = false;

	while ((request = multi_next_ended(deliver->runway.multi, &code)) != NULL)
	{
		any = true;
		for (uint32_t i = 0; i < deliver->runway.status.lanes; i++)
		{
			if (&deliver->lanes[i].request == request)
				lane_take_result(&deliver->lanes[i], code, now);
		}
	}
	return any;
}

/*
 * PostgreSQL has no credit left, and none comes back because every lane waits for its batch to be full. Then what is
 * there is sent as it is.
 */
static bool
deliver_is_starved(const KsegDeliver *deliver)
{
	bool starved = deliver->runway.courier->peer_waits;

	for (uint32_t i = 0; starved && i < deliver->runway.status.lanes; i++)
	{
		const KsegLane *lane = &deliver->lanes[i];

		starved = lane->state == KSEG_LANE_IDLE && (lane->head == NULL || !lane->head->closed);
	}
	return starved;
}

/* Begin what is due; returns when the next thing will be. */
static int64_t
deliver_send_due(KsegDeliver *deliver, int64_t now)
{
	int64_t next = KSEG_CLOCK_NEVER;

	deliver->runway.starved = deliver_is_starved(deliver);
	for (uint32_t i = 0; i < deliver->runway.status.lanes; i++)
	{
		KsegLane *lane = &deliver->lanes[i];
		int64_t due = lane_next_due(lane, now);

		if (due <= now)
			lane_send(lane);
		else if (due < next)
			next = due;
	}
	return next;
}

static int64_t
deliver_turn(void *state, int64_t now)
{
	KsegDeliver *deliver = state;
	KsegCourier *courier = deliver->runway.courier;
	int64_t next;

	multi_perform(deliver->runway.multi, &courier->failure);
	deliver_take_results(deliver, now);
	if (courier->failure.failure != 0)
		return KSEG_CLOCK_NEVER;
	next = deliver_send_due(deliver, now);
	/* What was just begun is connected and written now, not after the next wait; what that has ended, nobody wakes us for. */
	multi_perform(deliver->runway.multi, &courier->failure);
	return deliver_take_results(deliver, now) ? now : next;
}

static bool
deliver_is_settled(const void *state)
{
	const KsegDeliver *deliver = state;

	for (uint32_t i = 0; i < deliver->runway.status.lanes; i++)
	{
		if (!lane_is_settled(&deliver->lanes[i]))
			return false;
	}
	return deliver->runway.courier->ended;
}

/*
 * A STATUS replaces every earlier one, so there is never more than one that is not written. A pause is told as it is now:
 * the turn's time is older than a pause that began in it.
 */
static void
deliver_report(void *state)
{
	KsegRunway *runway = &((KsegDeliver *) state)->runway;
	int64_t paused;

	if (!runway->status_due)
		return;
	paused = runway->paused_until - clock_now_ms();
	runway->status.paused_ms = paused > 0 ? (uint32_t) paused : 0;
	wire_report_status(&runway->courier->io, &runway->status, runway->credits);
	runway->status_due = false;
}

static void
deliver_wait(void *state, int wire_fd, short wire_events, int wait_ms)
{
	KsegRunway *runway = &((KsegDeliver *) state)->runway;

	multi_wait(runway->multi, wire_fd, wire_events, wait_ms, &runway->courier->failure);
}

const KsegJob segment_deliver_job = {
    .name = "segment_deliver",
    .takes_events = true,
    .open = deliver_open,
    .take_events = deliver_take_events,
    .is_full = deliver_is_full,
    .turn = deliver_turn,
    .is_settled = deliver_is_settled,
    .report = deliver_report,
    .wait = deliver_wait,
};
