/*
 * topic_field.h
 *	  One field of a message into a column's type, through PostgreSQL's own input functions.
 *
 * Owns: the choice between plain literals, the input function and json_to_record; the check of bytes that nobody has checked; what
 * is wrong with a text, caught. Refuses: to decide what a wrong field means for its row.
 */
#ifndef KSEG_TOPIC_FIELD_H
#define KSEG_TOPIC_FIELD_H

#include "postgres.h"
#include "fmgr.h"
#include "nodes/execnodes.h"

#include "source/topic_debezium.h"
#include "source/topic_literal.h"

/* How a field becomes a value. */
typedef struct KsegTopicField
{
	bool bytes;                   /* bytea as the message has it: nothing to read */
	bool unchecked;               /* bytes of the message itself: nobody knows yet whether they are text */
	bool json;                    /* as it stands in a JSON value: null is no value */
	const KsegDebezium *debezium; /* a member of Debezium's rows, and how it comes; NULL: no such thing */
	bool record;                  /* json_to_record reads it: arrays, composites, and domains over them */
	KsegLiteral literal;
	Oid type;
	int32 typmod;
	Oid ioparam;
	FmgrInfo input;       /* of the type; with record json_to_record's */
	ReturnSetInfo result; /* record: what json_to_record is to return */
} KsegTopicField;

/* A JSON field of a type like this is wanted as it stands in the message, with quotes and escapes. */
extern bool topic_field_is_raw(Oid type, Oid base_type);

/* bytes, unchecked, json and debezium are the caller's; the rest is set here. Functions' own memory is the current context. */
extern void topic_field_prepare(KsegTopicField *field, Oid type, Oid base_type, int32 typmod);

/*
 * The value of a field's text; NULL is not to be asked for. False: *problem says why. Only what is the text's own fault is caught:
 * cancels, lack of memory and the like are raised. Unless soft, what is caught leaves the transaction fit for nothing but an
 * ERROR; soft costs a subtransaction where the type has no other way to say it, which a parallel query before 17 refuses.
 */
extern bool topic_field_read(KsegTopicField *field, const char *text, uint32 length, bool soft, Datum *value,
                             bool *null, KsegTopicProblem *problem);

#endif /* KSEG_TOPIC_FIELD_H */
