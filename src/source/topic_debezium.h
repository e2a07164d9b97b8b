/*
 * topic_debezium.h
 *	  What Debezium writes for a value of PostgreSQL's, into the text that PostgreSQL reads.
 *
 * Owns: dates, times and intervals that come as numbers, decimals and bytes that come as base64, and the words for a value that was not
 * sent; and the messages' schema, which says which of these a member is. Refuses: to make values (topic_field.c does, of the
 * text), and to guess: a number alone does not say whether it counts milliseconds or microseconds.
 *
 * Rules: Debezium's connector for PostgreSQL, "Data type mappings" (temporal.precision.mode, decimal.handling.mode, interval.handling.mode,
 * binary.handling.mode); Kafka Connect's JsonConverter for bytes and decimals.
 */
#ifndef KSEG_TOPIC_DEBEZIUM_H
#define KSEG_TOPIC_DEBEZIUM_H

#include "postgres.h"
#include "lib/stringinfo.h"

/* What is wrong with a field, palloc'd. */
typedef struct KsegTopicProblem
{
	int sqlerrcode;
	const char *reason; /* NULL: nothing is */
} KsegTopicProblem;

typedef enum KsegDebeziumKind
{
	KSEG_DEBEZIUM_PLAIN, /* text as it is */
	KSEG_DEBEZIUM_DATE,
	KSEG_DEBEZIUM_TIME,
	KSEG_DEBEZIUM_TIMESTAMP, /* with a time zone, too */
	KSEG_DEBEZIUM_INTERVAL,
	KSEG_DEBEZIUM_NUMERIC, /* money, too */
	KSEG_DEBEZIUM_BYTES
} KsegDebeziumKind;

/* Decimals come as text, or with their scale (VariableScaleDecimal). */
#define KSEG_DEBEZIUM_NO_SCALE PG_INT32_MIN

/* How a column's values come. */
typedef struct KsegDebezium
{
	KsegDebeziumKind kind;
	int64 per_second; /* times and intervals: numbers count so many of a second's parts */
	int scale;        /* numeric: strings are base64 of the digits, with so many behind the point */
} KsegDebezium;

/*
 * How values of a column of this type come unless its options (0 and KSEG_DEBEZIUM_NO_SCALE: none) or the messages' schema say it: times of a precision up to
 * 3 as milliseconds, others as microseconds (time.precision.mode 'adaptive', Debezium's preset), decimals as text.
 */
extern KsegDebezium topic_debezium_of_type(Oid base_type, int32 typmod, int64 per_second, int scale);

/* Do numbers or strings of this kind mean something that only a schema (or an option) says? */
extern bool topic_debezium_needs_schema(KsegDebeziumKind kind);

/*
 * Make PostgreSQL's text of a member as it stands in the message (KSEG_DEBEZIUM_PLAIN: of a string without its quotes); what is of
 * another form than Debezium's is left as it is, without quotes. *text may be replaced by one that is palloc'd. Returns false with
 * *problem set: a value beyond the type's range, or one that was not sent.
 */
extern bool topic_debezium_text(const KsegDebezium *debezium, const char **text, uint32 *length,
                                KsegTopicProblem *problem);

/* ---------- topic_debezium_schema.c ---------- */

typedef struct KsegDebeziumSchema KsegDebeziumSchema;

/* Append the want of the field that topic_debezium_schema_learn takes: the members' schemas. */
extern void topic_debezium_schema_want(StringInfo wants);

/* A schema that knows no member yet, in the current memory context. */
extern KsegDebeziumSchema *topic_debezium_schema_create(void);

/* Have a column's values told from now on: *debezium, which must outlive the schema, is how the member of this name comes. */
extern void topic_debezium_schema_add(KsegDebeziumSchema *schema, const char *member, KsegDebezium *debezium);

/*
 * A message's schema (text NULL: it has none; then options and types say how values come). Cheap as long as it is the one of the
 * message before.
 */
extern void topic_debezium_schema_learn(KsegDebeziumSchema *schema, const char *text, uint32 length);

#endif /* KSEG_TOPIC_DEBEZIUM_H */
