/*
 * topic_scan.c
 *	  Executing a scan of a topic. See topic_scan.h.
 *
 * A courier is started when the first row is asked for, and stopped when its last record has come, when the scan is done again,
 * or when it ends. A scan that is done again reads the same offsets again: what was the end of the topic stays its end, whatever
 * has been produced meanwhile. When the conditions' values have changed (a lateral join), it reads what they say now, up to the
 * ends that it has seen before.
 *
 * While a stream applies a batch there is a feed (topic_feed.h) for its table, and a scan gives the batch's records.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "source/topic_scan.h"

/* Those of this backend that are under way. */
static dlist_head scans = DLIST_STATIC_INIT(scans);

/* ---------- begin ---------- */

static void
scan_forget(void *argument)
{
	dlist_delete(&((KsegTopicScan *) argument)->node);
}

/* Until its memory goes, whether the statement ends well or not. */
static void
scan_register(KsegTopicScan *scan, const EState *statement)
{
	scan->statement = statement;
	scan->cleanup.func = scan_forget;
	scan->cleanup.arg = scan;
	dlist_push_head(&scans, &scan->node);
	MemoryContextRegisterResetCallback(scan->context, &scan->cleanup);
}

/* The columns that the plan says, without one for count(*). */
static Bitmapset *
scan_needed(List *numbers)
{
	/* 0 is no column: it makes the set one that is there, for NULL means all. */
	Bitmapset *needed = bms_make_singleton(0);
	ListCell *cell;

	foreach (cell, numbers)
		needed = bms_add_member(needed, lfirst_int(cell));
	return needed;
}

/* The batch has the columns that the stream's plan needed when the reading began: a plan that needs others came about since. */
static void
scan_begin_feed(KsegTopicScan *scan, ForeignScanState *node, KsegTopicFeed *feed, const List *numbers)
{
	ListCell *cell;
	bool fits = feed->table->column_count == node->ss.ss_ScanTupleSlot->tts_tupleDescriptor->natts;

	foreach (cell, numbers)
		fits = fits && bms_is_member(lfirst_int(cell), feed->needed);
	if (!fits)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("the stream's plan has changed"),
		                errdetail("It needs columns of foreign table \"%s\" that were not read.",
		                          feed->table->name)));
	scan->feed = feed;
	scan->fed = feed->from;
	scan->table = unconstify(KsegTopicTable *, feed->table);
	scan->row = feed->row;
}

void
topic_scan_begin(ForeignScanState *node, int flags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	Oid relation = RelationGetRelid(node->ss.ss_currentRelation);
	KsegTopicScan *scan = palloc0(sizeof(KsegTopicScan));
	List *numbers = list_nth(plan->fdw_private, KSEG_PLAN_NEEDED);
	bool explained = (flags & EXEC_FLAG_EXPLAIN_ONLY) != 0;
	KsegTopicFeed *feed = explained ? NULL : topic_feed_get(relation);

	scan->context = CurrentMemoryContext;
	scan->conditions = list_nth(plan->fdw_private, KSEG_PLAN_CONDITIONS);
	node->fdw_state = scan;
	if (feed != NULL)
		scan_begin_feed(scan, node, feed, numbers);
	else
		scan->table = topic_table_get(relation);
	if (explained)
		return;
	scan->row_context = AllocSetContextCreate(scan->context, "kseg topic row", ALLOCSET_DEFAULT_SIZES);
	if (feed != NULL)
		return;
	scan->row = topic_row_create(scan->table, scan_needed(numbers));
	scan->operands = ExecInitExprList(plan->fdw_exprs, &node->ss.ps);
	scan->user = kseg_compat_scan_user(node);
	scan_register(scan, node->ss.ps.state);
}

/* ---------- a read ---------- */

static bool
range_is_same(const KsegTopicRange *one, const KsegTopicRange *other)
{
	return one->empty == other->empty && one->offset_from == other->offset_from &&
	       one->offset_to == other->offset_to && one->time_from_ms == other->time_from_ms &&
	       one->time_to_ms == other->time_to_ms && one->partition_count == other->partition_count &&
	       (one->partition_count <= 0 ||
	        memcmp(one->partitions, other->partitions, sizeof(int32) * one->partition_count) == 0);
}

/* What the conditions' values narrow this read to. When it is another range than before, what was read is of no use. */
static void
scan_take_range(KsegTopicScan *scan, ExprContext *econtext)
{
	MemoryContext previous;
	KsegTopicRange range;

	/* Many rescans may find no record, which would reset it. */
	MemoryContextReset(scan->row_context);
	previous = MemoryContextSwitchTo(scan->row_context);
	topic_pushdown_evaluate(scan->conditions, scan->operands, econtext, &range);
	MemoryContextSwitchTo(previous);
	if (scan->last != NULL && !range_is_same(&range, &scan->range))
	{
		pfree(scan->last);
		scan->last = NULL;
		scan->last_count = 0;
	}
	if (scan->range.partitions != NULL)
		pfree(scan->range.partitions);
	scan->range = range;
	if (range.partitions != NULL)
	{
		scan->range.partitions = palloc(sizeof(int32) * Max(1, range.partition_count));
		memcpy(scan->range.partitions, range.partitions, sizeof(int32) * range.partition_count);
	}
}

static void
scan_check_surroundings(void)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("kseg reads no topic from within a security-restricted operation"),
		         errdetail("Index expressions, materialized views and the like must not reach outside."),
		         errhint("Fill a table: INSERT INTO ... SELECT ... FROM the topic.")));
}

/* Start a courier, unless nothing can match. */
static void
scan_open(KsegTopicScan *scan, ExprContext *econtext)
{
	MemoryContext previous = MemoryContextSwitchTo(scan->context);
	KsegTopicRequest request;

	scan_check_surroundings();
	if (scan->server == NULL)
		scan->server = kafka_server_get_by_oid(scan->table->server, scan->user);
	scan_take_range(scan, econtext);
	scan->ended = scan->range.empty;
	if (!scan->ended)
	{
		topic_request_of_table(&request, scan->server, scan->table);
		topic_row_request(scan->row, &request);
		request.partitions = scan->range.partitions;
		request.partition_count = scan->range.partition_count;
		request.offset_from = scan->range.offset_from;
		request.offset_to = scan->range.offset_to;
		request.time_from_ms = scan->range.time_from_ms;
		request.time_to_ms = scan->range.time_to_ms;
		request.bounds = scan->last;
		request.bound_count = scan->last_count;
		scan->bounds_noted = false;
		scan->clamped = false;
		scan->reads++;
		scan->read = topic_read_open(&request);
	}
	MemoryContextSwitchTo(previous);
}

/* Stop the courier, if there is one; its figures are kept. */
static void
scan_close(KsegTopicScan *scan)
{
	if (scan->read == NULL)
		return;
	scan->records += topic_read_records(scan->read);
	scan->bytes += topic_read_bytes(scan->read);
	topic_read_close(scan->read);
	scan->read = NULL;
}

/* ---------- where it ends ---------- */

static KsegTopicBound *
scan_end_of(const KsegTopicScan *scan, int32 partition)
{
	for (int i = 0; i < scan->end_count; i++)
	{
		if (scan->ends[i].partition == partition)
			return &scan->ends[i];
	}
	return NULL;
}

/*
 * Where this scan, or another one of the statement, has seen the partition end. A statement that writes to the topic it reads must not
 * read what it writes, also when it begins to read in a second place (UNION ALL) after it has begun to write.
 */
static KsegTopicBound *
scan_end_seen(const KsegTopicScan *scan, int32 partition)
{
	KsegTopicBound *seen = scan_end_of(scan, partition);
	dlist_iter iter;

	dlist_foreach(iter, &scans)
	{
		const KsegTopicScan *other = dlist_container(KsegTopicScan, node, iter.cur);

		if (seen == NULL && other->statement == scan->statement &&
		    other->table->server == scan->table->server &&
		    strcmp(other->table->topic, scan->table->topic) == 0)
			seen = scan_end_of(other, partition);
	}
	return seen;
}

/* Hold a bound to the end that was seen before, or remember it: unless it is only where a condition ends the read. */
static void
scan_note_end(KsegTopicScan *scan, KsegTopicBound *bound)
{
	KsegTopicBound *seen = scan_end_seen(scan, bound->partition);

	if (seen != NULL && seen->end < bound->end)
	{
		bound->end = seen->end;
		bound->start = Min(bound->start, bound->end);
		scan->clamped = true;
	}
	else if (seen == NULL && scan->range.time_to_ms == KSEG_TOPIC_UNBOUNDED &&
	         (scan->range.offset_to == KSEG_TOPIC_UNBOUNDED || bound->end < scan->range.offset_to))
		scan->ends[scan->end_count++] = *bound;
}

/* Once for each read, as soon as its bounds are known. */
static void
scan_note_bounds(KsegTopicScan *scan)
{
	MemoryContext previous = MemoryContextSwitchTo(scan->context);
	int count;
	const KsegTopicBound *bounds = topic_read_bounds(scan->read, &count);

	scan->bounds_noted = true;
	if (scan->last == NULL)
	{
		scan->last = palloc(sizeof(KsegTopicBound) * Max(count, 1));
		scan->last_count = count;
		memcpy(scan->last, bounds, sizeof(KsegTopicBound) * count);
		if (scan->ends == NULL)
			scan->ends = palloc(sizeof(KsegTopicBound) * Max(count, 1));
		else
			scan->ends = repalloc(scan->ends, sizeof(KsegTopicBound) * (scan->end_count + count + 1));
		for (int i = 0; i < count; i++)
			scan_note_end(scan, &scan->last[i]);
	}
	MemoryContextSwitchTo(previous);
}

/* Has this record come after the query had seen its partition's end? */
static bool
scan_is_late(const KsegTopicScan *scan, const KsegRecord *record)
{
	const KsegTopicBound *end = scan_end_seen(scan, record->partition);

	return end != NULL && record->offset >= end->end;
}

/* ---------- rows ---------- */

/* The next record, from a courier that is started when there is none yet. */
static bool
scan_next_record(KsegTopicScan *scan, ExprContext *econtext, KsegRecord *record)
{
	bool more;

	if (scan->ended)
		return false;
	if (scan->read == NULL)
		scan_open(scan, econtext);
	if (scan->ended)
		return false;
	more = topic_read_next(scan->read, record);
	if (unlikely(!scan->bounds_noted))
		scan_note_bounds(scan);
	if (unlikely(!more))
	{
		scan_close(scan);
		scan->ended = true;
	}
	return more;
}

/* A record of the batch as a row whose ctid is its place. */
static TupleTableSlot *
scan_next_fed(KsegTopicScan *scan, TupleTableSlot *slot)
{
	KsegTopicFeed *feed = scan->feed;

	while (scan->fed < feed->to)
	{
		MemoryContext previous;
		bool found;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(scan->row_context);
		previous = MemoryContextSwitchTo(scan->row_context);
		found = topic_feed_convert(feed, scan->fed++, slot->tts_values, slot->tts_isnull);
		MemoryContextSwitchTo(previous);
		if (likely(found))
		{
			ExecStoreVirtualTuple(slot);
			topic_feed_tid(feed->at, &slot->tts_tid);
			break;
		}
	}
	return slot;
}

TupleTableSlot *
topic_scan_iterate(ForeignScanState *node)
{
	KsegTopicScan *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	bool found = false;
	KsegRecord record;

	ExecClearTuple(slot);
	if (scan->feed != NULL)
		return scan_next_fed(scan, slot);
	while (!found && scan_next_record(scan, node->ss.ps.ps_ExprContext, &record))
	{
		MemoryContext previous;

		CHECK_FOR_INTERRUPTS(); /* of rows that are skipped the executor knows nothing */
		if (unlikely(scan->clamped) && scan_is_late(scan, &record))
			continue;
		MemoryContextReset(scan->row_context);
		previous = MemoryContextSwitchTo(scan->row_context);
		found = topic_row_convert(scan->row, &record, slot->tts_values, slot->tts_isnull);
		MemoryContextSwitchTo(previous);
	}
	return found ? ExecStoreVirtualTuple(slot) : slot;
}

/* ---------- again, and end ---------- */

/* Before anything was read there is nothing to do again. */
void
topic_scan_again(ForeignScanState *node)
{
	KsegTopicScan *scan = node->fdw_state;

	scan_close(scan);
	scan->ended = false;
	if (scan->feed != NULL)
		scan->fed = scan->feed->from;
}

void
topic_scan_end(ForeignScanState *node)
{
	KsegTopicScan *scan = node->fdw_state;

	if (scan != NULL)
		scan_close(scan);
}
