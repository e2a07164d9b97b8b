/*
 * kafka_topics.c
 *	  The job kafka_topics: the names of all topics that this user may see, then DONE. For IMPORT FOREIGN SCHEMA.
 *
 * Owns: the list as a broker gave it. Refuses: to choose among topics. Each is a CHECK frame: check is the name, detail the
 * number of its partitions; a topic whose metadata a broker could not give (ok = no) has the broker's words there.
 */
#include <stdio.h>
#include <stdlib.h>

#include "courier/kafka_client.h"
#include "courier/kafka_failure.h"
#include "courier/memory.h"
#include "courier/wire_report.h"
#include "wire/wire_record.h"

typedef struct KafkaTopics
{
	KsegCourier *courier;
	KsegKafkaClient client;
	bool asked;
	/* Written by the client's thread, read when it has ended. */
	rd_kafka_resp_err_t error;
	const struct rd_kafka_metadata *metadata;
	int told;  /* topics that a frame has been put for */
	bool done; /* all of them */
} KafkaTopics;

/* In the client's thread. */
static void
topics_ask(void *argument)
{
	KafkaTopics *topics = argument;
	const KsegConfig *config = &topics->courier->config;

	topics->error = rd_kafka_metadata(topics->client.rk, 1, NULL, &topics->metadata,
	                                  (int) (config->connect_timeout_ms + config->request_timeout_ms));
}

static void *
topics_open(KsegCourier *courier)
{
	KafkaTopics *topics = memory_resize(NULL, sizeof(*topics));

	*topics = (KafkaTopics){.courier = courier};
	if (!kafka_client_open(&topics->client, courier, RD_KAFKA_CONSUMER, NULL, 0))
	{
		free(topics);
		return NULL;
	}
	return topics;
}

/* Errors and logs of the handle; a consumer that consumes nothing has no other events. */
static void
topics_drain(KafkaTopics *topics)
{
	rd_kafka_event_t *event;

	while ((event = kafka_client_next_event(&topics->client)) != NULL)
		rd_kafka_event_destroy(event);
}

static void
topics_tell(KafkaTopics *topics)
{
	KsegCourier *courier = topics->courier;

	/* A cluster may have a hundred thousand: what PostgreSQL has not read yet waits here, not in the output. */
	while (topics->told < topics->metadata->topic_cnt && wire_io_pending(&courier->io) < KSEG_RECORDS_PENDING)
	{
		const struct rd_kafka_metadata_topic *topic = &topics->metadata->topics[topics->told++];
		char partitions[16];

		snprintf(partitions, sizeof(partitions), "%d", topic->partition_cnt);
		if (topic->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			wire_report_check(&courier->io, &courier->secret, topic->topic, KSEG_CHECK_YES, partitions, "");
		else
			wire_report_check(&courier->io, &courier->secret, topic->topic, KSEG_CHECK_NO,
			                  rd_kafka_err2str(topic->err), "");
	}
	topics->done = topics->told == topics->metadata->topic_cnt;
}

static int64_t
topics_turn(void *state, int64_t now)
{
	KafkaTopics *topics = state;
	KsegKafkaClient *client = &topics->client;

	kafka_client_wake_up(client);
	topics_drain(topics);
	if (!topics->asked)
		topics->asked = kafka_client_begin(client, topics_ask, topics);
	if (topics->courier->failure.failure != 0 || topics->done)
		return KSEG_CLOCK_NEVER;
	if (kafka_client_is_working(client))
		return kafka_client_check_reached(client, now);
	if (topics->error != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		kafka_failure_set(client, topics->error, NULL, "could not list the topics");
		return KSEG_CLOCK_NEVER;
	}
	kafka_client_set_reached(client);
	topics_tell(topics);
	return KSEG_CLOCK_NEVER;
}

static bool
topics_is_full(const void *state)
{
	(void) state;
	return false;
}

static bool
topics_is_settled(const void *state)
{
	const KafkaTopics *topics = state;

	return topics->done;
}

static void
topics_report(void *state)
{
	(void) state;
}

static void
topics_wait(void *state, int wire_fd, short wire_events, int wait_ms)
{
	KafkaTopics *topics = state;

	kafka_client_wait(&topics->client, wire_fd, wire_events, wait_ms);
}

const KsegJob kafka_topics_job = {.name = "kafka_topics",
                                  .takes_events = false,
                                  .open = topics_open,
                                  .is_full = topics_is_full,
                                  .turn = topics_turn,
                                  .is_settled = topics_is_settled,
                                  .report = topics_report,
                                  .wait = topics_wait};
