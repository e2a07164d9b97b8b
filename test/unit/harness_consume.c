/*
 * harness_consume.c
 *	  A read of topics through a courier. See harness_consume.h.
 */
#include "harness_consume.h"

/* ---------- CONFIG ---------- */

HarnessConsumeConfig
harness_consume_defaults(const HarnessKafka *kafka, const char *topic)
{
	HarnessConsumeConfig config = {.common = harness_kafka_defaults(kafka),
	                               .wants = "[{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"n\"]]}]",
	                               .partitions = "null",
	                               .bounds = "null",
	                               .offset_from = -1,
	                               .offset_to = -1,
	                               .tail = -1,
	                               .max_records = -1};

	config.common.job = "kafka_consume";
	config.common.topic = topic;
	config.common.connect_timeout_ms = HARNESS_WAIT_MS / 2;
	config.common.request_timeout_ms = HARNESS_WAIT_MS / 2;
	/* Of this depends what a Fetch asks for: so little that a test's topic takes many. */
	config.common.max_queue_bytes = 1024 * 1024;
	return config;
}

/* What is said of every job, and behind it what is said of this one, in room that more has. */
static HarnessKafkaConfig
consume_config(const HarnessConsumeConfig *config, char *more, size_t room)
{
	HarnessKafkaConfig common = config->common;

	snprintf(more, room,
	         ",\"format\":\"json\",\"delimiter\":\",\",\"quote\":\"'\",\"null\":\"\",\"wants\":%s,"
	         "\"partitions\":%s,\"bounds\":%s,\"offset_from\":%" PRId64 ",\"offset_to\":%" PRId64
	         ",\"timestamp_from_ms\":-1,\"timestamp_to_ms\":-1,\"tail\":%" PRId64 ",\"max_records\":%" PRId64,
	         config->wants, config->partitions, config->bounds, config->offset_from, config->offset_to,
	         config->tail, config->max_records);
	common.more = more;
	return common;
}

void
harness_consume_send_config(Harness *harness, const HarnessConsumeConfig *config)
{
	char more[4096];
	HarnessKafkaConfig full = consume_config(config, more, sizeof(more));

	harness_kafka_send_config(harness, &full);
}

void
harness_consume_begin(Harness *harness, const HarnessConsumeConfig *config)
{
	char more[4096];
	HarnessKafkaConfig full = consume_config(config, more, sizeof(more));

	harness_kafka_begin(harness, &full);
}

/* ---------- a read ---------- */

/* Too large for a stack. */
static HarnessRead latest;

static const HarnessFrame *
consume_peek(Harness *harness, const char *what)
{
	return harness_peek_frame(harness, harness_now_ms() + HARNESS_WAIT_MS, what);
}

void
harness_consume_begin_bounds(Harness *harness, const HarnessConsumeConfig *config)
{
	harness_consume_begin(harness, config);
	if (consume_peek(harness, "BOUNDS")->type != KSEG_FRAME_BOUNDS)
		tap_die("a read does not begin with BOUNDS");
}

static void
take_bounds(HarnessRead *read, const HarnessFrame *frame)
{
	KsegReader reader = harness_frame_reader(frame);

	read->bound_count = kseg_read_u32(&reader);
	if (read->bound_count > HARNESS_BOUNDS_MAX)
		tap_die("BOUNDS of %u partitions", read->bound_count);
	for (uint32_t i = 0; i < read->bound_count; i++)
	{
		HarnessBound *bound = &read->bounds[i];

		bound->partition = kseg_read_u32(&reader);
		bound->low = (int64_t) kseg_read_u64(&reader);
		bound->start = (int64_t) kseg_read_u64(&reader);
		bound->end = (int64_t) kseg_read_u64(&reader);
	}
	if (!kseg_reader_done(&reader))
		tap_die("BOUNDS are none");
}

static void
take_records(HarnessRead *read, const HarnessFrame *frame)
{
	HarnessRecords records = harness_records_of(frame);
	HarnessRow row = {.fields = records.fields};

	while (harness_records_next(&records, &row.record))
	{
		if (read->row_count == HARNESS_ROWS_MAX)
			tap_die("more than %d records", HARNESS_ROWS_MAX);
		read->rows[read->row_count++] = row;
	}
}

const HarnessRead *
harness_consume_take(Harness *harness)
{
	HarnessRead *read = &latest;

	memset(read, 0, sizeof(*read));
	while (!read->done)
	{
		const HarnessFrame *frame = consume_peek(harness, "the end of a read");

		if (frame->type == KSEG_FRAME_FAILED)
			break;
		harness->frame_next++;
		if (frame->type == KSEG_FRAME_BOUNDS && read->bound_count == 0 && read->row_count == 0)
			take_bounds(read, frame);
		else if (frame->type == KSEG_FRAME_RECORDS && read->bound_count > 0)
			take_records(read, frame);
		else if (frame->type == KSEG_FRAME_DONE)
			read->done = true;
		else
			tap_die("a frame %c that has no place there", frame->type);
	}
	return read;
}

const HarnessRead *
harness_consume_run(Harness *harness, const HarnessConsumeConfig *config)
{
	harness_consume_begin(harness, config);
	return harness_consume_take(harness);
}

/* ---------- its rows ---------- */

const char *
harness_row_text(const HarnessRow *row, uint32_t index)
{
	static char text[1000];
	const uint8_t *at = row->record.bytes;
	uint32_t length = kseg_record_length(&row->record, index);

	for (uint32_t i = 0; i < index; i++)
		at += kseg_record_length(&row->record, i) == KSEG_NO_BYTES ? 0 : kseg_record_length(&row->record, i);
	if (length == KSEG_NO_BYTES)
		return "(null)";
	snprintf(text, sizeof(text), "%.*s", (int) length, (const char *) at);
	return text;
}

bool
harness_read_has(const HarnessRead *read, int32_t partition, int64_t first, int64_t last)
{
	int64_t next = first;

	for (uint32_t i = 0; i < read->row_count; i++)
	{
		const HarnessRow *row = &read->rows[i];

		if (row->record.partition != partition)
			continue;
		if (row->record.offset != next || row->fields != 1 || atoll(harness_row_text(row, 0)) != next)
			return false;
		next++;
	}
	return next == last + 1;
}
