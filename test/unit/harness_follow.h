/*
 * harness_follow.h
 *	  The job kafka_follow under test: what it is told, and what it has said so far.
 *
 * Owns: this job's part of CONFIG and the state of a follow: which partitions there are, how far each has come, whether every
 * record was the next one, the latest trouble.
 */
#ifndef KSEG_TEST_HARNESS_FOLLOW_H
#define KSEG_TEST_HARNESS_FOLLOW_H

#include "harness_kafka.h"
#include "wire/wire_follow.h"

#define HARNESS_PARTITIONS_MAX 64

/* What CONFIG says; harness_follow_defaults fills it. Topics and positions are JSON. */
typedef struct HarnessFollowConfig
{
	HarnessKafkaConfig common;
	const char *topics;
	const char *positions;
	const char *start;
	const char *group;
	int begun;
	int workers;
	int worker;
	int pending_bytes;
	int alive_ms;
} HarnessFollowConfig;

typedef struct HarnessFollow
{
	Harness harness;
	KsegWirePartition partitions[HARNESS_PARTITIONS_MAX]; /* topics point into the harness's frames */
	uint32_t count;
	int told;                             /* PARTITIONS frames */
	int64_t next[HARNESS_PARTITIONS_MAX]; /* behind the last record, or as PROGRESS says */
	int64_t end[HARNESS_PARTITIONS_MAX];  /* as PARTITIONS and PROGRESS say */
	int64_t records[HARNESS_PARTITIONS_MAX];
	bool ordered; /* every record is the one behind the last of its partition */
	int alive;    /* PROGRESS without a step */
	int troubles; /* TROUBLE frames */
	char trouble[400];
	bool failed; /* FAILED has come, and is the harness's next frame */
} HarnessFollow;

/* All of these topics of this cluster, from their beginning, by a single worker. */
extern HarnessFollowConfig harness_follow_defaults(const HarnessKafka *kafka, const char *topics);

/* harness_start, HELLO both ways and CONFIG. The follow ends with harness_stop. */
extern void harness_follow_begin(HarnessFollow *follow, const HarnessFollowConfig *config);

/* Take the next frame; FAILED is left for harness_expect_failed. Past deadline the program ends. */
extern void harness_follow_take(HarnessFollow *follow, int64_t deadline, const char *what);

/* Take frames until a condition holds, which is also its name in a failure. */
#define harness_follow_wait(follow, condition)                                                               \
	do                                                                                                       \
	{                                                                                                        \
		int64_t deadline_ = harness_now_ms() + HARNESS_WAIT_MS;                                              \
		while (!(condition))                                                                                 \
		{                                                                                                    \
			harness_follow_take(follow, deadline_, #condition);                                              \
			if ((follow)->failed && !(condition))                                                            \
				tap_die("FAILED instead of " #condition ": %s",                                              \
				        harness_expect_failed(&(follow)->harness).detail);                                   \
		}                                                                                                    \
	} while (0)

/* Take frames until FAILED. */
extern HarnessFailure harness_follow_expect_failed(HarnessFollow *follow);

/* The index of a partition, or -1. */
extern int harness_follow_index(const HarnessFollow *follow, const char *topic, int32_t partition);

/* Records of all partitions so far. */
extern int64_t harness_follow_records(const HarnessFollow *follow);

#endif /* KSEG_TEST_HARNESS_FOLLOW_H */
