/*
 * topic_plan.c
 *	  Planning a scan of a topic: how much it may be, what it costs, which columns and conditions the courier is told.
 *
 * Every clause stays a filter of the scan. See topic_scan.h.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"

#include "compat.h"
#include "source/topic_feed.h"
#include "source/topic_scan.h"

/*
 * Rows of a topic that nobody has analyzed. Too many rather than too few: a topic is seldom small, and a plan that expects
 * few rows reads it again and again.
 */
#define PLAN_ROWS_GUESS 1000000

/*
 * A courier's start, a connection and the first answer of a broker take some 100 ms, in which PostgreSQL reads about so many
 * pages in sequence. It makes a scan that is done twice so dear that the planner keeps the first one's rows.
 */
#define PLAN_STARTUP_COST 10000.0

/*
 * A message against a row of a table that is read in sequence. Measured with five columns: 0.25 µs of the backend's time while the
 * courier takes 0.8 µs of another core's, against 0.1 µs.
 */
#define PLAN_MESSAGE_TUPLES 5

/* What is known between the steps of planning; the rel's fdw_private. */
typedef struct TopicPlan
{
	KsegTopicTable *table;
	double read; /* messages that will be read */
} TopicPlan;

void
topic_plan_size(PlannerInfo *root, RelOptInfo *rel, Oid relation)
{
	TopicPlan *plan = palloc0(sizeof(TopicPlan));
	List *clauses = extract_actual_clauses(rel->baserestrictinfo, false);
	Selectivity read;

	plan->table = topic_table_get(relation);
	rel->fdw_private = plan;
	if (topic_feed_expected() > 0)
		rel->tuples = topic_feed_expected();
	else if (rel->tuples < 0)
		rel->tuples = PLAN_ROWS_GUESS;
	set_baserel_size_estimates(root, rel);
	read = clauselist_selectivity(root, topic_pushdown_clauses(plan->table, rel->relid, clauses), rel->relid,
	                              JOIN_INNER, NULL);
	plan->read = Max(rel->rows, rel->tuples * read);
}

void
topic_plan_paths(PlannerInfo *root, RelOptInfo *rel, Oid relation)
{
	TopicPlan *plan = rel->fdw_private;
	Cost startup = PLAN_STARTUP_COST + rel->baserestrictcost.startup;
	Cost message = PLAN_MESSAGE_TUPLES * cpu_tuple_cost + rel->baserestrictcost.per_tuple;

	/* The target's own cost is for each row that comes out. */
	startup += rel->reltarget->cost.startup;
	add_path(rel, (Path *) kseg_compat_foreign_path(root, rel, startup,
	                                                startup + message * plan->read +
	                                                    rel->reltarget->cost.per_tuple * rel->rows));
}

/* Attribute numbers of the columns that the query needs: what comes out of the scan, and what its filters look at. */
static List *
plan_needed_columns(const KsegTopicTable *table, RelOptInfo *rel, List *clauses)
{
	Bitmapset *attributes = NULL;
	List *needed = NIL;
	bool all;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &attributes);
	pull_varattnos((Node *) clauses, rel->relid, &attributes);
	all = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, attributes);
	for (int i = 0; i < table->column_count; i++)
	{
		AttrNumber number = table->columns[i].number;

		if (!table->columns[i].dropped &&
		    (all || bms_is_member(number - FirstLowInvalidHeapAttributeNumber, attributes)))
			needed = lappend_int(needed, number);
	}
	return needed;
}

ForeignScan *
topic_plan_create(PlannerInfo *root, RelOptInfo *rel, Oid relation, ForeignPath *path, List *tlist,
                  List *clauses, Plan *outer)
{
	TopicPlan *plan = rel->fdw_private;
	List *operands = NIL;
	List *conditions;

	clauses = extract_actual_clauses(clauses, false);
	conditions = topic_pushdown_find(plan->table, rel->relid, clauses, &operands);
	return make_foreignscan(tlist, clauses, rel->relid, operands,
	                        list_make2(plan_needed_columns(plan->table, rel, clauses), conditions), NIL, NIL,
	                        outer);
}
