/*
 * fuzz_reader.c
 *	  Any bytes as a message's value: JSON and CSV, with several sets of wants.
 *
 * The first byte chooses format and wants, the rest is the value. Held: what is taken is text; json-c agrees on JSON
 * (reader_oracle.h); a reader that was used before says the same as a new one; a CSV record's fields written again with
 * quotes are read again as they were.
 */
#include "reader_oracle.h"

static const char *const fuzz_wanted[][6] = {
    {"a", "b", "a/b", "!a", "a/#0", "a|b"},
    {"", "!", "#0", "#1/#0", "#1/a", "a/a/a"},
    {"after/x|before/x|payload/after/x|payload/before/x", "op|payload/op", "!after", "x", "", "a/#1"},
    {"longer than eight", "longer than nine!", "longer t", "/", "a/", "longer than eight/a"},
};
#define FUZZ_SETS (sizeof(fuzz_wanted) / sizeof(fuzz_wanted[0]))

static void
fuzz_fill_wants(TestWants *wants, size_t set)
{
	wants->count = 0;
	for (size_t i = 0; i < 6; i++)
		wants_add(wants, fuzz_wanted[set][i]);
}

static void
fuzz_json(size_t set, const char *value, size_t length)
{
	static TestWants wants;
	/* One for each set, kept from value to value, so that what one leaves behind is met by the next. */
	static KsegMessageReader *used[FUZZ_SETS];
	KsegMessageReader *fresh;
	KsegText fields[WANTS_MAX];
	bool good;

	fuzz_fill_wants(&wants, set);
	if (used[set] == NULL)
		used[set] = reader_open(KSEG_FORMAT_JSON, wants.wants, wants.count, NULL);
	fresh = reader_open(KSEG_FORMAT_JSON, wants.wants, wants.count, NULL);
	assert(oracle_check(used[set], &wants, value, length, &good) == NULL);
	assert(reader_read(fresh, value, length, fields) == good);
	assert(!good || reader_is_text(value, length));
	assert(good || (reader_error(fresh)[0] != '\0' && strlen(reader_error(fresh)) <= 200));
	assert(good || strcmp(reader_error(fresh), reader_error(used[set])) == 0);
	for (uint32_t i = 0; i < wants.count; i++)
	{
		assert((fields[i].data == NULL) == (wants_fields[i].data == NULL));
		assert(fields[i].length == wants_fields[i].length);
		assert(fields[i].length == 0 || memcmp(fields[i].data, wants_fields[i].data, fields[i].length) == 0);
		assert(fields[i].data == NULL || reader_is_text(fields[i].data, fields[i].length));
	}
	reader_close(fresh);
}

/* A record of these fields, quoted; NULL unquoted as the form's text. The caller frees. */
static char *
fuzz_write_csv(const KsegText *fields, uint32_t count, const KsegCsvForm *form, size_t *length)
{
	size_t room = 1;
	char *record;
	char *out;

	for (uint32_t i = 0; i < count; i++)
		room += fields[i].length * 2 + strlen(form->null) + 3;
	record = out = malloc(room);
	for (uint32_t i = 0; i < count; i++)
	{
		if (i > 0)
			*out++ = form->delimiter;
		if (fields[i].data == NULL)
		{
			out = stpcpy(out, form->null);
			continue;
		}
		*out++ = form->quote;
		for (uint32_t j = 0; j < fields[i].length; j++)
		{
			*out++ = fields[i].data[j];
			if (fields[i].data[j] == form->quote)
				*out++ = form->quote;
		}
		*out++ = form->quote;
	}
	*length = (size_t) (out - record);
	return record;
}

static void
fuzz_csv(size_t set, const char *value, size_t length)
{
	static const KsegCsvForm forms[] = {{',', '"', ""}, {'\t', '\'', "\\N"}};
	const KsegCsvForm *form = &forms[set % 2];
	static TestWants wants;
	KsegMessageReader *reader;
	KsegMessageReader *second;
	KsegText again[3];

	wants.count = 0;
	wants_add(&wants, "#0");
	wants_add(&wants, "#1");
	wants_add(&wants, "#2");
	reader = reader_open(KSEG_FORMAT_CSV, wants.wants, 1 + (uint32_t) set % 3, form);
	second = reader_open(KSEG_FORMAT_CSV, wants.wants, 1 + (uint32_t) set % 3, form);
	if (wants_read(reader, value, length))
	{
		size_t record_length;
		uint32_t count = 1 + (uint32_t) set % 3;
		char *record = fuzz_write_csv(wants_fields, count, form, &record_length);

		assert(reader_is_text(value, length));
		assert(reader_read(second, record, record_length, again));
		for (uint32_t i = 0; i < count; i++)
		{
			assert((again[i].data == NULL) == (wants_fields[i].data == NULL));
			assert(again[i].length == wants_fields[i].length);
			assert(again[i].length == 0 || memcmp(again[i].data, wants_fields[i].data, again[i].length) == 0);
		}
		free(record);
	}
	else
		assert(reader_error(reader)[0] != '\0' && strlen(reader_error(reader)) <= 200);
	reader_close(reader);
	reader_close(second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 0x80)
		fuzz_csv(data[0] & 0x7f, (const char *) data + 1, size - 1);
	else
		fuzz_json(data[0] % FUZZ_SETS, (const char *) data + 1, size - 1);
	return 0;
}
