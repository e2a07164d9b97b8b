/*
 * topic_scan.h
 *	  SELECT from a foreign table over a topic: its callbacks for PostgreSQL's planner and executor.
 *
 * Owns: what lies in the plan (KsegTopicPlanPart) and the state of a scan. Refuses: to write to a topic (topic_insert).
 */
#ifndef KSEG_TOPIC_SCAN_H
#define KSEG_TOPIC_SCAN_H

#include "postgres.h"
#include "foreign/fdwapi.h"
#include "lib/ilist.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

#include "source/topic_feed.h"
#include "source/topic_pushdown.h"
#include "source/topic_row.h"
#include "source/topic_table.h"

/* The plan's fdw_private, in order; its fdw_exprs are the conditions' operands. */
typedef enum KsegTopicPlanPart
{
	KSEG_PLAN_NEEDED,    /* integers: attribute numbers that the query needs */
	KSEG_PLAN_CONDITIONS /* see topic_pushdown.h */
} KsegTopicPlanPart;

typedef struct KsegTopicScan
{
	MemoryContext context;   /* the query's */
	const EState *statement; /* scans of one see the same end of a topic */
	dlist_node node;         /* among the scans under way */
	MemoryContextCallback cleanup;
	MemoryContext row_context; /* one row's */
	KsegTopicTable *table;
	KsegTopicRow *row;
	KsegTopicFeed *feed; /* a stream's batch is shown; NULL: the topic itself */
	int fed;             /* the next record of it */
	List *conditions;
	List *operands;          /* of ExprState */
	Oid user;                /* whose rights and mapping are used */
	KsegKafkaServer *server; /* looked up with the first read */

	KsegTopicRead *read;  /* under way; NULL: not begun, or at its end */
	bool ended;           /* nothing more comes without a rescan */
	bool bounds_noted;    /* of this read */
	bool clamped;         /* rows of this read may lie behind ends */
	KsegTopicRange range; /* of the last read */
	KsegTopicBound *last; /* what the last read read; NULL: not known */
	int last_count;
	KsegTopicBound *ends; /* of each partition, where it ended when the query first saw it */
	int end_count;

	uint64 reads; /* figures of all reads of this scan, the one under way not yet in them but in reads */
	uint64 records;
	uint64 bytes;
} KsegTopicScan;

/* topic_plan.c */
extern void topic_plan_size(PlannerInfo *root, RelOptInfo *rel, Oid relation);
extern void topic_plan_paths(PlannerInfo *root, RelOptInfo *rel, Oid relation);
extern ForeignScan *topic_plan_create(PlannerInfo *root, RelOptInfo *rel, Oid relation, ForeignPath *path,
                                      List *tlist, List *clauses, Plan *outer);

/* topic_scan.c */
extern void topic_scan_begin(ForeignScanState *node, int flags);
extern TupleTableSlot *topic_scan_iterate(ForeignScanState *node);
extern void topic_scan_again(ForeignScanState *node);
extern void topic_scan_end(ForeignScanState *node);

/* topic_explain.c */
extern void topic_explain(ForeignScanState *node, struct ExplainState *es);

#endif /* KSEG_TOPIC_SCAN_H */
