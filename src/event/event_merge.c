/*
 * event_merge.c
 *	  The base of an object: what a properties, traits, context or integrations column, or a constant argument, holds,
 *	  under the members that flat columns give.
 *
 * Owns: which of two members of one name counts: column over base, deep where columns nest into an object of the base;
 * the column called context over the argument context, key by key. A NULL column that is left out covers nothing.
 * Refuses: to parse what is merely copied: with nothing to merge the base goes over as it is.
 */
#include "postgres.h"

#include "event/event_plan.h"

/* The base column's JSON as text. False: NULL, or a problem of the row. */
static bool
base_read(KsegPlan *plan, const KsegColumn *base, KsegSpan *span)
{
	KsegWriter *writer = &plan->writer;
	StringInfo out = writer->out;
	KsegCanon canon;
	StringInfoData text;

	if (base->attribute == 0 || event_column_is_null(plan, base))
		return false;
	initStringInfo(&text);
	writer->out = &text;
	writer->canon = &canon;
	base->type->encode(writer, base->type, event_column_value(plan, base));
	writer->out = out;
	span->data = text.data;
	span->length = text.len;
	if (writer->trouble == NULL && !json_document_is_object(*span))
		writer->trouble = "value is not a JSON object";
	if (writer->trouble == NULL)
		return true;
	event_trouble_note(plan, base->name);
	return false;
}

/* Copy the inside of an object as it is, and a comma. */
static void
inside_copy(StringInfo out, KsegSpan object)
{
	const char *from = object.data;
	const char *to = object.data + object.length;

	while (*from++ != '{')
		;
	while (*--to != '}')
		;
	while (from < to && isspace((unsigned char) *from))
		from++;
	while (from < to && isspace((unsigned char) to[-1]))
		to--;
	if (from == to)
		return;
	json_write_bytes(out, from, to - from);
	json_write_char(out, ',');
}

static const KsegChild *
child_find(const KsegObject *object, const KsegSpan *name)
{
	for (int i = 0; i < object->child_count; i++)
	{
		const KsegChild *child = &object->children[i];

		if (child->key_length == name->length && memcmp(child->key, name->data, name->length) == 0)
			return child;
	}
	return NULL;
}

/* Will this row's columns write something at the child's place? */
static bool
child_is_present(const KsegPlan *plan, const KsegChild *child)
{
	const KsegStep *step = &plan->steps[child->step];
	const KsegStep *last = step;

	if (step->kind == KSEG_STEP_OPEN)
		last = &plan->steps[plan->objects[step->object].close_step];
	for (; step <= last; step++)
	{
		if (step->kind == KSEG_STEP_VALUE && (step->send_null || !event_column_is_null(plan, &step->column)))
			return true;
	}
	return false;
}

/* A member of the base: copied, or covered, or handed to the object that nests at its place. */
static void
member_merge(KsegPlan *plan, const KsegObject *object, const KsegMember *member)
{
	StringInfo out = plan->writer.out;
	const KsegChild *child = child_find(object, &member->name);

	if (child != NULL && child_is_present(plan, child))
	{
		const KsegStep *step = &plan->steps[child->step];

		if (step->kind == KSEG_STEP_OPEN && json_document_is_object(member->value))
			plan->objects[step->object].inherited = member->value;
		return;
	}
	json_write_bytes(out, member->key.data, member->key.length);
	json_write_char(out, ':');
	json_write_bytes(out, member->value.data, member->value.length);
	json_write_char(out, ',');
}

static void
members_merge(KsegPlan *plan, const KsegObject *object, const KsegSpan *layers, int layer_count)
{
	int count;
	KsegMember *members = json_document_members(layers, layer_count, &count);

	for (int i = 0; i < count; i++)
	{
		if (!members[i].hidden)
			member_merge(plan, object, &members[i]);
	}
}

/* What the row before left with the objects inside. */
static void
children_clear(KsegPlan *plan, const KsegObject *object)
{
	for (int i = 0; i < object->child_count; i++)
	{
		const KsegStep *step = &plan->steps[object->children[i].step];

		if (step->kind == KSEG_STEP_OPEN)
			plan->objects[step->object].inherited.length = 0;
	}
}

void
event_object_merge(KsegPlan *plan, KsegObject *object, KsegCanon *canon)
{
	StringInfo out = plan->writer.out;
	int at = out->len;
	KsegSpan layers[3];
	int count = 0;

	children_clear(plan, object);
	if (object->inherited.length > 0)
		layers[count++] = object->inherited;
	if (object->constant.length > 0)
		layers[count++] = object->constant;
	if (base_read(plan, &object->base, &layers[count]))
		count++;

	if (count == 1 && object->child_count == 0)
		inside_copy(out, layers[0]);
	else if (count > 0)
		members_merge(plan, object, layers, count);

	plan->writer.canon = canon;
	canon->tag = KSEG_CANON_ABSENT;
	if (out->len == at)
		return;
	/* Without the last comma, which becomes a brace when no column follows. */
	json_canon_written(&plan->writer, KSEG_CANON_JSON, at, 0);
	canon->length--;
}
