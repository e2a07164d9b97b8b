/*
 * result_columns.h
 *	  The columns of a query's result by name: found, left out, opened.
 *
 * Owns: what Segment's events and Kafka's messages ask of columns alike, and the ERRORs about columns as such, which name
 * the argument that is wrong and the column that was perhaps meant. Refuses: to know what a column is for.
 */
#ifndef KSEG_RESULT_COLUMNS_H
#define KSEG_RESULT_COLUMNS_H

#include "access/tupdesc.h"
#include "nodes/pg_list.h"

#include "event/json_value.h"

/* A column of the result that is used. */
typedef struct KsegColumn
{
	int attribute;    /* from 1; 0: there is none */
	const char *name; /* as in the result, for messages */
	KsegType *type;
} KsegColumn;

/* Arrays by column, from 0. */
typedef struct KsegResultColumns
{
	TupleDesc desc;
	bool *excluded; /* to be left out, and dropped attributes */
} KsegResultColumns;

/*
 * Look at a result's columns, in the current memory context. exclude (of char *) may name a column that is there twice:
 * that is one way to be rid of it.
 */
extern void result_columns_init(KsegResultColumns *result, TupleDesc desc, List *exclude);

/* ERROR unless every column that is not excluded has a name, and only one has it; and there is one. */
extern void result_columns_check_names(const KsegResultColumns *result);

extern const char *result_column_name(const KsegResultColumns *result, int i);
/* The one column of this name, from 0; -1: none that is not excluded. */
extern int result_column_find(const KsegResultColumns *result, const char *name);
/* The column that an argument names, or an ERROR. */
extern int result_column_named(const KsegResultColumns *result, const char *argument, const char *name);

/* Column i is used: its name and type, in the current memory context. */
extern void result_column_open(const KsegResultColumns *result, int i, KsegColumn *column);

/* A name in the database's encoding as UTF-8, or an ERROR. */
extern const char *result_name_utf8(const char *name);

#endif /* KSEG_RESULT_COLUMNS_H */
