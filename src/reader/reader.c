/*
 * reader.c
 *	  A reader's life: wants in, memory, one value after another, and the words of an error. See reader.h.
 *
 * Owns: the padded copy of the value, the memory for texts, and how both shrink again. Refuses: to know a format; that is
 * reader_json.c and reader_csv.c.
 *
 * The value is copied, because it lies between others in librdkafka's memory, where a search could not read a byte
 * further: with the copy's padding no search asks where the value ends, and the copying also finds out whether
 * there is anything but ASCII to be checked. 240 bytes cost 6 ns.
 */
#include "reader/reader_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The courier's KSEG_EXIT_MEMORY, which is not included here so that the reader stands alone. No abort: a core file holds secrets. */
#define READER_EXIT_MEMORY 3

/* Memory beyond this is given back after the value that needed it: it holds what Kafka's default allows a message to be. */
#define READER_KEPT (1024 * 1024)

/* First room for a value: what most messages need. */
#define READER_FIRST 4096

static void
reader_exit(void)
{
	_exit(READER_EXIT_MEMORY);
}

void (*reader_out_of_memory)(void) = reader_exit;

void *
reader_resize(void *memory, size_t size)
{
	void *resized = realloc(memory, size);

	if (resized == NULL)
		reader_out_of_memory();
	return resized;
}

/* Room for size bytes in a buffer whose contents nobody needs any more. */
static inline void
reader_make_room(char **buffer, size_t *room, size_t size)
{
	size_t wanted = READER_FIRST;

	if (size <= *room && *room <= READER_KEPT)
		return;
	while (wanted < size)
		wanted *= 2;
	/* A large one stays for large values, and goes with the first that is not. */
	if (wanted == *room)
		return;
	free(*buffer);
	/* Whole in between, for reader_out_of_memory may leave from here. */
	*buffer = NULL;
	*room = 0;
	*buffer = reader_resize(NULL, wanted);
	*room = wanted;
}

void
reader_reserve_texts(KsegMessageReader *reader)
{
	reader_make_room(&reader->texts, &reader->texts_room,
	                 (size_t) (reader->end - reader->start) + KSEG_SCAN_PADDING);
}

const char *
reader_fail(KsegMessageReader *reader, const char *at, const char *words)
{
	snprintf(reader->error, sizeof(reader->error), "malformed %s at byte %zu: %s",
	         reader->format == KSEG_FORMAT_JSON ? "JSON" : "CSV", (size_t) (at - reader->start) + 1, words);
	return NULL;
}

/* ---------- open and close ---------- */

static int
reader_compare_columns(const void *a, const void *b)
{
	const KsegWantedField *left = a;
	const KsegWantedField *right = b;

	if (left->column != right->column)
		return left->column < right->column ? -1 : 1;
	return left->number < right->number ? -1 : 1;
}

static void
reader_open_csv(KsegMessageReader *reader, const KsegCsvForm *csv)
{
	reader->csv = (KsegScanSet){.delimiter = csv->delimiter, .quote = csv->quote};
	reader->csv_null_length = strlen(csv->null);
	reader->csv_null = reader_resize(NULL, reader->csv_null_length + 1);
	memcpy(reader->csv_null, csv->null, reader->csv_null_length + 1);
	qsort(reader->fields, reader->field_count, sizeof(*reader->fields), reader_compare_columns);
}

KsegMessageReader *
reader_open(KsegFormat format, const KsegWant *wants, uint32_t count, const KsegCsvForm *csv)
{
	KsegMessageReader *reader = reader_resize(NULL, sizeof(*reader));
	KsegPathNode **ends;

	*reader = (KsegMessageReader){.format = format, .field_count = count};
	reader_make_room(&reader->copy, &reader->copy_room, READER_FIRST);
	reader->fields = reader_resize(NULL, (count + 1) * sizeof(*reader->fields));
	if (format == KSEG_FORMAT_JSON)
		paths_open(&reader->tree, wants, count);
	ends = reader->tree.ends;
	for (uint32_t i = 0; i < count; i++)
	{
		reader->fields[i] = (KsegWantedField){.number = i,
		                                      .path_count = wants[i].path_count,
		                                      .ends = ends,
		                                      .column = wants[i].column,
		                                      .raw = wants[i].raw};
		if (format == KSEG_FORMAT_JSON)
			ends += wants[i].path_count;
	}
	if (format == KSEG_FORMAT_CSV)
		reader_open_csv(reader, csv);
	return reader;
}

void
reader_close(KsegMessageReader *reader)
{
	if (reader == NULL)
		return;
	paths_close(&reader->tree);
	free(reader->fields);
	free(reader->copy);
	free(reader->texts);
	free(reader->csv_null);
	free(reader);
}

/* ---------- reading ---------- */

/* Copy the value with padding behind it. False after reader_fail when it is not UTF-8. */
static bool
reader_take(KsegMessageReader *reader, const char *value, size_t length)
{
	const char *error;
	bool ascii;

	reader_make_room(&reader->copy, &reader->copy_room, length + KSEG_SCAN_PADDING);
	ascii = scan_copy(reader->copy, value, length);
	memset(reader->copy + length, 0, KSEG_SCAN_PADDING);
	reader->start = reader->copy;
	reader->end = reader->copy + length;
	reader->texts_length = 0;
	if (ascii)
		return true;
	/* A zero byte ends this search before the end; but both formats fail there, so what lies behind it is nothing to us. */
	error = utf8_find_error(reader->start);
	if (*error == '\0')
		return true;
	reader_fail(reader, error, "invalid UTF-8");
	return false;
}

bool
reader_read(KsegMessageReader *reader, const char *value, size_t length, KsegText *fields)
{
	bool good;

	for (uint32_t i = 0; i < reader->field_count; i++)
		fields[i] = (KsegText){NULL, 0};
	reader->turn++;
	/* A field's length has 32 bits (KsegText). No Kafka message comes near. */
	if (length > UINT32_MAX)
	{
		reader->start = value;
		reader_fail(reader, value, "too long");
		return false;
	}
	if (!reader_take(reader, value, length))
		return false;
	good = reader->format == KSEG_FORMAT_JSON ? json_read(reader, fields) : csv_read(reader, fields);
	for (uint32_t i = 0; !good && i < reader->field_count; i++)
		fields[i] = (KsegText){NULL, 0};
	return good;
}

const char *
reader_error(const KsegMessageReader *reader)
{
	return reader->error;
}
