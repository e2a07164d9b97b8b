/*
 * kafka_describe.h
 *	  The configuration of a broker or a topic, as one broker tells it.
 *
 * Owns: the question. Refuses: to wait for the answer, and to read it.
 */
#ifndef KSEG_COURIER_KAFKA_DESCRIBE_H
#define KSEG_COURIER_KAFKA_DESCRIBE_H

#include <librdkafka/rdkafka.h>

typedef struct KsegKafkaDescribe
{
	rd_kafka_ResourceType_t type;
	const char *name; /* a topic's, or a broker's number */
	int32_t broker;   /* which is asked; negative: the controller */
	int answer_ms;    /* how long it may take */
	void *opaque;     /* the answer's (rd_kafka_event_opaque) */
} KsegKafkaDescribe;

/*
 * Ask. The answer comes to this queue as an event of DescribeConfigs, for the caller to destroy: with an error of its resource when the
 * broker refuses it, with an error of its own when there is none in answer_ms. Does not block.
 */
extern void kafka_describe(rd_kafka_t *rk, const KsegKafkaDescribe *describe, rd_kafka_queue_t *answers);

#endif /* KSEG_COURIER_KAFKA_DESCRIBE_H */
