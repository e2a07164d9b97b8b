/*
 * topic_reread.h
 *	  A message that is at hand, into a record as the courier would have made it of the same message.
 *
 * Owns: the message reader in this process, made of the wants that the courier would have got in CONFIG. For few messages: dead letters
 * that are replayed. Refuses: to know where messages come from, and what becomes of records.
 */
#ifndef KSEG_TOPIC_REREAD_H
#define KSEG_TOPIC_REREAD_H

#include "postgres.h"

#include "source/topic_batch.h"
#include "source/topic_read.h"

typedef struct KsegTopicReread KsegTopicReread;

/* A message as a topic holds it; headers are JSON in UTF-8, as the want "headers" gives them. data is NULL for NULL. */
typedef struct KsegTopicMessage
{
	int32 partition; /* of the record: in a feed, the index */
	int64 offset;
	int64 timestamp; /* ms since 1970, or KSEG_NO_TIMESTAMP */
	KsegText key;
	KsegText value;
	KsegText headers;
} KsegTopicMessage;

/* Make one for a request's format and wants, in the current memory context: it goes with it. ERROR 53200 without memory. */
extern KsegTopicReread *topic_reread_open(const KsegTopicRequest *request);

/* Put the message's record into the batch (copied). ERROR 54000 when the fields come to more than a frame takes. */
extern void topic_reread_add(KsegTopicReread *reread, const KsegTopicMessage *message, KsegTopicBatch *batch);

#endif /* KSEG_TOPIC_REREAD_H */
