/*
 * kafka_producer.h
 *	  Messages on their way to Kafka: one courier, one buffer, and what comes back.
 *
 * Owns: the link, the buffer of messages, the counting of what was acknowledged and what was refused. Used by the sink of a run
 * and by INSERT into a foreign table. Refuses: to know rows and columns, to decide what a refusal means.
 */
#ifndef KSEG_KAFKA_PRODUCER_H
#define KSEG_KAFKA_PRODUCER_H

#include "postgres.h"
#include "lib/stringinfo.h"

#include "link/link.h"
#include "server/kafka_server.h"
#include "wire/wire_message.h"

typedef struct KsegKafkaProducer KsegKafkaProducer;

typedef struct KsegProducerOptions
{
	const KsegKafkaServer *server;
	const char *topic; /* of messages without one of their own; "" when every message has one */
	bool transactional;
	/* A message that was refused for good: by a broker or by librdkafka; reason is in the database's encoding. Must not ERROR. */
	void (*rejected)(void *argument, const KsegMessage *message, int code, const char *reason);
	/* At every turn of the wire; NULL: none. May ERROR. */
	void (*progress)(void *argument);
	void *argument;
} KsegProducerOptions;

/* Start a courier, in the current memory context, which must outlive the producer. ERRORs as link_open. */
extern KsegKafkaProducer *kafka_producer_open(const KsegProducerOptions *options);

/* Where the next message is to be written (message_write appends to it), and: it has been; or take it back to this length. */
extern StringInfo kafka_producer_buffer(KsegKafkaProducer *producer);
extern bool kafka_producer_accept(KsegKafkaProducer *producer,
                                  int start); /* false: the run has ended early */
extern void kafka_producer_take_back(KsegKafkaProducer *producer, int start);

/* Send the buffer if it is old (a slow query's messages must not wait); cheap. False: the run has ended early. */
extern bool kafka_producer_turn(KsegKafkaProducer *producer);

/* Send what is left, commit if transactional, wait until all is settled or the run has failed. */
extern KsegLinkState kafka_producer_finish(KsegKafkaProducer *producer);

/* Has the courier been told to end, and with that to commit? */
extern bool kafka_producer_is_ending(const KsegKafkaProducer *producer);

/* For state, failure, status (sent, rejected, retries, bytes). */
extern KsegLink *kafka_producer_link(const KsegKafkaProducer *producer);

/* Stop the courier; a transaction that is open is aborted. May be called twice. */
extern void kafka_producer_close(KsegKafkaProducer *producer);

#endif /* KSEG_KAFKA_PRODUCER_H */
