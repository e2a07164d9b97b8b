/*
 * test_answer.c
 *	  What an HTTP answer means: every status, Retry-After in its forms, backoff, words.
 *
 * The table here is written from segment.md, number by number, not from the courier's.
 */
#include "courier/segment_answer.h"
#include "tap.h"

/* 2026-08-01T12:00:00Z */
#define NOW_MS INT64_C(1785585600000)

static KsegVerdict
wanted_verdict(int status)
{
	static const int halve[] = {400, 413, 422, 0};
	static const int again[] = {408, 410, 460, 0};
	static const int never[] = {501, 505, 511, 0};

	if (status / 100 == 2)
		return KSEG_VERDICT_ACCEPTED;
	if (status == 401 || status == 403)
		return KSEG_VERDICT_AUTH;
	if (status == 429)
		return KSEG_VERDICT_WAIT;
	for (int i = 0; halve[i] != 0; i++)
	{
		if (status == halve[i])
			return KSEG_VERDICT_HALVE;
		if (status == again[i])
			return KSEG_VERDICT_AGAIN;
		if (status == never[i])
			return KSEG_VERDICT_REFUSED;
	}
	return status / 100 == 5 ? KSEG_VERDICT_AGAIN : KSEG_VERDICT_REFUSED;
}

static void
test_statuses(void)
{
	int wrong = 0;

	for (int status = 100; status <= 599; status++)
	{
		if (answer_sort_status((uint32_t) status) != wanted_verdict(status))
		{
			printf("# status %d is sorted as %d, wanted %d\n", status, answer_sort_status((uint32_t) status),
			       wanted_verdict(status));
			wrong++;
		}
	}
	tap_is(wrong, 0, "every status from 100 to 599 is sorted as segment.md says");
	tap_ok(answer_sort_status(0) == KSEG_VERDICT_REFUSED && answer_sort_status(999) == KSEG_VERDICT_REFUSED,
	       "what is no status is refused");
}

static KsegVerdict
sort_body(uint32_t status, const char *body)
{
	KsegAnswer answer = {0};
	KsegVerdict verdict;

	answer_reset(&answer);
	answer.status = status;
	answer_take_body(&answer, body, strlen(body));
	verdict = answer_sort(&answer);
	buffer_free(&answer.body);
	return verdict;
}

static void
test_success_false(void)
{
	tap_is(sort_body(200, "{\"success\":false}"), KSEG_VERDICT_HALVE,
	       "200 with success false is refused like 400");
	tap_is(sort_body(200, "{\"success\":true}"), KSEG_VERDICT_ACCEPTED, "200 with success true is accepted");
	tap_is(sort_body(200, ""), KSEG_VERDICT_ACCEPTED, "200 without a body is accepted");
	tap_is(sort_body(200, "OK"), KSEG_VERDICT_ACCEPTED, "200 with plain text is accepted (RudderStack)");
	tap_is(sort_body(202, "{\"success\":\"false\"}"), KSEG_VERDICT_ACCEPTED,
	       "success as a text says nothing");
	tap_is(sort_body(200, "[false]"), KSEG_VERDICT_ACCEPTED, "nor does an array");
	tap_is(sort_body(503, "{\"success\":true}"), KSEG_VERDICT_AGAIN, "a 503's body does not make it good");
}

static int64_t
parse_after(const char *value)
{
	return answer_parse_retry_after(value, strlen(value), NOW_MS);
}

static void
test_retry_after(void)
{
	tap_is(parse_after("0"), 0, "Retry-After: 0");
	tap_is(parse_after("7"), 7000, "Retry-After in seconds");
	tap_ok(parse_after("99999999999999999999999999") >= KSEG_WAIT_MAX_MS, "more seconds than a number holds");
	tap_is(parse_after("Sat, 01 Aug 2026 12:00:30 GMT"), 30000, "an HTTP date");
	tap_is(parse_after("Saturday, 01-Aug-26 12:00:30 GMT"), 30000, "an RFC 850 date");
	tap_is(parse_after("Sat Aug  1 12:00:30 2026"), 30000, "an asctime date");
	tap_is(parse_after("Sat, 01 Aug 2026 11:59:00 GMT"), 0, "a date that is past");
	/* libcurl 7.88 takes it for a date, 8.14 does not. */
	tap_ok(parse_after("01 Aug 666666666") == -1 || parse_after("01 Aug 666666666") == KSEG_WAIT_MAX_MS,
	       "a date that has no milliseconds in 64 bits");
	tap_is(parse_after(""), -1, "nothing");
	tap_is(parse_after("soon"), -1, "a word");
	tap_is(parse_after("-5"), -1, "a negative number");
	tap_is(parse_after("1.5"), -1, "a fraction");
	tap_is(parse_after("Sat, 01 Aug 2026 12:00:30 GMT and a very long story behind it, far beyond a date"),
	       -1, "something far longer than a date");
}

static int64_t
wait_of(const char *first, const char *second)
{
	KsegAnswer answer = {0};

	answer_take_header(&answer, "HTTP/1.1 429 Too Many Requests\r\n", 32, NOW_MS);
	answer_take_header(&answer, first, strlen(first), NOW_MS);
	answer_take_header(&answer, second, strlen(second), NOW_MS);
	return answer_wait_ms(&answer);
}

static void
test_waits(void)
{
	tap_is(wait_of("Retry-After: 2\r\n", ""), 2000, "Retry-After is waited for");
	tap_is(wait_of("retry-after:2", ""), 2000, "in any case, without a blank or an end of line");
	tap_is(wait_of("Retry-After:  \t2 \r\n", ""), 2000, "with blanks around it");
	tap_is(wait_of("X-RateLimit-Reset: 3\r\n", ""), 3000, "X-RateLimit-Reset is waited for");
	tap_is(wait_of("X-RateLimit-Reset: 3\r\n", "Retry-After: 2\r\n"), 2000, "Retry-After goes first");
	tap_is(wait_of("X-RateLimit-Reset: 3\r\n", "Retry-After: soon\r\n"), 3000, "unless it cannot be read");
	tap_is(wait_of("Retry-After: 86400\r\n", ""), 300000, "no longer than 300 s");
	tap_is(wait_of("X-RateLimit-Reset: 1785585600\r\n", ""), 300000, "nor by X-RateLimit-Reset");
	tap_is(wait_of("Retry-After: 0\r\n", ""), 0, "0 asks for no wait");
	tap_is(wait_of("X-Retry-After: 9\r\n", "Retry-Afterwards: 9\r\n"), 0, "nor do headers of other names");
	tap_is(wait_of("Retry-After: 5\r\n", "HTTP/1.1 429 Again\r\n"), 0,
	       "a new status line forgets the headers before it");
}

static void
test_backoff(void)
{
	static const int64_t most[] = {500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
	bool held = true;

	for (uint32_t n = 0; n < 10; n++)
	{
		held = held && answer_backoff_ms(n, 0) == 0 && answer_backoff_ms(n, UINT32_MAX) == most[n];
		held = held && answer_backoff_ms(n, UINT32_MAX / 2) == most[n] / 2;
	}
	tap_ok(held, "backoff is spread from 0 to 0.5 s · 2^n, at most 60 s");
	tap_is(answer_backoff_ms(UINT32_MAX, UINT32_MAX), 60000, "for any number of failures");
}

static void
check_words(const char *body, size_t length, const char *wanted, const char *name)
{
	KsegAnswer answer = {0};
	KsegSecret secret;
	char words[40];

	secret_open(&secret, "sEcret+Key");
	answer_reset(&answer);
	answer_take_body(&answer, body, length);
	answer_read_words(&answer, &secret, words, sizeof(words));
	tap_is_text(words, wanted, name);
	buffer_free(&answer.body);
	secret_close(&secret);
}

#define CHECK_WORDS(body, wanted, name) check_words(body, sizeof(body) - 1, wanted, name)

static void
test_words(void)
{
	CHECK_WORDS("{\"success\":false,\"message\":\"no userId\"}", "no userId", "the message of a JSON body");
	CHECK_WORDS("{\"error\":{\"code\":1,\"message\":\"bad\"}}", "bad", "inside an object");
	CHECK_WORDS("{\"errors\":[{\"detail\":\"first\"},{\"detail\":\"second\"}]}", "first",
	            "the first of several");
	CHECK_WORDS("{\"message\":\"\",\"error\":\"the other\"}", "the other", "an empty message is none");
	CHECK_WORDS("Invalid\r\n\tJSON\x01", "Invalid JSON",
	            "a plain text, its control characters made harmless");
	CHECK_WORDS("{\"code\":5}", "{\"code\":5}", "JSON without words, as it is");
	CHECK_WORDS("", "", "no body, no words");
	CHECK_WORDS("caf\xc3\xa9 \xff\xc3", "caf\xc3\xa9 ??", "bytes that are not UTF-8");
	CHECK_WORDS("{\"message\":\"a\\u0000b\\u001b[31mc\\u202ed\"}", "a b [31mc d",
	            "what would act on a terminal");
	CHECK_WORDS("0123456789012345678901234567890123456789", "012345678901234567890123456789012345...",
	            "cut to its room");
	CHECK_WORDS("01234567890123456789012345678901234\xc3\xa9\xc3\xa9\xc3\xa9",
	            "01234567890123456789012345678901234...", "cut between characters");
}

static void
test_words_secret(void)
{
	CHECK_WORDS("no key sEcret+Key here", "no key ********** here", "the write key is masked");
	CHECK_WORDS("{\"message\":\"key \\u0073Ecret+Key\"}", "key **********", "even if JSON hides it");
	CHECK_WORDS("Basic c0VjcmV0K0tleTo=", "Basic ****************", "and as the header carries it");
	CHECK_WORDS("/sEcret%2BKey/", "/************/", "and as a URL carries it");
	CHECK_WORDS("0123456789012345678901234567890sEcret+Key", "0123456789012345678901234567890*****...",
	            "even where the cut goes through it");
}

static void
test_body_cap(void)
{
	static char piece[64 * 1024];
	KsegAnswer answer = {0};
	size_t taken = 0;

	answer_reset(&answer);
	while (answer_take_body(&answer, piece, sizeof(piece)))
		taken += sizeof(piece);
	tap_is((int64_t) taken, 1024 * 1024, "an answer is read up to 1 MB");
	tap_is((int64_t) answer.body.length, 64 * 1024, "of which 64 kB are kept");
	buffer_free(&answer.body);
}

int
main(void)
{
	test_statuses();
	test_success_false();
	test_retry_after();
	test_waits();
	test_backoff();
	test_words();
	test_words_secret();
	test_body_cap();
	return tap_end();
}
