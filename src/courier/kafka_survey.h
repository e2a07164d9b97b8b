/*
 * kafka_survey.h
 *	  What brokers tell about themselves, asked for one thing after the other.
 *
 * Owns: the answers. Refuses: to judge them (kafka_test.c does), and to hide an error: each answer has its own.
 */
#ifndef KSEG_COURIER_KAFKA_SURVEY_H
#define KSEG_COURIER_KAFKA_SURVEY_H

#include "courier/kafka_client.h"

/* Brokers that are asked one by one; a cluster of more is told of by number. */
#define KSEG_SURVEY_BROKERS_MAX 32

typedef struct KsegSurveyBroker
{
	int32_t id;
	rd_kafka_resp_err_t error; /* what came of asking it */
	char version[64];          /* inter.broker.protocol.version, "" when it has none or does not say */
	bool described;            /* it has told its configuration */
} KsegSurveyBroker;

typedef struct KsegSurvey
{
	rd_kafka_t *rk;
	int64_t reach_ms;  /* the first answer must come by then */
	int64_t answer_ms; /* how long every other one may take */

	rd_kafka_resp_err_t error; /* of the first answer; if it is not NO_ERROR, nothing else was asked */
	const struct rd_kafka_metadata *metadata;
	char *cluster;      /* NULL: the brokers do not say */
	int32_t controller; /* -1: the brokers do not say */
	KsegSurveyBroker brokers[KSEG_SURVEY_BROKERS_MAX];
	int broker_count;
	const char *topic; /* whose configuration was asked for, NULL: there is none */
	rd_kafka_resp_err_t topic_error;
	_Atomic bool reached; /* the first answer has come */
} KsegSurvey;

/* Ask all of it: blocks, for kafka_client_begin. argument is a KsegSurvey whose first three members are set. */
extern void kafka_survey_ask(void *argument);

#endif /* KSEG_COURIER_KAFKA_SURVEY_H */
