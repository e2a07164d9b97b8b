/*
 * kafka_consume_bounds.h
 *	  Which partitions of a topic are read, from which offset and up to which: found before the first message is.
 *
 * Owns: the questions to the brokers (metadata, offsets, the topic's kind of timestamps) and their answers. Refuses: to read
 * messages, and to run in the loop's thread: each question blocks until its broker answers (kafka_client_begin).
 *
 * The end of a read is the topic's end as of its start: with read_committed the last stable offset, so that a transaction
 * which stays open cannot hold up a query.
 */
#ifndef KSEG_COURIER_KAFKA_CONSUME_BOUNDS_H
#define KSEG_COURIER_KAFKA_CONSUME_BOUNDS_H

#include "courier/kafka_client.h"
#include "courier/kafka_consume_plan.h"

/* A partition and how far the read has come in it. low <= start <= end. */
typedef struct KsegConsumePartition
{
	int32_t partition;
	int64_t low;   /* first offset that is there */
	int64_t start; /* first offset to be read */
	int64_t end;   /* exclusive */
	/*
	 * Whatever has LogAppendTime from here on is too late for timestamp_to_ms, and so is what follows. A message with
	 * CreateTime lies there when the topic's kind of timestamps was changed: then the read goes on. INT64_MAX: no such limit.
	 */
	int64_t stop;
	int64_t next;    /* first offset that is not handed over */
	int64_t log_end; /* where the log was said to end, if that was before end; KSEG_CONSUME_NONE otherwise */
	bool done;
	bool stopped; /* librdkafka reads no further */
} KsegConsumePartition;

/* What could not be found out. */
typedef enum KsegBoundsProblem
{
	KSEG_BOUNDS_FOUND,
	KSEG_BOUNDS_TOPIC,    /* there is no such topic, or it may not be read */
	KSEG_BOUNDS_METADATA, /* no broker told about the topic */
	KSEG_BOUNDS_OFFSETS   /* no offsets of a partition, or of any (problem_partition KSEG_CONSUME_NONE) */
} KsegBoundsProblem;

/* Bytes of the names that a missing topic is compared with, kept for a hint. */
#define KSEG_NEAR_MAX 256

typedef struct KsegConsumeBounds
{
	/* given; they outlive the work */
	const KsegConsumePlan *plan;
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	int connect_timeout_ms;
	int request_timeout_ms; /* of all questions after the first */

	/* found */
	KsegConsumePartition *partitions; /* in the order of their numbers */
	uint32_t count;
	KsegBoundsProblem problem;
	rd_kafka_resp_err_t error;
	int32_t problem_partition;
	char near[KSEG_NEAR_MAX]; /* the topic that was perhaps meant, or "" */
} KsegConsumeBounds;

/* Find them: work for kafka_client_begin, argument a KsegConsumeBounds. */
extern void consume_bounds_find(void *argument);

/*
 * Is the topic still there? Work as consume_bounds_find, for when nothing comes: librdkafka only logs that a topic has gone.
 * problem is KSEG_BOUNDS_TOPIC when it is not, when it may not be read any more or has fewer partitions; a broker that does not
 * answer is none.
 */
extern void consume_bounds_check(void *argument);

/* Tell PostgreSQL: a BOUNDS frame with every partition that was asked for, empty ones too. */
extern void consume_bounds_report(const KsegConsumeBounds *bounds, KsegWireIo *io);

/* What to do when messages are gone that were to be read. */
#define KSEG_CONSUME_GAP_HINT                                                                                \
	"Retention, DeleteRecords or a topic made anew took away what this query had still to read. Run it "     \
	"again."

/* End the run with the problem that there is. */
extern void consume_bounds_fail(const KsegConsumeBounds *bounds, KsegKafkaClient *client);

/*
 * Cut what the offsets of a partition say to what the plan wants: limits, tail. low and end are the partition's own; start is
 * set, and end lowered. What comes out holds low <= start <= end.
 */
extern void consume_bounds_cut(const KsegConsumePlan *plan, KsegConsumePartition *partition);

#endif /* KSEG_COURIER_KAFKA_CONSUME_BOUNDS_H */
