/*
 * topic_batch.h
 *	  A batch: the records that one turn of a stream applies, in the order in which they came.
 *
 * Owns: the bytes of the records and where each of them begins. Refuses: to know what is done with them. The order within a partition is
 * the log's.
 */
#ifndef KSEG_TOPIC_BATCH_H
#define KSEG_TOPIC_BATCH_H

#include "postgres.h"

#include "wire/wire_record.h"

typedef struct KsegTopicChunk KsegTopicChunk; /* bytes of frames; topic_batch.c's */

typedef struct KsegTopicBatch
{
	MemoryContext context; /* of the bytes; topic_batch_reset keeps what the next batch is likely to need */
	uint32 fields;         /* of each record */
	int count;
	int room;              /* of records */
	const uint8 **records; /* where each begins; count of them */
	Size bytes;
	KsegTopicChunk *chunks;  /* in the order in which they are filled */
	KsegTopicChunk *filling; /* NULL: the first one is not there yet */
} KsegTopicBatch;

/* An empty batch of records with so many fields, in a context of its own under the current one: delete that to free it. */
extern KsegTopicBatch *topic_batch_create(uint32 fields);

/* Forget the records; what is kept of the memory is for the next ones. */
extern void topic_batch_reset(KsegTopicBatch *batch);

/* Append the records of a RECORDS frame (copied). ERROR XX000 when it is none of kseg's. */
extern void topic_batch_add(KsegTopicBatch *batch, const KsegFrame *frame);

/* The index-th record. It lives until topic_batch_reset. */
extern void topic_batch_get(const KsegTopicBatch *batch, int index, KsegRecord *record);

#endif /* KSEG_TOPIC_BATCH_H */
