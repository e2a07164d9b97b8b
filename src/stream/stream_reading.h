/*
 * stream_reading.h
 *	  What a stream's plan wants to know of each message, and from where: the foreign table as it is now.
 *
 * Owns: the table's definition, the conversion of its columns and the request to the courier, made anew whenever the plan is. Refuses: to
 * start a courier.
 */
#ifndef KSEG_STREAM_READING_H
#define KSEG_STREAM_READING_H

#include "postgres.h"

#include "source/topic_feed.h"
#include "stream/stream_statement.h"

typedef struct KsegStreamReading
{
	MemoryContext context; /* it and all it has */
	KsegTopicTable *table;
	Bitmapset *needed;
	KsegTopicRow *row;
	KsegTopicRequest request;
	uint64
	    digest; /* of all that a courier is told by it: the server with its mapping, topic, format, fields */
} KsegStreamReading;

/*
 * As the statement's plans are now, in a context of its own under parent. Needs a transaction; the server and its mapping are the current
 * role's. ERRORs as kafka_server_get_by_oid, topic_table_get, stream_statement_needed.
 */
extern KsegStreamReading *stream_reading_create(KsegStreamStatement *statement, MemoryContext parent);

/* May be called with NULL. */
extern void stream_reading_free(KsegStreamReading *reading);

#endif /* KSEG_STREAM_READING_H */
