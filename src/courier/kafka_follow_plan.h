/*
 * kafka_follow_plan.h
 *	  What kafka_follow is asked to do: the keys of CONFIG that only it has, checked.
 *
 * Owns: the topics with their regular expressions, and the positions to begin at. Refuses: to have defaults (kseg.so sends every
 * key) and to ask a broker.
 */
#ifndef KSEG_COURIER_KAFKA_FOLLOW_PLAN_H
#define KSEG_COURIER_KAFKA_FOLLOW_PLAN_H

#include <regex.h>

#include "courier/kafka_consume_plan.h"

/* No offset, no time. */
#define KSEG_FOLLOW_NONE (-1)

/* A topic by name, or all topics whose names match. */
typedef struct KsegFollowSelector
{
	const char *text;
	bool is_pattern; /* a POSIX extended regular expression: begins with ^ */
	regex_t pattern;
} KsegFollowSelector;

/* Where a partition is to be read on. */
typedef struct KsegFollowPosition
{
	const char *topic;
	int32_t partition;
	int64_t next;
	int64_t seen_offset; /* of the last message that was settled, and its time in ms; or none */
	int64_t seen_time;
} KsegFollowPosition;

/* Where a partition begins that was there when the stream was made, and has no position. */
typedef enum KsegFollowStart
{
	KSEG_FOLLOW_EARLIEST,
	KSEG_FOLLOW_LATEST,
	KSEG_FOLLOW_TIMESTAMP
} KsegFollowStart;

typedef struct KsegFollowPlan
{
	KsegConsumePlan fields; /* its format and wants */
	KsegFollowSelector *selectors;
	uint32_t selector_count;
	bool has_patterns;
	KsegFollowPosition *positions; /* sorted by topic and partition */
	uint32_t position_count;
	bool begun; /* what has no position begins at its first message, whatever start says */
	KsegFollowStart start;
	int64_t start_ms;
	uint32_t workers;
	uint32_t worker;
	const char *commit_group; /* "" none */
	int64_t pending_bytes;    /* of encoded frames that are held ready */
	int64_t discovery_ms;
	int64_t alive_ms;
} KsegFollowPlan;

/* As consume_plan_read. */
extern bool follow_plan_read(KsegFollowPlan *plan, struct json_object *config, char *problem, size_t room);

/* Frees what the plan has made. May be called twice. */
extern void follow_plan_close(KsegFollowPlan *plan);

/*
 * Is this topic asked for? Kafka's own topics (their names begin with "__") match a regular expression only when that begins with
 * "^__", too: ^.* means the user's.
 */
extern bool follow_plan_has_topic(const KsegFollowPlan *plan, const char *topic);

/* Is this partition this worker's? */
extern bool follow_plan_has_partition(const KsegFollowPlan *plan, const char *topic, int32_t partition);

/* Its position, or NULL. */
extern const KsegFollowPosition *follow_plan_position(const KsegFollowPlan *plan, const char *topic,
                                                      int32_t partition);

#endif /* KSEG_COURIER_KAFKA_FOLLOW_PLAN_H */
