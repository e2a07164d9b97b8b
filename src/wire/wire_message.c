/*
 * wire_message.c
 *	  Kafka messages and records on the wire. See wire_message.h and wire_record.h.
 */
#include "wire/wire_message.h"

#include <string.h>

#include "wire/wire_record.h"

static uint8_t *
message_put(uint8_t *out, const void *value, size_t length)
{
	memcpy(out, value, length);
	return out + length;
}

static void
message_take(const uint8_t **at, void *value, size_t length)
{
	memcpy(value, *at, length);
	*at += length;
}

static uint32_t
message_length(KsegText text)
{
	return text.data == NULL ? KSEG_NO_BYTES : text.length;
}

/* A text of length bytes in the payload, or NULL. */
static KsegText
message_text(KsegReader *reader, uint32_t length)
{
	if (length == KSEG_NO_BYTES)
		return (KsegText){NULL, 0};
	return (KsegText){(const char *) kseg_read_bytes(reader, length), length};
}

/* ---------- messages ---------- */

void
kseg_message_head(uint8_t *out, const KsegMessage *message)
{
	uint32_t key = message_length(message->key);
	uint32_t value = message_length(message->value);
	uint16_t topic = (uint16_t) message->topic.length;
	uint16_t zero = 0;

	out = message_put(out, &message->row, 8);
	out = message_put(out, &message->timestamp, 8);
	out = message_put(out, &message->partition, 4);
	out = message_put(out, &key, 4);
	out = message_put(out, &value, 4);
	out = message_put(out, &message->headers.length, 4);
	out = message_put(out, &topic, 2);
	message_put(out, &zero, 2);
}

bool
kseg_message_read(KsegReader *reader, KsegMessage *message)
{
	const uint8_t *start = reader->at;
	const uint8_t *at = kseg_read_bytes(reader, KSEG_MESSAGE_HEAD);
	uint32_t key;
	uint32_t value;
	uint32_t headers;
	uint16_t topic;

	if (at == NULL)
		return false;
	message_take(&at, &message->row, 8);
	message_take(&at, &message->timestamp, 8);
	message_take(&at, &message->partition, 4);
	message_take(&at, &key, 4);
	message_take(&at, &value, 4);
	message_take(&at, &headers, 4);
	message_take(&at, &topic, 2);
	message->topic = message_text(reader, topic);
	message->key = message_text(reader, key);
	message->value = message_text(reader, value);
	message->headers = (KsegText){(const char *) kseg_read_bytes(reader, headers), headers};
	message->size = (uint32_t) (reader->at - start);
	return !reader->failed;
}

bool
kseg_header_next(KsegText *rest, KsegHeader *header)
{
	KsegReader reader = {.at = (const uint8_t *) rest->data,
	                     .end = (const uint8_t *) rest->data + rest->length};
	uint32_t name;
	uint32_t value;

	if (rest->length == 0)
		return false;
	name = kseg_read_u32(&reader);
	value = kseg_read_u32(&reader);
	header->name = (KsegText){(const char *) kseg_read_bytes(&reader, name), name};
	header->value = message_text(&reader, value);
	if (reader.failed)
	{
		*rest = (KsegText){NULL, 0};
		return false;
	}
	*rest = (KsegText){(const char *) reader.at, (uint32_t) (reader.end - reader.at)};
	return true;
}

/* ---------- records ---------- */

/* What stands in front of the fields' lengths; at is behind the size. Returns the length of the error's text. */
static uint16_t
record_take_head(const uint8_t *at, uint32_t fields, KsegRecord *record)
{
	uint16_t error;

	message_take(&at, &record->partition, 4);
	message_take(&at, &record->offset, 8);
	message_take(&at, &record->timestamp, 8);
	message_take(&at, &record->timestamp_type, 1);
	message_take(&at, &record->flags, 1);
	message_take(&at, &error, 2);
	record->lengths = at;
	record->bytes = at + 4 * (size_t) fields;
	return error;
}

bool
kseg_record_read(KsegReader *reader, uint32_t fields, KsegRecord *record)
{
	const uint8_t *start = reader->at;
	uint32_t size = kseg_read_u32(reader);
	const uint8_t *at;
	uint64_t sum = KSEG_RECORD_HEAD + 4 * (uint64_t) fields;
	uint16_t error;

	if (reader->failed || fields > KSEG_FIELDS_MAX || size < sum ||
	    (at = kseg_read_bytes(reader, size - 4)) == NULL)
	{
		reader->failed = true;
		return false;
	}
	error = record_take_head(at, fields, record);
	for (uint32_t i = 0; i < fields; i++)
	{
		uint32_t length = kseg_record_length(record, i);

		sum += length == KSEG_NO_BYTES ? 0 : length;
	}
	record->error = (KsegText){(const char *) start + sum, error};
	reader->failed = sum + error != size;
	return !reader->failed;
}

void
kseg_record_at(const uint8_t *at, uint32_t fields, KsegRecord *record)
{
	uint32_t size;
	uint16_t error;

	__builtin_memcpy(&size, at, sizeof(size));
	error = record_take_head(at + 4, fields, record);
	record->error = (KsegText){(const char *) at + size - error, error};
}

bool
kseg_record_skip(KsegReader *reader, int32_t *partition, int64_t *offset)
{
	uint32_t size = kseg_read_u32(reader);
	const uint8_t *at;

	if (reader->failed || size < KSEG_RECORD_HEAD || (at = kseg_read_bytes(reader, size - 4)) == NULL)
	{
		reader->failed = true;
		return false;
	}
	message_take(&at, partition, 4);
	message_take(&at, offset, 8);
	return true;
}

size_t
kseg_record_size(const KsegText *values, uint32_t fields, uint32_t error_length)
{
	size_t size = KSEG_RECORD_HEAD + 4 * (size_t) fields + error_length;

	for (uint32_t i = 0; i < fields; i++)
		size += values[i].data == NULL ? 0 : values[i].length;
	return size;
}

void
kseg_record_write(uint8_t *out, const KsegRecord *record, const KsegText *values, uint32_t fields)
{
	uint32_t size = (uint32_t) kseg_record_size(values, fields, record->error.length);
	uint16_t error = (uint16_t) record->error.length;

	out = message_put(out, &size, 4);
	out = message_put(out, &record->partition, 4);
	out = message_put(out, &record->offset, 8);
	out = message_put(out, &record->timestamp, 8);
	out = message_put(out, &record->timestamp_type, 1);
	out = message_put(out, &record->flags, 1);
	out = message_put(out, &error, 2);
	for (uint32_t i = 0; i < fields; i++)
	{
		uint32_t length = message_length(values[i]);

		out = message_put(out, &length, 4);
	}
	for (uint32_t i = 0; i < fields; i++)
	{
		if (values[i].data != NULL && values[i].length > 0)
			out = message_put(out, values[i].data, values[i].length);
	}
	if (error > 0)
		message_put(out, record->error.data, error);
}
