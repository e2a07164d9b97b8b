/*
 * wire.c
 *	  Frames: headers, bounded reading, and the payloads of STATUS and EVENTS. See wire.h.
 */
#include "wire/wire.h"

#include <string.h>

int
kseg_frame_parse(const uint8_t *buffer, size_t length, KsegFrame *frame)
{
	if (length < KSEG_FRAME_HEADER)
		return 0;
	memcpy(&frame->length, buffer, 4);
	memcpy(&frame->lane, buffer + 4, 2);
	frame->type = buffer[6];
	frame->payload = buffer + KSEG_FRAME_HEADER;
	if (frame->length > KSEG_FRAME_MAX)
		return -1;
	if (length - KSEG_FRAME_HEADER < frame->length)
		return 0;
	return (int) (KSEG_FRAME_HEADER + frame->length);
}

void
kseg_frame_header(uint8_t *out, KsegFrameType type, uint16_t lane, uint32_t length)
{
	memcpy(out, &length, 4);
	memcpy(out + 4, &lane, 2);
	out[6] = (uint8_t) type;
	out[7] = 0;
}

void
kseg_reader_init(KsegReader *reader, const KsegFrame *frame)
{
	reader->at = frame->payload;
	reader->end = frame->payload + frame->length;
	reader->failed = false;
}

const uint8_t *
kseg_read_bytes(KsegReader *reader, size_t length)
{
	const uint8_t *bytes = reader->at;

	if (reader->failed || (size_t) (reader->end - reader->at) < length)
	{
		reader->failed = true;
		return NULL;
	}
	reader->at += length;
	return bytes;
}

uint32_t
kseg_read_u32(KsegReader *reader)
{
	uint32_t value = 0;
	const uint8_t *bytes = kseg_read_bytes(reader, sizeof(value));

	if (bytes != NULL)
		memcpy(&value, bytes, sizeof(value));
	return value;
}

uint64_t
kseg_read_u64(KsegReader *reader)
{
	uint64_t value = 0;
	const uint8_t *bytes = kseg_read_bytes(reader, sizeof(value));

	if (bytes != NULL)
		memcpy(&value, bytes, sizeof(value));
	return value;
}

KsegText
kseg_read_text(KsegReader *reader)
{
	KsegText text = {"", 0};
	uint32_t length = kseg_read_u32(reader);
	const uint8_t *bytes = kseg_read_bytes(reader, length);

	if (bytes != NULL)
	{
		text.data = (const char *) bytes;
		text.length = length;
	}
	return text;
}

bool
kseg_reader_done(const KsegReader *reader)
{
	return !reader->failed && reader->at == reader->end;
}

uint8_t *
kseg_write_u32(uint8_t *out, uint32_t value)
{
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

uint8_t *
kseg_write_u64(uint8_t *out, uint64_t value)
{
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

uint8_t *
kseg_write_text(uint8_t *out, const char *data, size_t length)
{
	out = kseg_write_u32(out, (uint32_t) length);
	if (length > 0)
		memcpy(out, data, length);
	return out + length;
}

size_t
kseg_status_size(uint32_t lanes)
{
	return sizeof(KsegWireStatus) + lanes * sizeof(KsegWireLane);
}

void
kseg_status_write(uint8_t *out, const KsegWireStatus *status, const KsegWireLane *lanes)
{
	memcpy(out, status, sizeof(*status));
	if (status->lanes > 0)
		memcpy(out + sizeof(*status), lanes, status->lanes * sizeof(*lanes));
}

bool
kseg_status_read(const KsegFrame *frame, KsegWireStatus *status, KsegWireLane *lanes, uint32_t max_lanes)
{
	if (frame->length < sizeof(*status))
		return false;
	memcpy(status, frame->payload, sizeof(*status));
	if (status->lanes > max_lanes || frame->length != kseg_status_size(status->lanes))
		return false;
	if (status->lanes > 0)
		memcpy(lanes, frame->payload + sizeof(*status), status->lanes * sizeof(*lanes));
	return true;
}

void
kseg_events_entry(const KsegEvents *events, uint32_t index, uint64_t *row, uint32_t *length)
{
	const uint8_t *entry = events->entries + (size_t) index * KSEG_EVENT_ENTRY;

	memcpy(row, entry, sizeof(*row));
	memcpy(length, entry + sizeof(*row), sizeof(*length));
}

bool
kseg_events_read(const KsegFrame *frame, KsegEvents *events)
{
	KsegReader reader;
	uint64_t expected;

	kseg_reader_init(&reader, frame);
	events->count = kseg_read_u32(&reader);
	events->entries = kseg_read_bytes(&reader, (size_t) events->count * KSEG_EVENT_ENTRY);
	if (reader.failed || events->count == 0)
		return false;
	events->json = (const char *) reader.at;
	events->json_length = (uint32_t) (reader.end - reader.at);

	expected = events->count - 1;
	for (uint32_t i = 0; i < events->count; i++)
	{
		uint64_t row;
		uint32_t length;

		kseg_events_entry(events, i, &row, &length);
		if (length == 0 || length > KSEG_EVENT_MAX)
			return false;
		expected += length;
	}
	return expected == events->json_length;
}
