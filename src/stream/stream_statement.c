/*
 * stream_statement.c
 *	  The statement that a stream runs for each batch. See stream_statement.h.
 */
#include "postgres.h"

#include "utils/plancache.h"
#include "utils/resowner.h"

#include "sink/table_bulk.h"
#include "source/topic_feed.h"
#include "stream/stream_statement.h"

/*
 * Batches for which rows are cut to the last of each key, once a batch had a key twice: a topic that repeats keys goes on to, and a failed try
 * costs a batch's work. A thousandth of that is what the return to the plain statement costs at most.
 */
#define STATEMENT_LAST_WINS_BATCHES 1000

static SPIPlanPtr
statement_prepare(const KsegTableRequest *request, bool last_wins)
{
	SPIPlanPtr plan = table_statement_prepare(request, last_wins);

	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep a stream's statement");
	return plan;
}

KsegStreamStatement *
stream_statement_create(const KsegStreamEntry *entry)
{
	KsegStreamStatement *statement = palloc0(sizeof(KsegStreamStatement));
	const KsegTableRequest *request;

	statement->query = stream_query_analyze(entry);
	request = &statement->query->request;
	statement->texts[0] = table_statement_build(request, false);
	if (request->on_conflict == KSEG_TABLE_CONFLICT_UPDATE && request->key != NIL &&
	    request->delete_when == NULL)
		statement->texts[1] = table_statement_build(request, true);
	SPI_connect();
	for (int i = 0; i < KSEG_STATEMENTS; i++)
	{
		if (statement->texts[i] != NULL)
			statement->plans[i] = statement_prepare(request, i == 1);
	}
	SPI_finish();
	return statement;
}

/* ---------- plans ---------- */

static int
statement_index(const KsegStreamStatement *statement)
{
	return statement->last_wins_left > 0 && statement->plans[1] != NULL ? 1 : 0;
}

/* The plan, with a reference that the current resource owner has: release it with ReleaseCachedPlan. */
static CachedPlan *
statement_get_plan(KsegStreamStatement *statement, int index)
{
	CachedPlan *plan = SPI_plan_get_cached_plan(statement->plans[index]);

	if (plan == NULL)
		elog(ERROR, "a stream's statement has no plan");
	return plan;
}

/* The one statement that the plan has; NULL: rules have made several of it. */
static PlannedStmt *
statement_of_plan(const CachedPlan *plan)
{
	return list_length(plan->stmt_list) == 1 ? linitial_node(PlannedStmt, plan->stmt_list) : NULL;
}

/* Add what the plan needs of the source. */
static Bitmapset *
statement_add_needed(Bitmapset *needed, const CachedPlan *plan, Oid source)
{
	ListCell *cell;
	int scans = 0;

	foreach (cell, plan->stmt_list)
	{
		int here = 0;

		needed = bms_add_members(needed, topic_feed_needed(lfirst_node(PlannedStmt, cell), source, &here));
		scans += here;
	}
	/* Read twice, a batch would be two; read never, a constant condition has taken it out of the plan, and that is no harm. */
	if (scans > 1)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("the plan of a stream's query reads its source %d times", scans),
		         errhint("A query with each of its sources once is planned so. A rule of the target may "
		                 "repeat it: use a trigger.")));
	return needed;
}

Bitmapset *
stream_statement_needed(KsegStreamStatement *statement)
{
	Bitmapset *needed = NULL;

	for (int i = 0; i < KSEG_STATEMENTS; i++)
	{
		CachedPlan *plan;

		if (statement->plans[i] == NULL)
			continue;
		plan = statement_get_plan(statement, i);
		statement->generations[i] = plan->generation;
		needed = statement_add_needed(needed, plan, statement->query->source);
		ReleaseCachedPlan(plan, CurrentResourceOwner);
	}
	return needed;
}

bool
stream_statement_is_new(KsegStreamStatement *statement)
{
	int index = statement_index(statement);
	CachedPlan *plan = statement_get_plan(statement, index);
	bool is_new = plan->generation != statement->generations[index];

	ReleaseCachedPlan(plan, CurrentResourceOwner);
	return is_new;
}

bool
stream_statement_is_current(const KsegStreamStatement *statement, const KsegStreamEntry *entry)
{
	const KsegStreamQuery *now = stream_query_analyze(entry);

	if (now->source != statement->query->source || now->server != statement->query->server ||
	    now->target != statement->query->target)
		return false;
	for (int i = 0; i < KSEG_STATEMENTS; i++)
	{
		if (statement->texts[i] != NULL &&
		    strcmp(table_statement_build(&now->request, i == 1), statement->texts[i]) != 0)
			return false;
	}
	return true;
}

/* ---------- running ---------- */

/* May the plan go by table_bulk? The query that it was planned from is its source's. */
static bool
statement_fits_bulk(SPIPlanPtr plan, const PlannedStmt *planned)
{
	const CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));

	return list_length(source->query_list) == 1 &&
	       table_bulk_fits(planned, linitial_node(Query, source->query_list));
}

/* Rows wait there before they go into the table: it keeps feed->at right. */
static uint64
statement_run_bulk(const KsegStreamStatement *statement, PlannedStmt *planned, const char *text)
{
	KsegTopicFeed *feed = topic_feed_get(statement->query->source);

	return table_bulk_run(planned, text, feed != NULL ? &feed->at : NULL);
}

static uint64
statement_run_plan(SPIPlanPtr plan)
{
	int result = SPI_execute_plan(plan, NULL, NULL, false, 0);

	if (result < 0)
		elog(ERROR, "could not run a stream's statement: %s", SPI_result_code_string(result));
	return SPI_processed;
}

uint64
stream_statement_run(KsegStreamStatement *statement)
{
	int index = statement_index(statement);
	CachedPlan *plan = statement_get_plan(statement, index);
	PlannedStmt *planned = statement_of_plan(plan);
	uint64 rows;

	if (planned != NULL && statement_fits_bulk(statement->plans[index], planned))
		rows = statement_run_bulk(statement, planned, statement->texts[index]);
	else
		rows = statement_run_plan(statement->plans[index]);
	ReleaseCachedPlan(plan, CurrentResourceOwner);
	return rows;
}

void
stream_statement_settle(KsegStreamStatement *statement)
{
	if (statement->last_wins_left > 0)
		statement->last_wins_left--;
}

bool
stream_statement_take_last(KsegStreamStatement *statement, int sqlerrcode)
{
	if (sqlerrcode != ERRCODE_CARDINALITY_VIOLATION || statement->plans[1] == NULL ||
	    statement->last_wins_left > 0)
		return false;
	statement->last_wins_left = STATEMENT_LAST_WINS_BATCHES;
	return true;
}

void
stream_statement_free(KsegStreamStatement *statement)
{
	for (int i = 0; statement != NULL && i < KSEG_STATEMENTS; i++)
	{
		if (statement->plans[i] != NULL)
			SPI_freeplan(statement->plans[i]);
		statement->plans[i] = NULL;
	}
}
