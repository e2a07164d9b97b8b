/*
 * reader_csv.c
 *	  One record of CSV (RFC 4180). See reader.h and reader_parts.h.
 *
 * Owns: the grammar, and which field is NULL. Refuses: what RFC 4180 does, a quote inside a field that does not begin with
 * one, and a second record.
 *
 * As with COPY a record with too few fields is wrong: of a record that was cut off nobody would otherwise learn. Further
 * fields are nobody's. An empty value is a record of one empty field.
 */
#include "reader/reader_parts.h"

#include <stdio.h>

/* A field as it was found. */
typedef struct KsegCsvField
{
	const char *start; /* behind the quote, when it has one */
	const char *end;   /* at the quote, when it has one */
	bool quoted;
	bool doubled; /* has doubled quotes */
} KsegCsvField;

/* True where a field may end: at a delimiter, a line end, or the value's end. */
static inline bool
csv_is_end(const KsegMessageReader *reader, const char *at)
{
	return *at == reader->csv.delimiter || *at == '\n' || *at == '\r' || at == reader->end;
}

/* A quoted field; at is its first quote. Returns what is behind the last one, or NULL. */
static const char *
csv_read_quoted(KsegMessageReader *reader, const char *at, KsegCsvField *field)
{
	const char quote = reader->csv.quote;
	/* Only the quote and zero end a search. */
	const KsegScanSet only_quote = {.delimiter = quote, .quote = quote};

	field->quoted = true;
	field->start = ++at;
	for (;;)
	{
		at = scan_field(at, &only_quote);
		if (*at == '\n' || *at == '\r')
			at++;
		else if (*at != quote)
			return reader_fail(reader, at, at == reader->end ? "a quoted field has no end" : "zero byte");
		else if (at[1] == quote)
		{
			field->doubled = true;
			at += 2;
		}
		else
			break;
	}
	field->end = at++;
	if (!csv_is_end(reader, at))
		return reader_fail(reader, at, "something behind a field's closing quote");
	return at;
}

static inline const char *
csv_read_plain(KsegMessageReader *reader, const char *at, KsegCsvField *field)
{
	field->start = at;
	at = scan_field(at, &reader->csv);
	field->end = at;
	if (*at == reader->csv.quote)
		return reader_fail(reader, at, "a quote inside a field that has none around it");
	if (!csv_is_end(reader, at))
		return reader_fail(reader, at, "zero byte");
	return at;
}

/* Write a quoted field's text with single quotes. */
static KsegText
csv_write_text(KsegMessageReader *reader, const KsegCsvField *field)
{
	char *out;
	char *start;

	reader_reserve_texts(reader);
	start = out = reader->texts + reader->texts_length;
	for (const char *at = field->start; at < field->end; at++)
	{
		*out++ = *at;
		if (*at == reader->csv.quote)
			at++;
	}
	reader->texts_length += (size_t) (out - start);
	return (KsegText){start, (uint32_t) (out - start)};
}

static KsegText
csv_take_field(KsegMessageReader *reader, const KsegCsvField *field)
{
	size_t length = (size_t) (field->end - field->start);

	if (field->doubled)
		return csv_write_text(reader, field);
	if (!field->quoted && length == reader->csv_null_length &&
	    memcmp(field->start, reader->csv_null, length) == 0)
		return (KsegText){NULL, 0};
	return (KsegText){field->start, (uint32_t) length};
}

/* Hand a field to all that want its column: they follow each other from *next. */
static inline void
csv_give_field(KsegMessageReader *reader, const KsegCsvField *field, uint32_t column, uint32_t *next,
               KsegText *fields)
{
	KsegText text;

	if (*next >= reader->field_count || reader->fields[*next].column != column)
		return;
	text = csv_take_field(reader, field);
	while (*next < reader->field_count && reader->fields[*next].column == column)
		fields[reader->fields[(*next)++].number] = text;
}

/* Behind the last field: at most one line end. */
static bool
csv_read_end(KsegMessageReader *reader, const char *at)
{
	if (*at == '\r')
		at++;
	if (*at == '\n')
		at++;
	if (at == reader->end)
		return true;
	reader_fail(reader, at, "something behind the record");
	return false;
}

bool
csv_read(KsegMessageReader *reader, KsegText *fields)
{
	const char *at = reader->start;
	uint32_t next = 0;

	for (uint32_t column = 0;; column++)
	{
		KsegCsvField field = {0};

		at = *at == reader->csv.quote ? csv_read_quoted(reader, at, &field)
		                              : csv_read_plain(reader, at, &field);
		if (at == NULL)
			return false;
		csv_give_field(reader, &field, column, &next, fields);
		if (*at == reader->csv.delimiter)
		{
			at++;
			continue;
		}
		if (!csv_read_end(reader, at))
			return false;
		if (next < reader->field_count)
		{
			char words[64];

			snprintf(words, sizeof(words), "missing field %u", reader->fields[next].column + 1);
			reader_fail(reader, at, words);
			return false;
		}
		return true;
	}
}
