/*
 * stream_tries.h
 *	  Which records of a batch are applied next, and which one is to blame. Pure arithmetic.
 *
 * A batch that fails by a message's fault is applied again as smaller batches, each with its own commit: up to the suspect (the record that
 * the statement read last), the suspect alone, then the rest. Where the suspect is no help (the statement had read everything: a sort, a
 * trigger that is deferred) the part that failed is halved. So each failure makes the next try smaller, and a record that fails
 * alone is the one.
 *
 * Owns: the arithmetic. Refuses: to know what a record or an error is.
 */
#ifndef KSEG_STREAM_TRIES_H
#define KSEG_STREAM_TRIES_H

#include "postgres.h"

typedef struct KsegStreamTries
{
	int count;   /* records of the batch */
	int from;    /* the first that is not settled */
	int bad_to;  /* one of from ... bad_to - 1 is to blame; 0: none is known to be */
	int suspect; /* perhaps this one; -1: no idea which */
	int cap;     /* most records of one try */
	int max;     /* most that cap grows to: batch_rows */
} KsegStreamTries;

extern void stream_tries_init(KsegStreamTries *tries, int max);

/* A new batch of so many. What was learned of the size stays. */
extern void stream_tries_begin(KsegStreamTries *tries, int count);

/* The next try is [from, this). */
extern int stream_tries_to(const KsegStreamTries *tries);

/* [from, to) is settled. */
extern void stream_tries_succeeded(KsegStreamTries *tries, int to);

/*
 * [from, to) has failed; at: the record that was read last. True: from is to blame, settle it otherwise and call stream_tries_succeeded(from + 1).
 * exact: at is known to be to blame.
 */
extern bool stream_tries_failed(KsegStreamTries *tries, int to, int at, bool exact);

#endif /* KSEG_STREAM_TRIES_H */
