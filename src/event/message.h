/*
 * message.h
 *	  Rows to Kafka messages: a row becomes one message of a MESSAGES frame (wire_message.h).
 *
 * Owns: the reserved columns (key, value, topic, partition, headers, timestamp), the JSON of the others, headers from jsonb.
 * Refuses: to send, to know servers and couriers, to read settings of the session, to write tables (rows may arrive in
 * parallel mode).
 *
 * As with Segment's events (event.h): what is wrong with the columns as such is an ERROR when the plan is made, what is wrong
 * with one row is that row's problem and never an ERROR.
 */
#ifndef KSEG_MESSAGE_H
#define KSEG_MESSAGE_H

#include "postgres.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#include "event/event.h"
#include "wire/wire_message.h"

/* What the caller said about columns: names of columns of the result; NULL: the reserved name, if there is such a column. */
typedef struct KsegMessageMapping
{
	const char *topic; /* the run's topic, a constant; NULL: a column "topic" must be there */
	const char *key;
	const char *value;
	const char *partition;
	const char *headers;
	const char *event_time; /* the message's timestamp; reserved name: timestamp */
	List *exclude;          /* of char * */
	bool omit_nulls;        /* a NULL column is left out of the JSON instead of written as null */
	int max_message_bytes;  /* key, value and headers together */
	/*
	 * For INSERT into a foreign table, where columns are known by option and not by name: the path (keys only, NULL-terminated
	 * char **) of each attribute that goes into the JSON, NULL for one that does not. NULL: the columns' names, each at top level.
	 */
	const char *const *const *paths;
	bool names_are_plain; /* with paths: reserved names mean nothing, only what is said above */
} KsegMessageMapping;

typedef struct KsegMessagePlan KsegMessagePlan;

/*
 * Make a plan in the current memory context. The TupleDesc must outlive it. ERRORs: no topic, an argument that names no
 * column ("Perhaps you meant"), a type that cannot serve, an unnamed column or a name twice in the JSON.
 */
extern KsegMessagePlan *message_plan_create(const KsegMessageMapping *mapping, TupleDesc desc);

/*
 * Append the slot's message to out. row is its number in the result. Returns true when it has no problem; otherwise what was
 * appended is still a message of the layout (bad parts are NULL or null), to be kept as a dead letter and taken back.
 */
extern bool message_write(KsegMessagePlan *plan, TupleTableSlot *slot, uint64 row, StringInfo out);

/* Is the value of every message JSON (or NULL): made of columns, or a column of type json or jsonb? */
extern bool message_value_is_json(const KsegMessagePlan *plan);

/* After message_write, until the next one. */
extern const KsegProblem *message_problems(const KsegMessagePlan *plan, int *count);

#endif /* KSEG_MESSAGE_H */
