/*
 * topic_import_sample.c
 *	  The newest messages of a topic. See topic_import_sample.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "source/topic_import_sample.h"
#include "source/topic_read.h"

/*
 * A sample ends after so many bytes, whatever its number of messages: a thousand of Kafka's largest ordinary messages (1 MB)
 * would take seconds for each topic, and thirty of them say as much.
 */
#define SAMPLE_BYTES_MAX (32 * 1024 * 1024)

/*
 * What is wanted of a message. The third is a path without steps: the value again, if it is JSON. That it is, and how deep, is the
 * courier's to check.
 */
#define SAMPLE_WANTS                                                                                         \
	"[{\"kind\":\"value\"},{\"kind\":\"key\"},{\"kind\":\"path\",\"raw\":true,\"paths\":[[]]}]"

enum
{
	SAMPLE_VALUE,
	SAMPLE_KEY,
	SAMPLE_JSON,
	SAMPLE_FIELDS
};

/* A line of CSV, as the statement's options have it. */
typedef struct SampleCsv
{
	bool used;
	char delimiter;
	char quote;
	const char *null;
} SampleCsv;

static void
sample_set_csv(SampleCsv *csv, const KsegImportOptions *options)
{
	csv->used = options->format != NULL && strcmp(options->format, "csv") == 0;
	/* The presets of a foreign table. */
	csv->delimiter = options->delimiter != NULL ? options->delimiter[0] : ',';
	csv->quote = options->quote != NULL ? options->quote[0] : '"';
	csv->null = options->null != NULL ? options->null : "";
}

static bool
sample_is_text(KsegText text)
{
	return text.data == NULL || (pg_encoding_verifymbstr(PG_UTF8, text.data, text.length) == text.length &&
	                             memchr(text.data, '\0', text.length) == NULL);
}

/*
 * The next field of a line, unquoted into the current memory context; *at is behind its delimiter then, or past the end. False: a
 * quote that nothing closes.
 */
static bool
sample_next_field(const SampleCsv *csv, const char **at, const char *end, StringInfo field, bool *quoted)
{
	bool inside = false;

	resetStringInfo(field);
	*quoted = false;
	for (; *at < end && (inside || **at != csv->delimiter); (*at)++)
	{
		if (**at != csv->quote)
			appendStringInfoChar(field, **at);
		else if (inside && *at + 1 < end && (*at)[1] == csv->quote)
			appendStringInfoChar(field, *(*at)++);
		else
		{
			inside = !inside;
			*quoted = true;
		}
	}
	(*at)++;
	return !inside;
}

/*
 * The fields of a line of CSV. The courier's reader cannot tell them, because it has to be told how many there are.
 */
static void
sample_take_csv(KsegImportShape *shape, const SampleCsv *csv, KsegText line)
{
	const char *at;
	const char *end;
	StringInfoData field;
	bool quoted;
	int number = 0;

	if (line.data == NULL || !sample_is_text(line))
	{
		shape->malformed++;
		return;
	}
	at = line.data;
	end = line.data + line.length;
	initStringInfo(&field);
	while (end > line.data && (end[-1] == '\n' || end[-1] == '\r'))
		end--;
	for (shape->lines++; at <= end; number++)
	{
		if (!sample_next_field(csv, &at, end, &field, &quoted))
		{
			shape->lines--;
			shape->malformed++;
			return;
		}
		import_shape_take_field(shape, number,
		                        !quoted && strcmp(field.data, csv->null) == 0 ? NULL : field.data);
	}
}

static void
sample_take_record(KsegImportShape *shape, const KsegRecord *record, const SampleCsv *csv)
{
	const char *bytes = (const char *) record->bytes;
	KsegText fields[SAMPLE_FIELDS] = {0};

	for (int i = 0; i < SAMPLE_FIELDS; i++)
	{
		uint32 length = kseg_record_length(record, i);

		if (length == KSEG_NO_BYTES)
			continue;
		fields[i].data = bytes;
		fields[i].length = length;
		bytes += length;
	}
	shape->bytes = shape->bytes || !sample_is_text(fields[SAMPLE_VALUE]);
	shape->key_bytes = shape->key_bytes || !sample_is_text(fields[SAMPLE_KEY]);
	if (record->flags & KSEG_RECORD_TOMBSTONE)
		shape->tombstones++;
	else if (csv->used)
		sample_take_csv(shape, csv, fields[SAMPLE_VALUE]);
	else if (record->error.length > 0)
		shape->malformed++;
	else if (fields[SAMPLE_JSON].data != NULL)
		import_shape_take_json(shape, fields[SAMPLE_JSON].data, fields[SAMPLE_JSON].length);
}

/* Read the request's records into the shape. */
static void
sample_read(KsegImportShape *shape, const KsegTopicRequest *request, const SampleCsv *csv)
{
	MemoryContext record_context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg sample", ALLOCSET_DEFAULT_SIZES);
	KsegTopicRead *read = topic_read_open(request);
	KsegRecord record;

	while (topic_read_bytes(read) < SAMPLE_BYTES_MAX && topic_read_next(read, &record))
	{
		MemoryContext previous = MemoryContextSwitchTo(record_context);

		CHECK_FOR_INTERRUPTS();
		sample_take_record(shape, &record, csv);
		MemoryContextSwitchTo(previous);
		MemoryContextReset(record_context);
	}
	topic_read_close(read);
}

KsegImportShape *
import_sample_read(const KsegKafkaServer *server, const char *topic, int partitions,
                   const KsegImportOptions *options)
{
	KsegImportShape *shape = import_shape_create();
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg import", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	KsegTopicRequest request;
	SampleCsv csv;

	sample_set_csv(&csv, options);
	topic_request_init(&request, server, topic);
	request.wants = SAMPLE_WANTS;
	request.fields = SAMPLE_FIELDS;
	request.tail = (options->sample + partitions - 1) / Max(partitions, 1);
	request.max_records = options->sample;
	sample_read(shape, &request, &csv);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	return shape;
}
