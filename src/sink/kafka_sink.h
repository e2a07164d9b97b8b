/*
 * kafka_sink.h
 *	  A DestReceiver that sends a query's rows to a Kafka topic.
 *
 * Owns: the path of a row (plan, message, producer), and Kafka's part of a run's figures. See sink.h for what it refuses.
 */
#ifndef KSEG_KAFKA_SINK_H
#define KSEG_KAFKA_SINK_H

#include "postgres.h"

#include "event/message.h"
#include "server/kafka_server.h"
#include "sink/sink.h"

typedef struct KsegKafkaDelivery
{
	const KsegMessageMapping *mapping;
	const KsegKafkaServer *server;
	bool transactional;
} KsegKafkaDelivery;

/* A sink in the current memory context, which must live as long as the run; so must what delivery points to. */
extern KsegSink *kafka_sink_create(const KsegKafkaDelivery *delivery, const KsegSinkOptions *options);

/* Has it been asked to commit a transaction whose outcome is not known? */
extern bool kafka_sink_is_committing(const KsegSink *sink);

#endif /* KSEG_KAFKA_SINK_H */
