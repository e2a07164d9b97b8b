/*
 * kafka_consume_record.c
 *	  See kafka_consume_record.h.
 */
#include "courier/kafka_consume_record.h"

#include <stdlib.h>
#include <string.h>

/* The head of a RECORDS payload: count and fields. */
#define RECORD_FRAME_HEAD (2 * sizeof(uint32_t))

/* KSEG_FRAME_MAX: as many paths can name the same object, even a small message may come to that. */
static const char record_too_large[] = "the wanted fields come to more than 17 MB";

void
consume_record_open(KsegRecordWriter *writer, const KsegConsumePlan *plan, KsegWireIo *io)
{
	*writer = (KsegRecordWriter){.plan = plan, .io = io};
	writer->values = memory_resize(NULL, (plan->field_count + 1) * sizeof(KsegText));
	writer->read = memory_resize(NULL, (plan->want_count + 1) * sizeof(KsegText));
	if (plan->want_count > 0)
		writer->reader = reader_open(plan->format, plan->wants, plan->want_count, &plan->csv);
}

void
consume_record_close(KsegRecordWriter *writer)
{
	if (writer->reader != NULL)
		reader_close(writer->reader);
	free(writer->values);
	free(writer->read);
	buffer_free(&writer->headers);
	*writer = (KsegRecordWriter){0};
}

/* ---------- fields ---------- */

static KsegText
record_null(void)
{
	return (KsegText){NULL, 0};
}

/* Take the wanted parts out of the value. Returns what is wrong with it, length 0: nothing. */
static KsegText
record_read_value(KsegRecordWriter *writer, const rd_kafka_message_t *message)
{
	const char *error = "";
	bool tombstone = message->payload == NULL;

	if (writer->reader == NULL)
		return record_null();
	if (!tombstone && reader_read(writer->reader, message->payload, message->len, writer->read))
		return record_null();
	for (uint32_t i = 0; i < writer->plan->want_count; i++)
		writer->read[i] = record_null();
	if (!tombstone)
		error = reader_error(writer->reader);
	return (KsegText){error, (uint32_t) strnlen(error, KSEG_RECORD_ERROR_MAX)};
}

static KsegText
record_headers(KsegRecordWriter *writer, const rd_kafka_message_t *message)
{
	rd_kafka_headers_t *headers = NULL;

	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		headers = NULL;
	writer->headers.length = 0;
	consume_headers_write(&writer->headers, headers);
	return (KsegText){writer->headers.data, (uint32_t) writer->headers.length};
}

static void
record_gather(KsegRecordWriter *writer, const rd_kafka_message_t *message)
{
	const KsegConsumePlan *plan = writer->plan;
	const KsegText *read = writer->read;

	for (uint32_t i = 0; i < plan->field_count; i++)
	{
		KsegText *value = &writer->values[i];

		switch (plan->fields[i])
		{
			case KSEG_FIELD_READ:
				*value = *read++;
				break;
			case KSEG_FIELD_VALUE:
				*value = (KsegText){message->payload, (uint32_t) message->len};
				break;
			case KSEG_FIELD_KEY:
				*value = (KsegText){message->key, (uint32_t) message->key_len};
				break;
			case KSEG_FIELD_HEADERS:
				*value = record_headers(writer, message);
				break;
		}
	}
}

/* ---------- the frame ---------- */

void
consume_record_end_frame(KsegRecordWriter *writer)
{
	uint8_t *payload;

	if (writer->count == 0)
		return;
	payload = wire_io_frame_payload(writer->io);
	payload = kseg_write_u32(payload, writer->count);
	kseg_write_u32(payload, writer->plan->field_count);
	wire_io_end_frame(writer->io);
	writer->count = 0;
}

/* size bytes of a frame for the next record. */
static uint8_t *
record_reserve(KsegRecordWriter *writer, size_t size)
{
	if (writer->count > 0 && wire_io_frame_length(writer->io) + size > KSEG_RECORDS_FRAME)
		consume_record_end_frame(writer);
	if (writer->count == 0)
	{
		wire_io_begin_frame(writer->io, KSEG_FRAME_RECORDS);
		wire_io_extend_frame(writer->io, RECORD_FRAME_HEAD);
	}
	writer->count++;
	return wire_io_extend_frame(writer->io, size);
}

void
consume_record_put(KsegRecordWriter *writer, const rd_kafka_message_t *message, int32_t partition)
{
	uint32_t fields = writer->plan->field_count;
	rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
	KsegRecord record = {.partition = partition, .offset = message->offset};
	size_t size;

	record.timestamp = rd_kafka_message_timestamp(message, &type);
	record.timestamp_type = (uint8_t) type;
	record.flags = message->payload == NULL ? KSEG_RECORD_TOMBSTONE : 0;
	record.error = record_read_value(writer, message);
	record_gather(writer, message);
	size = kseg_record_size(writer->values, fields, record.error.length);
	if (size > KSEG_FRAME_MAX - RECORD_FRAME_HEAD)
	{
		for (uint32_t i = 0; i < fields; i++)
			writer->values[i] = record_null();
		record.error = (KsegText){record_too_large, sizeof(record_too_large) - 1};
		size = kseg_record_size(writer->values, fields, record.error.length);
	}
	kseg_record_write(record_reserve(writer, size), &record, writer->values, fields);
}
