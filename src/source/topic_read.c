/*
 * topic_read.c
 *	  One read of a topic. See topic_read.h.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "link/link_failure.h"
#include "server/config_write.h"
#include "source/topic_read.h"

struct KsegTopicRead
{
	MemoryContext context;
	KsegLink *link; /* NULL: closed */
	uint32 fields;
	KsegReader reader; /* of the frame that is being taken apart */
	uint32 left;       /* records in it that were not given away */
	KsegTopicBound *bounds;
	int bound_count;
	uint64 records;
	uint64 bytes;
};

/* ---------- what is asked for ---------- */

void
topic_request_init(KsegTopicRequest *request, const KsegKafkaServer *server, const char *topic)
{
	memset(request, 0, sizeof(*request));
	request->server = server;
	request->topic = topic;
	request->format = KSEG_TOPIC_JSON;
	request->delimiter = ",";
	request->quote = "\"";
	request->null = "";
	request->wants = "[]";
	request->partition_count = KSEG_TOPIC_UNBOUNDED;
	request->offset_from = request->offset_to = KSEG_TOPIC_UNBOUNDED;
	request->time_from_ms = request->time_to_ms = KSEG_TOPIC_UNBOUNDED;
	request->tail = request->max_records = KSEG_TOPIC_UNBOUNDED;
}

void
topic_request_of_table(KsegTopicRequest *request, const KsegKafkaServer *server, const KsegTopicTable *table)
{
	topic_request_init(request, server, table->topic);
	request->format = table->format;
	request->delimiter = table->delimiter;
	request->quote = table->quote;
	request->null = table->null;
}

static void
request_write_partitions(const KsegTopicRequest *request, StringInfo json)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < request->partition_count; i++)
		appendStringInfo(&list, "%s%d", i > 0 ? "," : "[", request->partitions[i]);
	if (request->partition_count == 0)
		appendStringInfoChar(&list, '[');
	appendStringInfoChar(&list, ']');
	config_json(json, "partitions", request->partition_count == KSEG_TOPIC_UNBOUNDED ? "null" : list.data);
	pfree(list.data);
}

static void
request_write_bounds(const KsegTopicRequest *request, StringInfo json)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < request->bound_count; i++)
	{
		const KsegTopicBound *bound = &request->bounds[i];

		appendStringInfo(&list, "%s{\"partition\":%d,\"start\":" INT64_FORMAT ",\"end\":" INT64_FORMAT "}",
		                 i > 0 ? "," : "", bound->partition, bound->start, bound->end);
	}
	config_json(json, "bounds", request->bounds == NULL ? "null" : psprintf("[%s]", list.data));
	pfree(list.data);
}

void
topic_request_write_fields(const KsegTopicRequest *request, StringInfo json)
{
	/* text, bytea and debezium are kseg.so's: their wants are values, or paths of JSON. */
	config_text(json, "format", request->format == KSEG_TOPIC_CSV ? "csv" : "json");
	config_text(json, "delimiter", request->delimiter);
	config_text(json, "quote", request->quote);
	config_text(json, "null", request->null);
	config_json(json, "wants", request->wants);
}

static void
request_write(const KsegTopicRequest *request, StringInfo json)
{
	kafka_server_config(request->server, "kafka_consume", json);
	config_text(json, "topic", request->topic);
	topic_request_write_fields(request, json);
	request_write_partitions(request, json);
	config_int(json, "offset_from", request->offset_from);
	config_int(json, "offset_to", request->offset_to);
	config_int(json, "timestamp_from_ms", request->time_from_ms);
	config_int(json, "timestamp_to_ms", request->time_to_ms);
	request_write_bounds(request, json);
	config_int(json, "tail", request->tail);
	config_int(json, "max_records", request->max_records);
	appendStringInfoChar(json, '}');
}

/* ---------- what comes ---------- */

/* BOUNDS replaces what was known. False: nothing that kseg writes. */
static bool
read_take_bounds(KsegTopicRead *read, const KsegFrame *frame)
{
	KsegReader reader;
	uint32 count;

	kseg_reader_init(&reader, frame);
	count = kseg_read_u32(&reader);
	/* u32 and three u64 each: a frame's length bounds what is reserved. */
	if (reader.failed || count != (reader.end - reader.at) / 28)
		return false;
	read->bounds = MemoryContextAlloc(read->context, sizeof(KsegTopicBound) * Max(count, 1));
	read->bound_count = count;
	for (uint32 i = 0; i < count; i++)
	{
		KsegTopicBound *bound = &read->bounds[i];

		bound->partition = (int32) kseg_read_u32(&reader);
		bound->low = (int64) kseg_read_u64(&reader);
		bound->start = (int64) kseg_read_u64(&reader);
		bound->end = (int64) kseg_read_u64(&reader);
	}
	return kseg_reader_done(&reader);
}

static void
read_take_frame(void *argument, const KsegFrame *frame)
{
	KsegTopicRead *read = argument;

	if (frame == NULL || frame->type != KSEG_FRAME_BOUNDS)
		return;
	if (!read_take_bounds(read, frame))
		elog(ERROR, "kseg's courier sent bounds that are none");
}

KsegTopicRead *
topic_read_open(const KsegTopicRequest *request)
{
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg topic read", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	KsegTopicRead *read = palloc0(sizeof(KsegTopicRead));
	/* Nothing is fed, so credit means nothing. */
	KsegLinkCredit credit = {.lanes = 1};
	StringInfoData config;

	read->context = context;
	read->fields = request->fields;
	initStringInfo(&config);
	request_write(request, &config);
	read->link = link_open(read_take_frame, read);
	link_configure(read->link, config.data, config.len, &credit);
	explicit_bzero(config.data, config.maxlen);
	pfree(config.data);
	MemoryContextSwitchTo(previous);
	return read;
}

/* ---------- records ---------- */

/* The next frame of records is at hand, or there is none any more. */
static bool
read_next_frame(KsegTopicRead *read)
{
	KsegFrame frame;
	uint32 fields;

	if (!link_pull(read->link, &frame))
	{
		if (link_state(read->link) != KSEG_LINK_DONE)
			link_failure_raise(read->link, NULL, "Repeat the query.");
		link_close(read->link);
		read->link = NULL;
		return false;
	}
	kseg_reader_init(&read->reader, &frame);
	read->left = kseg_read_u32(&read->reader);
	fields = kseg_read_u32(&read->reader);
	if (read->reader.failed || fields != read->fields)
		elog(ERROR, "kseg's courier sent records of %u fields, not %u", fields, read->fields);
	read->bytes += frame.length;
	return true;
}

bool
topic_read_next(KsegTopicRead *read, KsegRecord *record)
{
	while (read->left == 0)
	{
		if (read->link == NULL || !read_next_frame(read))
			return false;
	}
	read->left--;
	read->records++;
	if (unlikely(!kseg_record_read(&read->reader, read->fields, record)))
		elog(ERROR, "kseg's courier sent a record that is none");
	return true;
}

const KsegTopicBound *
topic_read_bounds(const KsegTopicRead *read, int *count)
{
	*count = read->bound_count;
	return read->bounds;
}

uint64
topic_read_records(const KsegTopicRead *read)
{
	return read->records;
}

uint64
topic_read_bytes(const KsegTopicRead *read)
{
	return read->bytes;
}

void
topic_read_close(KsegTopicRead *read)
{
	if (read != NULL)
		MemoryContextDelete(read->context);
}
