/*
 * reader_oracle.h
 *	  json-c as the judge of what the message reader says about a JSON text.
 *
 * Owns: where json-c is known to be less strict, and the comparison of every wanted field with its tree. Refuses: to judge
 * what json-c cannot hold: numbers that its types round or clamp.
 */
#ifndef KSEG_TEST_READER_ORACLE_H
#define KSEG_TEST_READER_ORACLE_H

#include <json-c/json.h>
#include <limits.h>

#include "reader_wants.h"

/* Our words for what json-c's strict mode takes all the same. Anything else that it takes, we must take. */
static const char *const oracle_lenient[] = {
    "\"\\u0000\" cannot be kept in a text",
    "half of a surrogate pair",
    "control character in a string",
    "invalid UTF-8", /* it does not look for overlong forms, surrogates and the upper bound */
    "nested too deep",
    "a number may not begin with zero",
    "expected a digit", /* -.5 is a number to it */
};

/* What oracle_check says of a text that we take and json-c does not. */
#define ORACLE_REFUSES "we take what json-c refuses"

/*
 * Is this what a json-c from 0.17 on says of good texts? Its strict mode refuses bytes above 0x7f in strings (it compares a signed
 * char with 0x1f) and numbers beyond its own types: seen with 0.18. What it takes, it still judges.
 */
static inline bool
oracle_is_blind(const char *differs)
{
	return strcmp(differs, ORACLE_REFUSES) == 0 && json_c_version_num() >= 0x001100;
}

/* A JSON text as json-c's strict mode sees it; *good tells null from nothing. The caller puts it. */
static inline struct json_object *
oracle_parse(const char *value, size_t length, bool *good)
{
	struct json_tokener *tokener = json_tokener_new_ex(4 * KSEG_READER_DEPTH_MAX);
	struct json_object *object;

	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, value, (int) length);
	/* A number may go on: only a blank behind it ends it. */
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		object = json_tokener_parse_ex(tokener, " ", 1);
	*good = json_tokener_get_error(tokener) == json_tokener_success;
	json_tokener_free(tokener);
	return object;
}

/* What a path leads to in the tree; *there tells null from nothing. */
static inline struct json_object *
oracle_follow(struct json_object *object, const KsegPath *path, bool *there)
{
	*there = false;
	for (uint32_t i = 0; i < path->count; i++)
	{
		const KsegPathStep *step = &path->steps[i];
		char key[64];

		if (step->key.data == NULL)
		{
			if (!json_object_is_type(object, json_type_array) ||
			    step->index >= json_object_array_length(object))
				return NULL;
			object = json_object_array_get_idx(object, step->index);
			continue;
		}
		snprintf(key, sizeof(key), "%.*s", (int) step->key.length, step->key.data);
		if (!json_object_is_type(object, json_type_object) ||
		    !json_object_object_get_ex(object, key, &object))
			return NULL;
	}
	*there = true;
	return object;
}

/* Does a number's text stand for the same number? */
static inline bool
oracle_same_number(struct json_object *object, const char *text)
{
	if (json_object_is_type(object, json_type_double))
		return json_object_get_double(object) == strtod(text, NULL);
	return strlen(text) > 18 || json_object_get_int64(object) == strtoll(text, NULL, 10);
}

/* Is this field the value? */
static inline bool
oracle_same(struct json_object *object, KsegText field, bool raw)
{
	char *text = strndup(field.data, field.length);
	struct json_object *again;
	bool same;

	if (json_object_is_type(object, json_type_string) && !raw)
		same = field.length == (uint32_t) json_object_get_string_len(object) &&
		       memcmp(field.data, json_object_get_string(object), field.length) == 0;
	else if (json_object_is_type(object, json_type_int) || json_object_is_type(object, json_type_double))
		same = oracle_same_number(object, text);
	else
	{
		/* Numbers in it are the same text, so they become the same number. NaN, which equals nothing, is not JSON. */
		again = oracle_parse(field.data, field.length, &same);
		same = same && (object == NULL ? again == NULL : json_object_equal(object, again));
		json_object_put(again);
	}
	free(text);
	return same;
}

/* What of one want differs from the tree: NULL for nothing. */
static inline const char *
oracle_check_field(struct json_object *object, const KsegWant *want, KsegText field)
{
	struct json_object *found = NULL;
	bool there = false;

	for (uint32_t i = 0; i < want->path_count && !there; i++)
		found = oracle_follow(object, &want->paths[i], &there);
	if (!there || (found == NULL && !want->raw))
		return field.data == NULL ? NULL : "a field where nothing is";
	if (field.data == NULL)
		return "no field where there is something";
	return oracle_same(found, field, want->raw) ? NULL : "another value";
}

/* Is a value that we refuse and json-c takes one of those that it is known to take wrongly? */
static inline bool
oracle_is_lenient(const char *error, const char *value, size_t length)
{
	size_t at;

	/* For it a zero byte is the end, and "1." a number when nothing follows. */
	if (memchr(value, '\0', length) != NULL || (length > 0 && strchr(".eE+-", value[length - 1]) != NULL))
		return true;
	/* NaN and Infinity are values to it, in any case of their letters. */
	if (sscanf(error, "malformed JSON at byte %zu: expected a value", &at) == 1 && at <= length &&
	    strchr("NnIi", value[at - 1]) != NULL && strstr(error, "expected a value") != NULL)
		return true;
	for (size_t i = 0; i < sizeof(oracle_lenient) / sizeof(oracle_lenient[0]); i++)
	{
		if (strstr(error, oracle_lenient[i]) != NULL)
			return true;
	}
	return false;
}

/*
 * Read a value with reader, which was made for these wants, and compare. Returns what differs, NULL for nothing. *accepted is
 * what the reader said.
 */
static inline const char *
oracle_check(KsegMessageReader *reader, const TestWants *wants, const char *value, size_t length,
             bool *accepted)
{
	bool good;
	struct json_object *object;
	const char *differs = NULL;

	*accepted = wants_read(reader, value, length);
	object = oracle_parse(value, length, &good);
	if (!*accepted && good && !oracle_is_lenient(reader_error(reader), value, length))
		differs = "we refuse what json-c takes";
	else if (*accepted && !good)
		differs = ORACLE_REFUSES;
	for (uint32_t i = 0; *accepted && i < wants->count && differs == NULL; i++)
		differs = oracle_check_field(object, &wants->wants[i], wants_fields[i]);
	json_object_put(object);
	return differs;
}

#endif /* KSEG_TEST_READER_ORACLE_H */
