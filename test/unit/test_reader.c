/*
 * test_reader.c
 *	  The message reader: what is JSON and what is not, and what the wanted fields hold.
 */
#include "reader_wants.h"
#include "tap.h"

typedef struct JsonCase
{
	const char *wants;
	const char *value;
	const char *result;
} JsonCase;

/* Fields of a JSON text. wants: as in reader_wants.h, separated by blanks. */
static const char *
read_json(const char *wanted, const char *value)
{
	static TestWants wants;
	static char text[1024];
	KsegMessageReader *reader;
	const char *line;

	wants.count = 0;
	snprintf(text, sizeof(text), "%s", wanted);
	for (char *rest = text, *want = strsep(&rest, " "); want != NULL; want = strsep(&rest, " "))
		wants_add(&wants, want);
	reader = reader_open(KSEG_FORMAT_JSON, wants.wants, wants.count, NULL);
	line = wants_show(reader, wants_read(reader, value, strlen(value)), wants.count);
	reader_close(reader);
	return line;
}

static void
check_json(const char *name, const JsonCase *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		char title[256];

		snprintf(title, sizeof(title), "%s: [%s] of %.100s", name, cases[i].wants, cases[i].value);
		for (char *at = title; *at != '\0'; at++)
		{
			if ((unsigned char) *at < 0x20 || *at == '#')
				*at = '?';
		}
		tap_is_text(read_json(cases[i].wants, cases[i].value), cases[i].result, title);
	}
}
#define CHECK_JSON(name, cases) check_json(name, cases, sizeof(cases) / sizeof((cases)[0]))

/* ---------- JSON ---------- */

static void
test_values(void)
{
	static const JsonCase cases[] = {
	    {"", "null", "NULL"},
	    {"!", "null", "null"},
	    {"", " \t\r\n true \n", "true"},
	    {"", "false", "false"},
	    {"", "0", "0"},
	    {"", "-0", "-0"},
	    {"", "-0.0e-00", "-0.0e-00"},
	    {"", "120.050E+010", "120.050E+010"},
	    {"", "123456789012345678901234567890.12345678901234567890",
	     "123456789012345678901234567890.12345678901234567890"},
	    {"", "1e999999", "1e999999"},
	    {"", "\"\"", ""},
	    {"!", "\"\"", "\"\""},
	    {"", "\"abc\"", "abc"},
	    {"!", " \"a\\nc\" ", "\"a\\nc\""},
	    {"", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
	    {"", "\"\\u0041\\u00e9\\u20AC\\ud83d\\uDE00|\\u0001\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80|\x01"},
	    {"", "\"\\u007f\\u0080\\u07ff\\u0800\\ud7ff\\ue000\\uffff\\ud800\\udc00\\udbff\\udfff\"",
	     "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf"
	     "\xbf"},
	    {"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f"},
	    {"", "[]", "[]"},
	    {"", "{}", "{}"},
	    {"", " [ 1 , { \"a\" : [ ] } ] ", "[ 1 , { \"a\" : [ ] } ]"},
	    {"!", "{ \"a\" : 1 }", "{ \"a\" : 1 }"},
	    {"", "\"a string that is longer than one search of sixteen bytes\"",
	     "a string that is longer than one search of sixteen bytes"},
	    {"", "\"exactly15bytes!\"", "exactly15bytes!"},
	    {"", "\"exactly16 bytes!\"", "exactly16 bytes!"},
	    {"", "\"sixteen bytes and then \\\\ a backslash\"", "sixteen bytes and then \\ a backslash"},
	};

	CHECK_JSON("value", cases);
}

static void
test_paths(void)
{
	static const JsonCase cases[] = {
	    {"a b c", "{\"a\":1,\"b\":\"two\",\"x\":[9],\"c\":null}", "1,two,NULL"},
	    {"a !a a", "{\"a\":\"x\\ty\"}", "x\ty,\"x\\ty\",x\ty"},
	    {"!c !d", "{\"c\":null}", "null,NULL"},
	    {"a/b a/b/c !a", "{\"a\":{\"b\":{\"c\":[1,2]}}}", "{\"c\":[1,2]},[1,2],{\"b\":{\"c\":[1,2]}}"},
	    {"a/#1 a/#3/b a/#0 a/#9", "{\"a\":[0,1,2,{\"b\":\"x\"},4]}", "1,x,0,NULL"},
	    {"#0/#0/#0 #1 ", "[[[7]],8]", "7,8,[[[7]],8]"},
	    {"#0", "{\"0\":1}", "NULL"},
	    {"0", "[1]", "NULL"},
	    {"a/b", "{\"a\":\"b\"}", "NULL"},
	    {"a/b", "{\"a\":[{\"b\":1}]}", "NULL"},
	    {"a/#0", "{\"a\":{\"b\":1}}", "NULL"},
	    {"a", "[{\"a\":1}]", "NULL"},
	    {"a", "\"a\"", "NULL"},
	    {"a|b", "{\"b\":2,\"a\":1}", "1"},
	    {"a|b", "{\"b\":2}", "2"},
	    {"a|b", "{\"b\":2,\"a\":null}", "NULL"},
	    {"!a|b", "{\"b\":2,\"a\":null}", "null"},
	    {"a|b|c/#1|d", "{\"c\":[1,2],\"d\":3}", "2"},
	    {"after/x|before/x|payload/after/x|payload/before/x",
	     "{\"payload\":{\"before\":{\"x\":1},\"after\":null}}", "1"},
	    {"after/x|before/x", "{\"before\":{\"x\":1},\"after\":{\"x\":null}}", "NULL"},
	    {"k\xc3\xa9y", "{\"k\\u00e9y\":1}", "1"},
	    {"k\xc3\xa9y", "{\"k\xc3\xa9y\":1}", "1"},
	    {"a\xf0\x9f\x98\x80", "{\"a\\ud83d\\ude00\":1}", "1"},
	    {"abcdefgh abcdefghi abcdefghj abcdefg",
	     "{\"abcdefghj\":3,\"abcdefg\":4,\"abcdefgh\":1,\"abcdefghi\":2}", "1,2,3,4"},
	    {"a_key_that_is_longer_than_sixteen_bytes", "{\"a_key_that_is_longer_than_sixteen_bytez\":1}",
	     "NULL"},
	    {"a_key_that_is_longer_than_sixteen_bytes", "{\"a_key_that_is_longer_than_sixteen_bytes\":1}", "1"},
	    {"a_key_of_\\u0073ome", "{\"a_key_of_\\\\u0073ome\":1,\"a_key_of_\\u0073ome\":2}", "1"},
	    /* Beginnings of a wanted key, of which some fall into its place of the table. */
	    {"abcdefghijklmnopqrstuvwxyz",
	     "{\"abcdefg\":7,\"abcdefgh\":8,\"abcdefghi\":9,\"abcdefghij\":10,\"abcdefghijk\":11,"
	     "\"abcdefghijkl\":12,\"abcdefghijklm\":13,\"abcdefghijklmn\":14,\"abcdefghijklmno\":15,"
	     "\"abcdefghijklmnop\":16,\"abcdefghijklmnopq\":17,\"abcdefghijklmnopqr\":18,\"abcdefghijklmnopqrs\":"
	     "19,\"abcdefghijklmnopqrst\":20,\"abcdefghijklmnopqrstu\":21,\"abcdefghijklmnopqrstuv\":22,"
	     "\"abcdefghijklmnopqrstuvw\":23,\"abcdefghijklmnopqrstuvwx\":24,\"abcdefghijklmnopqrstuvwxy\":25}",
	     "NULL"},
	    {"a/", "{\"a\":{\"\":1}}", "1"},
	    {"/", "{\"\":{\"\":1}}", "1"},
	    {"a b", "{\"b\":\"\\u0062\",\"a\":\"\\u0061\\u0061\"}", "aa,b"},
	    {"a/#0 a/b", "{\"a\":[\"\\n1\",{\"b\":2}]}", "\n1,NULL"},
	};

	CHECK_JSON("path", cases);
}

static void
test_twice(void)
{
	static const JsonCase cases[] = {
	    {"a", "{\"a\":1,\"a\":2}", "2"},
	    {"a", "{\"a\":1,\"a\":null}", "NULL"},
	    {"a", "{\"a\":1,\"\\u0061\":2}", "2"},
	    {"a", "{\"a\":\"\\u0061\",\"a\":\"\\u0062\"}", "b"},
	    {"a/b a", "{\"a\":{\"b\":1},\"a\":{}}", "NULL,{}"},
	    {"a/b", "{\"a\":{\"b\":1},\"a\":7}", "NULL"},
	    {"a/b", "{\"a\":{\"b\":1},\"a\":{\"b\":2}}", "2"},
	    {"a/b/c a/d", "{\"a\":{\"b\":{\"c\":1},\"d\":5},\"a\":{\"b\":8}}", "NULL,NULL"},
	    {"a/b|z", "{\"a\":{\"b\":1},\"z\":3,\"a\":{}}", "3"},
	    {"a/#0 a/#1", "{\"a\":[1,2],\"a\":[3]}", "3,NULL"},
	    {"a/#0/b c", "{\"c\":1,\"a\":[{\"b\":1,\"b\":2}],\"c\":9}", "2,9"},
	    /* Not the same key: in two objects, or below it. */
	    {"a/b", "{\"a\":{\"b\":1},\"x\":{\"a\":{\"b\":2}}}", "1"},
	    {"a/a a", "{\"a\":{\"a\":1}}", "1,{\"a\":1}"},
	};

	CHECK_JSON("a key that comes twice", cases);
}

static void
test_bad_json(void)
{
	static const JsonCase cases[] = {
	    {"a", "", "error: malformed JSON at byte 1: it ends too early"},
	    {"a", "  ", "error: malformed JSON at byte 3: it ends too early"},
	    {"a", "\xef\xbb\xbf{}", "error: malformed JSON at byte 1: expected a value"},
	    {"a", "{} {}", "error: malformed JSON at byte 4: something behind the value"},
	    {"a", "{}}", "error: malformed JSON at byte 3: something behind the value"},
	    {"a", "{\"a\":1}//", "error: malformed JSON at byte 8: something behind the value"},
	    {"a", "1 2", "error: malformed JSON at byte 3: something behind the value"},
	    {"a", "nul", "error: malformed JSON at byte 1: expected a value"},
	    {"a", "nulls", "error: malformed JSON at byte 5: something behind the value"},
	    {"a", "True", "error: malformed JSON at byte 1: expected a value"},
	    {"a", "NaN", "error: malformed JSON at byte 1: expected a value"},
	    {"a", "Infinity", "error: malformed JSON at byte 1: expected a value"},
	    {"a", "-Infinity", "error: malformed JSON at byte 2: expected a digit"},
	    {"a", "/* */1", "error: malformed JSON at byte 1: expected a value"},
	    {"a", "'a'", "error: malformed JSON at byte 1: expected a value"},
	    {"a",
	     "\xc2\xa0"
	     "1",
	     "error: malformed JSON at byte 1: expected a value"},
	    {"a", "\v1", "error: malformed JSON at byte 1: expected a value"},
	    /* numbers */
	    {"a", "-", "error: malformed JSON at byte 2: it ends too early"},
	    {"a", "+1", "error: malformed JSON at byte 1: expected a value"},
	    {"a", "--1", "error: malformed JSON at byte 2: expected a digit"},
	    {"a", "01", "error: malformed JSON at byte 1: a number may not begin with zero"},
	    {"a", "-012", "error: malformed JSON at byte 2: a number may not begin with zero"},
	    {"a", "00", "error: malformed JSON at byte 1: a number may not begin with zero"},
	    {"a", "1.", "error: malformed JSON at byte 3: it ends too early"},
	    {"a", "[1.]", "error: malformed JSON at byte 4: expected a digit"},
	    {"a", ".5", "error: malformed JSON at byte 1: expected a value"},
	    {"a", "-.5", "error: malformed JSON at byte 2: expected a digit"},
	    {"a", "1.2.3", "error: malformed JSON at byte 4: something behind the value"},
	    {"a", "[1e]", "error: malformed JSON at byte 4: expected a digit"},
	    {"a", "[1e+]", "error: malformed JSON at byte 5: expected a digit"},
	    {"a", "[1e+-2]", "error: malformed JSON at byte 5: expected a digit"},
	    {"a", "[1.e1]", "error: malformed JSON at byte 4: expected a digit"},
	    {"a", "1e1.5", "error: malformed JSON at byte 4: something behind the value"},
	    {"a", "0x1F", "error: malformed JSON at byte 2: something behind the value"},
	    {"a", "1_000", "error: malformed JSON at byte 2: something behind the value"},
	    {"a", "[1 2]", "error: malformed JSON at byte 4: expected \",\" or \"]\""},
	    {"a", "\xef\xbc\x91", "error: malformed JSON at byte 1: expected a value"},
	    /* arrays and objects */
	    {"a", "[", "error: malformed JSON at byte 2: it ends too early"},
	    {"a", "[1", "error: malformed JSON at byte 3: it ends too early"},
	    {"a", "[1,", "error: malformed JSON at byte 4: it ends too early"},
	    {"a", "[1,]", "error: malformed JSON at byte 4: expected a value"},
	    {"a", "[,1]", "error: malformed JSON at byte 2: expected a value"},
	    {"a", "[1,,2]", "error: malformed JSON at byte 4: expected a value"},
	    {"a", "[1}", "error: malformed JSON at byte 3: expected \",\" or \"]\""},
	    {"a", "]", "error: malformed JSON at byte 1: expected a value"},
	    {"a", "{", "error: malformed JSON at byte 2: it ends too early"},
	    {"a", "{\"a\"", "error: malformed JSON at byte 5: it ends too early"},
	    {"a", "{\"a\":", "error: malformed JSON at byte 6: it ends too early"},
	    {"a", "{\"a\":1", "error: malformed JSON at byte 7: it ends too early"},
	    {"a", "{\"a\":1,", "error: malformed JSON at byte 8: it ends too early"},
	    {"a", "{\"a\":1,}", "error: malformed JSON at byte 8: expected a key"},
	    {"a", "{,}", "error: malformed JSON at byte 2: expected a key"},
	    {"a", "{\"a\" 1}", "error: malformed JSON at byte 6: expected \":\""},
	    {"a", "{\"a\"::1}", "error: malformed JSON at byte 6: expected a value"},
	    {"a", "{\"a\",\"b\"}", "error: malformed JSON at byte 5: expected \":\""},
	    {"a", "{a:1}", "error: malformed JSON at byte 2: expected a key"},
	    {"a", "{'a':1}", "error: malformed JSON at byte 2: expected a key"},
	    {"a", "{1:1}", "error: malformed JSON at byte 2: expected a key"},
	    {"a", "{\"a\":1 \"b\":2}", "error: malformed JSON at byte 8: expected \",\" or \"}\""},
	    {"a", "{\"a\":1]", "error: malformed JSON at byte 7: expected \",\" or \"}\""},
	    {"a", "{\"a\":tru}", "error: malformed JSON at byte 6: expected a value"},
	    {"a", "{[]:1}", "error: malformed JSON at byte 2: expected a key"},
	    /* strings */
	    {"a", "\"", "error: malformed JSON at byte 2: it ends too early"},
	    {"a", "\"abc", "error: malformed JSON at byte 5: it ends too early"},
	    {"a", "\"abc\\", "error: malformed JSON at byte 5: unknown escape"},
	    {"a", "\"abc\\\"", "error: malformed JSON at byte 7: it ends too early"},
	    {"a", "\"a\nb\"", "error: malformed JSON at byte 3: control character in a string"},
	    {"a", "\"a\tb\"", "error: malformed JSON at byte 3: control character in a string"},
	    {"a", "{\"x\":\"\x1f\"}", "error: malformed JSON at byte 7: control character in a string"},
	    {"a", "{\"\x01\":1}", "error: malformed JSON at byte 3: control character in a string"},
	    {"a", "\"\\a\"", "error: malformed JSON at byte 2: unknown escape"},
	    {"a", "\"\\x41\"", "error: malformed JSON at byte 2: unknown escape"},
	    {"a", "\"\\'\"", "error: malformed JSON at byte 2: unknown escape"},
	    {"a", "\"\\U0041\"", "error: malformed JSON at byte 2: unknown escape"},
	    {"a", "\"\\u004\"",
	     "error: malformed JSON at byte 2: expected four hexadecimal digits after \"\\u\""},
	    {"a", "\"\\u00g0\"",
	     "error: malformed JSON at byte 2: expected four hexadecimal digits after \"\\u\""},
	    {"a", "\"\\u+041\"",
	     "error: malformed JSON at byte 2: expected four hexadecimal digits after \"\\u\""},
	    {"a", "\"\\u", "error: malformed JSON at byte 2: expected four hexadecimal digits after \"\\u\""},
	    {"a", "\"x\\u0000\"", "error: malformed JSON at byte 3: \"\\u0000\" cannot be kept in a text"},
	    {"a", "{\"x\":[\"\\u0000\"]}",
	     "error: malformed JSON at byte 8: \"\\u0000\" cannot be kept in a text"},
	    {"a", "{\"\\u0000\":1}", "error: malformed JSON at byte 3: \"\\u0000\" cannot be kept in a text"},
	    {"a", "\"\\ud83d\"", "error: malformed JSON at byte 2: half of a surrogate pair"},
	    {"a", "\"\\ude00\"", "error: malformed JSON at byte 2: half of a surrogate pair"},
	    {"a", "\"\\ude00\\ud83d\"", "error: malformed JSON at byte 2: half of a surrogate pair"},
	    {"a", "\"\\ud83d\\ud83d\\ude00\"", "error: malformed JSON at byte 2: half of a surrogate pair"},
	    {"a", "\"\\ud83dx\\ude00\"", "error: malformed JSON at byte 2: half of a surrogate pair"},
	    {"a", "\"\\ud83d\\n\"", "error: malformed JSON at byte 2: half of a surrogate pair"},
	    {"a", "\"\\ud83d\\u0041\"", "error: malformed JSON at byte 2: half of a surrogate pair"},
	    {"a", "\"\\ud83d\\u\"", "error: malformed JSON at byte 2: half of a surrogate pair"},
	    {"a", "{\"x\\udc00\":1}", "error: malformed JSON at byte 4: half of a surrogate pair"},
	    /* UTF-8, in what nobody wants too */
	    {"a", "{\"x\":\"\xff\"}", "error: malformed JSON at byte 7: invalid UTF-8"},
	    {"a", "{\"\xc3\":1}", "error: malformed JSON at byte 3: invalid UTF-8"},
	    {"a", "{\"x\":\"\xed\xa0\x80\"}", "error: malformed JSON at byte 7: invalid UTF-8"},
	    {"a", "{\"x\":1}\x80", "error: malformed JSON at byte 8: invalid UTF-8"},
	};

	CHECK_JSON("not JSON", cases);
}

static void
test_zero_bytes(void)
{
	static TestWants wants;
	KsegMessageReader *reader;
	const char values[][16] = {"\0", "{}\0", "\"\0\"", "{\"a\0\":1}", "[1,\0]", "\xc3\xa9\0\xff"};
	const size_t lengths[] = {1, 3, 3, 8, 5, 4};

	wants_add(&wants, "a");
	reader = reader_open(KSEG_FORMAT_JSON, wants.wants, wants.count, NULL);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		tap_ok(!wants_read(reader, values[i], lengths[i]), "a zero byte in JSON, case %zu: %s", i,
		       reader_error(reader));
	tap_ok(wants_read(reader, "{\"a\":1}", 7) && wants_fields[0].length == 1,
	       "and what comes after is read as if nothing had been");
	reader_close(reader);
}

/* So many arrays, or objects, in each other. */
static bool
read_nested(uint32_t depth, bool objects)
{
	static TestWants wants;
	KsegMessageReader *reader;
	char value[2048];
	size_t at = 0;
	bool good;

	wants.count = 0;
	wants_add(&wants, objects ? "a/a" : "#0/#0");
	for (uint32_t i = 0; i < depth; i++)
		at += (size_t) snprintf(value + at, sizeof(value) - at, objects ? "{\"a\":" : "[");
	value[at++] = '1';
	for (uint32_t i = 0; i < depth; i++)
		value[at++] = objects ? '}' : ']';
	reader = reader_open(KSEG_FORMAT_JSON, wants.wants, wants.count, NULL);
	good = wants_read(reader, value, at);
	if (!good)
		tap_has(reader_error(reader), "nested too deep", "the words of a depth that is too great");
	reader_close(reader);
	return good;
}

static void
test_depth(void)
{
	tap_ok(read_nested(KSEG_READER_DEPTH_MAX, false), "arrays as deep as can be");
	tap_ok(read_nested(KSEG_READER_DEPTH_MAX, true), "objects as deep as can be");
	tap_ok(!read_nested(KSEG_READER_DEPTH_MAX + 1, false), "one array more");
	tap_ok(!read_nested(KSEG_READER_DEPTH_MAX + 1, true), "one object more");
}

/* Every place that a longer value can be cut off at is an error, and reads no byte too much. */
static void
test_cut_off(void)
{
	const char *value =
	    " {\"a\" : [-1.5e+3, \"x\\ud83d\\ude00\\n\xc3\xa9\", true, false, null, {\"b\":{}}]} ";
	static TestWants wants;
	KsegMessageReader *reader;
	uint32_t accepted = 0;

	wants_add(&wants, "a/#1");
	wants_add(&wants, "a/#5/b");
	reader = reader_open(KSEG_FORMAT_JSON, wants.wants, wants.count, NULL);
	for (size_t length = 0; length < strlen(value) - 1; length++)
		accepted += wants_read(reader, value, length);
	tap_is(accepted, 0, "no beginning of a value is a value");
	tap_ok(wants_read(reader, value, strlen(value)), "the whole is");
	tap_is(wants_fields[0].length, 8, "and its escaped text is right long");
	reader_close(reader);
}

/* A large value between small ones: memory grows, is given back, and a text of a megabyte of escapes has room. */
static void
test_large(void)
{
	const size_t escapes = 3 * 1024 * 1024;
	char *value = malloc(escapes * 2 + 16);
	static TestWants wants;
	KsegMessageReader *reader;
	size_t at = 6;

	memcpy(value, "{\"a\":\"", 6);
	for (size_t i = 0; i < escapes; i++)
		memcpy(value + at + 2 * i, "\\n", 2);
	at += escapes * 2;
	memcpy(value + at, "\"}", 2);
	wants_add(&wants, "a");
	reader = reader_open(KSEG_FORMAT_JSON, wants.wants, wants.count, NULL);
	for (int i = 0; i < 3; i++)
	{
		tap_ok(wants_read(reader, value, at + 2) && wants_fields[0].length == escapes &&
		           wants_fields[0].data[escapes - 1] == '\n',
		       "six megabytes of escapes");
		tap_ok(wants_read(reader, "{\"a\":\"\\u0061\"}", 14) && wants_fields[0].length == 1 &&
		           wants_fields[0].data[0] == 'a',
		       "and a small one");
	}
	reader_close(reader);
	free(value);
}

/* Values that fill the reader's memory to the last byte, and the lengths around: its searches still have room behind them. */
static void
test_full_memory(void)
{
	static char value[16 * 1024 + 64];
	KsegMessageReader *reader = reader_open(KSEG_FORMAT_JSON, NULL, 0, NULL);
	uint32_t refused = 0;

	memset(value, ' ', sizeof(value));
	value[0] = '1';
	for (size_t size = 4096; size <= 16 * 1024; size *= 2)
	{
		for (size_t length = size - 40; length < size + 40; length++)
		{
			refused += !wants_read(reader, value, length);
			value[0] = '"';
			refused += wants_read(reader, value, length);
			value[0] = '1';
		}
	}
	tap_is(refused, 0, "values of all lengths around what the reader has room for");
	reader_close(reader);
}

/* Many keys in one object, so that the tables of keys have collisions. */
static void
test_many_keys(void)
{
	enum
	{
		KEYS = 1600
	};
	KsegWant *wants = calloc(KEYS, sizeof(*wants));
	KsegPath *paths = calloc(KEYS, sizeof(*paths));
	KsegPathStep *steps = calloc(KEYS, sizeof(*steps));
	KsegText *fields = calloc(KEYS, sizeof(*fields));
	char(*names)[16] = calloc(KEYS, sizeof(*names));
	char *value = malloc(KEYS * 32);
	size_t at = 0;
	uint32_t wrong = 0;
	KsegMessageReader *reader;

	for (uint32_t i = 0; i < KEYS; i++)
	{
		snprintf(names[i], sizeof(names[i]), "%s%u", i % 3 == 0 ? "k" : "long_key_", i);
		steps[i].key = (KsegText){names[i], (uint32_t) strlen(names[i])};
		paths[i] = (KsegPath){1, &steps[i]};
		wants[i] = (KsegWant){.path_count = 1, .paths = &paths[i]};
		at += (size_t) sprintf(value + at, "%c\"%s\":%u", i == 0 ? '{' : ',', names[i], i);
	}
	value[at++] = '}';
	reader = reader_open(KSEG_FORMAT_JSON, wants, KEYS, NULL);
	free(steps); /* the reader has copied them */
	free(paths);
	free(wants);
	free(names);
	tap_ok(reader_read(reader, value, at, fields), "an object of %d members is read", KEYS);
	for (uint32_t i = 0; i < KEYS; i++)
		wrong += fields[i].data == NULL || strtoul(fields[i].data, NULL, 10) != i;
	tap_is(wrong, 0, "and each field is its own");
	reader_close(reader);
	free(value);
	free(fields);
}

static void
test_nothing_wanted(void)
{
	KsegMessageReader *reader = reader_open(KSEG_FORMAT_JSON, NULL, 0, NULL);

	tap_ok(reader_read(reader, "{\"a\":1}", 7, NULL), "nothing is wanted, and the value is good");
	tap_ok(!reader_read(reader, "{\"a\":01}", 8, NULL), "or not");
	reader_close(reader);
	reader_close(NULL);
}

int
main(void)
{
	test_values();
	test_paths();
	test_twice();
	test_bad_json();
	test_zero_bytes();
	test_depth();
	test_cut_off();
	test_large();
	test_full_memory();
	test_many_keys();
	test_nothing_wanted();
	return tap_end();
}
