/*
 * topic_import_sample.h
 *	  The newest messages of a topic, looked at.
 *
 * Owns: how many are read and where, and which of their parts. Refuses: to keep them.
 */
#ifndef KSEG_TOPIC_IMPORT_SAMPLE_H
#define KSEG_TOPIC_IMPORT_SAMPLE_H

#include "postgres.h"

#include "server/kafka_server.h"
#include "source/topic_import_shape.h"

/* What the statement's options say about a foreign table; NULL: not said. */
typedef struct KsegImportOptions
{
	int sample; /* messages of a topic */
	char *format;
	char *on_error;
	char *delimiter; /* csv */
	char *quote;
	char *null;
} KsegImportOptions;

/*
 * Read a sample of the topic, which has so many partitions, in a memory context of its own: the shape lies in the current one.
 * ERRORs as topic_read_next.
 */
extern KsegImportShape *import_sample_read(const KsegKafkaServer *server, const char *topic, int partitions,
                                           const KsegImportOptions *options);

#endif /* KSEG_TOPIC_IMPORT_SAMPLE_H */
