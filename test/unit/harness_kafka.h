/*
 * harness_kafka.h
 *	  Brokers for a courier under test: librdkafka's mock cluster, in the test's own process.
 *
 * Owns: the cluster, what CONFIG says of it, frames of messages, and reading back what has arrived. For cases of the wire: errors
 * that a broker answers, a broker that is gone. The mock knows no configurations of topics, and keeps 5 MB of a partition.
 */
#ifndef KSEG_TEST_HARNESS_KAFKA_H
#define KSEG_TEST_HARNESS_KAFKA_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "harness.h"
#include "wire/wire_message.h"

/* Kafka's numbers of requests, for rd_kafka_mock_push_request_errors. */
#define HARNESS_API_PRODUCE          0
#define HARNESS_API_METADATA         3
#define HARNESS_API_INIT_PRODUCER_ID 22

typedef struct HarnessKafka
{
	rd_kafka_t *rk;
	rd_kafka_t *consumer; /* harness_kafka_read's */
	rd_kafka_mock_cluster_t *cluster;
	const char *bootstrap;
} HarnessKafka;

/* What CONFIG says; harness_kafka_defaults fills it. */
typedef struct HarnessKafkaConfig
{
	const char *job;
	const char *bootstrap;
	const char *security_protocol;
	const char *sasl_mechanism;
	const char *sasl_password;
	const char *ssl_ca_file;
	const char *topic;
	const char *more; /* further members of the object, each with a comma before it */
	int plaintext_anywhere;
	int linger_ms;
	int message_timeout_ms;
	int max_message_bytes;
	int max_queue_messages;
	int max_queue_bytes;
	int connect_timeout_ms;
	int transactional;
} HarnessKafkaConfig;

/* A cluster of so many brokers with one topic "t" of so many partitions. */
extern void harness_kafka_start(HarnessKafka *kafka, int brokers, int partitions);
extern void harness_kafka_stop(HarnessKafka *kafka);

/* The job kafka_produce to topic "t" of this cluster. */
extern HarnessKafkaConfig harness_kafka_defaults(const HarnessKafka *kafka);

/* harness_start, HELLO both ways and CONFIG. */
extern void harness_kafka_begin(Harness *harness, const HarnessKafkaConfig *config);

/* A message with nothing of its own but row, key and value; NULL is NULL. */
extern KsegMessage harness_message(uint64_t row, const char *key, const char *value);

/* Send messages as one frame. */
extern void harness_feed_messages(Harness *harness, const KsegMessage *messages, uint32_t count);

/* Send messages of rows first … without keys, whose values are their numbers, in frames of at most 1,000. */
extern void harness_feed_numbers(Harness *harness, uint64_t first, uint32_t count, int32_t partition);

/* REJECTED's parts; the message's texts live until harness_stop. */
typedef struct HarnessRejected
{
	uint64_t row;
	int32_t status;
	char words[512];
	KsegMessage message;
} HarnessRejected;

extern HarnessRejected harness_expect_rejected(Harness *harness);

/*
 * The first count messages of a topic, by partition and offset. Once for a cluster; they end with harness_kafka_free, before
 * harness_kafka_stop.
 */
extern void harness_kafka_read(HarnessKafka *kafka, const char *topic, int partitions,
                               rd_kafka_message_t **messages, int count);
extern void harness_kafka_free(rd_kafka_message_t **messages, int count);

/* Are the values of these messages, in this order, "1" … count, each once? */
extern bool harness_kafka_is_in_order(rd_kafka_message_t **messages, int count);

#endif /* KSEG_TEST_HARNESS_KAFKA_H */
