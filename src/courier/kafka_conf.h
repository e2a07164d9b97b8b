/*
 * kafka_conf.h
 *	  CONFIG to librdkafka's properties.
 *
 * Owns: the allow-list. What is not in its tables or in a job's settings cannot be set: librdkafka has properties that run
 * programs, load libraries, read files and reach hosts (hazards.md). Refuses: to ignore what librdkafka says to a value.
 */
#ifndef KSEG_COURIER_KAFKA_CONF_H
#define KSEG_COURIER_KAFKA_CONF_H

#include "courier/kafka_client.h"

/*
 * Properties of a handle of this type, those of all handles first. NULL: the courier's failure says why. The caller frees it
 * with rd_kafka_conf_destroy, unless rd_kafka_new has taken it.
 */
extern rd_kafka_conf_t *kafka_conf_create(KsegCourier *courier, rd_kafka_type_t type,
                                          const KsegKafkaSetting *settings, size_t count);

/* Has the security protocol TLS, has it SASL? */
extern bool kafka_conf_has_tls(const KsegConfig *config);
extern bool kafka_conf_has_sasl(const KsegConfig *config);

#endif /* KSEG_COURIER_KAFKA_CONF_H */
