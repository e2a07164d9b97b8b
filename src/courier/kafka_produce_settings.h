/*
 * kafka_produce_settings.h
 *	  A producer's properties of librdkafka, from CONFIG.
 *
 * Owns: what makes a producer safe, whatever CONFIG says: idempotent, acknowledged by all in-sync replicas, keys where Java's
 * are; and how large its batches are.
 */
#ifndef KSEG_COURIER_KAFKA_PRODUCE_SETTINGS_H
#define KSEG_COURIER_KAFKA_PRODUCE_SETTINGS_H

#include "courier/kafka_client.h"

/* More than there are. */
#define KSEG_PRODUCE_SETTINGS_MAX 20

typedef struct KsegProduceSettings
{
	KsegKafkaSetting settings[KSEG_PRODUCE_SETTINGS_MAX];
	char numbers[KSEG_PRODUCE_SETTINGS_MAX][24]; /* the texts of those that are numbers */
	size_t count;
} KsegProduceSettings;

/* Bytes of a batch, before compression, for a topic of which nothing is known. */
extern int64_t produce_settings_batch(const KsegConfig *config);

/* Texts point into config and into settings itself, which must stay where it is. */
extern void produce_settings_fill(KsegProduceSettings *settings, const KsegConfig *config,
                                  int64_t batch_bytes);

#endif /* KSEG_COURIER_KAFKA_PRODUCE_SETTINGS_H */
