/*
 * topic_pushdown.h
 *	  Conditions that narrow what is read of a topic: partitions, offsets, times.
 *
 * Owns: finding them among a query's clauses, their values at the scan's start, and the range that follows. Refuses: to replace a
 * clause. Every one of them stays a filter of the scan too, so that a range which is too wide costs time and nothing else.
 *
 *	  partition  = < <= > >= and = ANY (…)     a list of partitions; > and >= only beside one that bounds it above
 *	  offset     = < <= > >=                   from … to of every partition
 *	  timestamp  = < <= > >=                   from … to in milliseconds; whether "to" may end a read early is the courier's to know
 *
 * The other side of the operator: whatever does not depend on the row and is not volatile, so constants, parameters, now().
 */
#ifndef KSEG_TOPIC_PUSHDOWN_H
#define KSEG_TOPIC_PUSHDOWN_H

#include "postgres.h"
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"

#include "source/topic_read.h"
#include "source/topic_table.h"

/*
 * The conditions among clauses (a List of expressions, all of which hold) on the relation's columns. Appends to *operands the
 * expressions they compare with, one for each condition, in order. A condition is a List of integers, fit for a plan.
 */
extern List *topic_pushdown_find(const KsegTopicTable *table, Index relid, List *clauses, List **operands);

/* The clauses that were taken; for the estimate of how much is read. */
extern List *topic_pushdown_clauses(const KsegTopicTable *table, Index relid, List *clauses);

/* What is to be read. */
typedef struct KsegTopicRange
{
	bool empty; /* no row can match */
	int32 *partitions;
	int partition_count; /* KSEG_TOPIC_UNBOUNDED: all */
	int64 offset_from;   /* as in KsegTopicRequest */
	int64 offset_to;
	int64 time_from_ms;
	int64 time_to_ms;
} KsegTopicRange;

/* Evaluate the operands (ExprStates of the scan's operands) and narrow the range; the list is palloc'd in the current context. */
extern void topic_pushdown_evaluate(List *conditions, List *operands, ExprContext *econtext,
                                    KsegTopicRange *range);

/* What a condition narrows, and how it reads ("< 20") with its operand's text, palloc'd; for EXPLAIN. */
typedef enum KsegTopicNarrowed
{
	KSEG_NARROWED_PARTITION,
	KSEG_NARROWED_OFFSET,
	KSEG_NARROWED_TIME
} KsegTopicNarrowed;
extern KsegTopicNarrowed topic_pushdown_narrowed(const List *condition);
extern char *topic_pushdown_words(const List *condition, const char *operand);

#endif /* KSEG_TOPIC_PUSHDOWN_H */
