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

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

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

const char *
event_name_utf8(const char *name)
{
	int length = strlen(name);

	if (GetDatabaseEncoding() == PG_SQL_ASCII)
	{
		if (!pg_verify_mbstr(PG_UTF8, name, length, true))
			ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
			                errmsg("the name \"%s\" is not valid UTF-8", name)));
		return name;
	}
	return pg_server_to_any(name, length, PG_UTF8);
}

/* The column argument that the caller gave for a field, or NULL. */
static const char *
rule_argument(const FieldRule *rule, const KsegMapping *mapping)
{
	if (rule->argument_at == 0)
		return NULL;
	return *(const char *const *) ((const char *) mapping + rule->argument_at);
}

static const char *
column_name(const KsegSorting *sorting, int i)
{
	return NameStr(TupleDescAttr(sorting->desc, i)->attname);
}

/* The column nearest to a misspelled name, or NULL. Half the name's letters may differ, as in PostgreSQL's own hints. */
static const char *
column_nearest(const KsegSorting *sorting, const char *name)
{
	int length = strlen(name);
	int best = Min(length / 2, 4) + 1;
	const char *nearest = NULL;

	for (int i = 0; i < sorting->desc->natts; i++)
	{
		const char *candidate = column_name(sorting, i);
		int distance;

		if (length > NAMEDATALEN)
			break;
		distance =
		    varstr_levenshtein_less_equal(name, length, candidate, strlen(candidate), 1, 1, 1, best, true);
		if (distance < best)
		{
			best = distance;
			nearest = candidate;
		}
	}
	return nearest;
}

/* The one column of this name, from 0; -1: none that is not excluded. */
static int
column_find(const KsegSorting *sorting, const char *name)
{
	for (int i = 0; i < sorting->desc->natts; i++)
	{
		if (!sorting->excluded[i] && strcmp(column_name(sorting, i), name) == 0)
			return i;
	}
	return -1;
}

static void
column_refuse_unknown(const KsegSorting *sorting, const char *argument, const char *name)
{
	const char *nearest = column_nearest(sorting, name);

	ereport(ERROR,
	        (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("the query's result has no column \"%s\"", name),
	         errdetail("The argument %s names it.", argument),
	         nearest != NULL ? errhint("Perhaps you meant the column \"%s\".", nearest) : 0));
}

/* The column that an argument names. */
static int
column_named(const KsegSorting *sorting, const char *argument, const char *name)
{
	int i = column_find(sorting, name);

	if (i >= 0)
		return i;
	for (i = 0; i < sorting->desc->natts; i++)
	{
		if (sorting->excluded[i] && strcmp(column_name(sorting, i), name) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			                errmsg("column \"%s\" is named by %s and by exclude", name, argument)));
	}
	column_refuse_unknown(sorting, argument, name);
	return -1;
}

/* exclude may name a column that is there twice: that is one way to be rid of it. */
static void
columns_exclude(KsegSorting *sorting, List *names)
{
	ListCell *cell;

	foreach (cell, names)
	{
		const char *name = lfirst(cell);
		bool found = false;

		for (int i = 0; i < sorting->desc->natts; i++)
		{
			if (strcmp(column_name(sorting, i), name) != 0)
				continue;
			sorting->excluded[i] = true;
			found = true;
		}
		if (!found)
			column_refuse_unknown(sorting, "exclude", name);
	}
}

static void
columns_list(KsegSorting *sorting, List *names)
{
	ListCell *cell;

	foreach (cell, names)
		sorting->listed[column_named(sorting, "properties", lfirst(cell))] = true;
}

/* Every column that is not excluded has a name, and only one has it. */
static void
columns_check_names(const KsegSorting *sorting)
{
	int used = 0;

	for (int i = 0; i < sorting->desc->natts; i++)
	{
		const char *name = column_name(sorting, i);

		if (sorting->excluded[i])
			continue;
		used++;
		if (strcmp(name, "?column?") == 0 || name[0] == '\0')
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			                errmsg("column %d of the query's result has no name", i + 1),
			                errhint("Name it with AS, or leave it out with exclude.")));
		if (column_find(sorting, name) != i)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
			                errmsg("the query's result has two columns \"%s\"", name),
			                errhint("Rename one with AS.")));
	}
	if (used == 0)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the query's result has no columns")));
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
		return column_named(sorting, rule->argument, argument);
	/* Beside a constant event, a column called event is a property. */
	if (field == KSEG_FIELD_EVENT && sorting->mapping->event != NULL)
		return -1;
	snake = column_find(sorting, rule->snake);
	camel = column_find(sorting, rule->name);
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

/* Put column i to use. */
void
event_column_open(KsegSorting *sorting, int i, KsegColumn *column)
{
	column->attribute = i + 1;
	column->name = pstrdup(column_name(sorting, i));
	column->type =
	    event_type_create(CurrentMemoryContext, TupleDescAttr(sorting->desc, i)->atttypid, column->name);
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
		event_column_open(sorting, i, column);
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
	sorting.desc = desc;
	sorting.columns = palloc0(sizeof(KsegColumns));
	sorting.excluded = palloc0(sizeof(bool) * (desc->natts + 1));
	sorting.listed = palloc0(sizeof(bool) * (desc->natts + 1));
	sorting.taken = palloc0(sizeof(bool) * (desc->natts + 1));
	for (int i = 0; i < desc->natts; i++)
		sorting.excluded[i] = TupleDescAttr(desc, i)->attisdropped;

	mapping_check(mapping);
	columns_exclude(&sorting, mapping->exclude);
	columns_check_names(&sorting);
	if (mapping->has_properties)
		columns_list(&sorting, mapping->properties);
	fields_sort(&sorting);
	fields_check_required(&sorting);
	event_tree_grow(&sorting);
	return sorting.columns;
}
