/*
 * stream_start.h
 *	  Where a stream begins: the argument start of stream_to_table and reset_stream.
 *
 * 'earliest', 'latest', a time, or offsets as JSON: {"0": 42, "3": 7} by partition of the one topic, {"topic": {"0": 42}} of several.
 */
#ifndef KSEG_STREAM_START_H
#define KSEG_STREAM_START_H

#include "postgres.h"
#include "nodes/pg_list.h"

#include "stream/stream_entry.h"

/*
 * Put what the text says into the entry (start, start_time). Returns positions to be stored before the stream begins (of KsegPosition *, NIL: none);
 * partitions that are not named begin at their first message then. topics: what the stream reads (of char *, as
 * stream_topics.h has them): offsets are of these, and without a topic's name of the only one. ERRORs 22023, and 22007 and 22008 of a
 * time, 22P02 of JSON.
 */
extern List *stream_start_take(KsegStreamEntry *entry, const char *text, List *topics);

#endif /* KSEG_STREAM_START_H */
