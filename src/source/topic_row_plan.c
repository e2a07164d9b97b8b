/*
 * topic_row_plan.c
 *	  Which fields are wanted of each record, and which columns they are for. See topic_row.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "source/topic_row_parts.h"

static void
row_want_paths(StringInfo wants, const KsegRowColumn *column)
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
row_want(KsegTopicRow *row, KsegRowColumn *column)
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

/* Debezium's name for the column, when that is a member of its rows and comes in a way that the messages' schema tells; or NULL. */
static const char *
row_schema_member(const KsegTopicTable *table, const KsegTopicColumn *column)
{
	const KsegTopicPath *path;

	if (column->dropped || table->format != KSEG_TOPIC_DEBEZIUM || column->paths == NIL ||
	    column->meta != KSEG_META_NONE || !topic_debezium_needs_schema(topic_debezium_of_column(column).kind))
		return NULL;
	/* after, and the member in it. */
	path = linitial(column->paths);
	return path->count == 2 ? path->steps[1].key : NULL;
}

/* A member of Debezium's rows: as it stands in the message where its type has a spelling of Debezium's. */
static void
row_add_debezium(KsegTopicRow *row, KsegRowColumn *column)
{
	const KsegTopicColumn *definition = column->column;
	KsegTopicField *field = &column->field;
	const char *member = row_schema_member(row->table, definition);

	column->debezium = topic_debezium_of_column(definition);
	field->debezium = &column->debezium;
	/* json and jsonb come as strings, whose text is the JSON. */
	field->json = column->debezium.kind != KSEG_DEBEZIUM_PLAIN ||
	              (field->json && definition->base_type != JSONOID && definition->base_type != JSONBOID);
	if (row->schema != NULL && member != NULL)
		topic_debezium_schema_add(row->schema, member, &column->debezium);
}

static void
row_add_field(KsegTopicRow *row, KsegRowColumn *column)
{
	const KsegTopicColumn *definition = column->column;
	KsegTopicField *field = &column->field;

	column->in_value = definition->paths != NIL ||
	                   (definition->meta == KSEG_META_NONE && row->table->format == KSEG_TOPIC_CSV);
	/* Only what the reader has taken from a value, and the headers' JSON, is known to be text. */
	field->unchecked = !column->in_value && definition->meta != KSEG_META_HEADERS;
	field->bytes = field->unchecked && definition->type == BYTEAOID;
	field->json = definition->paths != NIL && topic_field_is_raw(definition->type, definition->base_type);
	if (row->table->format == KSEG_TOPIC_DEBEZIUM && definition->meta == KSEG_META_NONE)
		row_add_debezium(row, column);
	topic_field_prepare(field, definition->type, definition->base_type, definition->typmod);
	row_want(row, column);
}

/* The table's topic is read once, another one (topic_row_set_topic) as a field is. */
static void
row_add_topic(const KsegTopicRow *row, KsegRowColumn *column)
{
	const KsegTopicColumn *definition = column->column;
	Oid input;
	Oid ioparam;

	getTypeInputInfo(definition->type, &input, &ioparam);
	column->constant = OidInputFunctionCall(input, (char *) row->table->topic, ioparam, definition->typmod);
	topic_field_prepare(&column->field, definition->type, definition->base_type, definition->typmod);
}

static void
row_add(KsegTopicRow *row, const KsegTopicColumn *definition)
{
	KsegRowColumn *column = &row->columns[row->count++];

	column->column = definition;
	column->index = definition->number - 1;
	switch (definition->meta)
	{
		case KSEG_META_PARTITION:
		case KSEG_META_OFFSET:
		case KSEG_META_TIMESTAMP:
			break;
		case KSEG_META_TOPIC:
			row_add_topic(row, column);
			break;
		case KSEG_META_ERROR:
			row->error_index = column->index;
			break;
		default:
			row_add_field(row, column);
	}
}

/* Want the messages' schema if a column depends on it. It comes first: how a member comes must be known when it does. */
static void
row_add_schema(KsegTopicRow *row, const Bitmapset *needed, bool all)
{
	for (int i = 0; i < row->table->column_count && row->schema == NULL; i++)
	{
		const KsegTopicColumn *column = &row->table->columns[i];

		if ((!all && !bms_is_member(column->number, needed)) || row_schema_member(row->table, column) == NULL)
			continue;
		row->schema = topic_debezium_schema_create();
		topic_debezium_schema_want(&row->wants);
		row->fields++;
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
	row->topic = table->topic;
	row->columns = palloc0(sizeof(KsegRowColumn) * Max(table->column_count, 1));
	row->soft = table->on_error != KSEG_TOPIC_ON_ERROR_ERROR;
	row->error_index = -1;
	initStringInfo(&row->problems);
	initStringInfo(&row->wants);
	appendStringInfoChar(&row->wants, '[');
	row_add_schema(row, needed, all);
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
