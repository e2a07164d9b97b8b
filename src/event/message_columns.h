/*
 * message_columns.h
 *	  Columns to the parts of a Kafka message, and the inside of a KsegMessagePlan.
 *
 * Owned by message_columns.c, which sorts columns, and message.c, which walks the plan; message_headers.c writes headers.
 * Nobody else includes this.
 */
#ifndef KSEG_MESSAGE_COLUMNS_H
#define KSEG_MESSAGE_COLUMNS_H

#include "event/message.h"
#include "event/result_columns.h"

/* The columns that are no part of the JSON. */
typedef enum KsegMessageField
{
	KSEG_MESSAGE_TOPIC,
	KSEG_MESSAGE_KEY,
	KSEG_MESSAGE_VALUE,
	KSEG_MESSAGE_PARTITION,
	KSEG_MESSAGE_HEADERS,
	KSEG_MESSAGE_TIME,
	KSEG_MESSAGE_FIELDS
} KsegMessageField;

/* A place in the value's JSON: a column's value, or an object with members. */
typedef struct KsegMessageNode
{
	const char *key; /* UTF-8; NULL: the root */
	bool object;
	KsegColumn column; /* a value */
	List *children;    /* an object: of KsegMessageNode *, in column order */
} KsegMessageNode;

typedef struct KsegMessageColumns
{
	KsegColumn fields[KSEG_MESSAGE_FIELDS];
	KsegMessageNode *root; /* NULL: the value is a column */
	int attributes;        /* the last one that is used */
	int count;             /* of columns that are used */
} KsegMessageColumns;

/* Sort the columns in the current memory context. ERRORs: see message_plan_create. */
extern void message_columns_sort(KsegMessageColumns *columns, const KsegMessageMapping *mapping,
                                 TupleDesc desc);

/*
 * What is wrong with a topic's name, as a sentence without its period, or NULL. Kafka's rule (org.apache.kafka.common.internals.Topic):
 * 1 to 249 of these characters, and neither "." nor "..".
 */
extern const char *message_topic_trouble(const char *name, int length);

typedef enum KsegMessageStepKind
{
	KSEG_MESSAGE_STEP_VALUE, /* a member: a column by its encoder */
	KSEG_MESSAGE_STEP_OPEN,  /* a member that is an object begins */
	KSEG_MESSAGE_STEP_CLOSE  /* and ends */
} KsegMessageStepKind;

/* What is left of the value's tree: names are bytes with quotes and colon, types are encoders. */
typedef struct KsegMessageStep
{
	KsegMessageStepKind kind;
	const char *lead; /* json_write_lead */
	int lead_length;
	KsegColumn column; /* VALUE */
	int open;          /* CLOSE: the step that opened */
	int at;            /* OPEN: where it begins in out, in this row */
} KsegMessageStep;

struct KsegMessagePlan
{
	KsegMessageColumns columns;
	bool has_topic; /* the run has one */
	bool omit_nulls;
	int max_bytes;
	KsegMessageStep *steps;
	int step_count;
	MemoryContext row_context;

	/* the row */
	KsegWriter writer;
	KsegCanon canon; /* what encoders leave there is not wanted: Kafka's messages have no ids of ours */
	TupleTableSlot *slot;
	uint64 row;
	int start; /* of the message in out */
	KsegProblem *problems;
	int problem_count;
	int problem_room;
};

/* Note a problem of the row with a column, which may be NULL. text is a constant or in the row's context. */
extern void message_problem_note(KsegMessagePlan *plan, const KsegColumn *column, const char *text);
/* Note and clear writer->trouble, if there is one. */
extern void message_trouble_note(KsegMessagePlan *plan, const KsegColumn *column);

/* message_headers.c: append a row's headers as kseg_header_next reads them. What is wrong becomes a problem. */
extern void message_headers_write(KsegMessagePlan *plan, const KsegColumn *column, Datum value);

#endif /* KSEG_MESSAGE_COLUMNS_H */
