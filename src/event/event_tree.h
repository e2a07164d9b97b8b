/*
 * event_tree.h
 *	  Between event_columns.c, which sorts columns into fields, and event_tree.c, which makes objects of the rest.
 */
#ifndef KSEG_EVENT_TREE_H
#define KSEG_EVENT_TREE_H

#include "event/event_columns.h"

/* The work of event_columns_sort; arrays by column, from 0. */
typedef struct KsegSorting
{
	const KsegMapping *mapping;
	TupleDesc desc;
	KsegColumns *columns; /* the result */
	bool *excluded;       /* to be left out, and dropped attributes */
	bool *listed;         /* named by the argument properties */
	bool *taken;          /* already a field */
} KsegSorting;

/* Fill columns->properties, context and integrations from the columns that are not taken. ERRORs: event_plan_create. */
extern void event_tree_grow(KsegSorting *sorting);

/* Column i (from 0) is used: its name and type, in the current memory context. */
extern void event_column_open(KsegSorting *sorting, int i, KsegColumn *column);

#endif /* KSEG_EVENT_TREE_H */
