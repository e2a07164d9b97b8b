/*
 * kafka_topic.h
 *	  Topics that messages go to: is there such a topic, and what does it refuse?
 *
 * Owns: librdkafka's topic handles, a bounded number of them. Refuses: to create a topic, whatever the brokers would allow.
 *
 * A broker refuses a batch as a whole for one record in it: a NULL key in a compacted topic, a timestamp too far ahead (an hour,
 * by default, from Kafka 4.0 on). So what a topic refuses is asked for before the first message goes there, and looked for in
 * each message: then the culprit is known, and nothing else is refused with it. A Kafka user without the right DescribeConfigs
 * on the topic does without (kafka_send.c says what then happens).
 */
#ifndef KSEG_COURIER_KAFKA_TOPIC_H
#define KSEG_COURIER_KAFKA_TOPIC_H

#include "courier/kafka_client.h"
#include "wire/wire_message.h"

/* Kafka's limit of a topic's name (org.apache.kafka.common.internals.Topic). */
#define KSEG_TOPIC_NAME_MAX 249

/*
 * Topics of one run that are kept at once: a handle with its partitions is some kilobytes in librdkafka. A run with more
 * forgets them all and asks again.
 */
#define KSEG_TOPICS_MAX 256

typedef struct KsegKafkaTopic
{
	char name[KSEG_TOPIC_NAME_MAX + 1];
	rd_kafka_topic_t *rkt;
	rd_kafka_resp_err_t error; /* why nothing can be sent there */
	/* What the topic refuses, as far as it may be known. */
	bool compacted;        /* messages without a key */
	int64_t before_max_ms; /* timestamps older than this, INT64_MAX: none */
	int64_t after_max_ms;  /* timestamps further ahead */
	int64_t batch_max;     /* batches of more bytes, 0: not known */
} KsegKafkaTopic;

typedef struct KsegKafkaTopics
{
	rd_kafka_t *rk;
	KsegKafkaTopic *topics[KSEG_TOPICS_MAX];
	size_t count;
	KsegKafkaTopic *last; /* the one that was asked for last */
} KsegKafkaTopics;

/* 1 to 249 characters of a-z, A-Z, 0-9, '.', '_', '-', and neither "." nor "..". */
extern bool kafka_topic_is_legal(KsegText name);

/* A topic with a legal name, nothing known of it yet. The caller's for the program's life. */
extern KsegKafkaTopic *kafka_topic_create(rd_kafka_t *rk, KsegText name);

/* The topic of this name, if it is known; NULL: ask for it. */
extern KsegKafkaTopic *kafka_topics_find(KsegKafkaTopics *topics, KsegText name);

/* The same, kept for kafka_topics_find. Topics that were found or added before are gone if there was no room. */
extern KsegKafkaTopic *kafka_topics_add(KsegKafkaTopics *topics, KsegText name);

/*
 * Ask the brokers for the topic until deadline_ms: blocks, for kafka_client_begin. Afterwards topic->error is what came of it:
 * NO_ERROR, one of kafka_failure_is_topic's, an authorization error, or what kept brokers from answering.
 */
extern void kafka_topic_ask(rd_kafka_t *rk, KsegKafkaTopic *topic, int64_t deadline_ms);

/* Ask until any broker answers: blocks, as kafka_topic_ask. */
extern rd_kafka_resp_err_t kafka_topic_ask_brokers(rd_kafka_t *rk, int64_t deadline_ms);

/*
 * Does the topic, or Kafka as such, refuse this message? Then its code is returned and words says why, as a sentence's part;
 * otherwise NO_ERROR. now_ms is the wall clock's.
 */
extern rd_kafka_resp_err_t kafka_topic_check(const KsegKafkaTopic *topic, const KsegMessage *message,
                                             int64_t now_ms, const char **words);

#endif /* KSEG_COURIER_KAFKA_TOPIC_H */
