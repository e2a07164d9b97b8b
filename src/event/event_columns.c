/*
 * event_columns.c
 *	  Columns to fields: design.md, "Columns to fields", and segment.md, "Required".
 *
 * Owns: the table of fields (who may have them, what they are called, which types serve), and the sorting of a result's
 * columns into fields and the rest. The rest becomes properties, traits and context in event_tree.c.
 * Refuses: to guess. Two columns for one field, an argument that names no column, a column that fits nowhere are ERRORs,
 * raised before anything is sent.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "event/event_tree.h"

#define CALL(call)  (1 << KSEG_CALL_##call)
#define CLASS(kind) (1 << KSEG_CLASS_##kind)

#define CALLS_ALL (CALL(TRACK) | CALL(IDENTIFY) | CALL(GROUP) | CALL(PAGE) | CALL(SCREEN) | CALL(ALIAS))

/* Ids are strings, so only what has one obvious text may be one. */
#define CLASSES_ID      (CLASS(INTEGER) | CLASS(NUMERIC) | CLASS(TEXT) | CLASS(UUID) | CLASS(OTHER))
#define CLASSES_NAME    CLASS(TEXT)
#define CLASSES_MESSAGE (CLASS(INTEGER) | CLASS(TEXT) | CLASS(UUID))
#define CLASSES_TIME    CLASS(INSTANT)
#define CLASSES_OBJECT  CLASS(JSON)

#define HINT_TEXT   "Cast it to text, or give the column another name."
#define HINT_TIME   "Cast it to timestamptz, or give the column another name."
#define HINT_OBJECT "Cast it to jsonb, or give the column another name."

typedef struct FieldRule
{
	const char *name;  /* in the event, and the camelCase column */
	const char *snake; /* the snake_case column */
	const char *words;
	unsigned calls;
	unsigned classes;
	const char *hint; /* against a type that does not serve */
	const char *argument;
	size_t argument_at; /* in KsegMapping; 0: no argument names the column (call is at 0) */
} FieldRule;

#define ARGUMENT(name) #name, offsetof(KsegMapping, name)

static const FieldRule rules[KSEG_FIELD_COUNT] = {
    [KSEG_FIELD_USER_ID] = {"userId", "user_id", "user id", CALLS_ALL, CLASSES_ID, HINT_TEXT,
                            ARGUMENT(user_id)},
    [KSEG_FIELD_ANONYMOUS_ID] = {"anonymousId", "anonymous_id", "anonymous id", CALLS_ALL, CLASSES_ID,
                                 HINT_TEXT, ARGUMENT(anonymous_id)},
    [KSEG_FIELD_GROUP_ID] = {"groupId", "group_id", "group id", CALL(GROUP), CLASSES_ID, HINT_TEXT,
                             ARGUMENT(group_id)},
    [KSEG_FIELD_PREVIOUS_ID] = {"previousId", "previous_id", "previous id", CALL(ALIAS), CLASSES_ID,
                                HINT_TEXT, ARGUMENT(previous_id)},
    [KSEG_FIELD_EVENT] = {"event", "event", "event name", CALL(TRACK), CLASSES_NAME, HINT_TEXT,
                          ARGUMENT(event_column)},
    [KSEG_FIELD_NAME] = {"name", "name", "name", CALL(PAGE) | CALL(SCREEN), CLASSES_NAME, HINT_TEXT,
                         ARGUMENT(name)},
    [KSEG_FIELD_CATEGORY] = {"category", "category", "category", CALL(PAGE) | CALL(SCREEN), CLASSES_NAME,
                             HINT_TEXT, ARGUMENT(category)},
    [KSEG_FIELD_PROPERTIES] = {"properties", "properties", "properties",
                               CALL(TRACK) | CALL(PAGE) | CALL(SCREEN), CLASSES_OBJECT, HINT_OBJECT},
    [KSEG_FIELD_TRAITS] = {"traits", "traits", "traits", CALL(IDENTIFY) | CALL(GROUP), CLASSES_OBJECT,
                           HINT_OBJECT},
    [KSEG_FIELD_CONTEXT] = {"context", "context", "context", CALLS_ALL, CLASSES_OBJECT, HINT_OBJECT},
    [KSEG_FIELD_INTEGRATIONS] = {"integrations", "integrations", "integrations", CALLS_ALL, CLASSES_OBJECT,
                                 HINT_OBJECT},
    [KSEG_FIELD_TIMESTAMP] = {"timestamp", "timestamp", "event time", CALLS_ALL, CLASSES_TIME, HINT_TIME,
                              ARGUMENT(event_time)},
    [KSEG_FIELD_MESSAGE_ID] = {"messageId", "message_id", "message id", CALLS_ALL, CLASSES_MESSAGE, HINT_TEXT,
                               ARGUMENT(message_id)},
};

const char *
event_call_name(KsegCall call)
{
	static const char *const names[] = {"track", "identify", "group", "page", "screen", "alias"};

	return names[call];
}

const char *
event_field_name(KsegField field)
{
	return rules[field].name;
}

const char *
event_field_words(KsegField field)
{
	return rules[field].words;
}

/* The column argument that the caller gave for a field, or NULL. */
static const char *
rule_argument(const FieldRule *rule, const KsegMapping *mapping)
{
	if (rule->argument_at == 0)
		return NULL;
	return *(const char *const *) ((const char *) mapping + rule->argument_at);
}

static void
columns_list(KsegSorting *sorting, List *names)
{
	ListCell *cell;

	foreach (cell, names)
		sorting->listed[result_column_named(&sorting->result, "properties", lfirst(cell))] = true;
}

static void
mapping_refuse_argument(const KsegMapping *mapping, const char *argument)
{
	ereport(ERROR,
	        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	         errmsg("%s does not belong to a call of type %s", argument, event_call_name(mapping->call))));
}

/* Arguments that the call has no field for, and two names for one event. */
static void
mapping_check(const KsegMapping *mapping)
{
	for (int field = 0; field < KSEG_FIELD_COUNT; field++)
	{
		if (rule_argument(&rules[field], mapping) != NULL && !(rules[field].calls & (1 << mapping->call)))
			mapping_refuse_argument(mapping, rules[field].argument);
	}
	if (mapping->event == NULL)
		return;
	if (mapping->call != KSEG_CALL_TRACK)
		mapping_refuse_argument(mapping, "event");
	if (mapping->event_column != NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("event and event_column exclude each other"),
		         errhint("event is the name of every row's event, event_column is a column with names.")));
	if (mapping->event[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("event must not be empty")));
}

/* The column for a field: the argument's, else one of the field's name. -1: none. */
static int
field_find(const KsegSorting *sorting, KsegField field)
{
	const FieldRule *rule = &rules[field];
	const char *argument = rule_argument(rule, sorting->mapping);
	int snake;
	int camel;

	if (!(rule->calls & (1 << sorting->mapping->call)))
		return -1;
	if (argument != NULL)
		return result_column_named(&sorting->result, rule->argument, argument);
	/* Beside a constant event, a column called event is a property. */
	if (field == KSEG_FIELD_EVENT && sorting->mapping->event != NULL)
		return -1;
	snake = result_column_find(&sorting->result, rule->snake);
	camel = result_column_find(&sorting->result, rule->name);
	if (snake >= 0 && camel >= 0 && snake != camel)
		ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_COLUMN),
		                errmsg("columns \"%s\" and \"%s\" are the same field", rule->snake, rule->name),
		                errhint("Leave one out with exclude.")));
	return snake >= 0 ? snake : camel;
}

static void
field_check_type(const FieldRule *rule, const KsegColumn *column)
{
	if (rule->classes & (1 << column->type->class))
		return;
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
	                errmsg("column \"%s\" of type %s cannot be the %s", column->name,
	                       format_type_be(column->type->oid), rule->words),
	                errhint("%s", rule->hint)));
}

static void
fields_sort(KsegSorting *sorting)
{
	for (int field = 0; field < KSEG_FIELD_COUNT; field++)
	{
		KsegColumn *column = &sorting->columns->fields[field];
		int i = field_find(sorting, field);

		if (i < 0)
			continue;
		result_column_open(&sorting->result, i, column);
		field_check_type(&rules[field], column);
		sorting->taken[i] = true;
	}
}

static void
field_refuse_missing(const KsegSorting *sorting, KsegField field, const char *words)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
	                errmsg("a call of type %s needs a column with the %s",
	                       event_call_name(sorting->mapping->call), words),
	                errhint("Call the column %s, or name it with %s => '...'.", rules[field].snake,
	                        rules[field].argument)));
}

/* segment.md, "Required": without these columns no row could ever be right. */
static void
fields_check_required(const KsegSorting *sorting)
{
	const KsegColumn *fields = sorting->columns->fields;
	KsegCall call = sorting->mapping->call;

	if (fields[KSEG_FIELD_USER_ID].attribute == 0 &&
	    (call == KSEG_CALL_ALIAS || fields[KSEG_FIELD_ANONYMOUS_ID].attribute == 0))
		field_refuse_missing(sorting, KSEG_FIELD_USER_ID, "user id");
	if (call == KSEG_CALL_GROUP && fields[KSEG_FIELD_GROUP_ID].attribute == 0)
		field_refuse_missing(sorting, KSEG_FIELD_GROUP_ID, "group id");
	if (call == KSEG_CALL_ALIAS && fields[KSEG_FIELD_PREVIOUS_ID].attribute == 0)
		field_refuse_missing(sorting, KSEG_FIELD_PREVIOUS_ID, "previous id");
	if (call == KSEG_CALL_TRACK && sorting->mapping->event == NULL && fields[KSEG_FIELD_EVENT].attribute == 0)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a call of type track needs an event name"),
		         errhint("Set event => '...', or name a column with event_column => '...'.")));
}

KsegColumns *
event_columns_sort(const KsegMapping *mapping, TupleDesc desc)
{
	KsegSorting sorting = {0};

	sorting.mapping = mapping;
	sorting.columns = palloc0(sizeof(KsegColumns));
	sorting.listed = palloc0(sizeof(bool) * (desc->natts + 1));
	sorting.taken = palloc0(sizeof(bool) * (desc->natts + 1));

	mapping_check(mapping);
	result_columns_init(&sorting.result, desc, mapping->exclude);
	result_columns_check_names(&sorting.result);
	if (mapping->has_properties)
		columns_list(&sorting, mapping->properties);
	fields_sort(&sorting);
	fields_check_required(&sorting);
	event_tree_grow(&sorting);
	return sorting.columns;
}
