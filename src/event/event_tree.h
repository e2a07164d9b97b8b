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
	KsegResultColumns result;
	KsegColumns *columns; /* what comes of it */
	bool *listed;         /* named by the argument properties */
	bool *taken;          /* already a field */
} KsegSorting;

/* Fill columns->properties, context and integrations from the columns that are not taken. ERRORs: event_plan_create. */
extern void event_tree_grow(KsegSorting *sorting);

#endif /* KSEG_EVENT_TREE_H */
