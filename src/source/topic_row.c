/*
 * topic_row.c
 *	  Records into rows. See topic_row.h.
 *
 * Invariant: a record's fields are those of row->columns that have one, in the same order, because topic_row_create makes the
 * list of wants and the columns in one go.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "link/link_text.h"
#include "source/topic_field.h"
#include "source/topic_row.h"

/* Most bytes of a value, and of the words about it, that an error shows: they can have megabytes. */
#define ROW_SHOWN_VALUE  100
#define ROW_SHOWN_REASON 500

/* Milliseconds from Kafka's beginning of time to PostgreSQL's. */
#define ROW_EPOCH_MS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000)

typedef struct RowColumn
{
	const KsegTopicColumn *column;
	int index;      /* in values and nulls */
	bool has_field; /* of the record; else it is of its head */
	bool in_value;  /* a part of the value: NULL when the value is malformed */
	KsegTopicField field;
	Datum constant; /* the topic */
} RowColumn;

struct KsegTopicRow
{
	const KsegTopicTable *table;
	RowColumn *columns;
	int count;
	StringInfoData wants; /* JSON */
	uint32 fields;
	bool soft;               /* what is wrong does not end the query */
	int error_index;         /* of the column that shows it; -1: none */
	StringInfoData problems; /* of the row under way */
	bool wrong;              /* it has one */
	uint64 skipped;
	const KsegRecord *record; /* under way, and its column: for errors */
	const RowColumn *current;
};

/* ---------- making a plan ---------- */

static void
row_want_paths(StringInfo wants, const RowColumn *column)
{
	ListCell *cell;
	const char *comma = "";

	appendStringInfo(wants, "{\"kind\":\"path\",\"raw\":%s,\"paths\":[",
	                 column->field.json ? "true" : "false");
	foreach (cell, column->column->paths)
	{
		appendStringInfoString(wants, comma);
		topic_path_append_json(wants, lfirst(cell));
		comma = ",";
	}
	appendStringInfoString(wants, "]}");
}

/* The field that this column wants of each record. */
static void
row_want(KsegTopicRow *row, RowColumn *column)
{
	if (row->fields > 0)
		appendStringInfoChar(&row->wants, ',');
	row->fields++;
	column->has_field = true;
	if (column->column->meta == KSEG_META_KEY)
		appendStringInfoString(&row->wants, "{\"kind\":\"key\"}");
	else if (column->column->meta == KSEG_META_HEADERS)
		appendStringInfoString(&row->wants, "{\"kind\":\"headers\"}");
	else if (column->column->paths != NIL)
		row_want_paths(&row->wants, column);
	else if (column->column->meta == KSEG_META_NONE && row->table->format == KSEG_TOPIC_CSV)
		appendStringInfo(&row->wants, "{\"kind\":\"column\",\"column\":%u}", column->column->csv_field);
	else
		appendStringInfoString(&row->wants, "{\"kind\":\"value\"}");
}

static void
row_add_field(KsegTopicRow *row, RowColumn *column)
{
	const KsegTopicColumn *definition = column->column;
	KsegTopicField *field = &column->field;

	column->in_value = definition->paths != NIL ||
	                   (definition->meta == KSEG_META_NONE && row->table->format == KSEG_TOPIC_CSV);
	/* Only what the reader has taken from a value, and the headers' JSON, is known to be text. */
	field->unchecked = !column->in_value && definition->meta != KSEG_META_HEADERS;
	field->bytes = field->unchecked && definition->type == BYTEAOID;
	field->json = definition->paths != NIL && topic_field_is_raw(definition->type, definition->base_type);
	topic_field_prepare(field, definition->type, definition->base_type, definition->typmod);
	row_want(row, column);
}

static void
row_add(KsegTopicRow *row, const KsegTopicColumn *definition)
{
	RowColumn *column = &row->columns[row->count++];
	Oid input;
	Oid ioparam;

	column->column = definition;
	column->index = definition->number - 1;
	switch (definition->meta)
	{
		case KSEG_META_PARTITION:
		case KSEG_META_OFFSET:
		case KSEG_META_TIMESTAMP:
			break;
		case KSEG_META_TOPIC:
			getTypeInputInfo(definition->type, &input, &ioparam);
			column->constant =
			    OidInputFunctionCall(input, (char *) row->table->topic, ioparam, definition->typmod);
			break;
		case KSEG_META_ERROR:
			row->error_index = column->index;
			break;
		default:
			row_add_field(row, column);
	}
}

/* Are all columns needed, whatever is asked for? */
static bool
row_needs_all(const KsegTopicTable *table, const Bitmapset *needed)
{
	if (needed == NULL || table->on_error == KSEG_TOPIC_ON_ERROR_SKIP)
		return true;
	if (table->on_error == KSEG_TOPIC_ON_ERROR_ERROR)
		return false;
	for (int i = 0; i < table->column_count; i++)
	{
		if (!table->columns[i].dropped && table->columns[i].meta == KSEG_META_ERROR &&
		    bms_is_member(table->columns[i].number, needed))
			return true;
	}
	return false;
}

KsegTopicRow *
topic_row_create(const KsegTopicTable *table, const Bitmapset *needed)
{
	KsegTopicRow *row = palloc0(sizeof(KsegTopicRow));
	bool all = row_needs_all(table, needed);

	row->table = table;
	row->columns = palloc0(sizeof(RowColumn) * Max(table->column_count, 1));
	row->soft = table->on_error != KSEG_TOPIC_ON_ERROR_ERROR;
	row->error_index = -1;
	initStringInfo(&row->problems);
	initStringInfo(&row->wants);
	appendStringInfoChar(&row->wants, '[');
	for (int i = 0; i < table->column_count; i++)
	{
		if (!table->columns[i].dropped && (all || bms_is_member(table->columns[i].number, needed)))
			row_add(row, &table->columns[i]);
	}
	appendStringInfoChar(&row->wants, ']');
	return row;
}

void
topic_row_request(const KsegTopicRow *row, KsegTopicRequest *request)
{
	request->wants = row->wants.data;
	request->fields = row->fields;
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
	char *where = psprintf("topic \"%s\", partition %d, offset " INT64_FORMAT, row->table->topic,
	                       record->partition, record->offset);
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
	row->wrong = true;
	if (row->error_index < 0)
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

	errcontext("topic \"%s\", partition %d, offset " INT64_FORMAT ", column \"%s\"", row->table->topic,
	           row->record->partition, row->record->offset,
	           row->current != NULL ? row->current->column->name : "");
}

/* ---------- a row ---------- */

/* Returns false for a time that PostgreSQL's type does not reach: Kafka's are any int64. */
static bool
row_read_time(const KsegTopicRow *row, const RowColumn *column, Datum *value, KsegTopicProblem *problem)
{
	int64 ms;
	Timestamp time;

	if (pg_sub_s64_overflow(row->record->timestamp, ROW_EPOCH_MS, &ms) ||
	    pg_mul_s64_overflow(ms, 1000, &time) || !IS_VALID_TIMESTAMP(time))
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
row_read_head(const KsegTopicRow *row, const RowColumn *column, Datum *value, bool *null,
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

/* Convert column by column; a wrong one is NULL. */
static void
row_convert_columns(KsegTopicRow *row, Datum *values, bool *nulls)
{
	const char *bytes = (const char *) row->record->bytes;
	uint32 field = 0;

	for (int i = 0; i < row->count; i++)
	{
		RowColumn *column = &row->columns[i];
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
