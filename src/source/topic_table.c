/*
 * topic_table.c
 *	  A foreign table's options and columns. See topic_table.h.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "reader/reader.h"
#include "source/topic_table.h"

/* Words of the options, by their enum's number. */
static const char *const format_names[] = {"json", "text", "csv", "bytea", "debezium"};
static const char *const on_error_names[] = {"error", "null", "skip"};
static const char *const meta_names[] = {"",       "key",       "value",   "topic", "partition",
                                         "offset", "timestamp", "headers", "error", "op",
                                         "before", "after",     "source"};

static const char *const unit_names[] = {"ms", "us", "ns"};
static const int64 unit_per_second[] = {1000, 1000000, 1000000000};

/* Types that a kind of metadata fits into; InvalidOid first: any type, through its input function. */
#define META_TYPES_MAX 2
static const struct
{
	Oid types[META_TYPES_MAX];
	const char *words;
} meta_types[] = {
    [KSEG_META_NONE] = {{InvalidOid}, NULL},
    [KSEG_META_KEY] = {{InvalidOid}, NULL},
    [KSEG_META_VALUE] = {{InvalidOid}, NULL},
    [KSEG_META_TOPIC] = {{TEXTOID, VARCHAROID}, "text"},
    [KSEG_META_PARTITION] = {{INT4OID}, "integer"},
    [KSEG_META_OFFSET] = {{INT8OID}, "bigint"},
    [KSEG_META_TIMESTAMP] = {{TIMESTAMPTZOID, TIMESTAMPOID},
                             "timestamp with time zone, or timestamp for times in UTC"},
    [KSEG_META_HEADERS] = {{JSONBOID, JSONOID}, "jsonb or json"},
    [KSEG_META_ERROR] = {{TEXTOID}, "text"},
    [KSEG_META_OP] = {{TEXTOID, VARCHAROID}, "text"},
    [KSEG_META_BEFORE] = {{JSONBOID, JSONOID}, "jsonb or json"},
    [KSEG_META_AFTER] = {{JSONBOID, JSONOID}, "jsonb or json"},
    [KSEG_META_SOURCE] = {{JSONBOID, JSONOID}, "jsonb or json"},
};

/*
 * Where Debezium's envelope has a row's column. The first that is there counts, also as null: a deletion's after is null and
 * has no members, so that before's are taken. Without the converter's schemas the envelope is the value, with them its payload.
 */
static const char *const debezium_row[][2] = {
    {"after", NULL}, {"before", NULL}, {"payload", "after"}, {"payload", "before"}};

const char *
topic_format_name(KsegTopicFormat format)
{
	return format_names[format];
}

const char *
topic_meta_name(KsegTopicMeta meta)
{
	return meta_names[meta];
}

/* The number of a word among names. The validator has let no other word in, but a catalog can be edited. */
static int
table_choice(const char *option, const char *value, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (strcmp(names[i], value) == 0)
			return i;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("invalid value for option \"%s\": \"%s\"", option, value)));
}

/* ---------- the table's options ---------- */

static void
table_take_option(KsegTopicTable *table, const char *name, const char *value)
{
	if (strcmp(name, "topic") == 0)
		table->topic = pstrdup(value);
	else if (strcmp(name, "format") == 0)
		table->format = table_choice(name, value, format_names, lengthof(format_names));
	else if (strcmp(name, "on_error") == 0)
		table->on_error = table_choice(name, value, on_error_names, lengthof(on_error_names));
	else if (strcmp(name, "delimiter") == 0)
		table->delimiter = pstrdup(value);
	else if (strcmp(name, "quote") == 0)
		table->quote = pstrdup(value);
	else if (strcmp(name, "null") == 0)
		table->null = pstrdup(value);
}

static void
table_read_options(KsegTopicTable *table)
{
	ForeignTable *foreign = GetForeignTable(table->relation);
	ListCell *cell;

	table->server = foreign->serverid;
	table->format = KSEG_TOPIC_JSON;
	table->on_error = KSEG_TOPIC_ON_ERROR_ERROR;
	/* As COPY's csv has them. */
	table->delimiter = ",";
	table->quote = "\"";
	table->null = "";
	foreach (cell, foreign->options)
	{
		DefElem *element = lfirst_node(DefElem, cell);

		table_take_option(table, element->defname, defGetString(element));
	}
	if (table->topic == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
		                errmsg("foreign table \"%s\" has no option \"topic\"", table->name),
		                errhint("ALTER FOREIGN TABLE %s OPTIONS (ADD topic '...').",
		                        quote_identifier(table->name))));
}

/* ---------- a column's options ---------- */

static void
column_invalid(const KsegTopicTable *table, const KsegTopicColumn *column, const char *problem,
               const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
	                errmsg("column \"%s\" of foreign table \"%s\" %s", column->name, table->name, problem),
	                errhint("%s", hint)));
}

/* Does this type hold such metadata? What goes through an input function fits any. */
static void
column_check_type(const KsegTopicTable *table, const KsegTopicColumn *column)
{
	const Oid *types = meta_types[column->meta].types;

	if (table->format == KSEG_TOPIC_BYTEA && column->meta == KSEG_META_NONE)
	{
		if (column->base_type != BYTEAOID)
			column_invalid(table, column,
			               psprintf("cannot take the value as type %s", format_type_be(column->type)),
			               "With the format bytea its type is bytea; the format text takes any type.");
		return;
	}
	if (!OidIsValid(types[0]))
		return;
	for (int i = 0; i < META_TYPES_MAX; i++)
	{
		if (types[i] == column->type)
			return;
	}
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
	                errmsg("column \"%s\" of foreign table \"%s\" cannot be the message's %s as type %s",
	                       column->name, table->name, meta_names[column->meta], format_type_be(column->type)),
	                errhint("Its type is %s.", meta_types[column->meta].words)));
}

/* op, before, after, source: members of the envelope itself. */
static List *
column_envelope_paths(const KsegTopicColumn *column)
{
	static const char *const payload[] = {"payload"};
	KsegTopicPath *path = topic_path_of_key(meta_names[column->meta]);

	return list_make2(path, topic_path_below(path, lengthof(payload), payload));
}

/* For each place that Debezium has a row at, in order: every path of the option there. */
static List *
column_debezium_paths(const KsegTopicTable *table, const KsegTopicColumn *column, List *paths)
{
	List *all = NIL;

	if (list_length(paths) * lengthof(debezium_row) > KSEG_WANT_PATHS_MAX)
		column_invalid(table, column, "has too many paths",
		               psprintf("In the format debezium there are at most %d.",
		                        (int) (KSEG_WANT_PATHS_MAX / lengthof(debezium_row))));
	for (int i = 0; i < lengthof(debezium_row); i++)
	{
		ListCell *cell;

		foreach (cell, paths)
			all = lappend(
			    all, topic_path_below(lfirst(cell), debezium_row[i][1] != NULL ? 2 : 1, debezium_row[i]));
	}
	return all;
}

/* Where in the value the column lies. ordinal: of the columns that show no metadata, from 0. */
static void
column_read_path(const KsegTopicTable *table, KsegTopicColumn *column, const char *path, int ordinal)
{
	column->path_given = path != NULL;
	if (table->format == KSEG_TOPIC_CSV)
	{
		column->csv_field = path != NULL ? topic_path_parse_field(path) - 1 : ordinal;
		return;
	}
	if (table->format == KSEG_TOPIC_TEXT || table->format == KSEG_TOPIC_BYTEA)
	{
		if (path != NULL)
			column_invalid(table, column, "has the option path",
			               psprintf("In the format %s a column takes the value as a whole.",
			                        format_names[table->format]));
		return;
	}
	column->paths = path != NULL ? topic_path_parse(path) : list_make1(topic_path_of_key(column->name));
	if (table->format == KSEG_TOPIC_DEBEZIUM)
		column->paths = column_debezium_paths(table, column, column->paths);
}

static void
column_read_meta(const KsegTopicTable *table, KsegTopicColumn *column, const char *meta, const char *path)
{
	column->meta = table_choice("meta", meta, meta_names, lengthof(meta_names));
	if (path != NULL)
		column_invalid(table, column, "has both options, path and meta",
		               "A column is a place in the message's value, or something else of the message.");
	if (column->meta < KSEG_META_OP)
		return;
	if (table->format != KSEG_TOPIC_DEBEZIUM)
		column_invalid(
		    table, column, psprintf("has the option meta '%s'", meta),
		    "Only messages of Debezium have it: set the foreign table's option format to 'debezium'.");
	column->paths = column_envelope_paths(column);
}

/* Options that say how Debezium writes a value, where messages come without a schema that would say it. */
static void
column_read_debezium(const KsegTopicTable *table, KsegTopicColumn *column, const char *scale,
                     const char *unit)
{
	KsegDebeziumKind kind = topic_debezium_of_column(column).kind;
	bool timed =
	    kind == KSEG_DEBEZIUM_TIME || kind == KSEG_DEBEZIUM_TIMESTAMP || kind == KSEG_DEBEZIUM_INTERVAL;

	if ((scale != NULL || unit != NULL) &&
	    (table->format != KSEG_TOPIC_DEBEZIUM || column->meta != KSEG_META_NONE))
		column_invalid(table, column, psprintf("has the option %s", scale != NULL ? "scale" : "unit"),
		               "It is for members of rows in the format debezium.");
	if (scale != NULL && kind != KSEG_DEBEZIUM_NUMERIC)
		column_invalid(table, column, "has the option scale", "It is for columns of type numeric.");
	if (unit != NULL && !timed)
		column_invalid(table, column, "has the option unit",
		               "It is for columns of type time, timestamp and interval.");
	column->scale = scale != NULL ? pg_strtoint32(scale) : KSEG_DEBEZIUM_NO_SCALE;
	if (unit != NULL)
		column->per_second = unit_per_second[table_choice("unit", unit, unit_names, lengthof(unit_names))];
}

/* Whatever is wrong with an option's text: which column's. */
static void
column_error_context(void *argument)
{
	const char *const *names = argument;

	errcontext("column \"%s\" of foreign table \"%s\"", names[0], names[1]);
}

/* Read a column; ordinal is counted on when it shows no metadata. */
static void
column_read(const KsegTopicTable *table, KsegTopicColumn *column, Form_pg_attribute attribute, int *ordinal)
{
	List *options = GetForeignColumnOptions(table->relation, attribute->attnum);
	const char *path = NULL;
	const char *meta = NULL;
	const char *scale = NULL;
	const char *unit = NULL;
	const char *names[] = {NameStr(attribute->attname), table->name};
	ErrorContextCallback callback = {
	    .previous = error_context_stack, .callback = column_error_context, .arg = names};
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *element = lfirst_node(DefElem, cell);

		if (strcmp(element->defname, "path") == 0)
			path = defGetString(element);
		else if (strcmp(element->defname, "meta") == 0)
			meta = defGetString(element);
		else if (strcmp(element->defname, "scale") == 0)
			scale = defGetString(element);
		else if (strcmp(element->defname, "unit") == 0)
			unit = defGetString(element);
	}
	column->name = pstrdup(NameStr(attribute->attname));
	column->type = attribute->atttypid;
	column->typmod = attribute->atttypmod;
	column->base_type = getBaseType(column->type);
	error_context_stack = &callback;
	if (meta != NULL)
		column_read_meta(table, column, meta, path);
	else
		column_read_path(table, column, path, (*ordinal)++);
	column_read_debezium(table, column, scale, unit);
	error_context_stack = callback.previous;
	column_check_type(table, column);
}

/* ---------- the whole ---------- */

/* text and bytea: one column has the value. */
static void
table_check_value_columns(const KsegTopicTable *table, int value_columns)
{
	if (table->format != KSEG_TOPIC_TEXT && table->format != KSEG_TOPIC_BYTEA)
		return;
	if (value_columns == 1)
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
	                errmsg("foreign table \"%s\" has %d columns for the message's value", table->name,
	                       value_columns),
	                errdetail("In the format %s exactly one column takes it.", format_names[table->format]),
	                errhint("Columns for anything else of a message have the option meta.")));
}

KsegDebezium
topic_debezium_of_column(const KsegTopicColumn *column)
{
	return topic_debezium_of_type(column->base_type, column->typmod, column->per_second, column->scale);
}

KsegTopicTable *
topic_table_get(Oid relation)
{
	KsegTopicTable *table = palloc0(sizeof(KsegTopicTable));
	Relation rel = table_open(relation, NoLock);
	TupleDesc desc = RelationGetDescr(rel);
	int value_columns = 0;

	table->relation = relation;
	table->name = pstrdup(RelationGetRelationName(rel));
	table_read_options(table);
	table->column_count = desc->natts;
	table->columns = palloc0(sizeof(KsegTopicColumn) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		KsegTopicColumn *column = &table->columns[i];

		column->number = i + 1;
		column->dropped = TupleDescAttr(desc, i)->attisdropped;
		if (!column->dropped)
			column_read(table, column, TupleDescAttr(desc, i), &value_columns);
	}
	table_check_value_columns(table, value_columns);
	table_close(rel, NoLock);
	return table;
}
