/*
 * kafka_follow_commit.h
 *	  Positions that PostgreSQL has stored, committed to a consumer group as well: for Kafka's own tools that show lag.
 *
 * Owns: what is to be committed, and the one commit that is under way. Refuses: to read from the group: where a stream goes on is
 * PostgreSQL's to say. A commit that fails is a trouble, and tried again with the next one.
 */
#ifndef KSEG_COURIER_KAFKA_FOLLOW_COMMIT_H
#define KSEG_COURIER_KAFKA_FOLLOW_COMMIT_H

#include "courier/kafka_follow_set.h"
#include "courier/kafka_follow_trouble.h"

typedef struct KsegFollowCommit
{
	KsegKafkaClient *client;
	const KsegFollowSet *set;
	KsegFollowTrouble *trouble;
	const char *group;         /* "" none */
	rd_kafka_queue_t *answers; /* NULL without a group */
	int64_t *next;             /* by index: to be committed; KSEG_FOLLOW_NONE nothing */
	uint32_t count;            /* of next */
	uint32_t waiting;          /* how many of them are to be committed */
	bool under_way;
} KsegFollowCommit;

extern void follow_commit_open(KsegFollowCommit *commit, KsegKafkaClient *client, const KsegFollowSet *set,
                               KsegFollowTrouble *trouble, const char *group);

/* Take a COMMITTED frame. False: it is none. Without a group it is looked at and forgotten. */
extern bool follow_commit_take(KsegFollowCommit *commit, const KsegFrame *frame);

/* Hear what came of the commit under way, and begin the next one. Each turn. */
extern void follow_commit_hear(KsegFollowCommit *commit);

#endif /* KSEG_COURIER_KAFKA_FOLLOW_COMMIT_H */
