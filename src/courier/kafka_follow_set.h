/*
 * kafka_follow_set.h
 *	  The topics and partitions that are followed, and how far each has come.
 *
 * Owns: librdkafka's topic handles, for the program's life, and the numbers (index) by which PostgreSQL knows a partition. Refuses:
 * to forget one: an index never changes.
 *
 * Changed by the loop's thread alone, and only grows while the client's thread is not at work, which reads it (kafka_follow_survey.c).
 */
#ifndef KSEG_COURIER_KAFKA_FOLLOW_SET_H
#define KSEG_COURIER_KAFKA_FOLLOW_SET_H

#include <librdkafka/rdkafka.h>

#include "courier/kafka_follow_plan.h"

struct KsegFollowTopic;

typedef struct KsegFollowPartition
{
	struct KsegFollowTopic *topic;
	int32_t partition;
	uint32_t index;
	int64_t low;   /* first offset that was there when it was taken up */
	int64_t start; /* first offset that PostgreSQL wants */
	int64_t next;  /* nothing before it will be handed over any more */
	int64_t end;   /* of what can be read, as last heard */

	/* the last message that was settled before: what comes at its offset must have its time; or none (any more) */
	int64_t seen_offset;
	int64_t seen_time;

	bool at_end; /* librdkafka has said that there is no more, and nothing has come since */
	/*
	 * librdkafka's position can be trusted: what it gave last was a message. Later releases (2.8.0) count an error, and the end of a
	 * partition is one, as if it were a message: their position is then one too far.
	 */
	bool placed;
	bool lost; /* the broker says that it does not have what comes next: to be asked about */
	int64_t
	    beyond_ms; /* since when the log has been said to end before next; KSEG_FOLLOW_NONE: it does not */

	/* for the client's thread while it is at work: set before, looked at after */
	bool asked;           /* it is lost, and asked about */
	int64_t asked_next;   /* next */
	int64_t asked_remark; /* a mark_first for the time of the survey; KSEG_FOLLOW_NONE: none was asked for */

	/* what PostgreSQL knows */
	int64_t told_next;
	int64_t told_end;
	bool touched; /* is in the list of those that may have to be told */

	/* no message of mark_ms or later lies before mark_first: kafka_follow_survey.h */
	int64_t mark_ms;
	int64_t mark_first;
} KsegFollowPartition;

typedef struct KsegFollowTopic
{
	char *name;
	rd_kafka_topic_t *rkt;
	KsegFollowPartition **by_number; /* of every number below numbers; NULL where it is not followed */
	int32_t numbers;
	int64_t
	    missing_ms; /* since when brokers have said that there is no such topic; KSEG_FOLLOW_NONE: there is */
} KsegFollowTopic;

typedef struct KsegFollowSet
{
	rd_kafka_t *rk;
	KsegFollowTopic **topics;
	uint32_t topic_count;
	KsegFollowPartition **partitions; /* by index */
	uint32_t count;
	size_t name_bytes; /* of the topics' names together */
} KsegFollowSet;

/* The topic of this name, or NULL. */
extern KsegFollowTopic *follow_set_topic(const KsegFollowSet *set, const char *name);

/* The same, made if there is none yet; NULL: no topic can have this name. */
extern KsegFollowTopic *follow_set_add_topic(KsegFollowSet *set, const char *name);

/* A partition that is followed, or NULL. */
extern KsegFollowPartition *follow_set_partition(const KsegFollowTopic *topic, int32_t partition);

/* A new one. The caller fills in where it begins. */
extern KsegFollowPartition *follow_set_add_partition(KsegFollowSet *set, KsegFollowTopic *topic,
                                                     int32_t partition);

#endif /* KSEG_COURIER_KAFKA_FOLLOW_SET_H */
