/*
 * topic_row.c
 *	  Records into rows. See topic_row.h.
 */
#include "postgres.h"

#include "common/int.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "link/link_text.h"
#include "source/topic_row_parts.h"

/* Most bytes of a value, and of the words about it, that an error shows: they can have megabytes. */
#define ROW_SHOWN_VALUE  100
#define ROW_SHOWN_REASON 500

/* Milliseconds from Kafka's beginning of time to PostgreSQL's. */
#define ROW_EPOCH_MS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000)

void
topic_row_set_report(KsegTopicRow *row, KsegRowReport report, void *argument)
{
	if (row->table->on_error != KSEG_TOPIC_ON_ERROR_ERROR)
		return;
	row->soft = report != NULL;
	row->report = report;
	row->argument = argument;
}

void
topic_row_set_topic(KsegTopicRow *row, const char *topic)
{
	row->topic = topic != NULL ? topic : row->table->topic;
	row->elsewhere = strcmp(row->topic, row->table->topic) != 0;
}

uint64
topic_row_skipped(const KsegTopicRow *row)
{
	return row->skipped;
}

/* ---------- what is wrong ---------- */

/* At most limit bytes of a text, with "…" when there are more. */
static char *
row_shorten(const char *text, int length, int limit)
{
	if (length <= limit)
		return pnstrdup(text, length);
	return psprintf("%.*s...", pg_mbcliplen(text, length, limit), text);
}

/* The beginning of a field, which is UTF-8, for a message. */
static char *
row_show(const char *text, int length)
{
	int shown = pg_encoding_mbcliplen(PG_UTF8, text, length, ROW_SHOWN_VALUE);

	return psprintf("%s%s", link_text_to_server(text, shown), shown < length ? "..." : "");
}

static void
row_raise(const KsegTopicRow *row, const KsegTopicProblem *problem, const char *text, uint32 length)
{
	const KsegRecord *record = row->record;
	char *reason = row_shorten(problem->reason, strlen(problem->reason), ROW_SHOWN_REASON);
	char *where = psprintf("topic \"%s\", partition %d, offset " INT64_FORMAT, row->topic, record->partition,
	                       record->offset);
	/* Bytes that are no text are not shown as one; they are as they came, in UTF-8. */
	bool shown = text != NULL && pg_verify_mbstr(PG_UTF8, text, length, true);

	ereport(ERROR,
	        (errcode(problem->sqlerrcode),
	         row->current != NULL ? errmsg("%s, column \"%s\": %s", where, row->current->column->name, reason)
	                              : errmsg("%s: %s", where, reason),
	         shown ? errdetail("The field is \"%s\".", row_show(text, length)) : 0,
	         errhint("To read on without it, set on_error of foreign table \"%s\" to 'null' or 'skip'.",
	                 row->table->name)));
}

/* A problem of the column under way, or of the whole value. */
static void
row_note(KsegTopicRow *row, const KsegTopicProblem *problem, const char *text, uint32 length)
{
	if (!row->soft)
		row_raise(row, problem, text, length);
	if (!row->wrong)
		row->sqlerrcode = problem->sqlerrcode;
	row->wrong = true;
	if (row->error_index < 0 && row->report == NULL)
		return;
	/* Many columns may be wrong for one reason: a report keeps the first ones. */
	if (row->report != NULL && row->problems.len >= ROW_SHOWN_REASON)
		return;
	if (row->problems.len > 0)
		appendStringInfoString(&row->problems, "; ");
	if (row->current != NULL)
		appendStringInfo(&row->problems, "column \"%s\": ", row->current->column->name);
	appendStringInfoString(&row->problems,
	                       row_shorten(problem->reason, strlen(problem->reason), ROW_SHOWN_REASON));
}

/* The reader could make nothing of the value. */
static void
row_note_malformed(KsegTopicRow *row)
{
	const KsegText *error = &row->record->error;
	/* The reader's words are ASCII. */
	KsegTopicProblem problem = {ERRCODE_INVALID_TEXT_REPRESENTATION, pnstrdup(error->data, error->length)};

	row->current = NULL;
	row_note(row, &problem, NULL, 0);
}

/* What cannot be caught softly is raised in the middle of a row: say which. */
static void
row_error_context(void *argument)
{
	const KsegTopicRow *row = argument;

	errcontext("topic \"%s\", partition %d, offset " INT64_FORMAT ", column \"%s\"", row->topic,
	           row->record->partition, row->record->offset,
	           row->current != NULL ? row->current->column->name : "");
}

/* ---------- a row ---------- */

bool
topic_row_time(int64 ms, Timestamp *time)
{
	return !pg_sub_s64_overflow(ms, ROW_EPOCH_MS, &ms) && !pg_mul_s64_overflow(ms, 1000, time) &&
	       IS_VALID_TIMESTAMP(*time);
}

static bool
row_read_time(const KsegTopicRow *row, const KsegRowColumn *column, Datum *value, KsegTopicProblem *problem)
{
	Timestamp time;

	if (!topic_row_time(row->record->timestamp, &time))
	{
		problem->sqlerrcode = ERRCODE_DATETIME_VALUE_OUT_OF_RANGE;
		problem->reason = "timestamp out of range";
		return false;
	}
	*value = TimestampGetDatum(time);
	if (column->column->typmod >= 0)
		*value = DirectFunctionCall2(timestamp_scale, *value, Int32GetDatum(column->column->typmod));
	return true;
}

/* A column of the record's head. */
static bool
row_read_head(const KsegTopicRow *row, KsegRowColumn *column, Datum *value, bool *null,
              KsegTopicProblem *problem)
{
	const KsegRecord *record = row->record;

	*null = false;
	switch (column->column->meta)
	{
		case KSEG_META_PARTITION:
			*value = Int32GetDatum(record->partition);
			return true;
		case KSEG_META_OFFSET:
			*value = Int64GetDatum(record->offset);
			return true;
		case KSEG_META_TOPIC:
			if (unlikely(row->elsewhere))
				return topic_field_read(&column->field, row->topic, strlen(row->topic), row->soft, value,
				                        null, problem);
			*value = column->constant;
			return true;
		case KSEG_META_TIMESTAMP:
			*null = record->timestamp == KSEG_NO_TIMESTAMP;
			return *null || row_read_time(row, column, value, problem);
		default: /* the error: known at the row's end */
			*null = true;
			return true;
	}
}

/* Take in the schema, of so many bytes, and return how many there are. */
static uint32
row_learn_schema(KsegTopicRow *row, const char *bytes, uint32 length)
{
	bool there = length != KSEG_NO_BYTES;

	topic_debezium_schema_learn(row->schema, there ? bytes : NULL, length);
	return there ? length : 0;
}

/* Convert column by column; a wrong one is NULL. */
static void
row_convert_columns(KsegTopicRow *row, Datum *values, bool *nulls)
{
	const char *bytes = (const char *) row->record->bytes;
	uint32 field = 0;

	if (row->schema != NULL)
		bytes += row_learn_schema(row, bytes, kseg_record_length(row->record, field++));
	for (int i = 0; i < row->count; i++)
	{
		KsegRowColumn *column = &row->columns[i];
		Datum *value = &values[column->index];
		bool *null = &nulls[column->index];
		KsegTopicProblem problem;
		uint32 length = 0;
		bool right;

		row->current = column;
		if (!column->has_field)
			right = row_read_head(row, column, value, null, &problem);
		else
		{
			length = kseg_record_length(row->record, field++);
			if (length == KSEG_NO_BYTES)
				continue;
			right = topic_field_read(&column->field, bytes, length, row->soft, value, null, &problem);
		}
		if (unlikely(!right))
		{
			*null = true;
			row_note(row, &problem, column->has_field ? bytes : NULL, length);
		}
		bytes += length;
	}
}

/* An input function's words may have a line of the message in them. */
static void
row_report(KsegTopicRow *row)
{
	for (char *at = row->problems.data; *at != '\0'; at++)
	{
		if ((unsigned char) *at < ' ')
			*at = ' ';
	}
	row->report(row->argument, row->sqlerrcode, row->problems.data);
	resetStringInfo(&row->problems);
}

bool
topic_row_convert(KsegTopicRow *row, const KsegRecord *record, Datum *values, bool *nulls)
{
	ErrorContextCallback callback = {
	    .previous = error_context_stack, .callback = row_error_context, .arg = row};

	row->record = record;
	row->wrong = false;
	memset(nulls, true, row->table->column_count);
	if (row->soft)
		error_context_stack = &callback;
	if (unlikely(record->error.length > 0))
		row_note_malformed(row);
	row_convert_columns(row, values, nulls);
	error_context_stack = callback.previous;
	if (likely(!row->wrong))
		return true;
	if (row->report != NULL)
	{
		row_report(row);
		return false;
	}
	if (row->error_index >= 0)
	{
		values[row->error_index] = CStringGetTextDatum(row->problems.data);
		nulls[row->error_index] = false;
		resetStringInfo(&row->problems);
	}
	if (row->table->on_error != KSEG_TOPIC_ON_ERROR_SKIP)
		return true;
	row->skipped++;
	return false;
}
