/*
 * topic_import_table.c
 *	  The CREATE FOREIGN TABLE of a topic. See topic_import_table.h.
 */
#include "postgres.h"

#include "catalog/heap.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "link/link_text.h"
#include "source/topic_import_kind.h"
#include "source/topic_import_table.h"
#include "server/topic_path.h"

typedef struct ImportTable
{
	const char *topic;
	const KsegImportShape *shape;
	const KsegImportOptions *options;
	const char *format;
	List *taken; /* names of columns, char * */
	StringInfoData text;
} ImportTable;

/* ---------- names ---------- */

typedef bool (*ImportNameTaken)(List *taken, const char *name);

static bool
import_table_is_taken(List *taken, const char *name)
{
	ListCell *cell;

	foreach (cell, taken)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

/* Who writes a name without quotes means it in any case. */
static bool
import_column_is_taken(List *taken, const char *name)
{
	ListCell *cell;

	foreach (cell, taken)
	{
		if (pg_strcasecmp(lfirst(cell), name) == 0)
			return true;
	}
	return SystemAttributeByName(name) != NULL;
}

static char *
import_name_choose(List **taken, const char *wished, ImportNameTaken is_taken)
{
	char name[NAMEDATALEN];
	char number[16] = "";
	char *chosen;

	for (int i = 2;; i++)
	{
		int room = NAMEDATALEN - 1 - (int) strlen(number);

		snprintf(name, sizeof(name), "%.*s%s", pg_mbcliplen(wished, strlen(wished), room), wished, number);
		if (!is_taken(*taken, name))
			break;
		snprintf(number, sizeof(number), "_%d", i);
	}
	chosen = pstrdup(name);
	*taken = lappend(*taken, chosen);
	return chosen;
}

char *
import_name_of_table(List **taken, const char *wished)
{
	return import_name_choose(taken, wished, import_table_is_taken);
}

char *
import_name_of_column(List **taken, const char *wished)
{
	return import_name_choose(taken, wished, import_column_is_taken);
}

/* UTF-8 in the database's encoding; NULL: it has not all the characters. */
static char *
import_text_to_server(const char *text, int length)
{
	char *converted = link_text_to_server(text, length);
	char *back = pg_server_to_any(converted, strlen(converted), PG_UTF8);
	bool same = (int) strlen(back) == length && memcmp(back, text, length) == 0;

	return same ? converted : NULL;
}

/* ---------- columns ---------- */

/* A column that shows something else of a message than a field of its value. */
static void
import_write_meta(ImportTable *table, const char *wished, const char *type, const char *meta)
{
	const char *comma = list_length(table->taken) > 0 ? "," : "";
	const char *name = quote_identifier(import_name_of_column(&table->taken, wished));

	appendStringInfo(&table->text, "%s\n\t%s %s OPTIONS (meta %s)", comma, name, type,
	                 quote_literal_cstr(meta));
}

/* A member of the value's object. Its path is said only where the name does not. False: the name cannot be written here. */
static bool
import_write_field(ImportTable *table, const KsegImportField *field)
{
	char *key = import_text_to_server(field->key, field->length);
	const char *comma = list_length(table->taken) > 0 ? "," : "";
	char *name;

	if (key == NULL)
		return false;
	name = import_name_of_column(&table->taken, key[0] != '\0' ? key : "column");
	appendStringInfo(&table->text, "%s\n\t%s %s", comma, quote_identifier(name),
	                 import_kind_type(field->kinds, false));
	if (strcmp(name, key) != 0)
	{
		StringInfoData path;

		initStringInfo(&path);
		topic_path_append_key(&path, key);
		appendStringInfo(&table->text, " OPTIONS (path %s)", quote_literal_cstr(path.data));
	}
	return true;
}

static void
import_write_fields(ImportTable *table, const KsegImportFields *fields)
{
	int unwritable = 0;

	for (int i = 0; i < fields->count; i++)
		unwritable += !import_write_field(table, &fields->fields[i]);
	if (unwritable > 0)
		ereport(NOTICE, (errmsg("%d fields of topic \"%s\" became no columns", unwritable, table->topic),
		                 errdetail("Their names have characters that encoding %s has not.",
		                           GetDatabaseEncodingName())));
}

static void
import_write_csv(ImportTable *table)
{
	const KsegImportFields *fields = &table->shape->top;

	for (int i = 0; i < Max(fields->count, 1); i++)
	{
		char *name = import_name_of_column(&table->taken, psprintf("column%d", i + 1));

		appendStringInfo(&table->text, "%s\n\t%s %s", i > 0 ? "," : "", quote_identifier(name),
		                 import_kind_type(fields->fields[i].kinds, true));
	}
}

static bool
import_format_is(const ImportTable *table, const char *format)
{
	return strcmp(table->format, format) == 0;
}

/* What the message's value gives. */
static void
import_write_value(ImportTable *table)
{
	const KsegImportShape *shape = table->shape;

	if (import_format_is(table, "debezium"))
		import_write_fields(table, &shape->row);
	else if (import_format_is(table, "csv"))
		import_write_csv(table);
	else if (import_format_is(table, "json"))
		import_write_fields(table, &shape->top);
	else
		appendStringInfo(&table->text, "\n\t%s %s", import_name_of_column(&table->taken, "value"),
		                 table->format);
	/* Arrays and the like have no fields; and a table without any column for the value could not show it. */
	if (import_format_is(table, "json") && shape->top.count == 0)
		import_write_meta(table, "value", "jsonb", "value");
}

static void
import_write_columns(ImportTable *table)
{
	import_write_value(table);
	if (import_format_is(table, "debezium"))
		import_write_meta(table, "_op", "text", "op");
	import_write_meta(table, "_key", table->shape->key_bytes ? "bytea" : "text", "key");
	import_write_meta(table, "_partition", "integer", "partition");
	import_write_meta(table, "_offset", "bigint", "offset");
	import_write_meta(table, "_timestamp", "timestamp with time zone", "timestamp");
	import_write_meta(table, "_headers", "jsonb", "headers");
}

/* ---------- the table ---------- */

/*
 * What most values are. JSON must be objects or arrays: a topic of numbers or words is one of texts, although each of them
 * may be JSON too.
 */
static const char *
import_choose_format(const KsegImportShape *shape)
{
	int json = shape->objects + shape->arrays;

	if (shape->envelopes > 0 && 2 * shape->envelopes > json)
		return "debezium";
	if (json > 0 && json >= shape->malformed + shape->scalars)
		return "json";
	return shape->bytes ? "bytea" : "text";
}

static void
import_tell(const ImportTable *table)
{
	const KsegImportShape *shape = table->shape;
	int values = shape->objects + shape->arrays + shape->scalars + shape->lines + shape->malformed;
	bool json = import_format_is(table, "json") || import_format_is(table, "debezium");

	if (shape->top.more || shape->row.more)
		ereport(NOTICE, (errmsg("messages of topic \"%s\" have more than %d fields", table->topic,
		                        KSEG_IMPORT_FIELDS_MAX),
		                 errdetail("The first %d became columns.", KSEG_IMPORT_FIELDS_MAX)));
	if (values == 0)
		ereport(NOTICE, (errmsg("topic \"%s\" has no messages to infer columns from", table->topic),
		                 errdetail("Its foreign table has the format %s.", table->format)));
	if (shape->malformed > 0 && (json || import_format_is(table, "csv")))
		ereport(NOTICE, (errmsg("%d of %d sampled messages of topic \"%s\" are not %s", shape->malformed,
		                        values + shape->tombstones, table->topic, json ? "JSON" : "CSV"),
		                 errhint("The option on_error says what becomes of them in a query.")));
}

static void
import_write_option(ImportTable *table, const char *name, const char *value)
{
	if (value != NULL)
		appendStringInfo(&table->text, ", %s %s", name, quote_literal_cstr(value));
}

char *
import_table_write(const char *name, const char *server, const char *topic, const KsegImportShape *shape,
                   const KsegImportOptions *options)
{
	ImportTable table = {.topic = topic, .shape = shape, .options = options};

	table.format = options->format != NULL ? options->format : import_choose_format(shape);
	initStringInfo(&table.text);
	appendStringInfo(&table.text, "CREATE FOREIGN TABLE %s (", quote_identifier(name));
	import_write_columns(&table);
	appendStringInfo(&table.text, "\n) SERVER %s OPTIONS (topic %s", quote_identifier(server),
	                 quote_literal_cstr(topic));
	import_write_option(&table, "format", table.format);
	import_write_option(&table, "on_error", options->on_error);
	if (import_format_is(&table, "csv"))
	{
		import_write_option(&table, "delimiter", options->delimiter);
		import_write_option(&table, "quote", options->quote);
		import_write_option(&table, "null", options->null);
	}
	appendStringInfoChar(&table.text, ')');
	import_tell(&table);
	return table.text.data;
}
