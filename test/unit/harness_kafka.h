/*
 * harness_kafka.h
 *	  Brokers for a courier under test: librdkafka's mock cluster, in the test's own process.
 *
 * Owns: the cluster, its topics and what is put into them, what CONFIG says of every job of Kafka, frames of messages and of
 * records, and reading back what has arrived. What one job alone needs has a file of its own: harness_consume.h, harness_follow.h.
 * For cases of the wire: errors that a broker answers, a broker that is gone. The mock knows no configurations of topics, and keeps
 * 5 MB of a partition.
 */
#ifndef KSEG_TEST_HARNESS_KAFKA_H
#define KSEG_TEST_HARNESS_KAFKA_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "harness.h"
#include "wire/wire_message.h"
#include "wire/wire_record.h"

/* Kafka's numbers of requests, for rd_kafka_mock_push_request_errors. */
#define HARNESS_API_PRODUCE          0
#define HARNESS_API_FETCH            1
#define HARNESS_API_LIST_OFFSETS     2
#define HARNESS_API_METADATA         3
#define HARNESS_API_INIT_PRODUCER_ID 22

/* The time of every message that harness_kafka_put puts. */
#define HARNESS_MESSAGE_MS 1785587696000

typedef struct HarnessKafka
{
	rd_kafka_t *rk;
	rd_kafka_t *producer; /* harness_kafka_put's */
	rd_kafka_t *consumer; /* harness_kafka_read's */
	rd_kafka_mock_cluster_t *cluster;
	const char *bootstrap;
	int brokers;
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
	int request_timeout_ms;
	int transactional;
} HarnessKafkaConfig;

/* A cluster of so many brokers with one topic "t" of so many partitions. */
extern void harness_kafka_start(HarnessKafka *kafka, int brokers, int partitions);
extern void harness_kafka_stop(HarnessKafka *kafka);

/* One more topic, which every broker has. */
extern void harness_kafka_topic(const HarnessKafka *kafka, const char *topic, int partitions);

/* Take every broker away, or bring all back. */
extern void harness_kafka_set_down(const HarnessKafka *kafka, bool down);

/* ---------- messages put into topics ---------- */

/* One message; key and value may be NULL, and so may headers, which are the message's from here on. */
extern void harness_kafka_put(HarnessKafka *kafka, const char *topic, int32_t partition, const char *key,
                              const void *value, size_t length, rd_kafka_headers_t *headers);

/* Wait until all that was put is in its topic. */
extern void harness_kafka_flush(HarnessKafka *kafka);

/* Put count messages {"n": 0}, {"n": 1} … without keys into a partition, and wait for them. */
extern void harness_kafka_fill(HarnessKafka *kafka, const char *topic, int32_t partition, int count);

/* ---------- CONFIG ---------- */

/* The job kafka_produce to topic "t" of this cluster. */
extern HarnessKafkaConfig harness_kafka_defaults(const HarnessKafka *kafka);

/* harness_start, HELLO both ways and CONFIG. */
extern void harness_kafka_begin(Harness *harness, const HarnessKafkaConfig *config);

/* CONFIG alone. */
extern void harness_kafka_send_config(Harness *harness, const HarnessKafkaConfig *config);

/* ---------- messages to the courier ---------- */

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

/* ---------- records from the courier ---------- */

/* A frame of RECORDS that is being gone through. */
typedef struct HarnessRecords
{
	KsegReader reader;
	uint32_t left;
	uint32_t fields; /* of each record */
} HarnessRecords;

/* Begin with a frame. One without any record ends the program: the courier sends none. */
extern HarnessRecords harness_records_of(const HarnessFrame *frame);

/*
 * The next record, which points into the frame, or false behind the last one. What is no record, and a frame that goes on behind
 * the last one, end the program.
 */
extern bool harness_records_next(HarnessRecords *records, KsegRecord *record);

/* ---------- reading topics back ---------- */

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
