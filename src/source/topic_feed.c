/*
 * topic_feed.c
 *	  A batch's records in the place of a topic. See topic_feed.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "parser/parsetree.h"

#include "source/topic_feed.h"
#include "source/topic_scan.h"

/* Of this backend; NULL: a foreign table shows its topic. */
static KsegTopicFeed *current_feed = NULL;

/* ---------- the feed ---------- */

static double expected_rows = 0;

void
topic_feed_expect(double rows)
{
	expected_rows = rows;
}

double
topic_feed_expected(void)
{
	return expected_rows;
}

/* A problem of the record under way. */
static void
feed_take_problem(void *argument, int sqlerrcode, const char *reason)
{
	KsegTopicFeed *feed = argument;

	if (feed->at <= feed->reported)
		return;
	feed->reported = feed->at;
	feed->problem(feed->argument, feed->at, sqlerrcode, reason);
}

void
topic_feed_set(KsegTopicFeed *feed)
{
	current_feed = feed;
	if (feed == NULL)
		return;
	feed->at = feed->reported = -1;
	/* Strings of another follow may lie where those of the last one did. */
	feed->place = NULL;
	topic_row_set_topic(feed->row, NULL);
	topic_row_set_report(feed->row, feed->problem != NULL ? feed_take_problem : NULL, feed);
}

KsegTopicFeed *
topic_feed_get(Oid relation)
{
	return current_feed != NULL && current_feed->table->relation == relation ? current_feed : NULL;
}

bool
topic_feed_convert(KsegTopicFeed *feed, int index, Datum *values, bool *nulls)
{
	const KsegFeedPartition *place;
	KsegRecord record;

	feed->at = index;
	topic_batch_get(feed->batch, index, &record);
	if (unlikely(record.partition < 0 || record.partition >= feed->partition_count))
		elog(ERROR, "a record of partition index %d, of %d that are known", record.partition,
		     feed->partition_count);
	place = &feed->partitions[record.partition];
	record.partition = place->partition;
	if (unlikely(place->topic != feed->place))
	{
		feed->place = place->topic;
		topic_row_set_topic(feed->row, place->topic);
	}
	return topic_row_convert(feed->row, &record, values, nulls);
}

/*
 * 256 to a block: line pointers of the smallest page that PostgreSQL can be built with, so that no tid is one that a
 * heap could not have.
 */
#define FEED_TIDS_OF_BLOCK 256

void
topic_feed_tid(int index, ItemPointer tid)
{
	ItemPointerSet(tid, (BlockNumber) (index / FEED_TIDS_OF_BLOCK),
	               (OffsetNumber) (index % FEED_TIDS_OF_BLOCK + 1));
}

/* ---------- what is read ---------- */

void
topic_feed_request(const KsegTopicRow *row, KsegTopicRequest *request)
{
	size_t length;

	topic_row_request(row, request);
	length = strlen(request->wants);
	Assert(length >= 2 && request->wants[length - 1] == ']');
	if (request->fields + KSEG_FEED_FIELDS > KSEG_FIELDS_MAX)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS),
		                errmsg("a stream reads at most %d columns", KSEG_FIELDS_MAX - KSEG_FEED_FIELDS)));
	request->wants = psprintf("%.*s%s{\"kind\":\"value\"},{\"kind\":\"key\"},{\"kind\":\"headers\"}]",
	                          (int) length - 1, request->wants, request->fields > 0 ? "," : "");
	request->fields += KSEG_FEED_FIELDS;
}

void
topic_feed_message(const KsegRecord *record, uint32 fields, KsegText *value, KsegText *key, KsegText *headers)
{
	KsegText *parts[KSEG_FEED_FIELDS] = {value, key, headers};
	const char *bytes = (const char *) record->bytes;

	Assert(fields >= KSEG_FEED_FIELDS);
	for (uint32 i = 0; i < fields; i++)
	{
		uint32 length = kseg_record_length(record, i);
		bool null = length == KSEG_NO_BYTES;

		if (i + KSEG_FEED_FIELDS >= fields)
			*parts[i + KSEG_FEED_FIELDS - fields] = (KsegText){null ? NULL : bytes, null ? 0 : length};
		bytes += null ? 0 : length;
	}
}

/* ---------- what a plan needs ---------- */

typedef struct FeedNeeded
{
	const PlannedStmt *plan;
	Oid relation;
	Bitmapset *needed;
	int scans;
} FeedNeeded;

static void feed_walk_plan(const Plan *plan, FeedNeeded *needed);

static void
feed_take_scan(const ForeignScan *scan, FeedNeeded *needed)
{
	ListCell *cell;

	if (scan->scan.scanrelid == 0 ||
	    rt_fetch(scan->scan.scanrelid, needed->plan->rtable)->relid != needed->relation)
		return;
	needed->scans++;
	foreach (cell, list_nth(scan->fdw_private, KSEG_PLAN_NEEDED))
		needed->needed = bms_add_member(needed->needed, lfirst_int(cell));
}

static void
feed_walk_plans(const List *plans, FeedNeeded *needed)
{
	ListCell *cell;

	foreach (cell, plans)
		feed_walk_plan(lfirst(cell), needed);
}

/* The kinds of nodes that keep plans elsewhere than to their left and right: as in planstate_tree_walker (nodeFuncs.c). */
static void
feed_walk_plan(const Plan *plan, FeedNeeded *needed)
{
	if (plan == NULL)
		return;
	check_stack_depth();
	if (IsA(plan, ForeignScan))
		feed_take_scan((const ForeignScan *) plan, needed);
	else if (IsA(plan, Append))
		feed_walk_plans(((const Append *) plan)->appendplans, needed);
	else if (IsA(plan, MergeAppend))
		feed_walk_plans(((const MergeAppend *) plan)->mergeplans, needed);
	else if (IsA(plan, SubqueryScan))
		feed_walk_plan(((const SubqueryScan *) plan)->subplan, needed);
	else if (IsA(plan, CustomScan))
		feed_walk_plans(((const CustomScan *) plan)->custom_plans, needed);
	feed_walk_plan(plan->lefttree, needed);
	feed_walk_plan(plan->righttree, needed);
}

Bitmapset *
topic_feed_needed(const PlannedStmt *plan, Oid relation, int *scans)
{
	FeedNeeded needed = {.plan = plan, .relation = relation};

	/* 0 is no column: it makes the set one that is there, for NULL means all (topic_row_create). */
	needed.needed = bms_make_singleton(0);
	feed_walk_plan(plan->planTree, &needed);
	feed_walk_plans(plan->subplans, &needed);
	*scans = needed.scans;
	return needed.needed;
}
