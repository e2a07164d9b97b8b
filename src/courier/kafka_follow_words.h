/*
 * kafka_follow_words.h
 *	  How a follow ends: messages that are gone, another topic of the same name, no access.
 *
 * Owns: the words. Refuses: to decide. The first reason is kept, as failure_set does.
 */
#ifndef KSEG_COURIER_KAFKA_FOLLOW_WORDS_H
#define KSEG_COURIER_KAFKA_FOLLOW_WORDS_H

#include "courier/kafka_client.h"
#include "courier/kafka_follow_set.h"

/* The partition has now the offsets from low to end (exclusive), and wanted is not among them. */
extern void follow_words_gap(KsegKafkaClient *client, const char *topic, int32_t partition, int64_t wanted,
                             int64_t low, int64_t end);

/* Brokers say that there is no such topic, or no such partition of it (then it has partition_count of them). */
extern void follow_words_gone(KsegKafkaClient *client, const char *topic, int32_t partition, int64_t wanted,
                              int32_t partition_count);

/* At the offset of the message that was settled last is one of another time. */
extern void follow_words_anew(KsegKafkaClient *client, const KsegFollowPartition *partition, int64_t time_ms);

/* Messages before mark_first have times after mark_ms, which were not there when it was marked. */
extern void follow_words_changed(KsegKafkaClient *client, const KsegFollowPartition *partition);

/* The Kafka user may not read the topic, or error says why it cannot be one. */
extern void follow_words_denied(KsegKafkaClient *client, const char *topic, rd_kafka_resp_err_t error);

/* This librdkafka cannot read what comes next. */
extern void follow_words_unreadable(KsegKafkaClient *client, const KsegFollowPartition *partition,
                                    rd_kafka_resp_err_t error, const char *words);

#endif /* KSEG_COURIER_KAFKA_FOLLOW_WORDS_H */
