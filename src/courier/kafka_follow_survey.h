/*
 * kafka_follow_survey.h
 *	  What brokers say of the topics that are followed: which there are, with which partitions, and their offsets.
 *
 * Owns: the questions, all of which block, and the answers until the loop has taken them. Refuses: to run in the loop's thread
 * (kafka_client_begin), to change the set, and to decide what an answer means (kafka_follow_found.c does).
 *
 * Offsets are asked for leader by leader, so that one leader that is away does not keep the others' partitions waiting; and when nobody
 * says which topics there are, brokers that lead none of them are asked.
 */
#ifndef KSEG_COURIER_KAFKA_FOLLOW_SURVEY_H
#define KSEG_COURIER_KAFKA_FOLLOW_SURVEY_H

#include "courier/kafka_follow_set.h"
#include "courier/kafka_follow_spare.h"

/* A topic as a broker describes it. */
typedef struct KsegFoundTopic
{
	char *name;
	rd_kafka_resp_err_t error; /* NO_ERROR: it is there */
	int32_t partition_count;
	int32_t *leaders; /* of each partition; -1 none at the moment */
} KsegFoundTopic;

/* Offsets that are asked for. */
typedef struct KsegFollowAsk
{
	const char *topic;
	int32_t partition;
	int32_t leader;
	KsegFollowPartition *followed; /* NULL: a new one */
	int64_t low;
	int64_t end;
	int64_t timed;             /* the first offset of plan->start_ms or later, negative: none */
	int64_t marked;            /* the first offset of mark_ms or later, negative: none */
	rd_kafka_resp_err_t error; /* NO_ERROR: all of these are known */
} KsegFollowAsk;

typedef struct KsegFollowSurvey
{
	/* given; they outlive the work */
	const KsegFollowPlan *plan;
	const KsegFollowSet *set;
	int64_t mark_ms; /* the wall clock's, when the survey begins */
	bool verify;     /* look whether topics are still those that they were */

	/* found */
	rd_kafka_resp_err_t error; /* no broker told about topics */
	KsegFoundTopic *topics;    /* those that are asked for, named ones that there are not, too */
	uint32_t topic_count;
	KsegFollowAsk *asks; /* new partitions, and those that are lost */
	uint32_t ask_count;
	bool verified;
	KsegFollowPartition *anew; /* its topic is another one now; NULL: none has been found */

	KsegFollowSpare spare; /* of the newest answer, for when there is none */
} KsegFollowSurvey;

/* Work for kafka_client_begin, argument a KsegFollowSurvey. What an earlier one has found is freed first. */
extern void follow_survey_ask(void *argument);

/* What was found of this topic, or NULL. */
extern const KsegFoundTopic *follow_survey_topic(const KsegFollowSurvey *survey, const char *name);

#endif /* KSEG_COURIER_KAFKA_FOLLOW_SURVEY_H */
