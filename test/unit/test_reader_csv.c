/*
 * test_reader_csv.c
 *	  The message reader: records of CSV; what is UTF-8; and the searches below both formats.
 */
#include "reader/reader_scan.h"
#include "reader_wants.h"
#include "tap.h"

/* ---------- UTF-8 ---------- */

/* The definition in numbers, as an oracle: RFC 3629 decoded naively. */
static bool
is_text_by_definition(const unsigned char *bytes, size_t length)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

	for (size_t at = 0; at < length;)
	{
		uint32_t size = bytes[at] < 0x80             ? 1
		                : (bytes[at] & 0xe0) == 0xc0 ? 2
		                : (bytes[at] & 0xf0) == 0xe0 ? 3
		                : (bytes[at] & 0xf8) == 0xf0 ? 4
		                                             : 0;
		uint32_t code = size == 1 ? bytes[at] : bytes[at] & (0x7fu >> size);

		if (size == 0 || at + size > length || bytes[at] == 0)
			return false;
		for (uint32_t i = 1; i < size; i++)
		{
			if ((bytes[at + i] & 0xc0) != 0x80)
				return false;
			code = code << 6 | (bytes[at + i] & 0x3f);
		}
		if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
			return false;
		at += size;
	}
	return true;
}

static bool
is_text(const void *bytes, size_t length)
{
	char *held = malloc(length > 0 ? length : 1);
	bool text;

	memcpy(held, bytes, length);
	text = reader_is_text(held, length);
	free(held);
	return text;
}

/* All sequences of up to three bytes; of four those whose second byte decides. */
static void
test_utf8(void)
{
	static const unsigned char edges[] = {0x00, 0x22, 0x7f, 0x80, 0xbf, 0xc0, 0xc2, 0xff};
	uint32_t wrong = 0;
	unsigned char bytes[4];

	for (uint32_t code = 0; code < 0x10000; code++)
	{
		bytes[0] = (unsigned char) (code >> 8);
		bytes[1] = (unsigned char) code;
		wrong += is_text(bytes + 1, 1) != is_text_by_definition(bytes + 1, 1);
		wrong += is_text(bytes, 2) != is_text_by_definition(bytes, 2);
		for (size_t i = 0; i < sizeof(edges) * sizeof(edges); i++)
		{
			bytes[2] = edges[i % sizeof(edges)];
			bytes[3] = edges[i / sizeof(edges)];
			wrong += i < sizeof(edges) && is_text(bytes, 3) != is_text_by_definition(bytes, 3);
			wrong += is_text(bytes, 4) != is_text_by_definition(bytes, 4);
		}
	}
	tap_is(wrong, 0, "UTF-8 is what its definition says, for every first and second byte");
	tap_ok(is_text("", 0), "nothing is text");
}

/* Characters across the border of the pieces that reader_is_text works in, and errors there. */
static void
test_utf8_pieces(void)
{
	static char bytes[5000];
	uint32_t wrong = 0;

	for (size_t at = 1010; at < 1040; at++)
	{
		memset(bytes, 'x', sizeof(bytes));
		memcpy(bytes + at, "\xf0\x9f\x98\x80", 4);
		wrong += !is_text(bytes, sizeof(bytes)) + !is_text(bytes, at + 4);
		wrong += is_text(bytes, at + 3) + is_text(bytes, at + 2) + is_text(bytes, at + 1);
		bytes[at + 3] = 'x';
		wrong += is_text(bytes, sizeof(bytes));
		bytes[at] = bytes[at + 1] = bytes[at + 2] = 'x';
		wrong += !is_text(bytes, sizeof(bytes));
		bytes[at] = '\0';
		wrong += is_text(bytes, sizeof(bytes)) + is_text(bytes, at + 1);
	}
	tap_is(wrong, 0, "a character at any place of a longer text");
}

/* ---------- CSV ---------- */

/* Columns 0, 1 and 2 of a record; form is delimiter, quote and NULL's text. */
static const char *
read_csv(const char *form, const char *value, size_t length)
{
	static TestWants wants;
	const KsegCsvForm csv = {.delimiter = form[0], .quote = form[1], .null = form + 2};
	KsegMessageReader *reader;
	const char *line;

	wants.count = 0;
	/* Not in order, and one of them twice. */
	wants_add(&wants, "#0");
	wants_add(&wants, "#2");
	wants_add(&wants, "#1");
	wants_add(&wants, "#2");
	reader = reader_open(KSEG_FORMAT_CSV, wants.wants, wants.count, &csv);
	line = wants_show(reader, wants_read(reader, value, length), wants.count);
	reader_close(reader);
	return line;
}

typedef struct CsvCase
{
	const char *form;
	const char *value;
	const char *result;
} CsvCase;

static void
test_csv(void)
{
	static const CsvCase cases[] = {
	    {",\"", "a,b,c", "a,c,b,c"},
	    {",\"", "a,b,c\n", "a,c,b,c"},
	    {",\"", "a,b,c\r\n", "a,c,b,c"},
	    {",\"", "a,b,c\r", "a,c,b,c"},
	    {",\"", "a,b,c,d,\"e\"", "a,c,b,c"},
	    {",\"", "a,,c", "a,c,NULL,c"},
	    {",\"", ",,", "NULL,NULL,NULL,NULL"},
	    {",\"", "\"\",\"\",\"\"", ",,,"},
	    {",\"\\N", "\\N,,\"\\N\"", "NULL,\\N,,\\N"},
	    {",\"", " a , b,c ", " a ,c , b,c "},
	    {",\"", "\"a,1\",\"b\nx\r\ny\",\"c\"\"d\"\"\"", "a,1,c\"d\",b\nx\r\ny,c\"d\""},
	    {",\"", "\"\"\"\",b,\"\"\"\"\"\"", "\",\"\",b,\"\""},
	    {"\t\"", "a\tb,b\tc", "a,c,b,b,c"},
	    {";'", "'it''s';b;\"c", "it's,\"c,b,\"c"},
	    {",\"", "\xc3\xa9,b,\"\xf0\x9f\x98\x80\"", "\xc3\xa9,\xf0\x9f\x98\x80,b,\xf0\x9f\x98\x80"},
	    {",\"", "a long field of more than sixteen bytes,b,\"another long one with \"\" in the middle\"",
	     "a long field of more than sixteen bytes,another long one with \" in the middle,b,"
	     "another long one with \" in the middle"},
	    {",\"", "", "error: malformed CSV at byte 1: missing field 2"},
	    {",\"", "\n", "error: malformed CSV at byte 1: missing field 2"},
	    {",\"", "a,b", "error: malformed CSV at byte 4: missing field 3"},
	    {",\"", "a,b,c\nd,e,f", "error: malformed CSV at byte 7: something behind the record"},
	    {",\"", "a,b,c\n\n", "error: malformed CSV at byte 7: something behind the record"},
	    {",\"", "a,b\rx,c", "error: malformed CSV at byte 5: something behind the record"},
	    {",\"", "a,b,\"c", "error: malformed CSV at byte 7: a quoted field has no end"},
	    {",\"", "a,b,\"c\"\"", "error: malformed CSV at byte 9: a quoted field has no end"},
	    {",\"", "\"a\"x,b,c", "error: malformed CSV at byte 4: something behind a field's closing quote"},
	    {",\"", "\"a\" ,b,c", "error: malformed CSV at byte 4: something behind a field's closing quote"},
	    {",\"", "a\"b,b,c", "error: malformed CSV at byte 2: a quote inside a field that has none around it"},
	    {",\"", "a,b,c,\"d", "error: malformed CSV at byte 9: a quoted field has no end"},
	    {",\"", "a,b,c,\xff", "error: malformed CSV at byte 7: invalid UTF-8"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char title[64];

		snprintf(title, sizeof(title), "CSV, case %zu", i);
		tap_is_text(read_csv(cases[i].form, cases[i].value, strlen(cases[i].value)), cases[i].result, title);
	}
	tap_has(read_csv(",\"", "a\0b,b,c", 7), "at byte 2: zero byte", "a zero byte in CSV");
	tap_has(read_csv(",\"", "\"a\0\",b,c", 8), "at byte 3: zero byte", "a zero byte between quotes");
	tap_has(read_csv(",\"", "a,b,c\0", 6), "at byte 6: zero byte", "a zero byte at the end");
}

/* ---------- searches ---------- */

/* Both makes of each search find the same, from every place of random bytes. */
static void
test_scan(void)
{
	static const char alphabet[] = "ab01289,;\"\\\n\r\t\x1f\x20\x7f\x80\xff:/";
	const KsegScanSet set = {.delimiter = ';', .quote = '"'};
	char bytes[128 + KSEG_SCAN_PADDING] = {0};
	char copy[128];
	uint64_t random = 1;
	uint32_t wrong = 0;

	for (int round = 0; round < 3000; round++)
	{
		size_t length = (size_t) round % 128;
		uint32_t often =
		    (uint32_t) round % 40; /* how many of 40 are any byte; else one that nothing stops at */

		memset(bytes, 0, sizeof(bytes));
		for (size_t i = 0; i < length; i++)
		{
			random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			bytes[i] = (random >> 33) % 40 < often ? alphabet[(random >> 40) % (sizeof(alphabet) - 1)] : '5';
		}
		for (size_t i = 0; i <= length; i++)
		{
			const char *at = bytes + i;

			wrong += scan_string(at) != scan_string_plain(at);
			wrong += scan_digits(at) != scan_digits_plain(at);
			wrong += scan_ascii(at) != scan_ascii_plain(at);
			wrong += scan_field(at, &set) != scan_field_plain(at, &set);
			wrong += scan_copy(copy, at, length - i) != scan_copy_plain(copy, at, length - i);
			scan_copy(copy, at, length - i);
			wrong += memcmp(copy, at, length - i) != 0;
		}
	}
	tap_is(wrong, 0, "searches of 16 bytes find what searches of one byte find");
}

int
main(void)
{
	test_csv();
	test_utf8();
	test_utf8_pieces();
	test_scan();
	return tap_end();
}
