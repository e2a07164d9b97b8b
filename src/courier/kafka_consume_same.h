/*
 * kafka_consume_same.h
 *	  Whether a topic is still the one that the read began with, or another one of the same name.
 *
 * Owns: the proof. Refuses: to look at messages, and to run in the loop's thread (kafka_client_begin).
 *
 * A topic has an id, but librdkafka tells it from 2.3 on only. What every version can ask for is the first offset whose message is of
 * a time or later. With the time at which the read begins that is none, or one at the end or behind it: what lies
 * before the end was written before, and offsets are never written again. In a topic made anew everything is of a later time, so
 * the answer is its first offset, before that end. (Messages of a time yet to come, by a producer's clock, are in the first answer,
 * which is compared with.)
 *
 * Not found out: a topic made anew whose messages all have times of before the read began, such as a copy of old ones; and a change
 * of which a read that ends early, with LIMIT, has not come to the end.
 */
#ifndef KSEG_COURIER_KAFKA_CONSUME_SAME_H
#define KSEG_COURIER_KAFKA_CONSUME_SAME_H

#include "courier/kafka_consume_bounds.h"

typedef struct KsegConsumeSame
{
	/* given; they outlive the work */
	const KsegConsumeBounds *bounds;
	int64_t time_ms; /* of the wall clock, when the read began */

	/* found */
	int64_t *first;    /* of each of bounds' partitions: no message of time_ms or later lies before */
	bool marked;       /* first is known */
	bool changed;      /* it is another topic now */
	int32_t partition; /* which has shown it */
} KsegConsumeSame;

/*
 * Two pieces of work as consume_bounds_find, argument a KsegConsumeSame: ask what is so at the beginning, and look whether it still
 * is. When brokers do not answer nothing is known, and nothing has changed.
 */
extern void consume_same_mark(void *argument);
extern void consume_same_verify(void *argument);

/* What the answers say: the first offset of time or later (negative: none) against the one that was marked. */
extern int64_t consume_same_first(int64_t answer, int64_t end);
extern bool consume_same_is_changed(int64_t answer, int64_t first);

#endif /* KSEG_COURIER_KAFKA_CONSUME_SAME_H */
