/*
 * kafka_consume_plan.h
 *	  What a read of a topic is asked to do: the keys of CONFIG that only kafka_consume has, checked.
 *
 * Owns: the wants with their paths, and the limits of what is read. Refuses: to have defaults (kseg.so sends every key) and to
 * ask a broker.
 */
#ifndef KSEG_COURIER_KAFKA_CONSUME_PLAN_H
#define KSEG_COURIER_KAFKA_CONSUME_PLAN_H

#include "reader/reader.h"
#include "wire/wire_record.h"

struct json_object;

/* Where a field of a record comes from. */
typedef enum KsegFieldSource
{
	KSEG_FIELD_READ,  /* the message reader: a path or a column of the value */
	KSEG_FIELD_VALUE, /* the value as it is */
	KSEG_FIELD_KEY,
	KSEG_FIELD_HEADERS /* as JSON text */
} KsegFieldSource;

/* Exactly these offsets of a partition: what an earlier read said in BOUNDS. */
typedef struct KsegConsumeRange
{
	int32_t partition;
	int64_t start;
	int64_t end; /* exclusive */
} KsegConsumeRange;

/* No limit, for those below that say so. */
#define KSEG_CONSUME_NONE (-1)

typedef struct KsegConsumePlan
{
	KsegFormat format;
	KsegCsvForm csv; /* of KSEG_FORMAT_CSV */

	uint32_t field_count;
	KsegFieldSource *fields;
	uint32_t want_count; /* fields of KSEG_FIELD_READ, in their order */
	KsegWant *wants;

	bool all_partitions;
	int32_t *partitions; /* else these; some may not exist */
	uint32_t partition_count;
	bool has_ranges;
	KsegConsumeRange *ranges;
	uint32_t range_count;

	int64_t offset_from;       /* or none */
	int64_t offset_to;         /* exclusive, or none */
	int64_t timestamp_from_ms; /* or none */
	int64_t timestamp_to_ms; /* exclusive, or none; a stop only where time does not go back (LogAppendTime) */
	int64_t tail;            /* per partition at most so many offsets before its end, or none */
	int64_t max_records;     /* or none */
} KsegConsumePlan;

/*
 * Read the plan from CONFIG's object; texts of the plan lie in it and live as long as it does. False: problem (a sentence's
 * part, as config_read's) says why, and the plan is closed again.
 */
extern bool consume_plan_read(KsegConsumePlan *plan, struct json_object *config, char *problem, size_t room);

/* The same for a job that has no end: what a record holds (format and wants) and nothing else, the rest is 0. */
extern bool consume_plan_read_fields(KsegConsumePlan *plan, struct json_object *config, char *problem,
                                     size_t room);

/* Frees what the plan has made. May be called twice. */
extern void consume_plan_close(KsegConsumePlan *plan);

/* Is this partition among those asked for? */
extern bool consume_plan_has_partition(const KsegConsumePlan *plan, int32_t partition);

#endif /* KSEG_COURIER_KAFKA_CONSUME_PLAN_H */
