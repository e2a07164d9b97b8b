/*
 * kafka_sink.c
 *	  A DestReceiver that sends a query's rows to a Kafka topic. See kafka_sink.h.
 *
 * The path of a row: message written straight into the producer's buffer → problem? dead letter, taken back → accepted.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sink/kafka_producer.h"
#include "sink/kafka_sink.h"

typedef struct KsegKafkaSink
{
	KsegSink base; /* first */
	KsegKafkaDelivery delivery;
	KsegMessagePlan *plan;
	KsegKafkaProducer *producer; /* NULL: the query has not begun */
} KsegKafkaSink;

/* ---------- rows that are not sent ---------- */

/* The letter of a message; event is its value where that is JSON. */
static void
letter_of_message(const KsegKafkaSink *sink, const KsegMessage *message, KsegLetter *letter)
{
	memset(letter, 0, sizeof(*letter));
	letter->row = message->row;
	letter->message = message;
	letter->topic = sink->delivery.mapping->topic;
	if (message->value.data != NULL && message_value_is_json(sink->plan))
	{
		letter->event = message->value.data;
		letter->event_length = message->value.length;
	}
}

/* A message that a broker or librdkafka refused. */
static void
sink_take_rejected(void *argument, const KsegMessage *message, int code, const char *reason)
{
	KsegKafkaSink *sink = argument;
	KsegProblem problem = {
	    NULL, psprintf("refused with Kafka error %d%s%s", code, reason[0] != '\0' ? ": " : "", reason)};
	KsegLetter letter;

	letter_of_message(sink, message, &letter);
	letter.rejected = true;
	letter.status = code;
	letter.problems = &problem;
	letter.problem_count = 1;
	sink_take_letter(&sink->base, &letter);
}

/* The row has a problem; its message begins at start. */
static void
sink_refuse_row(KsegKafkaSink *sink, StringInfo buffer, int start)
{
	KsegReader reader = {.at = (const uint8_t *) buffer->data + start,
	                     .end = (const uint8_t *) buffer->data + buffer->len};
	KsegMessage message;
	KsegLetter letter;

	if (!kseg_message_read(&reader, &message))
		elog(ERROR, "kseg wrote a message that is none");
	letter_of_message(sink, &message, &letter);
	letter.problems = message_problems(sink->plan, &letter.problem_count);
	sink_take_invalid(&sink->base, &letter);
}

/* ---------- rows that are ---------- */

static bool
sink_receive(TupleTableSlot *slot, DestReceiver *receiver)
{
	KsegKafkaSink *sink = (KsegKafkaSink *) receiver;
	MemoryContext previous = MemoryContextSwitchTo(sink->base.context);
	StringInfo buffer = kafka_producer_buffer(sink->producer);
	int start = buffer->len;
	bool more;

	sink->base.rows++;
	if (message_write(sink->plan, slot, sink->base.rows, buffer))
		more = kafka_producer_accept(sink->producer, start);
	else
	{
		sink_refuse_row(sink, buffer, start);
		kafka_producer_take_back(sink->producer, start);
		more = kafka_producer_turn(sink->producer);
	}
	MemoryContextSwitchTo(previous);
	return more && (sink->base.options.row_limit == 0 || sink->base.rows < sink->base.options.row_limit);
}

static void
sink_tell_progress(void *argument)
{
	KsegSink *sink = argument;

	/* The first words may come while the producer is being opened. */
	if (sink_link(sink) != NULL)
		sink->options.progress(sink->options.argument, sink);
}

/* The query is planned and about to run: check its columns, and only then start a courier. */
static void
sink_startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
	KsegKafkaSink *sink = (KsegKafkaSink *) receiver;
	MemoryContext previous = MemoryContextSwitchTo(sink->base.context);
	const char *topic = sink->delivery.mapping->topic;
	KsegProducerOptions options = {.server = sink->delivery.server,
	                               .topic = topic != NULL ? topic : "",
	                               .transactional = sink->delivery.transactional,
	                               .rejected = sink_take_rejected,
	                               .progress = sink_tell_progress,
	                               .argument = sink};

	sink->plan = message_plan_create(sink->delivery.mapping, desc);
	sink->producer = kafka_producer_open(&options);
	MemoryContextSwitchTo(previous);
}

/* ---------- for a run ---------- */

static void
sink_deliver_rest(KsegSink *base)
{
	KsegKafkaSink *sink = (KsegKafkaSink *) base;
	MemoryContext previous = MemoryContextSwitchTo(base->context);

	(void) kafka_producer_finish(sink->producer);
	MemoryContextSwitchTo(previous);
}

static KsegLink *
sink_get_link(const KsegSink *base)
{
	const KsegKafkaSink *sink = (const KsegKafkaSink *) base;

	return sink->producer != NULL ? kafka_producer_link(sink->producer) : NULL;
}

static void
sink_count(const KsegSink *base, KsegFigures *figures)
{
	static const KsegWireStatus nothing;
	const KsegKafkaSink *sink = (const KsegKafkaSink *) base;
	KsegLink *link = sink_get_link(base);
	const KsegWireStatus *status = link != NULL ? link_status(link) : &nothing;
	uint64 handed = base->rows - base->invalid;

	memset(figures, 0, sizeof(*figures));
	figures->rows = base->rows;
	figures->invalid = base->invalid;
	figures->rejected = Min(handed, status->rejected);
	figures->sent = Min(status->sent, handed - figures->rejected);
	/* Until a transaction is committed, what a broker has is nothing that anybody has been sent. */
	if (sink->delivery.transactional && (link == NULL || link_state(link) != KSEG_LINK_DONE))
		figures->sent = 0;
	figures->open = handed - figures->sent - figures->rejected;
	figures->batches = status->batches;
	figures->retries = status->retries;
	figures->bytes = status->bytes;
	figures->bytes_on_wire = status->bytes_on_wire;
	figures->first_problem = base->first_problem;
}

static void
sink_close_producer(KsegSink *base)
{
	KsegKafkaSink *sink = (KsegKafkaSink *) base;

	if (sink->producer != NULL)
		kafka_producer_close(sink->producer);
}

bool
kafka_sink_is_committing(const KsegSink *base)
{
	const KsegKafkaSink *sink = (const KsegKafkaSink *) base;

	return sink->delivery.transactional && sink->producer != NULL && kafka_producer_is_ending(sink->producer);
}

KsegSink *
kafka_sink_create(const KsegKafkaDelivery *delivery, const KsegSinkOptions *options)
{
	static const KsegSinkMethods methods = {.kind = KSEG_SINK_KAFKA,
	                                        .finish = sink_deliver_rest,
	                                        .link = sink_get_link,
	                                        .figures = sink_count,
	                                        .close = sink_close_producer};
	KsegKafkaSink *sink = palloc0(sizeof(KsegKafkaSink));

	sink_init(&sink->base, &methods, options, sink_receive, sink_startup);
	sink->delivery = *delivery;
	return &sink->base;
}
