/*
 * segment_answer.c
 *	  Sorting answers. See segment_answer.h.
 */
#include "courier/segment_answer.h"

#include <curl/curl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "courier/words.h"

typedef struct AnswerRule
{
	uint32_t from;
	uint32_t to;
	KsegVerdict verdict;
} AnswerRule;

/*
 * The first rule that holds counts; what none names is refused: 1xx, 3xx (never followed: a redirect would carry the
 * write key to another host), every other 4xx, and what is no status at all. Source: segment.md; 422 is what other
 * products of the same API say for an event that they cannot read.
 */
static const AnswerRule answer_rules[] = {
    {200, 299, KSEG_VERDICT_ACCEPTED}, {400, 400, KSEG_VERDICT_HALVE},   {413, 413, KSEG_VERDICT_HALVE},
    {422, 422, KSEG_VERDICT_HALVE},    {401, 401, KSEG_VERDICT_AUTH},    {403, 403, KSEG_VERDICT_AUTH},
    {408, 408, KSEG_VERDICT_AGAIN},    {410, 410, KSEG_VERDICT_AGAIN},   {460, 460, KSEG_VERDICT_AGAIN},
    {429, 429, KSEG_VERDICT_WAIT},     {501, 501, KSEG_VERDICT_REFUSED}, {505, 505, KSEG_VERDICT_REFUSED},
    {511, 511, KSEG_VERDICT_REFUSED},  {500, 599, KSEG_VERDICT_AGAIN},
};

KsegVerdict
answer_sort_status(uint32_t status)
{
	for (size_t i = 0; i < sizeof(answer_rules) / sizeof(answer_rules[0]); i++)
	{
		if (status >= answer_rules[i].from && status <= answer_rules[i].to)
			return answer_rules[i].verdict;
	}
	return KSEG_VERDICT_REFUSED;
}

/* ---------- taking it in ---------- */

void
answer_reset(KsegAnswer *answer)
{
	answer->status = 0;
	answer->head_ended = false;
	answer->retry_after_ms = -1;
	answer->rate_limit_reset_ms = -1;
	answer->body.length = 0;
	answer->body_length = 0;
}

/* Digits only, as RFC 9110 has delay-seconds; any number larger than the longest wait is as good. -1: no such number. */
static int64_t
answer_parse_seconds(const char *value, size_t length)
{
	int64_t seconds = 0;

	for (size_t i = 0; i < length; i++)
	{
		if (value[i] < '0' || value[i] > '9')
			return -1;
		if (seconds <= KSEG_WAIT_MAX_MS)
			seconds = seconds * 10 + (value[i] - '0');
	}
	return length == 0 ? -1 : seconds;
}

int64_t
answer_parse_retry_after(const char *value, size_t length, int64_t unix_ms)
{
	int64_t seconds = answer_parse_seconds(value, length);
	char date[64];
	time_t when;

	if (seconds >= 0)
		return seconds * 1000;
	/* The longest form of an HTTP date has 33 characters. */
	if (length >= sizeof(date))
		return -1;
	memcpy(date, value, length);
	date[length] = '\0';
	when = curl_getdate(date, NULL);
	if (when == (time_t) -1)
		return -1;
	/* In seconds first: a date of year 666666666 is one for curl_getdate, and has no milliseconds in 64 bits. */
	if (when > unix_ms / 1000 + KSEG_WAIT_MAX_MS)
		return KSEG_WAIT_MAX_MS;
	return (int64_t) when * 1000 > unix_ms ? (int64_t) when * 1000 - unix_ms : 0;
}

/* The value of the header line if it has this name (without the blanks around it), else NULL. */
static const char *
answer_header_value(const char *line, size_t length, const char *name, size_t *value_length)
{
	size_t at = strlen(name);

	if (length <= at || strncasecmp(line, name, at) != 0 || line[at] != ':')
		return NULL;
	at++;
	while (at < length && (line[at] == ' ' || line[at] == '\t'))
		at++;
	while (length > at && strchr(" \t\r\n", line[length - 1]) != NULL)
		length--;
	*value_length = length - at;
	return line + at;
}

void
answer_take_header(KsegAnswer *answer, const char *line, size_t length, int64_t unix_ms)
{
	const char *value;
	size_t value_length;

	if (length >= 5 && strncasecmp(line, "HTTP/", 5) == 0)
		answer_reset(answer);
	else if (length > 0 && (line[0] == '\r' || line[0] == '\n'))
		answer->head_ended = true;
	else if ((value = answer_header_value(line, length, "Retry-After", &value_length)) != NULL)
		answer->retry_after_ms = answer_parse_retry_after(value, value_length, unix_ms);
	else if ((value = answer_header_value(line, length, "X-RateLimit-Reset", &value_length)) != NULL)
	{
		int64_t seconds = answer_parse_seconds(value, value_length);

		answer->rate_limit_reset_ms = seconds < 0 ? -1 : seconds * 1000;
	}
}

bool
answer_take_body(KsegAnswer *answer, const char *data, size_t length)
{
	size_t room = KSEG_ANSWER_KEPT - answer->body.length;

	buffer_append(&answer->body, data, length < room ? length : room);
	answer->body_length += length;
	return answer->body_length <= KSEG_ANSWER_MAX;
}

/* ---------- what it says ---------- */

/* The body as JSON, or NULL. The caller puts it. */
static struct json_object *
answer_parse_body(const KsegAnswer *answer)
{
	/* Segment's answers are flat; a depth of 16 reads every error format and bounds the stack. */
	struct json_tokener *tokener = answer->body.length > 0 ? json_tokener_new_ex(16) : NULL;
	struct json_object *object;

	if (tokener == NULL)
		return NULL;
	object = json_tokener_parse_ex(tokener, answer->body.data, (int) answer->body.length);
	if (json_tokener_get_error(tokener) != json_tokener_success)
	{
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

static bool
answer_says_no(const KsegAnswer *answer)
{
	struct json_object *object = answer_parse_body(answer);
	struct json_object *success;
	bool no = object != NULL && json_object_is_type(object, json_type_object) &&
	          json_object_object_get_ex(object, "success", &success) &&
	          json_object_is_type(success, json_type_boolean) && !json_object_get_boolean(success);

	json_object_put(object);
	return no;
}

KsegVerdict
answer_sort(const KsegAnswer *answer)
{
	KsegVerdict verdict = answer_sort_status(answer->status);

	if (verdict == KSEG_VERDICT_ACCEPTED && answer_says_no(answer))
		return KSEG_VERDICT_HALVE;
	return verdict;
}

int64_t
answer_wait_ms(const KsegAnswer *answer)
{
	/* "0" and a date that is past ask for no wait; taken by their word, the server would be asked again at full speed. */
	int64_t wait = answer->retry_after_ms > 0 ? answer->retry_after_ms : answer->rate_limit_reset_ms;

	if (wait <= 0)
		return 0;
	return wait < KSEG_WAIT_MAX_MS ? wait : KSEG_WAIT_MAX_MS;
}

int64_t
answer_backoff_ms(uint32_t failures, uint32_t random)
{
	/* 500 · 2^7 is over a minute: beyond it the shift would only overflow. */
	int64_t most = failures >= 7 ? KSEG_BACKOFF_MAX_MS : (int64_t) KSEG_BACKOFF_FIRST_MS << failures;

	return (int64_t) ((uint64_t) (most + 1) * random >> 32);
}

/* ---------- its words ---------- */

/* Where JSON answers keep their words, the most telling first. */
static const char *const answer_word_keys[] = {"message",     "error",  "errors", "detail",
                                               "description", "reason", "title"};

/* The words inside a JSON value: a text, the first of an array, or what an object's keys hold. NULL: none. */
static struct json_object *
answer_find_words(struct json_object *value, int depth)
{
	struct json_object *found = NULL;
	struct json_object *inner;

	if (depth == 0)
		return NULL;
	if (json_object_is_type(value, json_type_string))
		return json_object_get_string_len(value) > 0 ? value : NULL;
	if (json_object_is_type(value, json_type_array) && json_object_array_length(value) > 0)
		return answer_find_words(json_object_array_get_idx(value, 0), depth - 1);
	if (!json_object_is_type(value, json_type_object))
		return NULL;
	for (size_t i = 0; found == NULL && i < sizeof(answer_word_keys) / sizeof(answer_word_keys[0]); i++)
	{
		if (json_object_object_get_ex(value, answer_word_keys[i], &inner))
			found = answer_find_words(inner, depth - 1);
	}
	return found;
}

void
answer_read_words(const KsegAnswer *answer, const KsegSecret *secret, char *out, size_t room)
{
	struct json_object *object = answer_parse_body(answer);
	/* {"errors":[{"error":{"message":…}}]} is the deepest that was met. */
	struct json_object *found = answer_find_words(object, 5);
	size_t length = found != NULL ? (size_t) json_object_get_string_len(found) : answer->body.length;
	char *words = memory_copy_text(found != NULL ? json_object_get_string(found) : answer->body.data, length);

	/* Masked before anything is cut: half a key would not be found. */
	secret_mask(secret, words, length);
	words_clean(out, room, words, length);
	free(words);
	json_object_put(object);
}
