/*
 * event_columns.h
 *	  Columns to fields: which column of the result is which part of the event.
 *
 * Owns: the table of Segment's fields, the tree of the event's objects, and every ERROR about the columns as such.
 * Refuses: to look at rows.
 */
#ifndef KSEG_EVENT_COLUMNS_H
#define KSEG_EVENT_COLUMNS_H

#include "event/event.h"
#include "event/result_columns.h"

/* In the order in which an event has them. */
typedef enum KsegField
{
	KSEG_FIELD_USER_ID,
	KSEG_FIELD_ANONYMOUS_ID,
	KSEG_FIELD_GROUP_ID,
	KSEG_FIELD_PREVIOUS_ID,
	KSEG_FIELD_EVENT,
	KSEG_FIELD_NAME,
	KSEG_FIELD_CATEGORY,
	KSEG_FIELD_PROPERTIES,
	KSEG_FIELD_TRAITS,
	KSEG_FIELD_CONTEXT,
	KSEG_FIELD_INTEGRATIONS,
	KSEG_FIELD_TIMESTAMP,
	KSEG_FIELD_MESSAGE_ID,
	KSEG_FIELD_COUNT
} KsegField;

/* A place in the event's JSON: a column's value, or an object with members. */
typedef struct KsegNode
{
	const char *key;   /* UTF-8 */
	const char *path;  /* UTF-8, from the event's root, parts joined by '.' */
	KsegColumn column; /* a value: where from; an object: its base, if attribute is not 0 */
	bool object;
	bool keep_empty; /* an object: written as {} rather than left out */
	bool hashed;     /* part of the message id */
	Jsonb *constant; /* an object: members that lie under all others, or NULL */
	List *children;  /* of KsegNode *, in column order */
} KsegNode;

typedef struct KsegColumns
{
	KsegColumn fields[KSEG_FIELD_COUNT];
	KsegNode *properties; /* or traits; NULL for alias */
	KsegNode *context;
	KsegNode *integrations;
} KsegColumns;

/* "userId", … */
extern const char *event_field_name(KsegField field);
/* "user id", …: as a problem says it. */
extern const char *event_field_words(KsegField field);

/* Sort the columns in the current memory context. ERRORs: see event_plan_create. */
extern KsegColumns *event_columns_sort(const KsegMapping *mapping, TupleDesc desc);

#endif /* KSEG_EVENT_COLUMNS_H */
