/*
 * kafka_preview.c
 *	  kafka_preview(query, …): the message of each row, its bytes and its problems. Sends nothing, needs no server.
 *
 * It is the path of a run up to the producer's buffer: same arguments, same query execution, same plan and writer.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/query_text.h"
#include "base/result_set.h"
#include "event/message_headers.h"
#include "run/kafka_arguments.h"
#include "run/query.h"
#include "sink/bytes_show.h"

/* The preset of the server's option, which is also the broker's: a preview knows no server. */
#define PREVIEW_MESSAGE_BYTES 1000000

typedef struct KsegKafkaPreview
{
	DestReceiver receiver; /* first */
	const KsegKafkaArguments *arguments;
	MemoryContext context;
	MemoryContext row_context;
	KsegMessagePlan *plan;
	ReturnSetInfo *result;
	StringInfoData message;
	uint64 rows;
} KsegKafkaPreview;

/* Bytes as they can be shown, or NULL. */
static Datum
preview_bytes(KsegText bytes, bool *null)
{
	*null = bytes.data == NULL;
	return *null ? (Datum) 0 : CStringGetTextDatum(bytes_show(bytes, INT_MAX));
}

static Datum
preview_topic(const KsegKafkaPreview *preview, KsegText topic, bool *null)
{
	const char *constant = preview->arguments->mapping.topic;

	if (topic.length > 0)
		return preview_bytes(topic, null);
	*null = constant == NULL;
	return *null ? (Datum) 0 : CStringGetTextDatum(constant);
}

static Datum
preview_headers(KsegText headers, bool *null)
{
	StringInfoData text;

	*null = headers.length == 0;
	if (*null)
		return (Datum) 0;
	initStringInfo(&text);
	message_headers_show(headers, &text);
	return CStringGetTextDatum(pg_any_to_server(text.data, text.len, PG_UTF8));
}

static Datum
preview_time(int64 milliseconds, bool *null)
{
	int64 epochs = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;

	*null = milliseconds == KSEG_NO_TIMESTAMP;
	return TimestampTzGetDatum((milliseconds - epochs) * 1000);
}

/* The row's problems as text[], or NULL when there are none. */
static Datum
preview_problems(const KsegKafkaPreview *preview, bool *null)
{
	int count;
	const KsegProblem *problems = message_problems(preview->plan, &count);
	Datum *texts = palloc(sizeof(Datum) * (count + 1));

	*null = count == 0;
	if (*null)
		return (Datum) 0;
	for (int i = 0; i < count; i++)
		texts[i] = CStringGetTextDatum(
		    problems[i].column == NULL ? problems[i].text
		                               : psprintf("column \"%s\": %s", problems[i].column, problems[i].text));
	return PointerGetDatum(construct_array(texts, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
preview_put(KsegKafkaPreview *preview)
{
	KsegReader reader = {.at = (const uint8_t *) preview->message.data,
	                     .end = (const uint8_t *) preview->message.data + preview->message.len};
	KsegMessage message;
	Datum values[8];
	bool nulls[8] = {false};

	if (!kseg_message_read(&reader, &message))
		elog(ERROR, "kseg wrote a message that is none");
	values[0] = preview_topic(preview, message.topic, &nulls[0]);
	values[1] = Int32GetDatum(message.partition);
	nulls[1] = message.partition == KSEG_PARTITION_BY_KEY;
	values[2] = preview_bytes(message.key, &nulls[2]);
	values[3] = preview_bytes(message.value, &nulls[3]);
	values[4] = preview_headers(message.headers, &nulls[4]);
	values[5] = preview_time(message.timestamp, &nulls[5]);
	values[6] = Int32GetDatum((int32) (message.key.length + message.value.length + message.headers.length));
	values[7] = preview_problems(preview, &nulls[7]);
	tuplestore_putvalues(preview->result->setResult, preview->result->setDesc, values, nulls);
}

static bool
preview_receive(TupleTableSlot *slot, DestReceiver *receiver)
{
	KsegKafkaPreview *preview = (KsegKafkaPreview *) receiver;
	uint64 limit = preview->arguments->run.row_limit;
	MemoryContext previous = MemoryContextSwitchTo(preview->row_context);

	preview->rows++;
	resetStringInfo(&preview->message);
	(void) message_write(preview->plan, slot, preview->rows, &preview->message);
	preview_put(preview);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(preview->row_context);
	return limit == 0 || preview->rows < limit;
}

static void
preview_startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
	KsegKafkaPreview *preview = (KsegKafkaPreview *) receiver;
	MemoryContext previous = MemoryContextSwitchTo(preview->context);

	preview->plan = message_plan_create(&preview->arguments->mapping, desc);
	initStringInfo(&preview->message);
	MemoryContextSwitchTo(previous);
}

static void
preview_shutdown(DestReceiver *receiver)
{
}

PG_FUNCTION_INFO_V1(kseg_sql_kafka_preview);

/*
 * kafka_preview(query text, …as kafka_produce_from_query…, row_limit bigint) RETURNS SETOF (topic text, partition int, key text,
 * value text, headers text, event_time timestamptz, bytes int, problems text[])
 */
Datum
kseg_sql_kafka_preview(PG_FUNCTION_ARGS)
{
	KsegKafkaArguments arguments;
	KsegKafkaPreview *preview = palloc0(sizeof(KsegKafkaPreview));

	kafka_arguments_read(&arguments, fcinfo);
	arguments.mapping.max_message_bytes = PREVIEW_MESSAGE_BYTES;
	query_check(arguments.run.query);
	preview->receiver.receiveSlot = preview_receive;
	preview->receiver.rStartup = preview_startup;
	preview->receiver.rShutdown = preview_shutdown;
	preview->receiver.rDestroy = preview_shutdown;
	preview->receiver.mydest = DestTuplestore; /* anything but DestNone, which SPI takes for "discard" */
	preview->arguments = &arguments;
	preview->context = CurrentMemoryContext;
	preview->row_context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg preview row", ALLOCSET_DEFAULT_SIZES);
	preview->result = result_set_begin(fcinfo);
	query_execute(arguments.run.query, &preview->receiver);
	return (Datum) 0;
}
