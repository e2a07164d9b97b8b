/*
 * segment_sink.h
 *	  A DestReceiver that sends a query's rows to Segment.
 *
 * Owns: the path of a row (plan, repeat, lane, frame), the figures of a run, and the dead letters until they are recorded.
 * Refuses: to write tables (rows may arrive in parallel mode), to run queries, to decide what a failure means to the user.
 */
#ifndef KSEG_SEGMENT_SINK_H
#define KSEG_SEGMENT_SINK_H

#include "postgres.h"
#include "tcop/dest.h"
#include "utils/tuplestore.h"

#include "event/event.h"
#include "link/link.h"
#include "server/segment_server.h"

typedef enum KsegOnInvalid
{
	KSEG_ON_INVALID_DEAD_LETTER,
	KSEG_ON_INVALID_SKIP,
	KSEG_ON_INVALID_ERROR
} KsegOnInvalid;

/* Figures of a run. rows = sent + repeated + invalid + rejected + open. */
typedef struct KsegFigures
{
	uint64 rows;               /* rows of the query */
	uint64 sent;               /* events Segment accepted */
	uint64 repeated;           /* rows that were the same event as an earlier row */
	uint64 invalid;            /* rows that broke a rule of Segment's and were not sent */
	uint64 rejected;           /* events that Segment refused */
	uint64 open;               /* events whose outcome is not known; 0 after a run that did not fail */
	uint64 batches;            /* requests answered 200 */
	uint64 retries;            /* requests tried again */
	uint64 bytes;              /* bytes of accepted bodies before compression */
	uint64 bytes_on_wire;      /* bytes of all bodies transmitted */
	const char *first_problem; /* NULL: none */
} KsegFigures;

/* A dead letter in the tuplestore: the columns of segment_sink_letter_desc. */
#define KSEG_LETTER_COLUMNS 6
enum
{
	KSEG_LETTER_ROW = 0,    /* int8: number in the result, from 1 */
	KSEG_LETTER_USER,       /* text or NULL */
	KSEG_LETTER_MESSAGE_ID, /* text or NULL */
	KSEG_LETTER_STATUS,     /* int4: HTTP status of a rejected event, NULL: invalid, never sent */
	KSEG_LETTER_REASON,     /* text */
	KSEG_LETTER_EVENT /* text: the event's JSON, NULL when it is over KSEG_LETTER_EVENT_MAX or too deep to be json */
};

/* An event of more bytes is not kept: it would only fill the table, and its row is still where it came from. */
#define KSEG_LETTER_EVENT_MAX (1024 * 1024)

typedef struct KsegSegmentSink KsegSegmentSink;

typedef struct KsegSinkOptions
{
	const KsegMapping *mapping;
	const KsegSegmentServer *server;
	const char *write_key;
	KsegOnInvalid on_invalid;
	uint64 row_limit;         /* 0: none */
	Tuplestorestate *letters; /* where dead letters go (with 'skip' only rejected events); NULL: nowhere */
	TupleDesc letter_desc;
	void (*progress)(void *argument, const KsegSegmentSink *sink); /* called at every turn of the wire */
	void *argument;
} KsegSinkOptions;

/* A sink in the current memory context, which must live as long as the run. The courier is started when the query is. */
extern KsegSegmentSink *segment_sink_create(const KsegSinkOptions *options);
extern DestReceiver *segment_sink_receiver(KsegSegmentSink *sink);

/* After the query: deliver what is left and wait until all is settled or the run has failed. */
extern void segment_sink_finish(KsegSegmentSink *sink);

/* The link, for its state, failure and status; NULL before the query began. */
extern KsegLink *segment_sink_link(const KsegSegmentSink *sink);
extern void segment_sink_figures(const KsegSegmentSink *sink, KsegFigures *figures);

/* Stop the courier and free what is not memory. May be called twice. */
extern void segment_sink_close(KsegSegmentSink *sink);

extern TupleDesc segment_sink_letter_desc(void);

#endif /* KSEG_SEGMENT_SINK_H */
