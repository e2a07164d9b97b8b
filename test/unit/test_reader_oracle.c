/*
 * test_reader_oracle.c
 *	  The message reader against json-c: random JSON texts, whole and broken, and every wanted field of them.
 */
#include "reader_oracle.h"
#include "tap.h"

/* As many as run in two seconds under the sanitizers. */
#define ROUNDS 60000

static uint64_t random_state;

/* A number below n. The same texts come in every run. */
static uint32_t
pick(uint32_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) ((random_state >> 33) % n);
}

/* A text that grows; what does not fit is left out, and what it then is, both sides must say. */
typedef struct Text
{
	char bytes[2000];
	size_t length;
} Text;

static void
add(Text *text, const char *part)
{
	size_t length = strlen(part);

	if (text->length + length > sizeof(text->bytes))
		return;
	memcpy(text->bytes + text->length, part, length);
	text->length += length;
}

static void
add_blanks(Text *text)
{
	static const char *const blanks[] = {"", "", "", "", " ", "\n", "\t \r\n", "                  "};

	add(text, blanks[pick(8)]);
}

static void
add_string(Text *text)
{
	static const char *const parts[] = {"a",
	                                    "b",
	                                    "0",
	                                    "\\n",
	                                    "\\\"",
	                                    "\\\\",
	                                    "\\/",
	                                    "\\u0041",
	                                    "\\u00e9",
	                                    "\\uFFFD",
	                                    "\\ud83d\\ude00",
	                                    "\xc3\xa9",
	                                    "\xe2\x82\xac",
	                                    "\xf0\x9f\x98\x80",
	                                    "sixteen bytes or",
	                                    " "};

	add(text, "\"");
	for (uint32_t i = pick(6); i > 0; i--)
		add(text, parts[pick(16)]);
	add(text, "\"");
}

static void
add_number(Text *text)
{
	static const char *const numbers[] = {"0",
	                                      "-0",
	                                      "1",
	                                      "42",
	                                      "-17",
	                                      "3.25",
	                                      "-0.5e3",
	                                      "1E+2",
	                                      "1e-7",
	                                      "12345678",
	                                      "0.1234567890",
	                                      "9007199254740993",
	                                      "1e400",
	                                      "0e0",
	                                      "10",
	                                      "123456789012345678901234567890"};

	add(text, numbers[pick(16)]);
}

static void add_value(Text *text, uint32_t depth);

static void
add_object(Text *text, uint32_t depth)
{
	/* Few keys, so that wanted ones are met and some come twice; the same key in several spellings. */
	static const char *const keys[] = {"\"a\"", "\"b\"", "\"c\"", "\"\\u0061\"", "\"longer than 16 bytes\"",
	                                   "\"\""};

	add(text, "{");
	add_blanks(text);
	for (uint32_t i = pick(5), first = i; i > 0; i--)
	{
		add(text, i == first ? "" : ",");
		add_blanks(text);
		if (pick(8) == 0)
			add_string(text);
		else
			add(text, keys[pick(6)]);
		add_blanks(text);
		add(text, ":");
		add_value(text, depth);
	}
	add(text, "}");
}

static void
add_array(Text *text, uint32_t depth)
{
	add(text, "[");
	add_blanks(text);
	for (uint32_t i = pick(5), first = i; i > 0; i--)
	{
		add(text, i == first ? "" : ",");
		add_value(text, depth);
	}
	add(text, "]");
}

static void
add_value(Text *text, uint32_t depth)
{
	static const char *const words[] = {"true", "false", "null"};
	uint32_t kind = pick(depth >= 5 ? 3 : 7);

	add_blanks(text);
	if (kind == 0)
		add(text, words[pick(3)]);
	else if (kind == 1)
		add_number(text);
	else if (kind == 2)
		add_string(text);
	else if (kind == 3)
		add_array(text, depth + 1);
	else
		add_object(text, depth + 1);
	add_blanks(text);
}

/* Change, take out or put in a byte or two; mostly bytes that mean something. */
static void
break_text(Text *text)
{
	static const char bytes[] = "\"\\{}[]:,0123456789-+.eEtfnu \n\x01\x80\xc3\xff/ab";

	for (uint32_t i = 1 + pick(2); i > 0 && text->length > 0; i--)
	{
		uint32_t at = pick((uint32_t) text->length);

		if (pick(3) == 0)
		{
			memmove(text->bytes + at, text->bytes + at + 1, text->length - at - 1);
			text->length--;
			continue;
		}
		if (pick(2) == 0 && text->length < sizeof(text->bytes))
		{
			memmove(text->bytes + at + 1, text->bytes + at, text->length - at);
			text->length++;
		}
		text->bytes[at] = bytes[pick(sizeof(bytes) - 1)];
	}
}

static void
report(const char *differs, const Text *text, const KsegMessageReader *reader)
{
	printf("# %s: %.*s\n# the reader says: %s\n", differs, (int) text->length, text->bytes,
	       reader_error(reader));
}

int
main(void)
{
	static const char *const wanted[] = {"",
	                                     "!",
	                                     "a",
	                                     "!a",
	                                     "a/b",
	                                     "a/b/c",
	                                     "b|c|a",
	                                     "c/#0",
	                                     "c/#1",
	                                     "a/#2/b",
	                                     "#0|c",
	                                     "!#1/a|b",
	                                     "/a",
	                                     "b/a|a/b|",
	                                     "longer than 16 bytes",
	                                     "a/longer than 16 bytes/#1"};
	static TestWants wants;
	KsegMessageReader *reader;
	uint32_t accepted[2] = {0, 0};
	uint32_t wrong = 0;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		wants_add(&wants, wanted[i]);
	/* One reader for all: nothing of one value may show in the next. */
	reader = reader_open(KSEG_FORMAT_JSON, wants.wants, wants.count, NULL);
	for (uint32_t round = 0; round < ROUNDS; round++)
	{
		Text text = {.length = 0};
		bool broken = round % 2 == 1;
		bool good;
		const char *differs;

		random_state = round;
		add_value(&text, pick(6));
		if (broken)
			break_text(&text);
		differs = oracle_check(reader, &wants, text.bytes, text.length, &good);
		accepted[broken] += good;
		if (differs != NULL && !oracle_is_blind(differs) && wrong++ < 5)
			report(differs, &text, reader);
	}
	reader_close(reader);
	tap_is(wrong, 0, "the reader and json-c agree on random JSON, whole and broken");
	tap_ok(accepted[0] > ROUNDS / 2 * 9 / 10, "most whole texts were taken: %u of %u", accepted[0],
	       ROUNDS / 2);
	tap_ok(accepted[1] > ROUNDS / 20 && accepted[1] < ROUNDS / 2 * 8 / 10, "of the broken ones %u",
	       accepted[1]);
	return tap_end();
}
