/*
 * message_columns.c
 *	  Columns to the parts of a Kafka message: design.md, "Columns to fields".
 *
 * Owns: the table of reserved columns (their names, arguments, and the types that serve), and the tree of the value's JSON.
 * Refuses: to guess. An argument that names no column, a type that cannot serve, a column without a place are ERRORs,
 * raised before anything is sent.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "event/message_columns.h"

#define CLASS(kind) (1 << KSEG_CLASS_##kind)

/* A key has one obvious text; bytes and JSON are taken as they are. */
#define CLASSES_KEY                                                                                          \
	(CLASS(INTEGER) | CLASS(NUMERIC) | CLASS(FLOAT) | CLASS(BOOL) | CLASS(INSTANT) | CLASS(CLOCK) |          \
	 CLASS(TEXT) | CLASS(UUID) | CLASS(BYTES) | CLASS(JSON) | CLASS(OTHER))

typedef struct FieldRule
{
	const char *name; /* the column's */
	const char *words;
	unsigned classes;
	Oid only[3]; /* of these classes, only these types; none: any */
	const char *hint;
	const char *argument; /* names another column */
	size_t argument_at;   /* in KsegMessageMapping; NO_ARGUMENT: topic is a constant there */
} FieldRule;

#define ARGUMENT(name) #name, offsetof(KsegMessageMapping, name)
#define NO_ARGUMENT    ((size_t) -1)

static const FieldRule rules[KSEG_MESSAGE_FIELDS] = {
    [KSEG_MESSAGE_TOPIC] = {"topic", "topic", CLASS(TEXT), {0}, "Cast it to text.", NULL, NO_ARGUMENT},
    [KSEG_MESSAGE_KEY] = {"key", "key", CLASSES_KEY, {0}, "Cast it to text, jsonb or bytea.", ARGUMENT(key)},
    [KSEG_MESSAGE_VALUE] = {"value",
                            "value",
                            CLASS(TEXT) | CLASS(BYTES) | CLASS(JSON),
                            {0},
                            "Cast it to text, bytea, json or jsonb.",
                            ARGUMENT(value)},
    [KSEG_MESSAGE_PARTITION] = {"partition",
                                "partition",
                                CLASS(INTEGER),
                                {INT4OID, INT2OID, INT8OID},
                                "Cast it to integer.",
                                ARGUMENT(partition)},
    [KSEG_MESSAGE_HEADERS] =
        {"headers", "headers", CLASS(JSON), {JSONBOID}, "Cast it to jsonb.", ARGUMENT(headers)},
    [KSEG_MESSAGE_TIME] = {"timestamp",
                           "timestamp",
                           CLASS(INSTANT),
                           {TIMESTAMPTZOID, TIMESTAMPOID},
                           "Cast it to timestamptz.",
                           ARGUMENT(event_time)},
};

#define TOPIC_NAME_MAX 249

const char *
message_topic_trouble(const char *name, int length)
{
	if (length == 0)
		return "a topic's name must not be empty";
	if (length > TOPIC_NAME_MAX)
		return "a topic's name has at most 249 characters";
	if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')))
		return "a topic's name must not be \".\" or \"..\"";
	for (int i = 0; i < length; i++)
	{
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
		      c == '_' || c == '-'))
			return "a topic's name has only letters and digits of ASCII, \".\", \"_\" and \"-\"";
	}
	return NULL;
}

/* The work of message_columns_sort. */
typedef struct Sorting
{
	const KsegMessageMapping *mapping;
	KsegResultColumns result;
	KsegMessageColumns *columns;
	bool *taken; /* by column, from 0: already a field */
} Sorting;

/* ---------- fields ---------- */

/* The column for a field: the argument's, else the one of the reserved name. -1: none. */
static int
field_find(const Sorting *sorting, const FieldRule *rule)
{
	const char *argument = NULL;

	if (rule->argument_at != NO_ARGUMENT)
		argument = *(const char *const *) ((const char *) sorting->mapping + rule->argument_at);
	if (argument != NULL)
		return result_column_named(&sorting->result, rule->argument, argument);
	if (sorting->mapping->names_are_plain)
		return -1;
	return result_column_find(&sorting->result, rule->name);
}

static bool
field_takes(const FieldRule *rule, const KsegType *type)
{
	if (!(rule->classes & (1 << type->class)))
		return false;
	if (rule->only[0] == InvalidOid)
		return true;
	for (int i = 0; i < lengthof(rule->only); i++)
	{
		if (rule->only[i] == type->oid)
			return true;
	}
	return false;
}

static void
field_open(Sorting *sorting, const FieldRule *rule, int i, KsegColumn *column)
{
	result_column_open(&sorting->result, i, column);
	if (!field_takes(rule, column->type))
		ereport(ERROR,
		        (errcode(ERRCODE_DATATYPE_MISMATCH),
		         errmsg("column \"%s\" of type %s cannot be the %s", column->name,
		                format_type_be(column->type->oid), rule->words),
		         errhint("%s%s", rule->hint,
		                 sorting->mapping->names_are_plain ? "" : " Or give the column another name.")));
	if (sorting->taken[i])
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("column \"%s\" cannot be the %s and something else", column->name, rule->words),
		         errhint("Select it twice, under two names.")));
	sorting->taken[i] = true;
}

static void
fields_sort(Sorting *sorting)
{
	for (int field = 0; field < KSEG_MESSAGE_FIELDS; field++)
	{
		int i = field_find(sorting, &rules[field]);

		if (i >= 0)
			field_open(sorting, &rules[field], i, &sorting->columns->fields[field]);
	}
}

static void
topic_check(const Sorting *sorting)
{
	const char *topic = sorting->mapping->topic;
	const char *trouble = topic == NULL ? NULL : message_topic_trouble(topic, strlen(topic));

	if (trouble != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"%s\" cannot be a topic", topic),
		                errhint("%c%s.", pg_toupper(trouble[0]), trouble + 1)));
	if (topic == NULL && sorting->columns->fields[KSEG_MESSAGE_TOPIC].attribute == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no topic"),
		                errhint("Set topic => '...', or name a column of the query's result topic.")));
}

/* ---------- the value's tree ---------- */

static KsegMessageNode *
node_child(const KsegMessageNode *node, const char *key)
{
	ListCell *cell;

	foreach (cell, node->children)
	{
		KsegMessageNode *child = lfirst(cell);

		if (strcmp(child->key, key) == 0)
			return child;
	}
	return NULL;
}

static KsegMessageNode *
node_add(KsegMessageNode *node, const char *key, bool object)
{
	KsegMessageNode *child = palloc0(sizeof(KsegMessageNode));

	child->key = pstrdup(result_name_utf8(key));
	child->object = object;
	node->children = lappend(node->children, child);
	return child;
}

static void
node_refuse(const char *column)
{
	ereport(ERROR,
	        (errcode(ERRCODE_AMBIGUOUS_COLUMN),
	         errmsg("the path of column \"%s\" is also that of another column, or leads through it", column),
	         errhint("Give one of them another path.")));
}

/* Put column i at the end of a path of keys below the root. */
static void
node_place(Sorting *sorting, const char *const *path, int i)
{
	KsegMessageNode *node = sorting->columns->root;
	const char *column = result_column_name(&sorting->result, i);

	for (; path[1] != NULL; path++)
	{
		KsegMessageNode *child = node_child(node, result_name_utf8(path[0]));

		if (child != NULL && !child->object)
			node_refuse(column);
		node = child != NULL ? child : node_add(node, path[0], true);
	}
	if (node_child(node, result_name_utf8(path[0])) != NULL)
		node_refuse(column);
	result_column_open(&sorting->result, i, &node_add(node, path[0], false)->column);
}

/* Beside a column that is the value there is no JSON, and a column that would silently go nowhere is refused. */
static void
rest_refuse(const Sorting *sorting, int i)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("column \"%s\" has no place in a message whose value is column \"%s\"",
	                       result_column_name(&sorting->result, i),
	                       sorting->columns->fields[KSEG_MESSAGE_VALUE].name),
	                errhint("Leave it out with exclude.")));
}

static void
rest_place(Sorting *sorting, int i)
{
	const char *own[] = {result_column_name(&sorting->result, i), NULL};
	const char *const *path = own;

	if (sorting->mapping->paths != NULL)
		path = sorting->mapping->paths[i];
	if (path == NULL)
		return;
	if (sorting->columns->root == NULL)
		rest_refuse(sorting, i);
	node_place(sorting, path, i);
}

static void
tree_grow(Sorting *sorting)
{
	KsegMessageColumns *columns = sorting->columns;

	if (columns->fields[KSEG_MESSAGE_VALUE].attribute == 0)
	{
		columns->root = palloc0(sizeof(KsegMessageNode));
		columns->root->object = true;
	}
	for (int i = 0; i < sorting->result.desc->natts; i++)
	{
		if (!sorting->result.excluded[i] && !sorting->taken[i])
			rest_place(sorting, i);
	}
	if (columns->root != NULL && columns->root->children == NIL)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("there is no column for the value of a message"),
		         sorting->mapping->names_are_plain
		             ? 0
		             : errhint("For a message without a value (a tombstone), select NULL::text AS value.")));
}

/* Count the columns of a tree, and find the last attribute. */
static void
tree_count(KsegMessageColumns *columns, const KsegMessageNode *node)
{
	ListCell *cell;

	columns->count++;
	columns->attributes = Max(columns->attributes, node->column.attribute);
	foreach (cell, node->children)
		tree_count(columns, lfirst(cell));
}

void
message_columns_sort(KsegMessageColumns *columns, const KsegMessageMapping *mapping, TupleDesc desc)
{
	Sorting sorting = {.mapping = mapping, .columns = columns};

	memset(columns, 0, sizeof(*columns));
	result_columns_init(&sorting.result, desc, mapping->exclude);
	if (!mapping->names_are_plain)
		result_columns_check_names(&sorting.result);
	sorting.taken = palloc0(sizeof(bool) * (desc->natts + 1));
	fields_sort(&sorting);
	topic_check(&sorting);
	tree_grow(&sorting);
	for (int field = 0; field < KSEG_MESSAGE_FIELDS; field++)
		columns->attributes = Max(columns->attributes, columns->fields[field].attribute);
	if (columns->root != NULL)
		tree_count(columns, columns->root);
}
