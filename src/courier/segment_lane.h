/*
 * segment_lane.h
 *	  A lane: batches in order, one request in flight.
 *
 * Owns: its batches, its request, and what is tried again when. Refuses: to send the next part before the one before it
 * is settled, whatever is retried; so order is kept.
 *
 *	   IDLE ──the head batch is due──► SENDING ──accepted, and it was the last part──► IDLE
 *	                                    ▲    │
 *	                     resume_ms is past   │ refused for one event (halved: next part now),
 *	                                    │    ▼ network, 5xx, 429 (the same part later), next part
 *	                                   WAITING
 */
#ifndef KSEG_COURIER_SEGMENT_LANE_H
#define KSEG_COURIER_SEGMENT_LANE_H

#include "courier/courier.h"
#include "courier/segment_batch.h"
#include "courier/segment_body.h"
#include "courier/segment_halve.h"
#include "courier/segment_request.h"

typedef enum KsegLaneState
{
	KSEG_LANE_IDLE,
	KSEG_LANE_SENDING,
	KSEG_LANE_WAITING
} KsegLaneState;

/* What all lanes of a run share. */
typedef struct KsegRunway
{
	KsegCourier *courier;
	CURLM *multi;
	KsegBodyForm form;
	KsegBatchLimits limits;
	KsegWireStatus status;
	KsegWireLane credits[KSEG_LANES_MAX]; /* one of each lane, side by side as STATUS has them */
	bool status_due;                      /* figures have changed since they were last told */
	int64_t paused_until;                 /* a 429's: no lane begins a request before */
	bool starved;     /* no lane has anything under way, and no events come before one has */
	size_t held;      /* bytes of events in all lanes */
	KsegBatch *spare; /* batches to use again */
	uint32_t spares;
} KsegRunway;

typedef struct KsegLane
{
	KsegRunway *runway;
	KsegWireLane *credit;
	KsegRequest request;
	KsegLaneState state;
	KsegBatch *head; /* the batch under way, or the next one; NULL: none */
	KsegBatch *tail; /* the one that takes events */
	KsegHalve halve; /* the head batch's parts, while it is under way */
	KsegBatchRange range;
	KsegBody body;
	uint32_t attempts; /* of this part: requests made */
	uint32_t retries;  /* of this part: failures that count */
	uint32_t waits;    /* of this part: 429s in a row that did not say how long */
	int64_t first_failure_ms;
	int64_t resume_ms; /* WAITING: not before */
} KsegLane;

/* False: the request could not be set up; the courier's failure says why. */
extern bool lane_open(KsegLane *lane, KsegRunway *runway, uint32_t index);

/* Put a frame's events behind those that are there. */
extern void lane_take_events(KsegLane *lane, const KsegEvents *events, int64_t now);

/* When the lane has something to do by itself: begin a request, or try again. KSEG_CLOCK_NEVER: nothing. */
extern int64_t lane_next_due(const KsegLane *lane, int64_t now);

/* Begin the request that is due. */
extern void lane_send(KsegLane *lane);

/* The request has ended. */
extern void lane_take_result(KsegLane *lane, CURLcode code, int64_t now);

extern bool lane_is_settled(const KsegLane *lane);

#endif /* KSEG_COURIER_SEGMENT_LANE_H */
