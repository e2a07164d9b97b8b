/*
 * test_records.c
 *	  Kafka's records and messages on the wire: what one side writes the other reads, what no side writes is refused, and nothing
 *	  is read past a payload (under the address sanitizer: each payload is its own allocation). And frames that grow while they
 *	  are filled.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "courier/wire_io.h"
#include "tap.h"
#include "wire/wire_record.h"

#define TEXT(literal)                                                                                        \
	(KsegText)                                                                                               \
	{                                                                                                        \
		literal, sizeof(literal) - 1                                                                         \
	}
#define NOTHING                                                                                              \
	(KsegText)                                                                                               \
	{                                                                                                        \
		NULL, 0                                                                                              \
	}

/* A copy of exactly these bytes, so that a read past them is seen. */
static uint8_t *
copy_exactly(const uint8_t *bytes, size_t length)
{
	uint8_t *copy = malloc(length + (length == 0));

	memcpy(copy, bytes, length);
	return copy;
}

static KsegReader
read_bytes(const uint8_t *bytes, size_t length)
{
	return (KsegReader){.at = bytes, .end = bytes + length};
}

static bool
text_is(KsegText text, KsegText wanted)
{
	return (text.data == NULL) == (wanted.data == NULL) && text.length == wanted.length &&
	       (wanted.length == 0 || memcmp(text.data, wanted.data, wanted.length) == 0);
}

/* ---------- records ---------- */

/* The index-th field. */
static KsegText
field_of(const KsegRecord *record, uint32_t index)
{
	const uint8_t *at = record->bytes;
	uint32_t length = kseg_record_length(record, index);

	for (uint32_t i = 0; i < index; i++)
		at += kseg_record_length(record, i) == KSEG_NO_BYTES ? 0 : kseg_record_length(record, i);
	return length == KSEG_NO_BYTES ? NOTHING : (KsegText){(const char *) at, length};
}

static const KsegText record_values[] = {TEXT("first"), NOTHING, TEXT(""), TEXT("nul \0 and \xff"), NOTHING};
#define RECORD_FIELDS 5

static const KsegRecord record_sample = {.partition = 7,
                                         .offset = INT64_MAX - 1,
                                         .timestamp = 1785587696123,
                                         .timestamp_type = 2,
                                         .flags = KSEG_RECORD_TOMBSTONE,
                                         .error = {"malformed", 9}};

static size_t
write_sample(uint8_t *out)
{
	kseg_record_write(out, &record_sample, record_values, RECORD_FIELDS);
	return kseg_record_size(record_values, RECORD_FIELDS, record_sample.error.length);
}

static void
test_record(void)
{
	uint8_t bytes[256];
	size_t length = write_sample(bytes);
	KsegReader reader;
	KsegRecord record;
	bool same = true;

	length += write_sample(bytes + length);
	reader = read_bytes(bytes, length);
	tap_ok(kseg_record_read(&reader, RECORD_FIELDS, &record) && record.partition == 7 &&
	           record.offset == INT64_MAX - 1 && record.timestamp == 1785587696123 &&
	           record.timestamp_type == 2 && record.flags == KSEG_RECORD_TOMBSTONE &&
	           text_is(record.error, record_sample.error),
	       "a record's head and its error come through");
	for (uint32_t i = 0; i < RECORD_FIELDS; i++)
		same = same && text_is(field_of(&record, i), record_values[i]);
	tap_ok(same, "so do its fields: NULL, empty, of any bytes");
	tap_ok(kseg_record_read(&reader, RECORD_FIELDS, &record) && kseg_reader_done(&reader),
	       "the next record follows, and then the payload is done");
	tap_ok(!kseg_record_read(&reader, RECORD_FIELDS, &record), "there is no third");
}

static void
test_record_without_fields(void)
{
	uint8_t bytes[KSEG_RECORD_HEAD];
	KsegRecord record = {.offset = 1, .timestamp = KSEG_NO_TIMESTAMP};
	KsegReader reader = read_bytes(bytes, sizeof(bytes));

	tap_is((int64_t) kseg_record_size(NULL, 0, 0), KSEG_RECORD_HEAD, "a record without fields is its head");
	kseg_record_write(bytes, &record, NULL, 0);
	tap_ok(kseg_record_read(&reader, 0, &record) && record.timestamp == KSEG_NO_TIMESTAMP &&
	           record.error.length == 0 && kseg_reader_done(&reader),
	       "and comes through");
}

/* Read a copy of these bytes as one record. */
static bool
reads_record(const uint8_t *bytes, size_t length, uint32_t fields)
{
	uint8_t *copy = copy_exactly(bytes, length);
	KsegReader reader = read_bytes(copy, length);
	KsegRecord record;
	bool read = kseg_record_read(&reader, fields, &record);

	free(copy);
	return read;
}

static void
test_record_cut_short(void)
{
	uint8_t bytes[256];
	size_t length = write_sample(bytes);
	bool read = false;

	for (size_t i = 0; i < length; i++)
		read = read || reads_record(bytes, i, RECORD_FIELDS);
	tap_ok(!read && reads_record(bytes, length, RECORD_FIELDS),
	       "a record that is cut short is none, at every length");
	tap_ok(!reads_record(bytes, length, RECORD_FIELDS - 1) && !reads_record(bytes, length, RECORD_FIELDS + 1),
	       "nor is it one of another number of fields");
	tap_ok(!reads_record(bytes, length, KSEG_FIELDS_MAX + 1) && !reads_record(bytes, length, UINT32_MAX),
	       "nor of more fields than a table has");
}

static void
test_record_hostile(void)
{
	static const uint32_t sizes[] = {0, 1, KSEG_RECORD_HEAD - 1, KSEG_RECORD_HEAD, 0x7fffffff, UINT32_MAX};
	uint8_t bytes[256];
	size_t length = write_sample(bytes);
	uint16_t error = UINT16_MAX;
	bool read = false;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		memcpy(bytes, &sizes[i], sizeof(sizes[i]));
		read = read || reads_record(bytes, length, RECORD_FIELDS);
	}
	tap_ok(!read, "a size that is not the record's is refused");

	write_sample(bytes);
	kseg_write_u32(bytes + KSEG_RECORD_HEAD, 6);
	tap_ok(!reads_record(bytes, length, RECORD_FIELDS), "a field that claims a byte too many is refused");
	/* 2 × 0xfffffffe is 0xfffffffc in 32 bits: a sum of that width would come to less than the record. */
	kseg_write_u32(kseg_write_u32(bytes + KSEG_RECORD_HEAD, UINT32_MAX - 1), UINT32_MAX - 1);
	tap_ok(!reads_record(bytes, length, RECORD_FIELDS), "so are two fields of four billion bytes together");

	write_sample(bytes);
	memcpy(bytes + KSEG_RECORD_HEAD - sizeof(error), &error, sizeof(error));
	tap_ok(!reads_record(bytes, length, RECORD_FIELDS), "and an error that is longer than the record");
}

/* ---------- messages ---------- */

static const KsegMessage message_sample = {.row = 42,
                                           .timestamp = 1785587696123,
                                           .partition = 3,
                                           .topic = {"orders", 6},
                                           .key = {"k\0y", 3},
                                           .value = {"{}", 2},
                                           .headers = {"", 0}};

static size_t
write_message(uint8_t *out, const KsegMessage *message)
{
	const KsegText texts[] = {message->topic, message->key, message->value, message->headers};
	uint8_t *end = out + KSEG_MESSAGE_HEAD;

	kseg_message_head(out, message);
	for (size_t i = 0; i < 4; i++)
	{
		if (texts[i].length > 0)
			memcpy(end, texts[i].data, texts[i].length);
		end += texts[i].length;
	}
	return (size_t) (end - out);
}

static void
test_message(void)
{
	KsegMessage tombstone = {.row = 43, .timestamp = KSEG_NO_TIMESTAMP, .partition = KSEG_PARTITION_BY_KEY};
	uint8_t bytes[256];
	size_t first = write_message(bytes, &message_sample);
	size_t length = first + write_message(bytes + first, &tombstone);
	KsegReader reader = read_bytes(bytes, length);
	KsegMessage message;

	tap_ok(kseg_message_read(&reader, &message) && message.row == 42 && message.timestamp == 1785587696123 &&
	           message.partition == 3 && text_is(message.topic, message_sample.topic) &&
	           text_is(message.key, message_sample.key) && text_is(message.value, message_sample.value) &&
	           message.headers.length == 0,
	       "a message comes through");
	tap_is(message.size, (int64_t) first, "with the bytes that it takes");
	tap_ok(kseg_message_read(&reader, &message) && message.row == 43 && message.key.data == NULL &&
	           message.value.data == NULL && message.timestamp == KSEG_NO_TIMESTAMP &&
	           message.partition == KSEG_PARTITION_BY_KEY && kseg_reader_done(&reader),
	       "so does one without key and value");
}

static bool
reads_message(const uint8_t *bytes, size_t length)
{
	uint8_t *copy = copy_exactly(bytes, length);
	KsegReader reader = read_bytes(copy, length);
	KsegMessage message;
	bool read = kseg_message_read(&reader, &message);

	free(copy);
	return read;
}

static void
test_message_hostile(void)
{
	/* Where the lengths of key, value and headers stand in the head. */
	static const size_t lengths[] = {20, 24, 28};
	uint8_t bytes[256];
	size_t length = write_message(bytes, &message_sample);
	bool read = false;

	for (size_t i = 0; i < length; i++)
		read = read || reads_message(bytes, i);
	tap_ok(!read && reads_message(bytes, length), "a message that is cut short is none, at every length");
	for (size_t i = 0; i < 3; i++)
	{
		write_message(bytes, &message_sample);
		kseg_write_u32(bytes + lengths[i], UINT32_MAX - 1);
		read = read || reads_message(bytes, length);
	}
	tap_ok(!read, "nor is one whose key, value or headers claim four billion bytes");
}

static void
test_headers(void)
{
	uint8_t bytes[64];
	uint8_t *end = kseg_write_u32(kseg_write_u32(bytes, 1), KSEG_NO_BYTES);
	KsegHeader header;
	KsegText rest;
	KsegText cut;

	*end++ = 'a';
	end = kseg_write_u32(kseg_write_u32(end, 1), 2);
	memcpy(end, "bxy", 3);
	rest = (KsegText){(const char *) bytes, (uint32_t) (end + 3 - bytes)};
	cut = (KsegText){rest.data, rest.length - 1};
	tap_ok(kseg_header_next(&rest, &header) && text_is(header.name, TEXT("a")) && header.value.data == NULL,
	       "a header without value comes through");
	tap_ok(kseg_header_next(&rest, &header) && text_is(header.name, TEXT("b")) &&
	           text_is(header.value, TEXT("xy")),
	       "so does one with a value");
	tap_ok(!kseg_header_next(&rest, &header) && rest.data != NULL, "then there are no more");
	tap_ok(kseg_header_next(&cut, &header) && !kseg_header_next(&cut, &header) && cut.data == NULL,
	       "a header that is cut short is malformed");
}

/* ---------- frames that grow ---------- */

/* Everything that has arrived, which must be at most room. */
static size_t
receive_all(int fd, uint8_t *out, size_t room)
{
	size_t length = 0;
	ssize_t got;

	while ((got = recv(fd, out + length, room - length, MSG_DONTWAIT)) > 0)
		length += (size_t) got;
	return length;
}

static void
test_growing_frame(void)
{
	static uint8_t in[100000];
	int sockets[2];
	KsegWireIo io;
	KsegFrame frame;
	size_t length;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
		tap_die("no socket pair");
	wire_io_open(&io, sockets[0]);
	wire_io_put_frame(&io, KSEG_FRAME_DONE, 0);
	wire_io_begin_frame(&io, KSEG_FRAME_RECORDS);
	memcpy(wire_io_extend_frame(&io, 3), "abc", 3);
	tap_is((int64_t) wire_io_pending(&io), KSEG_FRAME_HEADER,
	       "a frame that is being filled is not to be written");
	wire_io_flush(&io);
	tap_is((int64_t) receive_all(sockets[1], in, sizeof(in)), KSEG_FRAME_HEADER,
	       "what is in front of it leaves");

	memset(wire_io_extend_frame(&io, 90000), 'x', 90000);
	memcpy(wire_io_frame_payload(&io), "ABC", 3);
	tap_is((int64_t) wire_io_frame_length(&io), 90003, "it grows, though its buffer has moved");
	wire_io_end_frame(&io);
	wire_io_flush(&io);
	length = receive_all(sockets[1], in, sizeof(in));
	tap_ok(kseg_frame_parse(in, length, &frame) == (int) length && frame.type == KSEG_FRAME_RECORDS &&
	           frame.length == 90003 && memcmp(frame.payload, "ABCx", 4) == 0 && frame.payload[90002] == 'x',
	       "and leaves whole when it has been ended");
	tap_is((int64_t) wire_io_frame_length(&io), 0, "then there is none");
	wire_out_free(&io.out);
	close(sockets[0]);
	close(sockets[1]);
}

int
main(void)
{
	test_record();
	test_record_without_fields();
	test_record_cut_short();
	test_record_hostile();
	test_message();
	test_message_hostile();
	test_headers();
	test_growing_frame();
	return tap_end();
}
