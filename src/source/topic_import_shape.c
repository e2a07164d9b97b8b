/*
 * topic_import_shape.c
 *	  What a sample says about a topic. See topic_import_shape.h.
 *
 * PostgreSQL's JSON parser calls back for each value; where it lies is kept as the keys of the objects around it, as deep as
 * anything is looked at: a member of the value, or of after and before in Debezium's envelope, which with the converter's
 * schemas is itself the member payload.
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "utils/memutils.h"

#include "compat.h"
#include "source/topic_import_kind.h"
#include "source/topic_import_shape.h"

/* Deepest value looked at: payload, after, field. */
#define SHAPE_DEPTH 3

/* What an envelope has, at the top level or below payload. */
typedef enum ShapeEnvelope
{
	SHAPE_OP = 1,
	SHAPE_IMAGE = 2, /* after or before */
	SHAPE_SOURCE = 4,
	SHAPE_ENVELOPE = 7
} ShapeEnvelope;

/* The walk through one value. */
typedef struct ShapeWalk
{
	KsegImportShape *shape;
	const char *keys[SHAPE_DEPTH];
	int depth;    /* objects around the value */
	int arrays;   /* arrays around it: nothing in them is looked at */
	int envelope; /* ShapeEnvelope seen at the top level */
	int payload;  /* and below payload */
	bool array;   /* the value as a whole is one */
	bool object;  /* or an object */
} ShapeWalk;

KsegImportShape *
import_shape_create(void)
{
	KsegImportShape *shape = palloc0(sizeof(KsegImportShape));

	shape->top.context = shape->row.context = CurrentMemoryContext;
	return shape;
}

/* ---------- fields ---------- */

static KsegImportField *
fields_add(KsegImportFields *fields, const char *key, int length)
{
	KsegImportField *field = &fields->fields[fields->count];

	if (fields->count == KSEG_IMPORT_FIELDS_MAX)
	{
		fields->more = true;
		return NULL;
	}
	fields->count++;
	field->key = MemoryContextAlloc(fields->context, length + 1);
	memcpy(field->key, key, length + 1);
	field->length = length;
	return field;
}

/* The field of this key, a new one if need be; NULL: there are too many. */
static KsegImportField *
fields_get(KsegImportFields *fields, const char *key)
{
	int length = strlen(key);

	for (int i = 0; i < fields->count; i++)
	{
		int index = (fields->hint + i) % fields->count;
		KsegImportField *field = &fields->fields[index];

		if (field->length == length && memcmp(field->key, key, length) == 0)
		{
			fields->hint = index + 1;
			return field;
		}
	}
	return fields_add(fields, key, length);
}

static void
fields_note(KsegImportFields *fields, const char *key, int kind)
{
	KsegImportField *field = fields_get(fields, key);

	if (field != NULL)
		field->kinds |= kind;
}

/* ---------- where a value lies ---------- */

static bool
walk_is_image(const char *key)
{
	return strcmp(key, "after") == 0 || strcmp(key, "before") == 0;
}

/* A member of an object that may be an envelope: what of one is it? */
static int
walk_envelope_part(const char *key, int kind)
{
	if (strcmp(key, "op") == 0 && kind == KSEG_IMPORT_TEXT)
		return SHAPE_OP;
	if (strcmp(key, "source") == 0 && kind == KSEG_IMPORT_NESTED)
		return SHAPE_SOURCE;
	return walk_is_image(key) && (kind == KSEG_IMPORT_NESTED || kind == 0) ? SHAPE_IMAGE : 0;
}

/* A value of this kind (0: null) begins. */
static void
walk_value(ShapeWalk *walk, int kind)
{
	KsegImportShape *shape = walk->shape;
	const char *const *keys = walk->keys;
	bool payload = walk->depth > 1 && strcmp(keys[0], "payload") == 0;

	if (walk->arrays > 0)
		return;
	if (walk->depth == 1)
	{
		fields_note(&shape->top, keys[0], kind);
		walk->envelope |= walk_envelope_part(keys[0], kind);
	}
	else if (walk->depth == 2 && payload)
		walk->payload |= walk_envelope_part(keys[1], kind);
	if ((walk->depth == 2 && walk_is_image(keys[0])) ||
	    (walk->depth == 3 && payload && walk_is_image(keys[1])))
		fields_note(&shape->row, keys[walk->depth - 1], kind);
}

/* ---------- what the parser calls ---------- */

static KsegJsonAction
walk_object_start(void *state)
{
	ShapeWalk *walk = state;

	walk->object = walk->object || (walk->depth == 0 && walk->arrays == 0);
	walk_value(walk, KSEG_IMPORT_NESTED);
	walk->depth++;
	KSEG_JSON_GO_ON;
}

static KsegJsonAction
walk_object_end(void *state)
{
	((ShapeWalk *) state)->depth--;
	KSEG_JSON_GO_ON;
}

static KsegJsonAction
walk_array_start(void *state)
{
	ShapeWalk *walk = state;

	walk->array = walk->array || (walk->depth == 0 && walk->arrays == 0);
	walk_value(walk, KSEG_IMPORT_NESTED);
	walk->arrays++;
	KSEG_JSON_GO_ON;
}

static KsegJsonAction
walk_array_end(void *state)
{
	((ShapeWalk *) state)->arrays--;
	KSEG_JSON_GO_ON;
}

static KsegJsonAction
walk_field_start(void *state, char *key, bool null)
{
	ShapeWalk *walk = state;

	if (walk->arrays == 0 && walk->depth <= SHAPE_DEPTH)
		walk->keys[walk->depth - 1] = key;
	KSEG_JSON_GO_ON;
}

static KsegJsonAction
walk_scalar(void *state, char *token, JsonTokenType type)
{
	int kind = 0;

	if (type == JSON_TOKEN_TRUE || type == JSON_TOKEN_FALSE)
		kind = KSEG_IMPORT_BOOLEAN;
	else if (type == JSON_TOKEN_NUMBER)
		kind = import_kind_of_number(token, strlen(token));
	else if (type == JSON_TOKEN_STRING)
		kind = import_kind_of_text(token, strlen(token));
	walk_value(state, kind);
	KSEG_JSON_GO_ON;
}

void
import_shape_take_json(KsegImportShape *shape, const char *json, int length)
{
	ShapeWalk walk = {.shape = shape};
	JsonSemAction actions = {.semstate = &walk,
	                         .object_start = walk_object_start,
	                         .object_end = walk_object_end,
	                         .array_start = walk_array_start,
	                         .array_end = walk_array_end,
	                         .object_field_start = walk_field_start,
	                         .scalar = walk_scalar};

	if (pg_parse_json(kseg_compat_json_lex(json, length, true), &actions) != JSON_SUCCESS)
	{
		shape->malformed++;
		return;
	}
	shape->objects += walk.object;
	shape->arrays += walk.array;
	shape->scalars += !walk.object && !walk.array;
	shape->envelopes += walk.envelope == SHAPE_ENVELOPE || walk.payload == SHAPE_ENVELOPE;
}

void
import_shape_take_field(KsegImportShape *shape, int number, const char *text)
{
	KsegImportFields *fields = &shape->top;

	if (number >= KSEG_IMPORT_FIELDS_MAX)
	{
		fields->more = true;
		return;
	}
	for (; fields->count <= number; fields->count++)
		fields->fields[fields->count].key = NULL;
	if (text != NULL)
		fields->fields[number].kinds |= import_kind_of_field(text, strlen(text));
}
