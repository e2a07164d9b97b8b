/*
 * event_write.c
 *	  A row to an event: the plan's steps, walked.
 *
 * Owns: the loop that every row passes, and the checks of what Segment would drop without a word (segment.md). What is
 * wrong with a row becomes its problem. Refuses: memory that outlives the row. Nothing here grows with their number.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "event/event_plan.h"
#include "wire/wire.h"

/* Segment takes no longer one (segment.md, "Limits"). */
#define MESSAGE_ID_MAX 100

/*
 * Where arrays and objects are cut short: one value may be written as several times its size (escapes, hex, exponents),
 * and the event may already hold KSEG_VALUE_MAX.
 */
#define STOP_AT (8 * KSEG_VALUE_MAX)

void
event_problem_note(KsegPlan *plan, const char *column, const char *text)
{
	if (plan->problem_count == plan->problem_room)
		return;
	plan->problems[plan->problem_count].column = column;
	plan->problems[plan->problem_count].text = text;
	plan->problem_count++;
}

void
event_trouble_note(KsegPlan *plan, const char *column)
{
	if (plan->writer.trouble == NULL)
		return;
	event_problem_note(plan, column, plan->writer.trouble);
	plan->writer.trouble = NULL;
}

/* Says which row an output function failed at. */
static void
row_error_context(void *plan)
{
	errcontext("row " UINT64_FORMAT " of the query's result", ((KsegPlan *) plan)->row);
}

/* Read a field's text. Empty is missing, as for Segment, but for page names, which may be empty. */
static void
text_read(KsegPlan *plan, KsegField field)
{
	const KsegColumn *column = &plan->columns->fields[field];
	KsegSpan *text = &plan->texts[field];

	text->data = NULL;
	text->length = 0;
	if (column->attribute == 0 || event_column_is_null(plan, column))
		return;
	if (!json_value_text(&plan->writer, column->type, event_column_value(plan, column), &text->data,
	                     &text->length))
	{
		text->data = NULL;
		event_trouble_note(plan, column->name);
	}
	else if (text->length == 0 && field != KSEG_FIELD_NAME && field != KSEG_FIELD_CATEGORY)
		text->data = NULL;
}

static const KsegSpan *
row_user(const KsegPlan *plan)
{
	const KsegSpan *user = &plan->texts[KSEG_FIELD_USER_ID];

	return user->data != NULL ? user : &plan->texts[KSEG_FIELD_ANONYMOUS_ID];
}

/* Kept apart from the slot, which may be gone when somebody asks. */
static void
row_keep_user(KsegPlan *plan)
{
	const KsegSpan *user = row_user(plan);

	resetStringInfo(&plan->user);
	if (user->data == NULL)
		return;
	json_write_bytes(&plan->user, user->data, user->length);
	plan->user.data[plan->user.len] = '\0';
}

uint64
event_begin(KsegPlan *plan, TupleTableSlot *slot, uint64 row)
{
	MemoryContext old;
	ErrorContextCallback callback = {error_context_stack, row_error_context, plan};

	plan->slot = slot;
	plan->row = row;
	plan->problem_count = 0;
	plan->writer.trouble = NULL;
	plan->writer.stop = STOP_AT;
	MemoryContextReset(plan->row_context);
	old = MemoryContextSwitchTo(plan->row_context);
	error_context_stack = &callback;
	slot_getsomeattrs(slot, plan->attributes);
	text_read(plan, KSEG_FIELD_USER_ID);
	text_read(plan, KSEG_FIELD_ANONYMOUS_ID);
	row_keep_user(plan);
	event_settings_leave(&plan->writer);
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	return plan->user.len == 0 ? 0 : event_lane_of_text(plan->user.data, plan->user.len);
}

static inline void
lead_write(StringInfo out, const KsegStep *step)
{
	json_write_lead(out, step->lead, step->lead_length);
}

static void
text_step(KsegPlan *plan, const KsegStep *step, KsegCanon *canon)
{
	StringInfo out = plan->writer.out;
	const KsegSpan *text = &plan->texts[step->field];

	canon->tag = KSEG_CANON_ABSENT;
	if (step->field > KSEG_FIELD_ANONYMOUS_ID)
		text_read(plan, step->field);
	if (text->data == NULL)
		return;
	lead_write(out, step);
	json_write_string(out, text->data, text->length);
	json_write_char(out, ',');
	canon->tag = KSEG_CANON_TEXT;
	canon->data = text->data;
	canon->length = text->length;
}

static inline void
value_step(KsegPlan *plan, const KsegStep *step, KsegCanon *canon)
{
	KsegWriter *writer = &plan->writer;

	canon->tag = KSEG_CANON_ABSENT;
	if (event_column_is_null(plan, &step->column))
	{
		if (!step->send_null)
			return;
		lead_write(writer->out, step);
		json_write_bytes(writer->out, "null,", 5);
		canon->tag = KSEG_CANON_NULL;
		return;
	}
	lead_write(writer->out, step);
	writer->canon = canon;
	if (unlikely(writer->out->len - plan->start > KSEG_VALUE_MAX))
		json_write_trouble(writer, "event is over 1 MB before this value");
	else
		step->column.type->encode(writer, step->column.type, event_column_value(plan, &step->column));
	json_write_char(writer->out, ',');
	if (unlikely(writer->trouble != NULL))
		event_trouble_note(plan, step->column.name);
}

static void
open_step(KsegPlan *plan, const KsegStep *step, KsegCanon *canon)
{
	KsegObject *object = &plan->objects[step->object];

	object->at = plan->writer.out->len;
	lead_write(plan->writer.out, step);
	if (object->merged)
		event_object_merge(plan, object, canon);
}

static void
close_step(KsegPlan *plan, const KsegStep *step)
{
	StringInfo out = plan->writer.out;
	const KsegObject *object = &plan->objects[step->object];

	if (out->data[out->len - 1] == '{' && !object->keep_empty)
	{
		out->len = object->at;
		return;
	}
	json_write_close(out, '}');
	json_write_char(out, ',');
}

static void
steps_walk(KsegPlan *plan)
{
	KsegCanon unwanted = {0};

	for (int i = 0; i < plan->step_count; i++)
	{
		const KsegStep *step = &plan->steps[i];
		KsegCanon *canon = step->item >= 0 ? &plan->items[step->item].canon : &unwanted;

		switch (step->kind)
		{
			case KSEG_STEP_CONSTANT:
				lead_write(plan->writer.out, step);
				break;
			case KSEG_STEP_TEXT:
				text_step(plan, step, canon);
				break;
			case KSEG_STEP_VALUE:
				value_step(plan, step, canon);
				break;
			case KSEG_STEP_OPEN:
				open_step(plan, step, canon);
				break;
			case KSEG_STEP_CLOSE:
				close_step(plan, step);
				break;
		}
	}
}

static int
utf8_length(const char *text, int length)
{
	int count = 0;

	for (int i = 0; i < length; i++)
		count += (text[i] & 0xC0) != 0x80;
	return count;
}

/* The caller's own id. False: the row has none. */
static bool
message_id_read(KsegPlan *plan)
{
	const KsegSpan *text = &plan->texts[KSEG_FIELD_MESSAGE_ID];
	const KsegColumn *column = &plan->columns->fields[KSEG_FIELD_MESSAGE_ID];
	int characters;

	if (column->attribute == 0)
		return false;
	text_read(plan, KSEG_FIELD_MESSAGE_ID);
	if (text->data == NULL)
		return false;
	characters = utf8_length(text->data, text->length);
	if (characters > MESSAGE_ID_MAX)
		event_problem_note(plan, column->name,
		                   psprintf("message id of %d characters is over Segment's limit of %d", characters,
		                            MESSAGE_ID_MAX));
	json_write_bytes(&plan->message_id, text->data, text->length);
	plan->id = event_id_of_text(text->data, text->length);
	return true;
}

static void
message_id_write(KsegPlan *plan)
{
	static const char lead[] = "\"messageId\":";
	StringInfo out = plan->writer.out;

	resetStringInfo(&plan->message_id);
	if (!message_id_read(plan))
	{
		plan->id = event_id_make(plan);
		if (!plan->namespace.known)
			return;
		event_id_spell(plan->id, json_reserve(&plan->message_id, KSEG_MESSAGE_ID_LENGTH));
		plan->message_id.len = KSEG_MESSAGE_ID_LENGTH;
	}
	json_write_bytes(out, lead, sizeof(lead) - 1);
	json_write_string(out, plan->message_id.data, plan->message_id.len);
	json_write_char(out, ',');
	plan->message_id.data[plan->message_id.len] = '\0';
}

/* A field that is missing for a reason that is already told is not told again. */
static void
required_check(KsegPlan *plan, KsegField field, const char *text)
{
	const char *column = plan->columns->fields[field].name;

	if (plan->texts[field].data != NULL)
		return;
	for (int i = 0; i < plan->problem_count; i++)
	{
		if (plan->problems[i].column == column)
			return;
	}
	event_problem_note(plan, column, text);
}

/* segment.md, "Required". */
static void
row_check(KsegPlan *plan)
{
	const KsegColumn *fields = plan->columns->fields;

	if (plan->call == KSEG_CALL_ALIAS)
	{
		required_check(plan, KSEG_FIELD_USER_ID, "user id is missing");
		required_check(plan, KSEG_FIELD_PREVIOUS_ID, "previous id is missing");
	}
	else if (row_user(plan)->data == NULL && fields[KSEG_FIELD_USER_ID].attribute == 0)
		required_check(plan, KSEG_FIELD_ANONYMOUS_ID, "anonymous id is missing");
	else if (row_user(plan)->data == NULL && fields[KSEG_FIELD_ANONYMOUS_ID].attribute == 0)
		required_check(plan, KSEG_FIELD_USER_ID, "user id is missing");
	else if (row_user(plan)->data == NULL)
		required_check(plan, KSEG_FIELD_USER_ID, "user id and anonymous id are missing");
	if (plan->call == KSEG_CALL_GROUP)
		required_check(plan, KSEG_FIELD_GROUP_ID, "group id is missing");
	if (fields[KSEG_FIELD_EVENT].attribute != 0)
		required_check(plan, KSEG_FIELD_EVENT, "event name is missing");
}

static void
size_check(KsegPlan *plan)
{
	int size = plan->writer.out->len - plan->start;

	if (size > KSEG_EVENT_MAX)
		event_problem_note(plan, NULL,
		                   psprintf("event of %d bytes is over Segment's limit of %d", size, KSEG_EVENT_MAX));
}

bool
event_write(KsegPlan *plan, StringInfo out)
{
	MemoryContext old = MemoryContextSwitchTo(plan->row_context);
	ErrorContextCallback callback = {error_context_stack, row_error_context, plan};

	error_context_stack = &callback;
	plan->start = out->len;
	plan->writer.out = out;
	plan->writer.stop = out->len + STOP_AT;
	plan->writer.exact.len = 0;
	steps_walk(plan);
	message_id_write(plan);
	json_write_close(out, '}');
	out->data[out->len] = '\0';
	row_check(plan);
	size_check(plan);
	event_settings_leave(&plan->writer);
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	return plan->problem_count == 0;
}

const KsegProblem *
event_problems(const KsegPlan *plan, int *count)
{
	*count = plan->problem_count;
	return plan->problems;
}

KsegEventId
event_id(const KsegPlan *plan)
{
	return plan->id;
}

const char *
event_user(const KsegPlan *plan)
{
	return plan->user.len > 0 ? plan->user.data : NULL;
}

const char *
event_message_id(const KsegPlan *plan)
{
	return plan->message_id.len > 0 ? plan->message_id.data : NULL;
}
