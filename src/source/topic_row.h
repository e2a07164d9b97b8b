/*
 * topic_row.h
 *	  Records into rows: what a foreign table's columns show of a message.
 *
 * Owns: the list of wanted fields that CONFIG has, the conversion of each field to its column's type, and what becomes of what a
 * column cannot take (on_error, or a report of it). Refuses: to know where records come from.
 *
 * A text means what PostgreSQL's input function of the type says it means, with the column's type modifier. Arrays and composites
 * in JSON are read as json_to_record does. A JSON null is NULL, in json and jsonb columns too.
 */
#ifndef KSEG_TOPIC_ROW_H
#define KSEG_TOPIC_ROW_H

#include "postgres.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "nodes/bitmapset.h"

#include "source/topic_read.h"
#include "source/topic_table.h"
#include "wire/wire_record.h"

typedef struct KsegTopicRow KsegTopicRow;

/*
 * Make a plan for the columns whose attribute numbers are in needed (NULL: all), in the current memory context. Others are NULL in
 * every row. With on_error 'skip' all are needed whatever is asked for: which rows there are must not depend on the columns that
 * somebody selects. So too with on_error 'null' when a column shows the error. table must outlive the plan.
 */
extern KsegTopicRow *topic_row_create(const KsegTopicTable *table, const Bitmapset *needed);

/* Put the wanted fields into a request. */
extern void topic_row_request(const KsegTopicRow *row, KsegTopicRequest *request);

/*
 * Under on_error 'error' a problem is no ERROR from now on: report is told, once for each row that has one, and the row is left out. The
 * reason is one line and names the column; report copies it. NULL: an ERROR again. Under 'null' and 'skip' this changes nothing.
 */
typedef void (*KsegRowReport)(void *argument, int sqlerrcode, const char *reason);
extern void topic_row_set_report(KsegTopicRow *row, KsegRowReport report, void *argument);

/* The records that follow are of this topic (which must live as long); NULL: of the table's. A record's partition is always its own. */
extern void topic_row_set_topic(KsegTopicRow *row, const char *topic);

/*
 * Convert a record; values and nulls have the table's column_count elements. What is palloc'd lies in the current context, which
 * the caller resets. False: the row is left out (on_error 'skip', or reported). ERRORs under on_error 'error', naming topic, partition, offset
 * and column, with the code of what was wrong.
 */
extern bool topic_row_convert(KsegTopicRow *row, const KsegRecord *record, Datum *values, bool *nulls);

/* A record's timestamp as PostgreSQL's (of either type, UTC). False: PostgreSQL's do not reach it; Kafka's are any int64. */
extern bool topic_row_time(int64 ms, Timestamp *time);

/* Rows left out so far. */
extern uint64 topic_row_skipped(const KsegTopicRow *row);

#endif /* KSEG_TOPIC_ROW_H */
