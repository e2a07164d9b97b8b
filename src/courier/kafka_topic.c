/*
 * kafka_topic.c
 *	  Topics and what they refuse. See kafka_topic.h.
 */
#include "courier/kafka_topic.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "courier/kafka_describe.h"

/*
 * A topic that was made a moment ago may not be known to the broker that is asked: brokers learn of it within milliseconds, a
 * loaded one within some hundred. So "no such topic" counts after this time, asked every TOPIC_AGAIN_MS.
 */
#define TOPIC_UNKNOWN_MS 1000
#define TOPIC_AGAIN_MS   50

/* How long the question for a topic's configuration may take: one answer of a broker that has just answered. */
#define TOPIC_CONFIG_MS 5000

/* ---------- the cache ---------- */

bool
kafka_topic_is_legal(KsegText name)
{
	static const char legal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	if (name.length == 0 || name.length > KSEG_TOPIC_NAME_MAX)
		return false;
	for (uint32_t i = 0; i < name.length; i++)
	{
		if (name.data[i] == '\0' || strchr(legal, name.data[i]) == NULL)
			return false;
	}
	return name.data[0] != '.' || !(name.length == 1 || (name.length == 2 && name.data[1] == '.'));
}

static bool
topic_has_name(const KsegKafkaTopic *topic, KsegText name)
{
	return strlen(topic->name) == name.length && memcmp(topic->name, name.data, name.length) == 0;
}

KsegKafkaTopic *
kafka_topics_find(KsegKafkaTopics *topics, KsegText name)
{
	if (topics->last != NULL && topic_has_name(topics->last, name))
		return topics->last;
	for (size_t i = 0; i < topics->count; i++)
	{
		if (topic_has_name(topics->topics[i], name))
			return topics->last = topics->topics[i];
	}
	return NULL;
}

/* librdkafka itself keeps what it needs for messages that are still under way. */
static void
topics_forget(KsegKafkaTopics *topics)
{
	for (size_t i = 0; i < topics->count; i++)
	{
		if (topics->topics[i]->rkt != NULL)
			rd_kafka_topic_destroy(topics->topics[i]->rkt);
		free(topics->topics[i]);
	}
	topics->count = 0;
	topics->last = NULL;
}

KsegKafkaTopic *
kafka_topic_create(rd_kafka_t *rk, KsegText name)
{
	KsegKafkaTopic *topic = memory_resize(NULL, sizeof(*topic));

	*topic = (KsegKafkaTopic){.before_max_ms = INT64_MAX, .after_max_ms = INT64_MAX};
	memcpy(topic->name, name.data, name.length);
	topic->rkt = rd_kafka_topic_new(rk, topic->name, NULL);
	if (topic->rkt == NULL)
		topic->error = rd_kafka_last_error();
	return topic;
}

KsegKafkaTopic *
kafka_topics_add(KsegKafkaTopics *topics, KsegText name)
{
	if (topics->count == KSEG_TOPICS_MAX)
		topics_forget(topics);
	return topics->last = topics->topics[topics->count++] = kafka_topic_create(topics->rk, name);
}

/* ---------- asking ---------- */

/* Errors that say nothing of the topic but that a broker could not be asked now. */
static bool
topic_ask_again(rd_kafka_resp_err_t error)
{
	return error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__TIMED_OUT ||
	       error == RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE;
}

/* One question. LEADER_NOT_AVAILABLE is a topic, too: librdkafka waits for its leader. broker: who has answered. */
static rd_kafka_resp_err_t
topic_ask_metadata(rd_kafka_t *rk, const KsegKafkaTopic *topic, int timeout_ms, int32_t *broker)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t error = rd_kafka_metadata(rk, 0, topic->rkt, &metadata, timeout_ms);

	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		return error;
	*broker = metadata->orig_broker_id;
	error = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	rd_kafka_metadata_destroy(metadata);
	return error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ? RD_KAFKA_RESP_ERR_NO_ERROR : error;
}

static void
topic_pause(void)
{
	struct timespec pause = {.tv_nsec = TOPIC_AGAIN_MS * 1000000};

	nanosleep(&pause, NULL);
}

static int
topic_left_ms(int64_t deadline_ms)
{
	int64_t left = deadline_ms - clock_now_ms();

	return left > 0 ? (int) left : 0;
}

/* Returns who has answered. */
static int32_t
topic_ask_until(rd_kafka_t *rk, KsegKafkaTopic *topic, int64_t deadline_ms)
{
	int32_t broker = -1;
	int64_t unknown_ms = INT64_MAX; /* when "no such topic" will count */

	for (;;)
	{
		topic->error = topic_ask_metadata(rk, topic, topic_left_ms(deadline_ms), &broker);
		if (topic->error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
			unknown_ms = unknown_ms == INT64_MAX ? clock_now_ms() + TOPIC_UNKNOWN_MS : unknown_ms;
		else if (!topic_ask_again(topic->error))
			return broker;
		if (topic_left_ms(deadline_ms) == 0 || clock_now_ms() >= unknown_ms)
			return broker;
		topic_pause();
	}
}

rd_kafka_resp_err_t
kafka_topic_ask_brokers(rd_kafka_t *rk, int64_t deadline_ms)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t error;

	/* No topics: the handle has none of its own yet. */
	while ((error = rd_kafka_metadata(rk, 0, NULL, &metadata, topic_left_ms(deadline_ms))) !=
	       RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (!topic_ask_again(error) || topic_left_ms(deadline_ms) == 0)
			return error;
		topic_pause();
	}
	rd_kafka_metadata_destroy(metadata);
	return error;
}

/* ---------- the topic's configuration ---------- */

static int64_t
topic_read_number(const char *value, int64_t otherwise)
{
	char *end;
	long long number = strtoll(value, &end, 10);

	return *value != '\0' && *end == '\0' && number >= 0 ? number : otherwise;
}

static void
topic_take_limit(KsegKafkaTopic *topic, const char *name, const char *value)
{
	int64_t number = topic_read_number(value, INT64_MAX);

	if (strcmp(name, "cleanup.policy") == 0)
		topic->compacted = strstr(value, "compact") != NULL;
	else if (strcmp(name, "max.message.bytes") == 0)
		topic->batch_max = topic_read_number(value, 0);
	else if (strcmp(name, "message.timestamp.before.max.ms") == 0)
		topic->before_max_ms = number;
	else if (strcmp(name, "message.timestamp.after.max.ms") == 0)
		topic->after_max_ms = number;
	else if (strcmp(name, "message.timestamp.difference.max.ms") == 0 && number != INT64_MAX)
	{
		/* before 3.6 the one limit for both sides; in 3.6 to 3.9 it yields to the other two */
		topic->before_max_ms = topic->before_max_ms == INT64_MAX ? number : topic->before_max_ms;
		topic->after_max_ms = topic->after_max_ms == INT64_MAX ? number : topic->after_max_ms;
	}
}

static void
topic_take_config(KsegKafkaTopic *topic, const rd_kafka_ConfigResource_t *resource)
{
	size_t count;
	const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
	bool stamps = false; /* brokers overwrite timestamps, so none is wrong */

	if (rd_kafka_ConfigResource_error(resource) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	for (size_t i = 0; i < count; i++)
	{
		const char *name = rd_kafka_ConfigEntry_name(entries[i]);
		const char *value = rd_kafka_ConfigEntry_value(entries[i]);

		if (value == NULL)
			continue;
		topic_take_limit(topic, name, value);
		if (strcmp(name, "message.timestamp.type") == 0)
			stamps = strcmp(value, "LogAppendTime") == 0;
	}
	if (stamps)
		topic->before_max_ms = topic->after_max_ms = INT64_MAX;
}

/*
 * What cannot be had (no right, an old broker, no answer) is not known, and that is no error. The broker that has just answered
 * is asked: by itself librdkafka would wait for the controller, which there may not be for a while. A broker that answered before
 * its number was known (a bootstrap server's connection, -1) cannot be named; then it is the controller after all.
 */
static void
topic_ask_config(rd_kafka_t *rk, KsegKafkaTopic *topic, int32_t broker)
{
	KsegKafkaDescribe describe = {
	    .type = RD_KAFKA_RESOURCE_TOPIC, .name = topic->name, .broker = broker, .answer_ms = TOPIC_CONFIG_MS};
	rd_kafka_queue_t *answers = rd_kafka_queue_new(rk);
	rd_kafka_event_t *event;
	const rd_kafka_DescribeConfigs_result_t *result;

	kafka_describe(rk, &describe, answers);
	event = rd_kafka_queue_poll(answers, TOPIC_CONFIG_MS);
	result = event != NULL ? rd_kafka_event_DescribeConfigs_result(event) : NULL;
	if (result != NULL && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		size_t count;
		const rd_kafka_ConfigResource_t **resources =
		    rd_kafka_DescribeConfigs_result_resources(result, &count);

		if (count == 1)
			topic_take_config(topic, resources[0]);
	}
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(answers);
}

void
kafka_topic_ask(rd_kafka_t *rk, KsegKafkaTopic *topic, int64_t deadline_ms)
{
	int32_t broker;

	if (topic->rkt == NULL)
		return;
	broker = topic_ask_until(rk, topic, deadline_ms);
	if (topic->error == RD_KAFKA_RESP_ERR_NO_ERROR)
		topic_ask_config(rk, topic, broker);
}

/* ---------- checking ---------- */

rd_kafka_resp_err_t
kafka_topic_check(const KsegKafkaTopic *topic, const KsegMessage *message, int64_t now_ms, const char **words)
{
	int64_t time = message->timestamp;

	if (topic->compacted && message->key.data == NULL)
	{
		*words = "the topic is compacted, and takes no message without a key";
		return RD_KAFKA_RESP_ERR_INVALID_RECORD;
	}
	if (time == KSEG_NO_TIMESTAMP)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	if (time <= 0)
	{
		/* librdkafka takes 0 for "now". */
		*words = "a message's timestamp must be after 1970-01-01 00:00:00 UTC";
		return RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP;
	}
	if (time < now_ms && now_ms - time > topic->before_max_ms)
	{
		*words = "the timestamp is older than the topic takes (message.timestamp.before.max.ms)";
		return RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP;
	}
	if (time > now_ms && time - now_ms > topic->after_max_ms)
	{
		*words =
		    "the timestamp is further in the future than the topic takes (message.timestamp.after.max.ms)";
		return RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP;
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}
