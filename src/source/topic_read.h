/*
 * topic_read.h
 *	  One read of a topic: a courier with the job kafka_consume, and its records one by one.
 *
 * Owns: the link, CONFIG of the job, the bounds of what is read, the figures, and what a failed read tells. Used by scans, ANALYZE
 * and IMPORT. Refuses: to know columns and what a field means.
 */
#ifndef KSEG_TOPIC_READ_H
#define KSEG_TOPIC_READ_H

#include "postgres.h"
#include "lib/stringinfo.h"

#include "link/link.h"
#include "server/kafka_server.h"
#include "source/topic_table.h"
#include "wire/wire_record.h"

#define KSEG_TOPIC_UNBOUNDED (-1) /* of the bounds below: none */

/* A partition as it is read: offsets from start up to, not including, end. */
typedef struct KsegTopicBound
{
	int32 partition;
	int64 low; /* first offset that the broker still has */
	int64 start;
	int64 end;
} KsegTopicBound;

/* What is to be read; begin with topic_request_init. The strings and arrays must outlive topic_read_open only. */
typedef struct KsegTopicRequest
{
	const KsegKafkaServer *server;
	const char *topic;
	KsegTopicFormat format; /* how path and column wants read the value */
	const char *delimiter;  /* csv */
	const char *quote;
	const char *null;
	const char *wants; /* JSON array, see src/README.md "What CONFIG says"; UTF-8 */
	uint32 fields;     /* how many wants there are: fields of each record */
	const int32 *partitions;
	int partition_count; /* KSEG_TOPIC_UNBOUNDED: all of them */
	int64 offset_from;   /* inclusive */
	int64 offset_to;     /* exclusive */
	int64 time_from_ms;  /* inclusive */
	int64 time_to_ms;    /* exclusive */
	const KsegTopicBound
	    *bounds; /* read exactly these, whatever the topic's end is by now; NULL: find them out */
	int bound_count;
	int64 tail;        /* per partition: begin so many messages before the end */
	int64 max_records; /* end after so many */
} KsegTopicRequest;

typedef struct KsegTopicRead KsegTopicRead;

/* Everything of the topic without a field; csv's presets. */
extern void topic_request_init(KsegTopicRequest *request, const KsegKafkaServer *server, const char *topic);

/* The table's topic and format. */
extern void topic_request_of_table(KsegTopicRequest *request, const KsegKafkaServer *server,
                                   const KsegTopicTable *table);

/* Append to CONFIG what the message reader is told: format, delimiter, quote, null, wants. */
extern void topic_request_write_fields(const KsegTopicRequest *request, StringInfo json);

/*
 * Start a courier and send it the request. The read lives in a context of its own under the current one and ends with it.
 * Does not wait for an answer. ERRORs as link_open.
 */
extern KsegTopicRead *topic_read_open(const KsegTopicRequest *request);

/*
 * The next record; it lives until the next call. False: everything was read (the courier is gone then). Waits, answers
 * interrupts. ERRORs when the read fails, with the courier's words: 08006 no
 * broker, 28000 authentication, HV000 no such topic, 55000 what was to be read is gone.
 */
extern bool topic_read_next(KsegTopicRead *read, KsegRecord *record);

/* What is being read: known from the first record (or the end) on; before that count is 0. */
extern const KsegTopicBound *topic_read_bounds(const KsegTopicRead *read, int *count);

/* Records and bytes (of their frames) that came so far. */
extern uint64 topic_read_records(const KsegTopicRead *read);
extern uint64 topic_read_bytes(const KsegTopicRead *read);

/* Stop the courier, if it still runs, and free the read with its bounds. May be called with NULL. */
extern void topic_read_close(KsegTopicRead *read);

#endif /* KSEG_TOPIC_READ_H */
