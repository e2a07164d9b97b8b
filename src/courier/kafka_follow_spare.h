/*
 * kafka_follow_spare.h
 *	  Brokers that lead nothing that is followed: the ones to ask when a leader does not answer.
 *
 * Owns: which they are, and the connection to one of them. Refuses: to run in the loop's thread (all of it is a survey's).
 *
 * librdkafka (2.0.2 to 2.14.2) connects to brokers that it needs: the leaders. It asks for topics where nothing is waited for, else anywhere
 * (rd_kafka_broker_weight_usable in rdkafka_broker.c). Of one leader that stands still, with its connection alive, it knows no other
 * broker to ask who leads now: a stream would wait until the Fetch there is given up, "request_timeout" seconds. Connected to a spare one it
 * asks that.
 */
#ifndef KSEG_COURIER_KAFKA_FOLLOW_SPARE_H
#define KSEG_COURIER_KAFKA_FOLLOW_SPARE_H

#include <stdbool.h>

#include <librdkafka/rdkafka.h>

/* One that answers is enough; two more, for the first ones may be down. */
#define KSEG_FOLLOW_SPARES_MOST 3

/* All brokers of the newest answer, and those of them that are spare. */
typedef struct KsegFollowSpare
{
	int32_t *brokers;
	uint32_t count;
	int32_t spares[KSEG_FOLLOW_SPARES_MOST];
	uint32_t spare_count;
} KsegFollowSpare;

/* Take the brokers of an answer, each of them spare until follow_spare_lead says that it is not. */
extern void follow_spare_take(KsegFollowSpare *spare, const struct rd_kafka_metadata *metadata);

/* This broker leads something that is followed. */
extern void follow_spare_lead(KsegFollowSpare *spare, int32_t broker);

/* Choose among those that are left. */
extern void follow_spare_choose(KsegFollowSpare *spare);

/*
 * Ask the chosen ones something, so that librdkafka connects to them: blocks until one has answered, whatever it says. Returns whether one
 * has, in two seconds.
 */
extern bool follow_spare_reach(const KsegFollowSpare *spare, rd_kafka_t *rk);

#endif /* KSEG_COURIER_KAFKA_FOLLOW_SPARE_H */
