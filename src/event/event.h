/*
 * event.h
 *	  Rows to events: a query's row becomes the JSON of one Segment call.
 *
 * Owns: the column conventions, the JSON of every PostgreSQL type, message ids, and the checks of the rules that Segment
 * applies silently. Refuses: to send, to know servers or couriers, to read settings of the session, to write tables
 * (rows arrive while the executor may be in parallel mode: no SPI, no XID, no catalog change here).
 *
 * A KsegPlan is made once per run from the user's mapping and the query's TupleDesc; what is wrong with the columns as
 * such is an ERROR there, before anything is sent. What is wrong with one row is noted as that row's problem and never an
 * ERROR, so that one bad row cannot fail a million good ones.
 */
#ifndef KSEG_EVENT_H
#define KSEG_EVENT_H

#include "postgres.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef enum KsegCall
{
	KSEG_CALL_TRACK,
	KSEG_CALL_IDENTIFY,
	KSEG_CALL_GROUP,
	KSEG_CALL_PAGE,
	KSEG_CALL_SCREEN,
	KSEG_CALL_ALIAS
} KsegCall;

/* "track", "identify", …: as Segment spells it in "type". */
extern const char *event_call_name(KsegCall call);

/* What the caller said about columns. Strings are column names, exactly as in the query's result; NULL: not said. */
typedef struct KsegMapping
{
	KsegCall call;
	const char *event; /* track: the constant event name */
	const char *event_column;
	const char *user_id;
	const char *anonymous_id;
	const char *group_id;
	const char *previous_id;
	const char *name;     /* page and screen */
	const char *category; /* page and screen */
	const char *event_time;
	const char *message_id;
	List *properties; /* of char *; NIL with has_properties false: every column that is nothing else */
	bool has_properties;
	List *exclude;       /* of char * */
	Jsonb *context;      /* NULL or an object, the base of every event's context */
	Jsonb *integrations; /* NULL or an object */
	bool send_nulls;     /* nulls => 'send': a NULL property is written as null instead of left out */
} KsegMapping;

/*
 * The namespace of message ids: system identifier, database, write key (design.md, Guarantees), hashed by
 * event_namespace_make. Without a known namespace (preview without a server) events carry no generated messageId.
 */
typedef struct KsegNamespace
{
	bool known;
	uint8 hash[16];
} KsegNamespace;

extern void event_namespace_make(KsegNamespace *ns, const char *write_key);

/* 128 bits that are equal for rows that are one event: of the generated id, or of the caller's own message_id. */
typedef struct KsegEventId
{
	uint64 low;
	uint64 high;
} KsegEventId;

/* A row's first problem, or all of them in a preview. Texts live in the plan's row context, until the next event_begin. */
typedef struct KsegProblem
{
	const char *column; /* NULL when it is not about one column */
	const char *text;   /* "NaN has no JSON form", "user id is missing", …: lower case, no period */
} KsegProblem;

typedef struct KsegPlan KsegPlan;

/*
 * Make a plan in the current memory context. The TupleDesc must outlive it.
 * ERRORs (errcode, detail, hint; nothing was sent): no columns, a column name twice, an unnamed column (?column?), two
 * spellings of one field (user_id and userId), no user column at all, event and event_column both or neither, an
 * argument that names no column ("Perhaps you meant"), a type that cannot serve (an id of type json, a time of type
 * text), "a" and "a.b" together, columns left over in alias.
 */
extern KsegPlan *event_plan_create(const KsegMapping *mapping, TupleDesc desc, const KsegNamespace *ns);

/*
 * Begin a row: take its ids. row is its number in the result, from 1. The slot stays the caller's and must hold until
 * event_write. Returns the lane hash: XXH3 of userId, else of anonymousId; 0 when both are missing.
 */
extern uint64 event_begin(KsegPlan *plan, TupleTableSlot *slot, uint64 row);

/*
 * Append the row's event, one JSON object, to out. out->data is valid JSON up to out->len even when the row has
 * problems (a bad value is written as null), so that it can be kept and shown. Returns true when the row has no problem.
 */
extern bool event_write(KsegPlan *plan, StringInfo out);

/* After event_write. */
extern const KsegProblem *event_problems(const KsegPlan *plan, int *count);
extern KsegEventId event_id(const KsegPlan *plan);
/* The same of a message id's text. */
extern KsegEventId event_id_of_text(const char *text, int length);
/* The userId (else anonymousId) of the row as UTF-8 text in the row context, or NULL. */
extern const char *event_user(const KsegPlan *plan);
/* The messageId as it was written, or NULL when there is none. */
extern const char *event_message_id(const KsegPlan *plan);

#endif /* KSEG_EVENT_H */
