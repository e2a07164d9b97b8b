/*
 * kafka_survey.c
 *	  Questions to brokers. See kafka_survey.h.
 */
#include "courier/kafka_survey.h"

#include <stdio.h>
#include <string.h>

#include "courier/kafka_describe.h"
#include "courier/kafka_topic.h"

/* ---------- configurations ---------- */

/* The resource of an answer, or NULL, and error. */
static const rd_kafka_ConfigResource_t *
survey_read_resource(rd_kafka_event_t *event, rd_kafka_resp_err_t *error)
{
	const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
	const rd_kafka_ConfigResource_t **resources;
	size_t count = 0;

	*error = rd_kafka_event_error(event);
	if (*error != RD_KAFKA_RESP_ERR_NO_ERROR || result == NULL)
		return NULL;
	resources = rd_kafka_DescribeConfigs_result_resources(result, &count);
	if (count == 0)
		return NULL;
	*error = rd_kafka_ConfigResource_error(resources[0]);
	return *error == RD_KAFKA_RESP_ERR_NO_ERROR ? resources[0] : NULL;
}

static void
survey_take_broker(KsegSurveyBroker *broker, rd_kafka_event_t *event)
{
	const rd_kafka_ConfigResource_t *resource = survey_read_resource(event, &broker->error);
	const rd_kafka_ConfigEntry_t **entries;
	size_t count;

	if (resource == NULL)
		return;
	broker->described = true;
	entries = rd_kafka_ConfigResource_configs(resource, &count);
	for (size_t i = 0; i < count; i++)
	{
		if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), "inter.broker.protocol.version") == 0 &&
		    rd_kafka_ConfigEntry_value(entries[i]) != NULL)
			snprintf(broker->version, sizeof(broker->version), "%s", rd_kafka_ConfigEntry_value(entries[i]));
	}
}

/* Each broker is asked for its own configuration, which only it can answer: so each is connected to. */
static void
survey_ask_brokers(KsegSurvey *survey)
{
	rd_kafka_queue_t *answers = rd_kafka_queue_new(survey->rk);

	for (int i = 0; i < survey->metadata->broker_cnt && i < KSEG_SURVEY_BROKERS_MAX; i++)
	{
		KsegSurveyBroker *broker = &survey->brokers[survey->broker_count++];
		char name[16];
		KsegKafkaDescribe describe = {.type = RD_KAFKA_RESOURCE_BROKER,
		                              .name = name,
		                              .broker = survey->metadata->brokers[i].id,
		                              .answer_ms = (int) survey->answer_ms,
		                              .opaque = broker};

		broker->id = describe.broker;
		broker->error = RD_KAFKA_RESP_ERR__TIMED_OUT;
		snprintf(name, sizeof(name), "%d", broker->id);
		kafka_describe(survey->rk, &describe, answers);
	}
	for (int i = 0; i < survey->broker_count; i++)
	{
		rd_kafka_event_t *event = rd_kafka_queue_poll(answers, (int) survey->answer_ms);

		if (event == NULL)
			break;
		survey_take_broker(rd_kafka_event_opaque(event), event);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(answers);
}

/* ---------- topics ---------- */

static const char *
survey_find_topic(const struct rd_kafka_metadata *metadata)
{
	for (int i = 0; i < metadata->topic_cnt; i++)
	{
		if (metadata->topics[i].err == RD_KAFKA_RESP_ERR_NO_ERROR &&
		    strncmp(metadata->topics[i].topic, "__", 2) != 0)
			return metadata->topics[i].topic;
	}
	return NULL;
}

static void
survey_ask_topic(KsegSurvey *survey)
{
	KsegKafkaDescribe describe = {.type = RD_KAFKA_RESOURCE_TOPIC,
	                              .name = survey->topic,
	                              .broker = survey->metadata->orig_broker_id,
	                              .answer_ms = (int) survey->answer_ms};
	rd_kafka_queue_t *answers = rd_kafka_queue_new(survey->rk);
	rd_kafka_event_t *event;

	survey->topic_error = RD_KAFKA_RESP_ERR__TIMED_OUT;
	kafka_describe(survey->rk, &describe, answers);
	event = rd_kafka_queue_poll(answers, (int) survey->answer_ms);
	if (event != NULL)
	{
		survey_read_resource(event, &survey->topic_error);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(answers);
}

void
kafka_survey_ask(void *argument)
{
	KsegSurvey *survey = argument;

	survey->error = kafka_topic_ask_brokers(survey->rk, survey->reach_ms);
	if (survey->error == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		atomic_store(&survey->reached, true);
		survey->error = rd_kafka_metadata(survey->rk, 1, NULL, &survey->metadata, (int) survey->answer_ms);
	}
	if (survey->error != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	survey->cluster = rd_kafka_clusterid(survey->rk, (int) survey->answer_ms);
	survey->controller = rd_kafka_controllerid(survey->rk, (int) survey->answer_ms);
	survey_ask_brokers(survey);
	survey->topic = survey_find_topic(survey->metadata);
	if (survey->topic != NULL)
		survey_ask_topic(survey);
}
