/*
 * kafka_follow_fetch.h
 *	  Messages of every partition that is followed, from librdkafka's queue into RECORDS, and how far partitions have come.
 *
 * Owns: the queue and the gate before it, and what has been taken from it and not been looked at. Refuses: groups, pause and seek, as
 * kafka_consume_fetch.h does.
 *
 * How far: a message moves its partition; librdkafka's position passes over what it keeps to itself (transaction markers); the end of the
 * partition (PARTITION_EOF) over aborted and compacted messages behind the last one that came. The end of what can be read is the
 * high watermark of the last answer, unless librdkafka has said that there is no more: an open transaction lies behind then.
 */
#ifndef KSEG_COURIER_KAFKA_FOLLOW_FETCH_H
#define KSEG_COURIER_KAFKA_FOLLOW_FETCH_H

#include "courier/kafka_client.h"
#include "courier/kafka_consume_fetch.h"
#include "courier/kafka_follow_set.h"

typedef struct KsegFollowFetch
{
	KsegKafkaClient *client;
	KsegFollowSet *set;
	KsegConsumeQueue queue;
	KsegRecordWriter writer;
	KsegFollowTopic *last;         /* whose message was looked at last */
	KsegFollowPartition **touched; /* those that have moved since PostgreSQL was told */
	uint32_t touched_count;
	uint32_t touched_room;
	bool asks;   /* something was heard that the brokers are to be asked about, soon */
	bool handed; /* something was handed over: whether the topics are still the same is to be verified */
} KsegFollowFetch;

/* The queue and the gate, before any partition. */
extern void follow_fetch_open(KsegFollowFetch *fetch, KsegKafkaClient *client, KsegFollowSet *set,
                              const KsegFollowPlan *plan);

/* Begin to read a partition, from where its seen message lies or from next on. False: the courier's failure says why. */
extern bool follow_fetch_start(KsegFollowFetch *fetch, KsegFollowPartition *partition);

/* Read a partition anew from where it is: what was said of its offset turned out to be wrong. */
extern bool follow_fetch_restart(KsegFollowFetch *fetch, KsegFollowPartition *partition);

/*
 * Take messages and put them into frames until one frame is full (true) or nothing is there (false). The failure is set when a
 * partition cannot be read on.
 */
extern bool follow_fetch_some(KsegFollowFetch *fetch);

/* Tell PostgreSQL how far partitions have come, if it does not know: a PROGRESS frame, behind the frame that is being filled. */
extern void follow_fetch_report(KsegFollowFetch *fetch);

#endif /* KSEG_COURIER_KAFKA_FOLLOW_FETCH_H */
