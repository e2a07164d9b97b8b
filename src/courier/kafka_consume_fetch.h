/*
 * kafka_consume_fetch.h
 *	  Messages from librdkafka's queue, each partition up to its end.
 *
 * Owns: the queue, what has been taken from it and not been looked at, and when a partition is done. Refuses: groups, commits,
 * pause and seek: librdkafka 2.0.2 skips and repeats messages with the latter two (hazards.md). Each partition is started once,
 * with rd_kafka_consume_start_queue, which unlike rd_kafka_assign needs no group.id: a group would have its coordinator
 * looked for, which makes the broker create __consumer_offsets, and needs a right on the group.
 *
 * A message below the next expected offset is dropped, one at the end or beyond ends its partition. Offsets that never come
 * (compacted away, transaction markers, aborted transactions) are passed over: by the next message, by the end of the partition
 * (PARTITION_EOF), or by librdkafka's position, which counts markers that it keeps to itself.
 */
#ifndef KSEG_COURIER_KAFKA_CONSUME_FETCH_H
#define KSEG_COURIER_KAFKA_CONSUME_FETCH_H

#include "courier/kafka_consume_bounds.h"
#include "courier/kafka_consume_queue.h"
#include "courier/kafka_consume_record.h"

typedef struct KsegConsumeFetch
{
	KsegKafkaClient *client;
	KsegConsumeBounds *bounds;
	KsegConsumeQueue queue;
	KsegRecordWriter writer;
	KsegConsumePartition **by_number; /* of every number below numbers; NULL where it is not read */
	int32_t numbers;
	uint32_t open; /* partitions that are not done */
	int64_t left;  /* records still to be handed over; INT64_MAX: any number */
} KsegConsumeFetch;

/* What is to be done with a message. */
typedef enum KsegFetchVerdict
{
	KSEG_FETCH_DROP,
	KSEG_FETCH_HAND_OVER,
	KSEG_FETCH_BEYOND /* its partition is done, and librdkafka reads on for nothing */
} KsegFetchVerdict;

/* Judge a message of this offset, and note how far the partition has come by it. */
extern KsegFetchVerdict consume_fetch_judge(KsegConsumePartition *partition, int64_t offset,
                                            bool append_time);

/* The partition's log has nothing behind this offset. */
extern void consume_fetch_note_end(KsegConsumePartition *partition, int64_t offset);

/* What a broker has, and this library cannot read: a damaged batch, a compression that it was built without. */
extern bool consume_fetch_is_unreadable(rd_kafka_resp_err_t error);

/* The queue: before the bounds are known, so that the client can watch it. */
extern void consume_fetch_open(KsegConsumeFetch *fetch, KsegKafkaClient *client, KsegConsumeBounds *bounds);

/* Start every partition that has something to be read. False: the courier's failure says why. */
extern bool consume_fetch_start(KsegConsumeFetch *fetch);

/*
 * Take messages and put them into frames until one frame is full or nothing is there. Returns whether anything was. The failure
 * is set when a partition cannot be read on.
 */
extern bool consume_fetch_some(KsegConsumeFetch *fetch);

/* Take what comes behind the end, so that no broker's thread stands at the gate for it. */
extern void consume_fetch_discard(KsegConsumeFetch *fetch);

/* Nothing is there: has librdkafka passed a partition's end without a word? */
extern void consume_fetch_check_positions(KsegConsumeFetch *fetch);

/* Every partition is done, or as many records as were wanted have been handed over. */
extern bool consume_fetch_is_done(const KsegConsumeFetch *fetch);

/* End the run because of what consume_bounds_check found. */
extern void consume_fetch_fail_topic(KsegConsumeFetch *fetch);

/* End the run because of what consume_same_verify found in this partition. */
extern void consume_fetch_fail_anew(KsegConsumeFetch *fetch, int32_t partition);

/* End the run because nothing has come for as long as request_timeout allows. */
extern void consume_fetch_fail_waiting(KsegConsumeFetch *fetch);

#endif /* KSEG_COURIER_KAFKA_CONSUME_FETCH_H */
