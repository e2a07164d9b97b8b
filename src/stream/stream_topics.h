/*
 * stream_topics.h
 *	  The topics of a stream: names, and regular expressions that begin with ^.
 */
#ifndef KSEG_STREAM_TOPICS_H
#define KSEG_STREAM_TOPICS_H

#include "postgres.h"
#include "nodes/pg_list.h"

/* ERROR 22023 unless each of them (of char *) may be a topic's name as Kafka has them, or is a regular expression that compiles. */
extern void stream_topics_check(List *topics);

/* The one topic that the list names; NULL: several, or an expression. */
extern const char *stream_topics_single(List *topics);

/*
 * Does the list name this topic, or an expression in it match? The list was checked. As the courier reads it: Kafka's own topics, whose names
 * begin with "__", match only an expression that begins with "^__".
 */
extern bool stream_topics_have(List *topics, const char *topic);

#endif /* KSEG_STREAM_TOPICS_H */
