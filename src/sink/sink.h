/*
 * sink.h
 *	  Where a query's rows go: what Segment's sink and Kafka's have in common, and what a run asks of either.
 *
 * Owns: the figures of a run, what is done with a row that cannot be sent, and the dead letters until they are recorded.
 * Refuses: to write tables (rows may arrive in parallel mode), to run queries, to decide what a failure means to the user.
 */
#ifndef KSEG_SINK_H
#define KSEG_SINK_H

#include "postgres.h"
#include "tcop/dest.h"
#include "utils/tuplestore.h"

#include "link/link.h"
#include "sink/letter.h"

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
	uint64 sent;               /* events that the other side accepted */
	uint64 repeated;           /* Segment: rows that were the same event as an earlier row */
	uint64 invalid;            /* rows that broke a rule and were not sent */
	uint64 rejected;           /* events that the other side refused */
	uint64 open;               /* events whose outcome is not known; 0 after a run that did not fail */
	uint64 batches;            /* requests that were accepted */
	uint64 retries;            /* requests tried again */
	uint64 bytes;              /* bytes of accepted bodies before compression; Kafka: keys and values */
	uint64 bytes_on_wire;      /* bytes of all bodies transmitted */
	const char *first_problem; /* NULL: none */
} KsegFigures;

typedef struct KsegSink KsegSink;

/* What a run tells its sink, whatever it is. */
typedef struct KsegSinkOptions
{
	KsegOnInvalid on_invalid;
	uint64 row_limit;         /* 0: none */
	Tuplestorestate *letters; /* where dead letters go (with 'skip' only rejected events); NULL: nowhere */
	TupleDesc letter_desc;
	void (*progress)(void *argument, const KsegSink *sink); /* called at every turn of the wire */
	void *argument;
} KsegSinkOptions;

typedef enum KsegSinkKind
{
	KSEG_SINK_SEGMENT,
	KSEG_SINK_KAFKA
} KsegSinkKind;

typedef struct KsegSinkMethods
{
	KsegSinkKind kind;
	void (*finish)(KsegSink *sink);
	KsegLink *(*link)(const KsegSink *sink);
	void (*figures)(const KsegSink *sink, KsegFigures *figures);
	void (*close)(KsegSink *sink);
} KsegSinkMethods;

/* The beginning of every sink. */
struct KsegSink
{
	DestReceiver receiver; /* first: PostgreSQL passes a pointer to it */
	const KsegSinkMethods *methods;
	KsegSinkOptions options;
	MemoryContext context;        /* lives as long as the run */
	MemoryContext letter_context; /* reset after each letter */
	uint64 rows;
	uint64 invalid;
	char *first_problem;
};

/* ---------- for a run ---------- */

/* The receiver of the query's rows. The courier is started when the query is. */
static inline DestReceiver *
sink_receiver(KsegSink *sink)
{
	return &sink->receiver;
}

static inline KsegSinkKind
sink_kind(const KsegSink *sink)
{
	return sink->methods->kind;
}

/* After the query: deliver what is left and wait until all is settled or the run has failed. */
static inline void
sink_finish(KsegSink *sink)
{
	sink->methods->finish(sink);
}

/* The link, for its state, failure and status; NULL before the query began. */
static inline KsegLink *
sink_link(const KsegSink *sink)
{
	return sink->methods->link(sink);
}

static inline void
sink_figures(const KsegSink *sink, KsegFigures *figures)
{
	sink->methods->figures(sink, figures);
}

/* Stop the courier and free what is not memory. May be called twice. */
static inline void
sink_close(KsegSink *sink)
{
	sink->methods->close(sink);
}

/* ---------- for a sink: sink.c ---------- */

/* Fill in a sink's beginning, in the current memory context. */
extern void sink_init(KsegSink *sink, const KsegSinkMethods *methods, const KsegSinkOptions *options,
                      bool (*receive)(TupleTableSlot *slot, DestReceiver *receiver),
                      void (*startup)(DestReceiver *receiver, int operation, TupleDesc desc));

/* Tell and keep an event that the other side refused, or a row that is invalid as on_invalid says. */
extern void sink_take_letter(KsegSink *sink, const KsegLetter *letter);

/* The row at hand has a problem: count it, then ERROR, tell or keep it, as on_invalid says. Leaves nothing behind. */
extern void sink_take_invalid(KsegSink *sink, const KsegLetter *letter);

#endif /* KSEG_SINK_H */
