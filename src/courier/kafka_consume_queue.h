/*
 * kafka_consume_queue.h
 *	  What every read of topics has, bounded or without an end: librdkafka's properties, its queue, the gate in front of it.
 *
 * Owns: the queue, and the messages that have been taken from it and not been looked at. Refuses: to know partitions and what is done
 * with a message.
 */
#ifndef KSEG_COURIER_KAFKA_CONSUME_QUEUE_H
#define KSEG_COURIER_KAFKA_CONSUME_QUEUE_H

#include "courier/kafka_client.h"
#include "courier/kafka_consume_gate.h"

/* Messages taken from the queue in one go: enough that its lock costs nothing, and few enough to be a part of an answer. */
#define KSEG_FETCH_BATCH 256

typedef struct KsegConsumeQueue
{
	rd_kafka_queue_t *queue;
	KsegConsumeGate gate;
	rd_kafka_message_t *batch[KSEG_FETCH_BATCH];
	size_t batch_count;
	size_t batch_at; /* the first that has not been looked at */
} KsegConsumeQueue;

/* Most properties that a job may add to those of every read. */
#define KSEG_CONSUME_SETTINGS_MAX 4

/* kafka_client_open for a consumer with the properties of every read and these. False: the courier's failure says why. */
extern bool consume_queue_open_client(KsegKafkaClient *client, KsegCourier *courier,
                                      const KsegKafkaSetting *settings, size_t count);

/* A queue that the client watches. */
extern void consume_queue_open(KsegConsumeQueue *queue, KsegKafkaClient *client);

/* From now on the gate in front of it keeps the client's byte budget, with so many partitions. Before any of them is begun. */
extern void consume_queue_open_gate(KsegConsumeQueue *queue, KsegKafkaClient *client, uint32_t partitions);

/* The next message, which the caller destroys; NULL: none is there. */
extern rd_kafka_message_t *consume_queue_take(KsegConsumeQueue *queue);

/* Nothing that was taken from librdkafka is left to be looked at. */
extern bool consume_queue_is_looked_at(const KsegConsumeQueue *queue);

#endif /* KSEG_COURIER_KAFKA_CONSUME_QUEUE_H */
