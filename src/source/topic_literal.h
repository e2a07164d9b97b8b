/*
 * topic_literal.h
 *	  Fields of messages into values of the common types, in their plain spellings, without PostgreSQL's input functions.
 *
 * Owns: the spellings that are read here: those that programs write, and whose value is beyond doubt. Refuses: to find anything
 * wrong. A spelling that it does not know it leaves to the type's input function, which knows them all, so that what a text
 * means is PostgreSQL's word always; here it is only said faster. Depends on no setting of the session.
 */
#ifndef KSEG_TOPIC_LITERAL_H
#define KSEG_TOPIC_LITERAL_H

#include "postgres.h"

typedef enum KsegLiteral
{
	KSEG_LITERAL_NONE, /* the input function's work always */
	KSEG_LITERAL_INT2,
	KSEG_LITERAL_INT4,
	KSEG_LITERAL_INT8,
	KSEG_LITERAL_FLOAT4,
	KSEG_LITERAL_FLOAT8,
	KSEG_LITERAL_BOOL,
	KSEG_LITERAL_TEXT, /* varchar(n) too, as long as it fits for certain */
	KSEG_LITERAL_TIMESTAMPTZ,
	KSEG_LITERAL_TIMESTAMP,
	KSEG_LITERAL_DATE,
	KSEG_LITERAL_UUID,
	KSEG_LITERAL_NUMERIC
} KsegLiteral;

/* Which literal this type's are, NONE for a type without. */
extern KsegLiteral topic_literal_of_type(Oid type, int32 typmod);

/*
 * The value of a text of length bytes in the database's encoding (no NUL inside, none needed behind), palloc'd in the current
 * context where the type asks for it. False: not plain, ask the input function. Raises nothing.
 */
extern bool topic_literal_read(KsegLiteral literal, int32 typmod, const char *text, uint32 length,
                               Datum *value);

#endif /* KSEG_TOPIC_LITERAL_H */
