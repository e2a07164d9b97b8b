/*
 * segment_batch.h
 *	  A batch: the events of one request's body, in order, and which rows they are.
 *
 * Owns: cutting frames into batches at exactly Segment's limits. Refuses: to look into an event. Most frames fit whole,
 * and then cost two memcpy: the table of rows and lengths as it is on the wire, and the joined events.
 */
#ifndef KSEG_COURIER_SEGMENT_BATCH_H
#define KSEG_COURIER_SEGMENT_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "courier/memory.h"
#include "wire/wire.h"

/* What every body begins with. */
#define KSEG_BATCH_HEAD        "{\"batch\":["
#define KSEG_BATCH_HEAD_LENGTH (sizeof(KSEG_BATCH_HEAD) - 1)

/* How much one batch may hold. */
typedef struct KsegBatchLimits
{
	uint32_t events; /* upload_size */
	size_t json;     /* bytes of the joined events: KSEG_UPLOAD_MAX less the body's head and tail */
} KsegBatchLimits;

typedef struct KsegBatch
{
	struct KsegBatch *next; /* the lane's next one */
	KsegBuffer body;    /* KSEG_BATCH_HEAD and the events joined by ','; a request's tail may stand behind */
	KsegBuffer entries; /* count × KSEG_EVENT_ENTRY, as on the wire */
	uint32_t count;
	bool closed;      /* takes no more events */
	int64_t first_ms; /* when its first event came */
} KsegBatch;

/* A frame's events that are not in a batch yet. */
typedef struct KsegBatchCursor
{
	KsegEvents events;
	uint32_t next;   /* index of the first one left */
	uint32_t offset; /* of its JSON */
} KsegBatchCursor;

/* A part of a batch, in order: what one request carries. */
typedef struct KsegBatchRange
{
	uint32_t from;
	uint32_t to;     /* the first one that is not in it */
	uint32_t offset; /* of its JSON, in body */
	uint32_t length; /* of its JSON, commas included */
} KsegBatchRange;

/* An empty batch, in memory of its own or that of an earlier one. */
extern KsegBatch *batch_create(void);
extern void batch_reset(KsegBatch *batch);
extern void batch_free(KsegBatch *batch);

extern void batch_cursor_init(KsegBatchCursor *cursor, const KsegEvents *events);
extern bool batch_cursor_is_done(const KsegBatchCursor *cursor);

/*
 * Take as many of cursor's events as the limits allow, and advance it. A batch that has to leave some closes; so does one
 * that is full. now_ms is remembered with the first event. An empty batch always takes one (KSEG_EVENT_MAX is far below
 * every limit on bytes).
 */
extern void batch_take(KsegBatch *batch, const KsegBatchLimits *limits, KsegBatchCursor *cursor,
                       int64_t now_ms);

/* Where the events from … to - 1 lie in body. */
extern KsegBatchRange batch_find_range(const KsegBatch *batch, uint32_t from, uint32_t to);

/* Bytes of a range's events as PostgreSQL counts credit: without commas. */
extern uint64_t batch_range_bytes(const KsegBatchRange *range);

/* Row of one event. */
extern uint64_t batch_row(const KsegBatch *batch, uint32_t index);

#endif /* KSEG_COURIER_SEGMENT_BATCH_H */
