/*
 * letter.h
 *	  What is told and kept of an event that could not be delivered.
 */
#ifndef KSEG_LETTER_H
#define KSEG_LETTER_H

#include "postgres.h"
#include "utils/tuplestore.h"

#include "event/event.h"
#include "wire/wire.h"

/* One undeliverable event. user, message_id and event are UTF-8, problems are in the database's encoding. */
typedef struct KsegLetter
{
	uint64 row;
	const char *user;       /* NULL: none */
	const char *column;     /* NULL: not about one column */
	const char *message_id; /* NULL: none */
	uint32 http_status;     /* 0: invalid, never sent */
	const KsegProblem *problems;
	int problem_count; /* at least 1 */
	const char *event; /* JSON of event_length bytes */
	Size event_length;
} KsegLetter;

/* The letter of a REJECTED frame, palloc'd; false when the frame is none. */
extern bool letter_of_frame(const KsegFrame *frame, KsegLetter *letter);

/* "row 17, user "abc": column "iphone": NaN has no JSON form; …", palloc'd, in the database's encoding. */
extern char *letter_reason(const KsegLetter *letter);

/* Put it into the tuplestore (columns as in segment_sink.h). */
extern void letter_keep(const KsegLetter *letter, const char *reason, Tuplestorestate *letters,
                        TupleDesc desc);

#endif /* KSEG_LETTER_H */
