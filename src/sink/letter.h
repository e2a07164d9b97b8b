/*
 * letter.h
 *	  What is told and kept of an event that could not be delivered.
 */
#ifndef KSEG_LETTER_H
#define KSEG_LETTER_H

#include "postgres.h"
#include "utils/tuplestore.h"

#include "event/event.h"
#include "wire/wire_message.h"

/* One undeliverable event. user, message_id and event are UTF-8, problems are in the database's encoding. */
typedef struct KsegLetter
{
	uint64 row;
	bool rejected; /* by the other side; otherwise invalid, never sent */
	int32 status;  /* rejected: HTTP's, or librdkafka's code */
	const KsegProblem *problems;
	int problem_count; /* at least 1 */
	/* Segment */
	const char *user;       /* NULL: none */
	const char *message_id; /* NULL: none */
	const char *event;      /* JSON of event_length bytes */
	Size event_length;
	/* Kafka: event is the message's value, if it is JSON */
	const KsegMessage *message; /* NULL: Segment */
	const char *topic;          /* of a message without one of its own */
} KsegLetter;

/* A dead letter in the tuplestore: the columns of letter_desc. */
enum
{
	KSEG_LETTER_ROW = 0,    /* int8: number in the result, from 1 */
	KSEG_LETTER_USER,       /* text or NULL */
	KSEG_LETTER_MESSAGE_ID, /* text or NULL */
	KSEG_LETTER_STATUS,     /* int4: of a rejected event, NULL: invalid, never sent */
	KSEG_LETTER_REASON,     /* text */
	KSEG_LETTER_EVENT, /* text: the event's JSON, NULL when it is over KSEG_LETTER_EVENT_MAX or too deep to be json */
	KSEG_LETTER_TOPIC,     /* text: this one and those that follow are NULL for Segment */
	KSEG_LETTER_PARTITION, /* int4, NULL: by the key */
	KSEG_LETTER_KEY, /* bytea, NULL when there is none or it is over KSEG_LETTER_EVENT_MAX; so are the next two */
	KSEG_LETTER_VALUE,      /* bytea */
	KSEG_LETTER_HEADERS,    /* text: JSON, message_headers_show's */
	KSEG_LETTER_INCOMPLETE, /* bool: a part of the message was too large to be kept */
	KSEG_LETTER_COLUMNS
};

/* More bytes are not kept: they would only fill the table, and the row is still where it came from. */
#define KSEG_LETTER_EVENT_MAX (1024 * 1024)

/* Is this JSON (or what looks like it) nested deeper than a letter keeps as json? */
extern bool letter_is_too_deep(const char *json, Size length);

extern TupleDesc letter_desc(void);

/* The letter of a REJECTED frame of Segment's, palloc'd; false when the frame is none. */
extern bool letter_of_frame(const KsegFrame *frame, KsegLetter *letter);

/* "row 17, user "abc": column "iphone": NaN has no JSON form; …", palloc'd, in the database's encoding. */
extern char *letter_reason(const KsegLetter *letter);

/* Put it into the tuplestore. */
extern void letter_keep(const KsegLetter *letter, const char *reason, Tuplestorestate *letters,
                        TupleDesc desc);

#endif /* KSEG_LETTER_H */
