/*
 * fuzz_records.c
 *	  Any bytes as the payload of RECORDS and of MESSAGES: nothing is read past them, and what is taken lies within.
 */
#include <assert.h>

#include "wire/wire_record.h"

static void
check_text(const KsegReader *whole, KsegText text)
{
	assert(text.data == NULL || text.length == 0 ||
	       ((const uint8_t *) text.data >= whole->at &&
	        (const uint8_t *) text.data + text.length <= whole->end));
}

static void
check_record(const KsegReader *whole, const KsegRecord *record, uint32_t fields)
{
	const uint8_t *at = record->bytes;

	for (uint32_t i = 0; i < fields; i++)
	{
		uint32_t length = kseg_record_length(record, i);

		if (length == KSEG_NO_BYTES)
			continue;
		check_text(whole, (KsegText){(const char *) at, length});
		at += length;
	}
	assert(record->error.length == 0 || (const uint8_t *) record->error.data == at);
	check_text(whole, record->error);
}

static void
check_message(const KsegReader *whole, const KsegMessage *message)
{
	KsegText rest = message->headers;
	KsegHeader header;

	check_text(whole, message->topic);
	check_text(whole, message->key);
	check_text(whole, message->value);
	check_text(whole, message->headers);
	while (kseg_header_next(&rest, &header))
	{
		check_text(whole, header.name);
		check_text(whole, header.value);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const KsegReader whole = {.at = data, .end = data + size};
	KsegReader reader = whole;
	KsegRecord record;
	KsegMessage message;
	uint32_t fields;

	kseg_read_u32(&reader);
	fields = kseg_read_u32(&reader);
	while (!kseg_reader_done(&reader) && kseg_record_read(&reader, fields, &record))
		check_record(&whole, &record, fields);

	reader = whole;
	kseg_read_u32(&reader);
	while (!kseg_reader_done(&reader) && kseg_message_read(&reader, &message))
		check_message(&whole, &message);
	return 0;
}
