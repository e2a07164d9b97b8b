/*
 * topic_row_parts.h
 *	  What the files of topic_row.h share: the plan of a row. Nobody else includes this.
 *
 * topic_row_plan.c makes it, topic_row.c converts records by it.
 *
 * Invariant: a record's fields are those of row->columns that have one, in the same order (after the schema's, if it is wanted), because
 * topic_row_create makes the list of wants and the columns in one go.
 */
#ifndef KSEG_TOPIC_ROW_PARTS_H
#define KSEG_TOPIC_ROW_PARTS_H

#include "postgres.h"
#include "lib/stringinfo.h"

#include "source/topic_field.h"
#include "source/topic_row.h"

typedef struct KsegRowColumn
{
	const KsegTopicColumn *column;
	int index;      /* in values and nulls */
	bool has_field; /* of the record; else it is of its head */
	bool in_value;  /* a part of the value: NULL when the value is malformed */
	KsegTopicField field;
	KsegDebezium debezium; /* how the member comes, where the format is debezium */
	Datum constant;        /* the table's topic */
} KsegRowColumn;

struct KsegTopicRow
{
	const KsegTopicTable *table;
	KsegRowColumn *columns;
	int count;
	StringInfoData wants; /* JSON */
	uint32 fields;
	KsegDebeziumSchema *schema; /* of the messages, the first field; NULL: nothing depends on it */
	bool soft;                  /* what is wrong does not end the query */
	KsegRowReport report;       /* who is told instead; NULL: nobody */
	void *argument;
	int error_index;         /* of the column that shows it; -1: none */
	StringInfoData problems; /* of the row under way */
	bool wrong;              /* it has one */
	int sqlerrcode;          /* of the first one */
	const char *topic;       /* of the record */
	bool elsewhere;          /* it is not the table's */
	uint64 skipped;
	const KsegRecord *record; /* under way, and its column: for errors */
	const KsegRowColumn *current;
};

#endif /* KSEG_TOPIC_ROW_PARTS_H */
