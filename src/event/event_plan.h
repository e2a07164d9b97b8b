/*
 * event_plan.h
 *	  The inside of a KsegPlan: a flat list of steps that turns a row into bytes.
 *
 * Owned by event_plan.c, which makes it; event_write.c, event_merge.c and event_id.c walk it. Nobody else includes this.
 *
 * Steps are what is left of the event's tree when everything that is the same for all rows is decided: constants are
 * bytes, names are bytes with quotes and colon, types are encoders.
 */
#ifndef KSEG_EVENT_PLAN_H
#define KSEG_EVENT_PLAN_H

#include "event/event_columns.h"
#include "event/json_document.h"

typedef enum KsegStepKind
{
	KSEG_STEP_CONSTANT, /* lead alone */
	KSEG_STEP_TEXT,     /* an id or a name: a field's text as a string */
	KSEG_STEP_VALUE,    /* a column by its encoder */
	KSEG_STEP_OPEN,     /* an object begins */
	KSEG_STEP_CLOSE     /* and ends */
} KsegStepKind;

typedef struct KsegStep
{
	KsegStepKind kind;
	bool send_null;   /* NULL is written as null */
	int item;         /* in items, -1: not part of the message id */
	const char *lead; /* json_write_lead */
	int lead_length;
	KsegField field;   /* TEXT */
	KsegColumn column; /* VALUE */
	int object;        /* OPEN and CLOSE: in objects */
} KsegStep;

/* A member that columns may give an object, found while merging. */
typedef struct KsegChild
{
	const char *key;
	int key_length;
	int step; /* VALUE or OPEN */
} KsegChild;

typedef struct KsegObject
{
	bool keep_empty;
	bool merged;       /* members from elsewhere may lie under those from columns */
	KsegColumn base;   /* attribute 0: none */
	KsegSpan constant; /* length 0: none */
	KsegChild *children;
	int child_count;
	int open_step;
	int close_step;

	/* the row */
	int at;             /* where its member begins in out */
	KsegSpan inherited; /* what the object around it has at its place; length 0: nothing */
} KsegObject;

/* A part of the message id's input. */
typedef struct KsegItem
{
	KsegCanon canon;
	const char *path;
	const char *prefix; /* the path's length and bytes, as hashed */
	int prefix_length;
} KsegItem;

struct KsegPlan
{
	KsegCall call;
	KsegNamespace namespace;
	KsegColumns *columns;
	KsegStep *steps;
	int step_count;
	KsegObject *objects;
	int object_count;
	KsegItem *items;
	KsegItem **sorted; /* items by path */
	int item_count;
	int attributes; /* the last one that is used */
	MemoryContext row_context;

	/* the row */
	KsegWriter writer;
	TupleTableSlot *slot;
	uint64 row;
	int start;                        /* of the event in out */
	KsegSpan texts[KSEG_FIELD_COUNT]; /* data NULL: missing */
	StringInfoData user;
	StringInfoData message_id;
	StringInfoData id_input; /* begins with what all rows share */
	int id_shared;
	KsegEventId id;
	KsegProblem *problems;
	int problem_count;
	int problem_room;
};

/* Note a problem of the row; column may be NULL. text is a constant or in the row's context. At most problem_room. */
extern void event_problem_note(KsegPlan *plan, const char *column, const char *text);
/* Note and clear writer->trouble, if there is one, as a problem of this column. */
extern void event_trouble_note(KsegPlan *plan, const char *column);

/* Write the members that lie under an object's columns; out is behind its brace. */
extern void event_object_merge(KsegPlan *plan, KsegObject *object, KsegCanon *canon);

/* event_id.c: what all rows share of the input; the id of the row from plan->items; hashes. */
extern void event_id_prepare(KsegPlan *plan);
extern KsegEventId event_id_make(KsegPlan *plan);
extern uint64 event_lane_of_text(const char *text, int length);
/* "kseg-" and 32 digits, 37 bytes, without NUL. */
#define KSEG_MESSAGE_ID_LENGTH 37
extern void event_id_spell(KsegEventId id, char *text);

static inline bool
event_column_is_null(const KsegPlan *plan, const KsegColumn *column)
{
	return plan->slot->tts_isnull[column->attribute - 1];
}

static inline Datum
event_column_value(const KsegPlan *plan, const KsegColumn *column)
{
	return plan->slot->tts_values[column->attribute - 1];
}

#endif /* KSEG_EVENT_PLAN_H */
