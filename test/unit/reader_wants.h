/*
 * reader_wants.h
 *	  Wants for the reader's tests, written as one line of text, and the fields of a value as another.
 *
 * Owns: the notations and the memory of what is made of them. A want is "path|path…", with "!" in front when it is raw; a path is
 * steps separated by "/", "#3" an index, anything else a key; "" is the whole value. For CSV "#3" is the column.
 */
#ifndef KSEG_TEST_READER_WANTS_H
#define KSEG_TEST_READER_WANTS_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader/reader.h"

#define WANTS_MAX 16

typedef struct TestWants
{
	KsegWant wants[WANTS_MAX];
	KsegPath paths[WANTS_MAX][KSEG_WANT_PATHS_MAX];
	KsegPathStep steps[WANTS_MAX][KSEG_WANT_PATHS_MAX][KSEG_PATH_STEPS_MAX];
	uint32_t count;
} TestWants;

static inline const char *
wants_read_path(KsegPath *path, KsegPathStep *steps, const char *at)
{
	path->steps = steps;
	path->count = 0;
	if (*at == '\0' || *at == '|')
		return at;
	for (;;)
	{
		KsegPathStep *step = &steps[path->count++];
		size_t length = strcspn(at, "/|");

		assert(path->count <= KSEG_PATH_STEPS_MAX);
		if (*at == '#')
			*step = (KsegPathStep){.index = (uint32_t) strtoul(at + 1, NULL, 10)};
		else
			*step = (KsegPathStep){.key = {at, (uint32_t) length}};
		at += length;
		if (*at != '/')
			return at;
		at++;
	}
}

/* Add a want. text must live as long as wants. */
static inline void
wants_add(TestWants *wants, const char *text)
{
	uint32_t number = wants->count++;
	KsegWant *want = &wants->wants[number];

	assert(wants->count <= WANTS_MAX);
	*want = (KsegWant){.paths = wants->paths[number]};
	if (*text == '#')
		want->column = (uint32_t) strtoul(text + 1, NULL, 10);
	want->raw = *text == '!';
	text += want->raw;
	for (;;)
	{
		assert(want->path_count < KSEG_WANT_PATHS_MAX);
		text = wants_read_path(&wants->paths[number][want->path_count],
		                       wants->steps[number][want->path_count], text);
		want->path_count++;
		if (*text != '|')
			return;
		text++;
	}
}

/* What wants_read found. */
__attribute__((unused)) static KsegText wants_fields[WANTS_MAX];

/*
 * Read a value that lies in memory of its own size, so that the sanitizer sees a byte read too much. The fields live until
 * the next call.
 */
static inline bool
wants_read(KsegMessageReader *reader, const char *value, size_t length)
{
	static char *held;

	free(held);
	held = malloc(length > 0 ? length : 1);
	memcpy(held, value, length);
	return reader_read(reader, held, length, wants_fields);
}

/* The fields as one line: "a,NULL,b", or "error: words". */
static inline const char *
wants_show(const KsegMessageReader *reader, bool good, uint32_t count)
{
	static char line[4096];
	size_t at = 0;

	if (!good)
	{
		for (uint32_t i = 0; i < count; i++)
			assert(wants_fields[i].data == NULL);
		snprintf(line, sizeof(line), "error: %s", reader_error(reader));
		return line;
	}
	line[0] = '\0';
	for (uint32_t i = 0; i < count; i++)
	{
		if (wants_fields[i].data == NULL)
			at += (size_t) snprintf(line + at, sizeof(line) - at, "%sNULL", i > 0 ? "," : "");
		else
			at += (size_t) snprintf(line + at, sizeof(line) - at, "%s%.*s", i > 0 ? "," : "",
			                        (int) wants_fields[i].length, wants_fields[i].data);
	}
	return line;
}

#endif /* KSEG_TEST_READER_WANTS_H */
