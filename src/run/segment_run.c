/*
 * segment_run.c
 *	  segment_track_from_query and its brothers. What a run is stands in run.h.
 *
 * A repeat of a run is harmless because message ids are a function of the data, and Segment drops what it has had.
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "base/result_set.h"
#include "run/run.h"
#include "run/segment_arguments.h"
#include "sink/segment_sink.h"

static KsegSink *
run_create_sink(const KsegRun *run, const KsegSinkOptions *options)
{
	return segment_sink_create(run->argument, options);
}

static const char *
run_repeat_hint(const KsegRun *run, KsegLinkState state)
{
	if (state != KSEG_LINK_LOST)
		return NULL;
	return "Repeat the run: events that had arrived keep their ids, so Segment drops the repeats.";
}

static void
run_return(const KsegRun *run, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = result_set_begin(fcinfo);
	const KsegFigures *figures = &run->figures;
	uint64 counts[] = {figures->rows,    figures->sent,     figures->repeated,
	                   figures->invalid, figures->rejected, figures->batches,
	                   figures->retries, figures->bytes,    figures->bytes_on_wire};
	const char *problem = run_first_problem(run);
	Datum values[12];
	bool nulls[12] = {false};

	values[0] = UUIDPGetDatum(&run->id);
	for (int i = 0; i < lengthof(counts); i++)
		values[1 + i] = Int64GetDatum((int64) counts[i]);
	values[10] = IntervalPGetDatum(run_elapsed(run));
	nulls[11] = problem == NULL;
	values[11] = problem == NULL ? (Datum) 0 : CStringGetTextDatum(problem);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* The function behind every segment_*_from_query and _from_table. */
static Datum
run_segment(FunctionCallInfo fcinfo, KsegCall call)
{
	KsegSegmentArguments arguments;
	KsegSegmentDelivery delivery = {.mapping = &arguments.mapping};
	KsegSegmentServer *server;
	KsegRun run;
	char *write_key;

	segment_arguments_of_run(&arguments, fcinfo, call);
	run_begin(&run, &arguments.run);
	server = segment_server_get(arguments.run.server, false);
	write_key = segment_server_write_key(server);
	delivery.server = server;
	delivery.write_key = write_key;
	run.call = event_call_name(call);
	run.server = server->name;
	run.server_oid = server->oid;
	run.create_sink = run_create_sink;
	run.repeat_hint = run_repeat_hint;
	run.argument = &delivery;
	run_attempt(&run);
	explicit_bzero(write_key, strlen(write_key));
	run_end(&run);
	run_return(&run, fcinfo);
	return (Datum) 0;
}

/* segment_CALL_from_query(query text, …) and segment_CALL_from_table(relation regclass, …): sql/kseg--*.sql has them all. */
#define KSEG_RUN_FUNCTION(name, call)                                                                        \
	PG_FUNCTION_INFO_V1(kseg_sql_segment_##name);                                                            \
	Datum kseg_sql_segment_##name(PG_FUNCTION_ARGS)                                                          \
	{                                                                                                        \
		return run_segment(fcinfo, call);                                                                    \
	}

KSEG_RUN_FUNCTION(track, KSEG_CALL_TRACK)
KSEG_RUN_FUNCTION(identify, KSEG_CALL_IDENTIFY)
KSEG_RUN_FUNCTION(group, KSEG_CALL_GROUP)
KSEG_RUN_FUNCTION(page, KSEG_CALL_PAGE)
KSEG_RUN_FUNCTION(screen, KSEG_CALL_SCREEN)
KSEG_RUN_FUNCTION(alias, KSEG_CALL_ALIAS)
