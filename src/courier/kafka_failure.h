/*
 * kafka_failure.h
 *	  Errors of librdkafka and of brokers, sorted, and the words for what ends a run.
 */
#ifndef KSEG_COURIER_KAFKA_FAILURE_H
#define KSEG_COURIER_KAFKA_FAILURE_H

#include "courier/kafka_client.h"

/*
 * What kind of thing this error is, when it ends a run: AUTH, CONFIG (TLS), REFUSED (trying again cannot change it: no such
 * topic, a fatal error), GAP (an offset that is not there), EXHAUSTED (the environment's: all others, tries are over by then).
 */
extern KsegFailure kafka_failure_sort(rd_kafka_resp_err_t error);

/* Is this the message's own fault, wherever it is sent: its size, its content, its timestamp? */
extern bool kafka_failure_is_own(rd_kafka_resp_err_t error);

/* There is no such topic, or it cannot be one. */
extern bool kafka_failure_is_topic(rd_kafka_resp_err_t error);

/*
 * End the run, unless something has ended it before: with the sort of error, message ("could not …", may be NULL: one that fits
 * the sort), detail "librdkafka says: words" (NULL: what the client knows of it) and a hint that fits. An error that has ended
 * the handle for good takes error's place.
 */
extern void kafka_failure_set(KsegKafkaClient *client, rd_kafka_resp_err_t error, const char *words,
                              const char *message);

/* End the run: topic is not there, or this role may not see it. */
extern void kafka_failure_set_no_topic(KsegKafkaClient *client, rd_kafka_resp_err_t error, const char *topic);

/* What to do about an error, as a hint; never NULL. For tests of a server as well. */
extern const char *kafka_failure_hint(const KsegKafkaClient *client, rd_kafka_resp_err_t error);

#endif /* KSEG_COURIER_KAFKA_FAILURE_H */
