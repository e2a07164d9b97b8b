/*
 * test_wire.c
 *	  Frames: what one side writes the other reads, and what no side writes is refused.
 */
#include "tap.h"
#include "wire/wire.h"

static size_t
put_frame(uint8_t *out, KsegFrameType type, uint16_t lane, const void *payload, uint32_t length)
{
	kseg_frame_header(out, type, lane, length);
	memcpy(out + KSEG_FRAME_HEADER, payload, length);
	return KSEG_FRAME_HEADER + length;
}

static void
test_header(void)
{
	uint8_t buffer[64];
	KsegFrame frame;
	size_t length = put_frame(buffer, KSEG_FRAME_EVENTS, 31, "abc", 3);
	bool early = false;

	for (size_t i = 0; i < length; i++)
		early = early || kseg_frame_parse(buffer, i, &frame) != 0;
	tap_ok(!early, "a frame that is not whole is none, at every length");
	tap_is(kseg_frame_parse(buffer, sizeof(buffer), &frame), (int64_t) length,
	       "a whole frame takes its bytes");
	tap_ok(frame.type == KSEG_FRAME_EVENTS && frame.lane == 31 && frame.length == 3 &&
	           memcmp(frame.payload, "abc", 3) == 0,
	       "type, lane, length and payload come through");
}

static void
test_header_limits(void)
{
	uint8_t buffer[KSEG_FRAME_HEADER];
	KsegFrame frame;

	kseg_frame_header(buffer, KSEG_FRAME_EVENTS, 0, KSEG_FRAME_MAX);
	tap_is(kseg_frame_parse(buffer, sizeof(buffer), &frame), 0, "the largest payload is waited for");
	kseg_frame_header(buffer, KSEG_FRAME_EVENTS, 0, KSEG_FRAME_MAX + 1);
	tap_is(kseg_frame_parse(buffer, sizeof(buffer), &frame), -1, "one byte more is refused at the header");
	kseg_frame_header(buffer, KSEG_FRAME_EVENTS, 0, UINT32_MAX);
	tap_is(kseg_frame_parse(buffer, sizeof(buffer), &frame), -1, "so is the largest number there is");
}

static void
test_reader(void)
{
	uint8_t payload[64];
	uint8_t *end = kseg_write_u32(payload, 7);
	KsegFrame frame = {.payload = payload};
	KsegReader reader;
	KsegText text;

	end = kseg_write_u64(end, UINT64_MAX);
	end = kseg_write_text(end, "k\0y", 3);
	frame.length = (uint32_t) (end - payload);
	kseg_reader_init(&reader, &frame);
	tap_ok(kseg_read_u32(&reader) == 7 && kseg_read_u64(&reader) == UINT64_MAX, "numbers come through");
	text = kseg_read_text(&reader);
	tap_ok(text.length == 3 && memcmp(text.data, "k\0y", 3) == 0, "a text comes through, with its NUL");
	tap_ok(kseg_reader_done(&reader), "then the payload is done");
	tap_ok(kseg_read_u32(&reader) == 0 && reader.failed && !kseg_reader_done(&reader),
	       "a read past the end fails");

	kseg_write_u32(payload, UINT32_MAX);
	frame.length = 12;
	kseg_reader_init(&reader, &frame);
	text = kseg_read_text(&reader);
	tap_ok(reader.failed && text.length == 0,
	       "a text that claims to be longer than its payload is empty and failed");
	tap_ok(kseg_read_u64(&reader) == 0 && kseg_read_bytes(&reader, 0) == NULL,
	       "after that everything is empty");
}

static void
test_status(void)
{
	static uint8_t payload[sizeof(KsegWireStatus) + (KSEG_LANES_MAX + 1) * sizeof(KsegWireLane)];
	KsegWireStatus status = {
	    .sent = 1, .rejected = 2, .bytes_on_wire = 3, .paused_ms = 4, .lanes = KSEG_LANES_MAX};
	KsegWireLane lanes[KSEG_LANES_MAX] = {{.events = 5}, {.bytes = 6, .retrying = 1}};
	KsegWireStatus read;
	KsegWireLane read_lanes[KSEG_LANES_MAX];
	KsegFrame frame = {.payload = payload, .length = (uint32_t) kseg_status_size(KSEG_LANES_MAX)};

	kseg_status_write(payload, &status, lanes);
	tap_ok(kseg_status_read(&frame, &read, read_lanes, KSEG_LANES_MAX) &&
	           memcmp(&read, &status, sizeof(read)) == 0 && memcmp(read_lanes, lanes, sizeof(lanes)) == 0,
	       "STATUS comes through");
	tap_ok(!kseg_status_read(&frame, &read, read_lanes, KSEG_LANES_MAX - 1),
	       "more lanes than there is room for are refused");
	frame.length--;
	tap_ok(!kseg_status_read(&frame, &read, read_lanes, KSEG_LANES_MAX),
	       "a STATUS that is cut short is refused");
	frame.length = sizeof(KsegWireStatus) - 1;
	tap_ok(!kseg_status_read(&frame, &read, read_lanes, KSEG_LANES_MAX), "so is one without its figures");
	status.lanes = UINT32_MAX;
	memcpy(payload, &status, sizeof(status));
	frame.length = sizeof(payload);
	tap_ok(!kseg_status_read(&frame, &read, read_lanes, KSEG_LANES_MAX), "and one of four billion lanes");
}

/* Two events, {"a":1} of row 10 and {"b":22} of row 11. */
static uint32_t
put_events(uint8_t *payload, uint32_t count, uint32_t first_length)
{
	uint8_t *end = kseg_write_u32(payload, count);

	end = kseg_write_u32(kseg_write_u64(end, 10), first_length);
	end = kseg_write_u32(kseg_write_u64(end, 11), 8);
	memcpy(end, "{\"a\":1},{\"b\":22}", 16);
	return (uint32_t) (end + 16 - payload);
}

static void
test_events(void)
{
	uint8_t payload[128];
	KsegFrame frame = {.payload = payload, .length = put_events(payload, 2, 7)};
	KsegEvents events;
	uint64_t row = 0;
	uint32_t length = 0;

	tap_ok(kseg_events_read(&frame, &events) && events.count == 2 && events.json_length == 16,
	       "EVENTS comes through");
	kseg_events_entry(&events, 1, &row, &length);
	tap_ok(row == 11 && length == 8, "with each event's row and length");

	frame.length = put_events(payload, 2, 8);
	tap_ok(!kseg_events_read(&frame, &events), "lengths that add up to more than the JSON are refused");
	frame.length = put_events(payload, 2, 0);
	tap_ok(!kseg_events_read(&frame, &events), "so is an empty event");
	frame.length = put_events(payload, 2, KSEG_EVENT_MAX + 1);
	tap_ok(!kseg_events_read(&frame, &events), "and one over 32 kB");
	frame.length = put_events(payload, 0, 7);
	tap_ok(!kseg_events_read(&frame, &events), "no events at all are refused");
	frame.length = put_events(payload, UINT32_MAX, 7);
	tap_ok(!kseg_events_read(&frame, &events), "four billion of them, too: nothing is read past the payload");
	frame.length = 3;
	tap_ok(!kseg_events_read(&frame, &events), "and a payload without a count");
}

int
main(void)
{
	test_header();
	test_header_limits();
	test_reader();
	test_status();
	test_events();
	return tap_end();
}
