/*
 * courier.h
 *	  A courier and its job.
 *
 * Owns: the talk with PostgreSQL (main loop in courier_loop.c). A job does the work behind it; it never reads the wire,
 * and it ends a run only by filling failure or by being settled.
 */
#ifndef KSEG_COURIER_COURIER_H
#define KSEG_COURIER_COURIER_H

#include "courier/clock.h"
#include "courier/config.h"
#include "courier/failure.h"
#include "courier/secret.h"
#include "courier/wire_io.h"

/* What a job wants from the loop. */
typedef struct KsegCourier
{
	KsegWireIo io;
	KsegConfig config;
	KsegSecret secret;
	KsegFailureReport failure; /* set by anybody, ends the run */
	bool ended;                /* END has come: deliver what there is without waiting for more */
	bool peer_waits;           /* WAITING has come: no events will, until something is settled */
} KsegCourier;

typedef struct KsegJob
{
	const char *name;
	bool takes_events; /* EVENTS or MESSAGES, until END */
	/* After CONFIG. Returns the job's own state, or NULL and failure is set. */
	void *(*open)(KsegCourier *courier);
	/* One EVENTS frame, lane < lanes. */
	void (*take_events)(void *state, uint16_t lane, const KsegEvents *events, int64_t now);
	/* One MESSAGES frame, for a job that has no take_events. False: its lengths do not add up. */
	bool (*take_messages)(void *state, const KsegFrame *frame, int64_t now);
	/* One COMMITTED frame, of a job that takes them (else NULL). False: its lengths do not add up. */
	bool (*take_committed)(void *state, const KsegFrame *frame);
	/* Does the job hold as much as it may? Then nothing is read from the wire. */
	bool (*is_full)(const void *state);
	/* Do what is due. Returns when (clock_now_ms) it wants to be called again at the latest. */
	int64_t (*turn)(void *state, int64_t now);
	/* Everything is settled, and END has come where the job takes events. */
	bool (*is_settled)(const void *state);
	/* Say how far it is, if that has changed since it was last said. */
	void (*report)(void *state);
	/* Wait for the wire (events as for poll) or the job's own sockets, at most wait_ms. */
	void (*wait)(void *state, int wire_fd, short wire_events, int wait_ms);
	/*
	 * Undo what must not be left as it is (a transaction), once: the wire has ended, or FAILED is said. May block for
	 * KSEG_LEAVE_MS. NULL: nothing is.
	 */
	void (*leave)(void *state);
} KsegJob;

/*
 * How long a courier that nobody listens to any more may take to undo what it has begun: an answer of a broker that lives
 * takes milliseconds. PostgreSQL waits a little longer (link_set_grace) before it kills the courier.
 */
#define KSEG_LEAVE_MS 2000

extern const KsegJob segment_deliver_job;
extern const KsegJob segment_test_job;
extern const KsegJob kafka_produce_job;
extern const KsegJob kafka_consume_job;
extern const KsegJob kafka_follow_job;
extern const KsegJob kafka_test_job;
extern const KsegJob kafka_topics_job;

/* The courier's life after its start: talks until PostgreSQL goes. Returns the exit status. */
extern int courier_run(int wire_fd);

#endif /* KSEG_COURIER_COURIER_H */
