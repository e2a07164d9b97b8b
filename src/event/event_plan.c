/*
 * event_plan.c
 *	  A plan from a mapping: the tree of the event laid out as steps.
 *
 * Owns: the order of an event's members, and which of them the message id is made of. Refuses: to decide what a column is
 * (event_columns.c, event_tree.c) and to write rows (event_write.c).
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "event/event_plan.h"

static KsegStep *
step_add(KsegPlan *plan, KsegStepKind kind)
{
	KsegStep *step = &plan->steps[plan->step_count++];

	memset(step, 0, sizeof(*step));
	step->kind = kind;
	step->item = -1;
	return step;
}

/* The bytes before a value. */
static void
step_set_lead(KsegStep *step, StringInfo text)
{
	json_lead_pad(text);
	step->lead = text->data;
	step->lead_length = text->len;
}

/* `"key":` and what more */
static void
step_set_key(KsegStep *step, const char *key, const char *more)
{
	step->lead = json_lead_make(key, more, &step->lead_length);
}

static int
item_add(KsegPlan *plan, const char *path)
{
	KsegItem *item = &plan->items[plan->item_count];

	memset(item, 0, sizeof(*item));
	item->path = path;
	return plan->item_count++;
}

/* Room for everything that a tree may become. */
static int
node_count(const KsegNode *node)
{
	int count = 1;
	ListCell *cell;

	if (node == NULL)
		return 0;
	foreach (cell, node->children)
		count += node_count(lfirst(cell));
	return count;
}

static int
attribute_last(const KsegNode *node)
{
	int last = 0;
	ListCell *cell;

	if (node == NULL)
		return 0;
	last = node->column.attribute;
	foreach (cell, node->children)
		last = Max(last, attribute_last(lfirst(cell)));
	return last;
}

static void
plan_reserve(KsegPlan *plan)
{
	KsegColumns *columns = plan->columns;
	int nodes =
	    node_count(columns->properties) + node_count(columns->context) + node_count(columns->integrations);

	plan->steps = palloc(sizeof(KsegStep) * (2 * nodes + KSEG_FIELD_COUNT + 1));
	plan->objects = palloc0(sizeof(KsegObject) * (nodes + 1));
	plan->items = palloc0(sizeof(KsegItem) * (nodes + KSEG_FIELD_COUNT));
	/* One problem a column, one a required field, and those of the event as a whole. */
	plan->problem_room = nodes + 2 * KSEG_FIELD_COUNT;
	plan->problems = palloc(sizeof(KsegProblem) * plan->problem_room);

	plan->attributes = Max(attribute_last(columns->properties), attribute_last(columns->context));
	plan->attributes = Max(plan->attributes, attribute_last(columns->integrations));
	for (int field = 0; field < KSEG_FIELD_COUNT; field++)
		plan->attributes = Max(plan->attributes, columns->fields[field].attribute);
}

static void
text_add(KsegPlan *plan, KsegField field)
{
	KsegStep *step;

	if (plan->columns->fields[field].attribute == 0)
		return;
	step = step_add(plan, KSEG_STEP_TEXT);
	step->field = field;
	step->item = item_add(plan, event_field_name(field));
	step_set_key(step, event_field_name(field), "");
}

/* Bytes that are the same in every event; what of them the id takes is text, if path is not NULL. */
static void
constant_add(KsegPlan *plan, StringInfo bytes, const char *path, KsegCanonTag tag, const char *text,
             int length)
{
	KsegStep *step = step_add(plan, KSEG_STEP_CONSTANT);

	step_set_lead(step, bytes);
	if (path != NULL)
	{
		KsegCanon *canon = &plan->items[item_add(plan, path)].canon;

		canon->tag = tag;
		canon->data = text;
		canon->length = length;
	}
}

/* The opening brace and the type, which are in every event. */
static void
head_add(KsegPlan *plan)
{
	const char *call = event_call_name(plan->call);
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "{\"type\":\"%s\",", call);
	constant_add(plan, &text, NULL, KSEG_CANON_ABSENT, NULL, 0);
}

static void
event_add(KsegPlan *plan, const char *constant)
{
	const char *name;
	StringInfoData text;

	text_add(plan, KSEG_FIELD_EVENT);
	if (constant == NULL)
		return;
	name = pstrdup(result_name_utf8(constant));
	initStringInfo(&text);
	json_write_bytes(&text, "\"event\":", 8);
	json_write_string(&text, name, strlen(name));
	json_write_char(&text, ',');
	constant_add(plan, &text, event_field_name(KSEG_FIELD_EVENT), KSEG_CANON_TEXT, name, strlen(name));
}

static void
value_add(KsegPlan *plan, const KsegNode *node, bool send_null)
{
	KsegStep *step = step_add(plan, KSEG_STEP_VALUE);

	step->column = node->column;
	step->send_null = send_null;
	step_set_key(step, node->key, "");
	if (node->hashed)
		step->item = item_add(plan, node->path);
}

/* The text of a constant object. */
static KsegSpan
constant_text(KsegPlan *plan, Jsonb *constant, const char *name)
{
	StringInfoData text;
	KsegCanon canon;
	KsegSpan span;

	if (!JB_ROOT_IS_OBJECT(constant))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be a JSON object", name)));
	initStringInfo(&text);
	plan->writer.out = &text;
	plan->writer.canon = &canon;
	plan->writer.stop = KSEG_VALUE_MAX;
	json_write_jsonb(&plan->writer, constant);
	if (plan->writer.trouble != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("%s cannot be written as JSON", name), errdetail("%s", plan->writer.trouble)));
	span.data = text.data;
	span.length = text.len;
	return span;
}

/* An object that is the same in every event. */
static void
constant_object_add(KsegPlan *plan, const KsegNode *node)
{
	KsegSpan span = constant_text(plan, node->constant, node->key);
	StringInfoData text;

	if (span.length == 2) /* {} */
		return;
	initStringInfo(&text);
	json_write_string(&text, node->key, strlen(node->key));
	json_write_char(&text, ':');
	json_write_bytes(&text, span.data, span.length);
	json_write_char(&text, ',');
	/* The id takes the members, as of an object that is merged. */
	constant_add(plan, &text, node->hashed ? node->path : NULL, KSEG_CANON_JSON, span.data + 1,
	             span.length - 2);
}

static void object_add(KsegPlan *plan, const KsegNode *node, bool send_null, bool inherits);

static void
children_add(KsegPlan *plan, KsegObject *object, const KsegNode *node, bool send_null)
{
	ListCell *cell;

	object->children = palloc(sizeof(KsegChild) * Max(list_length(node->children), 1));
	foreach (cell, node->children)
	{
		KsegNode *node_child = lfirst(cell);
		KsegChild *child = &object->children[object->child_count++];

		child->key = node_child->key;
		child->key_length = strlen(node_child->key);
		child->step = plan->step_count;
		if (node_child->object)
			object_add(plan, node_child, send_null, object->merged);
		else
			value_add(plan, node_child, send_null);
	}
}

static void
object_add(KsegPlan *plan, const KsegNode *node, bool send_null, bool inherits)
{
	int number = plan->object_count++;
	KsegObject *object = &plan->objects[number];
	KsegStep *open = step_add(plan, KSEG_STEP_OPEN);

	object->keep_empty = node->keep_empty;
	object->base = node->column;
	object->merged = inherits || node->column.attribute != 0 || node->constant != NULL;
	if (node->constant != NULL)
		object->constant = constant_text(plan, node->constant, node->key);
	object->open_step = open - plan->steps;
	open->object = number;
	step_set_key(open, node->key, "{");
	if (object->merged && node->hashed)
		open->item = item_add(plan, node->path);
	children_add(plan, object, node, send_null);
	object->close_step = plan->step_count;
	step_add(plan, KSEG_STEP_CLOSE)->object = number;
}

/* properties, context or integrations, if there is anything to them. */
static void
root_add(KsegPlan *plan, const KsegNode *node, bool send_null)
{
	if (node == NULL)
		return;
	if (node->children == NIL && node->column.attribute == 0 && !node->keep_empty)
	{
		if (node->constant != NULL)
			constant_object_add(plan, node);
		return;
	}
	object_add(plan, node, send_null, false);
}

static void
time_add(KsegPlan *plan)
{
	KsegStep *step;

	if (plan->columns->fields[KSEG_FIELD_TIMESTAMP].attribute == 0)
		return;
	step = step_add(plan, KSEG_STEP_VALUE);
	step->column = plan->columns->fields[KSEG_FIELD_TIMESTAMP];
	step->item = item_add(plan, event_field_name(KSEG_FIELD_TIMESTAMP));
	step_set_key(step, event_field_name(KSEG_FIELD_TIMESTAMP), "");
}

KsegPlan *
event_plan_create(const KsegMapping *mapping, TupleDesc desc, const KsegNamespace *ns)
{
	KsegPlan *plan = palloc0(sizeof(KsegPlan));

	plan->call = mapping->call;
	if (ns->known)
		plan->namespace = *ns;
	plan->columns = event_columns_sort(mapping, desc);
	plan->row_context = AllocSetContextCreate(CurrentMemoryContext, "kseg row", ALLOCSET_DEFAULT_SIZES);
	json_writer_init(&plan->writer);
	initStringInfo(&plan->user);
	initStringInfo(&plan->message_id);
	plan_reserve(plan);

	head_add(plan);
	for (int field = KSEG_FIELD_USER_ID; field < KSEG_FIELD_EVENT; field++)
		text_add(plan, field);
	event_add(plan, mapping->event);
	text_add(plan, KSEG_FIELD_NAME);
	text_add(plan, KSEG_FIELD_CATEGORY);
	root_add(plan, plan->columns->properties, mapping->send_nulls);
	root_add(plan, plan->columns->context, mapping->send_nulls);
	root_add(plan, plan->columns->integrations, mapping->send_nulls);
	time_add(plan);
	event_id_prepare(plan);
	return plan;
}
