/*
 * fuzz_answer.c
 *	  Any bytes as an answer: waits stay in their bounds, words are harmless and never hold the write key.
 */
#define _GNU_SOURCE /* memmem */
#include <assert.h>
#include <string.h>

#include "courier/segment_answer.h"

#define KEY "k3y"

static void
check_words(const KsegAnswer *answer)
{
	KsegSecret secret;
	char words[64];

	secret_open(&secret, KEY);
	answer_read_words(answer, &secret, words, sizeof(words));
	assert(strlen(words) < sizeof(words));
	for (const char *at = words; *at != '\0'; at++)
		assert((unsigned char) *at >= 0x20 && *at != 0x7f);
	/* Cleaning turns one control character into a blank, so it cannot put the key together. */
	assert(strstr(words, KEY) == NULL);
	secret_close(&secret);
}

/* The lines up to an empty one are headers, the rest is the body. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *) data;
	const char *end = at + size;
	const char *line_end;
	KsegAnswer answer = {0};

	answer_reset(&answer);
	while ((line_end = memchr(at, '\n', (size_t) (end - at))) != NULL && line_end != at)
	{
		answer_take_header(&answer, at, (size_t) (line_end + 1 - at), INT64_C(1785585600000));
		answer_parse_retry_after(at, (size_t) (line_end - at), INT64_C(1785585600000));
		at = line_end + 1;
	}
	answer_take_body(&answer, at, (size_t) (end - at));
	answer.status = size > 0 ? 100u + data[0] * 2u : 0;
	assert(answer_wait_ms(&answer) >= 0 && answer_wait_ms(&answer) <= KSEG_WAIT_MAX_MS);
	answer_sort(&answer);
	check_words(&answer);
	buffer_free(&answer.body);
	return 0;
}
