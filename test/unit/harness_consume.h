/*
 * harness_consume.h
 *	  The job kafka_consume under test: what it is told, and a whole read of it.
 *
 * Owns: this job's part of CONFIG, the bounds and records of the latest read, and the comparison of its records with the numbers
 * of harness_kafka_fill. One read at a time: the next one takes its place.
 */
#ifndef KSEG_TEST_HARNESS_CONSUME_H
#define KSEG_TEST_HARNESS_CONSUME_H

#include "harness_kafka.h"

#define HARNESS_BOUNDS_MAX 16
#define HARNESS_ROWS_MAX   20000

/* What CONFIG says; harness_consume_defaults fills it. Texts are JSON. */
typedef struct HarnessConsumeConfig
{
	HarnessKafkaConfig common;
	const char *wants;
	const char *partitions;
	const char *bounds;
	int64_t offset_from;
	int64_t offset_to;
	int64_t tail;
	int64_t max_records;
} HarnessConsumeConfig;

typedef struct HarnessBound
{
	uint32_t partition;
	int64_t low;
	int64_t start;
	int64_t end;
} HarnessBound;

typedef struct HarnessRow
{
	KsegRecord record;
	uint32_t fields;
} HarnessRow;

/* Rows point into the harness's frames. */
typedef struct HarnessRead
{
	HarnessBound bounds[HARNESS_BOUNDS_MAX];
	uint32_t bound_count;
	HarnessRow rows[HARNESS_ROWS_MAX];
	uint32_t row_count;
	bool done; /* else FAILED has come, and is the harness's next frame */
} HarnessRead;

/* All of a topic of this cluster, and of each message the number that harness_kafka_fill puts into it. */
extern HarnessConsumeConfig harness_consume_defaults(const HarnessKafka *kafka, const char *topic);

/* CONFIG alone. */
extern void harness_consume_send_config(Harness *harness, const HarnessConsumeConfig *config);

/* harness_start, HELLO both ways and CONFIG. */
extern void harness_consume_begin(Harness *harness, const HarnessConsumeConfig *config);

/* The same, and wait until the bounds are found: BOUNDS is left as the next frame. */
extern void harness_consume_begin_bounds(Harness *harness, const HarnessConsumeConfig *config);

/* Take frames until the read has ended one way or another. */
extern const HarnessRead *harness_consume_take(Harness *harness);

/* One read from its beginning to its end: harness_consume_begin and harness_consume_take. */
extern const HarnessRead *harness_consume_run(Harness *harness, const HarnessConsumeConfig *config);

/* The index-th field of a row as a text, "(null)" for NULL; lives until the next call. */
extern const char *harness_row_text(const HarnessRow *row, uint32_t index);

/* Are the rows of this partition exactly the numbers first … last, in order, each at its offset? */
extern bool harness_read_has(const HarnessRead *read, int32_t partition, int64_t first, int64_t last);

#endif /* KSEG_TEST_HARNESS_CONSUME_H */
