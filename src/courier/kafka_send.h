/*
 * kafka_send.h
 *	  Messages to librdkafka, and their delivery reports.
 *
 * Owns: the queue of messages, the figures of a run, and what a refusal means. Refuses: to know when a run begins and ends
 * (kafka_produce.c does), and to drop a message: each is acknowledged, rejected or under way until the run has failed.
 *
 * Order: messages are handed over as they came, and the idempotent producer keeps each partition's order, whatever is tried
 * again. So nothing is ever handed over twice.
 *
 * Bounded: PostgreSQL holds to its credit (max_queue_messages, max_queue_bytes). A peer that did not would meet
 * kafka_sender_is_full: nothing more is read from the wire.
 */
#ifndef KSEG_COURIER_KAFKA_SEND_H
#define KSEG_COURIER_KAFKA_SEND_H

#include "courier/kafka_block.h"
#include "courier/kafka_topic.h"

typedef struct KsegKafkaSender
{
	KsegCourier *courier;
	KsegKafkaClient *client;
	KsegKafkaBlocks blocks;
	KsegKafkaTopics topics;
	KsegKafkaTopic *topic;  /* CONFIG's; NULL: each message has its own */
	KsegKafkaTopic *asking; /* the next message's, which must be asked for; NULL: none */
	int64_t batch_bytes;    /* batch.size */
	uint64_t held;          /* messages that librdkafka has */
	uint64_t answered;      /* batches that brokers have accepted or refused */
	KsegWireStatus status;
	KsegWireLane credit;
	bool status_due;
} KsegKafkaSender;

extern void kafka_sender_open(KsegKafkaSender *sender, KsegCourier *courier);

/* Use this handle from now on; nothing has been sent by another. */
extern void kafka_sender_use(KsegKafkaSender *sender, KsegKafkaClient *client);

/*
 * Hand over what librdkafka takes now. Stops at a message whose topic is not known: then asking is set, and the caller has it
 * asked for (kafka_topic_ask), sets asking to NULL and calls again.
 */
extern void kafka_sender_hand_over(KsegKafkaSender *sender);

/* Take in a delivery report; the caller destroys it. */
extern void kafka_sender_take_report(KsegKafkaSender *sender, rd_kafka_event_t *event);

/* Is every message that has come settled? */
extern bool kafka_sender_is_idle(const KsegKafkaSender *sender);
extern bool kafka_sender_is_full(const KsegKafkaSender *sender);

/* Bring the figures that librdkafka's threads count up to date. */
extern void kafka_sender_count(KsegKafkaSender *sender);

#endif /* KSEG_COURIER_KAFKA_SEND_H */
