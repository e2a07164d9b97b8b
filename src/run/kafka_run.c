/*
 * kafka_run.c
 *	  kafka_produce_from_query and kafka_produce_from_table. What a run is stands in run.h.
 *
 * At least once: whoever repeats a run produces its messages again, because Kafka tells no repeats apart. With transactional =>
 * true all of a run's messages become visible at once (to readers with read_committed), or none. That is a transaction of
 * Kafka's: it is over when the function returns, whatever PostgreSQL's transaction then does.
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "base/result_set.h"
#include "run/kafka_arguments.h"
#include "run/run.h"
#include "sink/kafka_sink.h"

static KsegSink *
run_create_sink(const KsegRun *run, const KsegSinkOptions *options)
{
	return kafka_sink_create(run->argument, options);
}

static const char *
run_repeat_hint(const KsegRun *run, KsegLinkState state)
{
	const KsegKafkaDelivery *delivery = run->argument;

	if (state == KSEG_LINK_FAILED && (delivery->transactional || run->figures.sent == 0))
		return NULL; /* what has become of a transaction, the courier has said */
	if (state == KSEG_LINK_FAILED)
		return "A repeat of the run produces the messages that had arrived once more.";
	if (!delivery->transactional)
		return "Repeat the run: messages that had arrived are produced once more.";
	if (kafka_sink_is_committing(run->sink))
		return "Its transaction may have been committed or not: look at the topic before you repeat the run.";
	return "Repeat the run: nothing of it becomes visible, Kafka aborts its transaction within "
	       "transaction_timeout.";
}

static void
run_return(const KsegRun *run, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = result_set_begin(fcinfo);
	const KsegFigures *figures = &run->figures;
	uint64 counts[] = {figures->rows,    figures->sent,  figures->invalid,      figures->rejected,
	                   figures->retries, figures->bytes, figures->bytes_on_wire};
	const char *problem = run_first_problem(run);
	Datum values[10];
	bool nulls[10] = {false};

	values[0] = UUIDPGetDatum(&run->id);
	for (int i = 0; i < lengthof(counts); i++)
		values[1 + i] = Int64GetDatum((int64) counts[i]);
	values[8] = IntervalPGetDatum(run_elapsed(run));
	nulls[9] = problem == NULL;
	values[9] = problem == NULL ? (Datum) 0 : CStringGetTextDatum(problem);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(kseg_sql_kafka_produce);

/*
 * kafka_produce_from_query(query text, …) and kafka_produce_from_table(relation regclass, …) RETURNS SETOF (run uuid,
 * rows bigint, sent, invalid, rejected, retries, bytes, bytes_on_wire, elapsed interval, first_problem text)
 */
Datum
kseg_sql_kafka_produce(PG_FUNCTION_ARGS)
{
	KsegKafkaArguments arguments;
	KsegKafkaDelivery delivery = {.mapping = &arguments.mapping};
	KsegRun run;

	kafka_arguments_read(&arguments, fcinfo);
	run_begin(&run, &arguments.run);
	delivery.server = kafka_server_get(arguments.run.server, false);
	delivery.transactional = arguments.transactional;
	arguments.mapping.max_message_bytes = delivery.server->max_message_bytes;
	run.call = "produce";
	run.server = delivery.server->name;
	run.server_oid = delivery.server->oid;
	run.create_sink = run_create_sink;
	run.repeat_hint = run_repeat_hint;
	run.argument = &delivery;
	run_attempt(&run);
	run_end(&run);
	run_return(&run, fcinfo);
	return (Datum) 0;
}
