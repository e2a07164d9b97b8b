/*
 * topic_analyze.c
 *	  ANALYZE of a foreign table. See topic_analyze.h.
 *
 * The sample is a reservoir: each row that is read has the same chance to be in it. Its rows are kept whole, so what bounds them
 * is memory as well as PostgreSQL's target: when they take more than maintenance_work_mem, some are thrown out at random and
 * the reservoir stays that small.
 *
 * PostgreSQL runs ANALYZE as the table's owner, in a security-restricted operation; a topic is only read, so that is fine.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "server/kafka_server.h"
#include "source/topic_analyze.h"
#include "source/topic_read.h"
#include "source/topic_row.h"
#include "source/topic_table.h"

/*
 * A topic of so many messages at most is read as a whole, and of a larger one as many: ten times what PostgreSQL keeps at its
 * default target (300 * 100), read in about a second.
 */
#define ANALYZE_MESSAGES 300000

/*
 * Windows of each partition that a large topic is read in, one after another, each at random in its part of the partition. A
 * window costs the start of a courier (some 50 ms); twenty of them see hours of a day as well as its beginning and end.
 */
#define ANALYZE_WINDOWS 20

/* Rows that are kept whatever memory they take. */
#define ANALYZE_ROWS_LEAST 10

/* What AnalyzeForeignTable looks at to tell how large a message is. */
#define ANALYZE_GLANCE 100

typedef struct AnalyzeSample
{
	KsegTopicTable *table;
	KsegKafkaServer *server;
	KsegTopicRow *row;
	TupleDesc desc;
	MemoryContext row_context;
	Datum *values;
	bool *nulls;
	HeapTuple *rows; /* the reservoir; the tuples are palloc'd in context */
	MemoryContext context;
	int room; /* rows it may have, shrinks with lack of memory */
	int count;
	Size bytes; /* that its rows take */
	Size bytes_most;
	double seen;    /* rows that were read and could be shown */
	double skipped; /* and that could not */
	double offsets; /* that were looked at, gaps too */
} AnalyzeSample;

/* ---------- the reservoir ---------- */

static void
sample_drop_row(AnalyzeSample *sample, int index)
{
	sample->bytes -= GetMemoryChunkSpace(sample->rows[index]);
	heap_freetuple(sample->rows[index]);
	sample->rows[index] = sample->rows[--sample->count];
}

static int
sample_choose(double limit)
{
	return (int) (pg_prng_double(&pg_global_prng_state) * limit);
}

/* The row in values and nulls is among those seen now. Keep it, perhaps in another's place. */
static void
sample_offer_row(AnalyzeSample *sample)
{
	MemoryContext previous;
	HeapTuple tuple;

	sample->seen++;
	if (sample->count >= sample->room)
	{
		double place = pg_prng_double(&pg_global_prng_state) * sample->seen;

		if (place >= sample->room)
			return;
		sample_drop_row(sample, (int) place);
	}
	previous = MemoryContextSwitchTo(sample->context);
	tuple = heap_form_tuple(sample->desc, sample->values, sample->nulls);
	MemoryContextSwitchTo(previous);
	sample->rows[sample->count++] = tuple;
	sample->bytes += GetMemoryChunkSpace(tuple);
	while (sample->bytes > sample->bytes_most && sample->count > ANALYZE_ROWS_LEAST)
	{
		sample_drop_row(sample, sample_choose(sample->count));
		sample->room = sample->count;
	}
}

static void
sample_take_record(AnalyzeSample *sample, const KsegRecord *record)
{
	MemoryContext previous = MemoryContextSwitchTo(sample->row_context);

	if (topic_row_convert(sample->row, record, sample->values, sample->nulls))
		sample_offer_row(sample);
	else
		sample->skipped++;
	MemoryContextSwitchTo(previous);
	MemoryContextReset(sample->row_context);
}

/* ---------- reading ---------- */

static double
bounds_size(const KsegTopicBound *bounds, int count)
{
	double size = 0;

	for (int i = 0; i < count; i++)
		size += bounds[i].end - bounds[i].start;
	return size;
}

static void
sample_request(AnalyzeSample *sample, KsegTopicRequest *request)
{
	topic_request_of_table(request, sample->server, sample->table);
	topic_row_request(sample->row, request);
}

/*
 * Read the whole topic if it is small enough. False: it is not, nothing was read, and *bounds are its bounds, palloc'd.
 */
static bool
sample_read_whole(AnalyzeSample *sample, KsegTopicBound **bounds, int *bound_count)
{
	KsegTopicRequest request;
	const KsegTopicBound *known;
	KsegTopicRead *read;
	KsegRecord record;
	bool more;

	sample_request(sample, &request);
	read = topic_read_open(&request);
	more = topic_read_next(read, &record);
	known = topic_read_bounds(read, bound_count);
	/* They end with the read. */
	*bounds = palloc(sizeof(KsegTopicBound) * Max(*bound_count, 1));
	if (*bound_count > 0)
		memcpy(*bounds, known, sizeof(KsegTopicBound) * *bound_count);
	sample->offsets = bounds_size(*bounds, *bound_count);
	if (sample->offsets > ANALYZE_MESSAGES)
	{
		topic_read_close(read);
		return false;
	}
	for (; more; more = topic_read_next(read, &record))
		sample_take_record(sample, &record);
	topic_read_close(read);
	return true;
}

/*
 * The window of a partition's part number turn: share of the part's offsets, at random in it. start = end when the part is empty.
 */
static KsegTopicBound
window_choose(const KsegTopicBound *bound, int turn, double share)
{
	int64 size = bound->end - bound->start;
	int64 from = bound->start + size / ANALYZE_WINDOWS * turn;
	int64 to = turn == ANALYZE_WINDOWS - 1 ? bound->end : from + size / ANALYZE_WINDOWS;
	int64 length = Min(to - from, (int64) ceil((to - from) * share));
	KsegTopicBound window = *bound;

	window.start = from + (int64) pg_prng_uint64_range(&pg_global_prng_state, 0, to - from - length);
	window.end = window.start + length;
	return window;
}

/* One window of each partition, all in one read. */
static void
sample_read_windows(AnalyzeSample *sample, const KsegTopicBound *windows, int count)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "kseg read", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	KsegTopicRequest request;
	KsegTopicRead *read;
	KsegRecord record;

	sample_request(sample, &request);
	request.bounds = windows;
	request.bound_count = count;
	read = topic_read_open(&request);
	while (topic_read_next(read, &record))
		sample_take_record(sample, &record);
	topic_read_close(read);
	sample->offsets += bounds_size(windows, count);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}

static void
sample_read_parts(AnalyzeSample *sample, const KsegTopicBound *bounds, int count)
{
	double share = ANALYZE_MESSAGES / bounds_size(bounds, count);
	KsegTopicBound *windows = palloc(sizeof(KsegTopicBound) * count);

	sample->offsets = 0;
	for (int turn = 0; turn < ANALYZE_WINDOWS; turn++)
	{
		int used = 0;

		for (int i = 0; i < count; i++)
		{
			windows[used] = window_choose(&bounds[i], turn, share);
			used += windows[used].end > windows[used].start;
		}
		if (used > 0)
			sample_read_windows(sample, windows, used);
	}
}

/* ---------- FDW ---------- */

static void
sample_begin(AnalyzeSample *sample, Relation relation)
{
	sample->table = topic_table_get(RelationGetRelid(relation));
	sample->table->on_error = KSEG_TOPIC_ON_ERROR_SKIP;
	sample->server = kafka_server_get_by_oid(sample->table->server, relation->rd_rel->relowner);
	sample->row = topic_row_create(sample->table, NULL);
	sample->desc = RelationGetDescr(relation);
	sample->values = palloc0(sizeof(Datum) * sample->desc->natts);
	sample->nulls = palloc0(sizeof(bool) * sample->desc->natts);
	sample->context = CurrentMemoryContext;
	sample->row_context = AllocSetContextCreate(CurrentMemoryContext, "kseg row", ALLOCSET_DEFAULT_SIZES);
	sample->bytes_most = (Size) maintenance_work_mem * 1024;
}

static int
analyze_acquire_rows(Relation relation, int elevel, HeapTuple *rows, int room, double *total_rows,
                     double *dead_rows)
{
	AnalyzeSample sample = {.rows = rows, .room = room};
	KsegTopicBound *bounds;
	int bound_count;
	double offsets;

	sample_begin(&sample, relation);
	if (!sample_read_whole(&sample, &bounds, &bound_count))
		sample_read_parts(&sample, bounds, bound_count);
	offsets = bounds_size(bounds, bound_count);
	/* Offsets without a message (compaction, markers of transactions) and rows left out are as rare in the rest. */
	*total_rows = sample.offsets > 0 ? rint(offsets * sample.seen / sample.offsets) : 0;
	*dead_rows = 0;
	ereport(elevel,
	        (errmsg("\"%s\": read %.0f of %.0f offsets of topic \"%s\", containing %.0f rows and %.0f "
	                "messages that are none; %d rows in sample, %.0f estimated total rows",
	                RelationGetRelationName(relation), sample.offsets, offsets, sample.table->topic,
	                sample.seen, sample.skipped, sample.count, *total_rows)));
	return sample.count;
}

/*
 * PostgreSQL wants to know the size in pages of its own: the newest messages' bytes, as they come from the courier, times their
 * number.
 */
static BlockNumber
analyze_estimate_pages(Relation relation)
{
	KsegTopicTable *table = topic_table_get(RelationGetRelid(relation));
	KsegTopicRequest request;
	KsegTopicRead *read;
	KsegTopicRow *row;
	KsegRecord record;
	const KsegTopicBound *bounds;
	int count;
	double bytes = 0;
	double offsets = 0;

	topic_request_of_table(&request, kafka_server_get_by_oid(table->server, relation->rd_rel->relowner),
	                       table);
	row = topic_row_create(table, NULL);
	topic_row_request(row, &request);
	request.tail = ANALYZE_GLANCE;
	request.max_records = ANALYZE_GLANCE;
	read = topic_read_open(&request);
	while (topic_read_next(read, &record))
		continue;
	bounds = topic_read_bounds(read, &count);
	for (int i = 0; i < count; i++)
		offsets += bounds[i].end - bounds[i].low;
	if (topic_read_records(read) > 0)
		bytes = offsets * topic_read_bytes(read) / topic_read_records(read);
	topic_read_close(read);
	return (BlockNumber) Min(bytes / BLCKSZ + 1, MaxBlockNumber);
}

static bool
analyze_table(Relation relation, AcquireSampleRowsFunc *acquire, BlockNumber *pages)
{
	*pages = analyze_estimate_pages(relation);
	*acquire = analyze_acquire_rows;
	return true;
}

void
topic_analyze_install(FdwRoutine *routine)
{
	routine->AnalyzeForeignTable = analyze_table;
}
