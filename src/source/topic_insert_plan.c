/*
 * topic_insert_plan.c
 *	  A row of a foreign table becomes a message. See topic_insert_plan.h.
 *
 * Two message plans do the work, and a row takes one of them: "fields" makes the JSON of the columns with paths; "whole" takes
 * a value that is one already, from a slot of its own that has only columns with the reserved names (event/message.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "event/json_value.h"
#include "event/message.h"
#include "source/topic_insert_columns.h"
#include "source/topic_insert_plan.h"

/* What a message takes from columns with meta, and the reserved name of it. */
static const struct
{
	KsegTopicMeta meta;
	const char *name;
} roles[] = {{KSEG_META_VALUE, "value"},
             {KSEG_META_KEY, "key"},
             {KSEG_META_PARTITION, "partition"},
             {KSEG_META_HEADERS, "headers"},
             {KSEG_META_TIMESTAMP, "timestamp"}};

/* A column as text: a field of a CSV line, or the value in the format text. */
typedef struct InsertText
{
	AttrNumber number; /* 0: a field that no column has */
	FmgrInfo output;
} InsertText;

struct KsegTopicInsertPlan
{
	const KsegTopicTable *table;
	KsegMessagePlan *fields;             /* NULL: no column has a path */
	KsegMessagePlan *whole;              /* NULL: no column has the value */
	TupleTableSlot *slot;                /* whole's */
	AttrNumber sources[lengthof(roles)]; /* of slot's columns; 0: the text made of texts */
	AttrNumber value;                    /* json: the column with meta 'value'; 0: none */
	InsertText *texts;
	int text_count;
	KsegWriter writer; /* for its fixed settings around output functions */
	StringInfoData line;
};

/* ---------- the plan for columns with paths ---------- */

static const char *const *
insert_path_keys(const KsegTopicPath *path)
{
	const char **keys = palloc0(sizeof(char *) * (path->count + 1));

	for (int i = 0; i < path->count; i++)
		keys[i] = path->steps[i].key;
	return keys;
}

static const char *
insert_column_name(const KsegTopicTable *table, KsegTopicMeta meta)
{
	const KsegTopicColumn *column = topic_insert_find_column(table, meta);

	return column != NULL ? column->name : NULL;
}

static KsegMessagePlan *
insert_plan_fields(const KsegTopicTable *table, TupleDesc desc, int max_message_bytes)
{
	const char *const **paths = palloc0(sizeof(*paths) * table->column_count);
	KsegMessageMapping mapping = {.topic = table->topic,
	                              .key = insert_column_name(table, KSEG_META_KEY),
	                              .partition = insert_column_name(table, KSEG_META_PARTITION),
	                              .headers = insert_column_name(table, KSEG_META_HEADERS),
	                              .event_time = insert_column_name(table, KSEG_META_TIMESTAMP),
	                              .max_message_bytes = max_message_bytes,
	                              .paths = paths,
	                              .names_are_plain = true};

	for (int i = 0; i < table->column_count; i++)
	{
		const KsegTopicColumn *column = &table->columns[i];

		if (!column->dropped && column->meta == KSEG_META_NONE)
			paths[i] = insert_path_keys(topic_insert_path(column));
	}
	return message_plan_create(&mapping, desc);
}

/* ---------- the plan for a value that is one already ---------- */

static void
insert_plan_text(InsertText *text, const KsegTopicColumn *column)
{
	Oid function;
	bool is_varlena;

	text->number = column->number;
	getTypeOutputInfo(column->type, &function, &is_varlena);
	fmgr_info(function, &text->output);
}

/* The fields of a line, in order; those that no column has stay empty. */
static void
insert_plan_line(KsegTopicInsertPlan *plan, const KsegTopicTable *table)
{
	for (int i = 0; i < table->column_count; i++)
	{
		if (!table->columns[i].dropped && table->columns[i].meta == KSEG_META_NONE)
			plan->text_count = Max(plan->text_count, (int) table->columns[i].csv_field + 1);
	}
	plan->texts = palloc0(sizeof(InsertText) * plan->text_count);
	for (int i = 0; i < table->column_count; i++)
	{
		if (!table->columns[i].dropped && table->columns[i].meta == KSEG_META_NONE)
			insert_plan_text(&plan->texts[table->columns[i].csv_field], &table->columns[i]);
	}
}

/* Has a message this type's value as it lies in the row? Then its type there, else InvalidOid: its output function's text. */
static Oid
insert_direct_type(Oid base_type)
{
	switch (base_type)
	{
		case TEXTOID:
		case VARCHAROID:
			return TEXTOID;
		case BYTEAOID:
		case JSONOID:
		case JSONBOID:
			return base_type;
		default:
			return InvalidOid;
	}
}

/* Where the value comes from: sources[0], or texts. Returns its type in the plan's slot. */
static Oid
insert_plan_value(KsegTopicInsertPlan *plan, const KsegTopicTable *table)
{
	const KsegTopicColumn *column =
	    topic_insert_find_column(table, table->format == KSEG_TOPIC_JSON ? KSEG_META_VALUE : KSEG_META_NONE);
	Oid type = insert_direct_type(column->base_type);

	if (table->format == KSEG_TOPIC_JSON)
		plan->value = column->number;
	if (table->format == KSEG_TOPIC_CSV)
		insert_plan_line(plan, table);
	else if (OidIsValid(type))
	{
		plan->sources[0] = column->number;
		return type;
	}
	else
	{
		plan->texts = palloc0(sizeof(InsertText));
		plan->text_count = 1;
		insert_plan_text(plan->texts, column);
	}
	return TEXTOID;
}

static void
insert_plan_whole(KsegTopicInsertPlan *plan, const KsegTopicTable *table, int max_message_bytes)
{
	KsegMessageMapping mapping = {.topic = table->topic, .max_message_bytes = max_message_bytes};
	TupleDesc desc;
	int count = 1;

	for (int i = 1; i < lengthof(roles); i++)
		count += topic_insert_find_column(table, roles[i].meta) != NULL;
	desc = CreateTemplateTupleDesc(count);
	TupleDescInitEntry(desc, 1, roles[0].name, insert_plan_value(plan, table), -1, 0);
	count = 1;
	for (int i = 1; i < lengthof(roles); i++)
	{
		const KsegTopicColumn *column = topic_insert_find_column(table, roles[i].meta);

		if (column == NULL)
			continue;
		plan->sources[count++] = column->number;
		TupleDescInitEntry(desc, count, roles[i].name, column->type, -1, 0);
	}
	plan->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	plan->whole = message_plan_create(&mapping, desc);
}

KsegTopicInsertPlan *
topic_insert_plan_create(const KsegTopicTable *table, TupleDesc desc, int max_message_bytes)
{
	KsegTopicInsertPlan *plan = palloc0(sizeof(KsegTopicInsertPlan));

	topic_insert_check(table);
	plan->table = table;
	json_writer_init(&plan->writer);
	initStringInfo(&plan->line);
	if (table->format == KSEG_TOPIC_JSON && topic_insert_find_column(table, KSEG_META_NONE) != NULL)
		plan->fields = insert_plan_fields(table, desc, max_message_bytes);
	if (table->format != KSEG_TOPIC_JSON || topic_insert_find_column(table, KSEG_META_VALUE) != NULL)
		insert_plan_whole(plan, table, max_message_bytes);
	return plan;
}

/* ---------- a row ---------- */

static void
insert_check_read_only(const KsegTopicInsertPlan *plan, const TupleTableSlot *slot)
{
	const KsegTopicTable *table = plan->table;

	for (int i = 0; i < table->column_count; i++)
	{
		const KsegTopicColumn *column = &table->columns[i];

		if (slot->tts_isnull[i] || !topic_insert_is_read_only(table, column))
			continue;
		ereport(ERROR, (errcode(ERRCODE_GENERATED_ALWAYS),
		                errmsg("cannot insert a value into column \"%s\" of foreign table \"%s\"",
		                       column->name, table->name),
		                column->meta == KSEG_META_VALUE
		                    ? errdetail("In the format %s the message's value comes from the other columns.",
		                                topic_format_name(table->format))
		                    : errdetail("It shows the message's %s, which is not the writer's to say.",
		                                topic_meta_name(column->meta)),
		                errhint("Leave the column out, or insert NULL.")));
	}
}

/* A column's text by its output function, in the current memory context; NULL for NULL. */
static const char *
insert_text(KsegTopicInsertPlan *plan, InsertText *text, const TupleTableSlot *slot)
{
	if (text->number == 0 || slot->tts_isnull[text->number - 1])
		return NULL;
	event_settings_enter(&plan->writer);
	return OutputFunctionCall(&text->output, slot->tts_values[text->number - 1]);
}

/* A field that could be taken for something else is quoted: RFC 4180, and a text that reads like the option null. */
static bool
insert_csv_is_plain(const KsegTopicTable *table, const char *text)
{
	const char special[] = {'\r', '\n', table->delimiter[0], table->quote[0], '\0'};

	return strcmp(text, table->null) != 0 && strpbrk(text, special) == NULL;
}

static void
insert_append_csv(const KsegTopicTable *table, StringInfo line, const char *text)
{
	if (text == NULL)
		appendStringInfoString(line, table->null);
	else if (insert_csv_is_plain(table, text))
		appendStringInfoString(line, text);
	else
	{
		appendStringInfoChar(line, table->quote[0]);
		for (; *text != '\0'; text++)
		{
			if (*text == table->quote[0])
				appendStringInfoChar(line, *text);
			appendStringInfoChar(line, *text);
		}
		appendStringInfoChar(line, table->quote[0]);
	}
}

/* The value made of texts. */
static Datum
insert_make_value(KsegTopicInsertPlan *plan, const TupleTableSlot *slot, bool *null)
{
	const KsegTopicTable *table = plan->table;
	const char *text;
	Datum value = (Datum) 0;

	if (table->format == KSEG_TOPIC_CSV)
	{
		resetStringInfo(&plan->line);
		for (int i = 0; i < plan->text_count; i++)
		{
			if (i > 0)
				appendStringInfoChar(&plan->line, table->delimiter[0]);
			insert_append_csv(table, &plan->line, insert_text(plan, &plan->texts[i], slot));
		}
		text = plan->line.data;
	}
	else
		text = insert_text(plan, plan->texts, slot);
	event_settings_leave(&plan->writer);
	*null = text == NULL;
	if (text != NULL)
		value = CStringGetTextDatum(text);
	return value;
}

static void
insert_fill_whole(KsegTopicInsertPlan *plan, const TupleTableSlot *slot)
{
	TupleTableSlot *whole = plan->slot;

	ExecClearTuple(whole);
	for (int i = 0; i < whole->tts_tupleDescriptor->natts; i++)
	{
		AttrNumber source = plan->sources[i];

		if (source == 0)
			whole->tts_values[i] = insert_make_value(plan, slot, &whole->tts_isnull[i]);
		else
		{
			whole->tts_values[i] = slot->tts_values[source - 1];
			whole->tts_isnull[i] = slot->tts_isnull[source - 1];
		}
	}
	ExecStoreVirtualTuple(whole);
}

/* The name of a column with a path that is not NULL in this row, or NULL. */
static const char *
insert_find_field(const KsegTopicInsertPlan *plan, const TupleTableSlot *slot)
{
	for (int i = 0; i < plan->table->column_count; i++)
	{
		const KsegTopicColumn *column = &plan->table->columns[i];

		if (!column->dropped && column->meta == KSEG_META_NONE && !slot->tts_isnull[i])
			return column->name;
	}
	return NULL;
}

/* The first thing that is wrong with the row of this plan, in the current memory context. */
static const char *
insert_problem(const KsegMessagePlan *plan)
{
	int count;
	const KsegProblem *problems = message_problems(plan, &count);

	if (count == 0)
		return "it has no message";
	if (problems[0].column == NULL)
		return pstrdup(problems[0].text);
	return psprintf("column \"%s\": %s", problems[0].column, problems[0].text);
}

/*
 * Which of the two plans takes this row? NULL, and a problem: neither, for the value is given twice.
 */
static KsegMessagePlan *
insert_choose_plan(const KsegTopicInsertPlan *plan, const TupleTableSlot *slot, const char **problem)
{
	const char *field;

	if (plan->fields == NULL || plan->whole == NULL)
		return plan->fields != NULL ? plan->fields : plan->whole;
	field = insert_find_field(plan, slot);
	if (slot->tts_isnull[plan->value - 1])
		return field != NULL ? plan->fields : plan->whole;
	if (field == NULL)
		return plan->whole;
	*problem = psprintf("the value is given twice, as a whole (column \"%s\") and by column \"%s\"",
	                    plan->table->columns[plan->value - 1].name, field);
	return NULL;
}

const char *
topic_insert_write(KsegTopicInsertPlan *plan, TupleTableSlot *slot, uint64 row, StringInfo out)
{
	const char *problem = NULL;
	KsegMessagePlan *message;

	slot_getallattrs(slot);
	insert_check_read_only(plan, slot);
	message = insert_choose_plan(plan, slot, &problem);
	if (message == NULL)
		return problem;
	if (message == plan->whole)
	{
		insert_fill_whole(plan, slot);
		slot = plan->slot;
	}
	return message_write(message, slot, row, out) ? NULL : insert_problem(message);
}
