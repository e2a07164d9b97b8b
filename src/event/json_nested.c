/*
 * json_nested.c
 *	  Values that hold values: arrays, composites, ranges, multiranges.
 *
 * Owns: recursion, and what is learned of a composite's attributes. A composite's attributes are taken from each value's
 * own row type, because a record has no other description and a type may be altered while a run reads; what was learned
 * from the value before is kept as long as the row type is the same.
 * Refuses: to trust the nesting (check_stack_depth), and to let one value grow without bound (writer->stop).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"

#include "event/json_document.h"
#include "event/json_value.h"

/* The attributes of a row type, in a context of their own that goes with them. */
struct KsegShape
{
	MemoryContext context;
	uint64 identifier;   /* typcache's number for this state of this row type */
	const char *trouble; /* an attribute's name that has no UTF-8 form */
	int count;
	KsegType **types; /* NULL: dropped */
	KsegSpan *names;
	Datum *values;
	bool *nulls;
};

/* What a nested value must put back when it is written. */
typedef struct Nesting
{
	KsegCanon *canon;
	KsegCanon scratch; /* the canons of what is inside are not wanted: the written text is */
	int at;
	int exact_at;
} Nesting;

static void
nesting_enter(KsegWriter *writer, Nesting *nesting)
{
	check_stack_depth();
	nesting->canon = writer->canon;
	nesting->at = writer->out->len;
	nesting->exact_at = writer->exact.len;
	writer->canon = &nesting->scratch;
	writer->depth++;
}

static void
nesting_leave(KsegWriter *writer, Nesting *nesting)
{
	writer->canon = nesting->canon;
	writer->depth--;
	json_canon_written(writer, KSEG_CANON_NESTED, nesting->at, 0);
	writer->canon->exact_at = nesting->exact_at;
	writer->canon->exact_length = writer->exact.len - nesting->exact_at;
}

/* True, with a trouble, when what is being written has become too large to go on. */
static bool
nesting_overflows(KsegWriter *writer)
{
	if (likely(writer->out->len <= writer->stop))
		return false;
	if (writer->trouble == NULL)
		writer->trouble = "value is too large to be written";
	return true;
}

/* The elements of an array, as deconstruct_array gives them. */
typedef struct Elements
{
	KsegType *type;
	Datum *values;
	bool *nulls;
	int next;
} Elements;

static void
dimension_write(KsegWriter *writer, Elements *elements, int dimensions, const int *lengths)
{
	json_write_char(writer->out, '[');
	for (int i = 0; i < lengths[0] && !nesting_overflows(writer); i++)
	{
		int at = elements->next;

		if (dimensions > 1)
			dimension_write(writer, elements, dimensions - 1, lengths + 1);
		else if (elements->nulls[elements->next++])
			json_write_bytes(writer->out, "null", 4);
		else
			elements->type->encode(writer, elements->type, elements->values[at]);
		json_write_char(writer->out, ',');
	}
	json_write_close(writer->out, ']');
}

/* The element type of anyarray columns (pg_stats) is known from each value only. */
static void
element_type_learn(KsegType *type, Oid oid)
{
	MemoryContext context;

	if (type->element != NULL && type->element->oid == oid)
		return;
	if (type->element != NULL)
		MemoryContextDelete(type->element->context);
	type->element = NULL;
	context = AllocSetContextCreate(type->context, "kseg element type", ALLOCSET_SMALL_SIZES);
	type->element = event_type_create_late(context, oid);
	get_typlenbyvalalign(oid, &type->element_length, &type->element_by_value, &type->element_align);
}

void
json_encode_array(KsegWriter *writer, KsegType *type, Datum value)
{
	ArrayType *array = (ArrayType *) json_value_open_aligned(writer, value);
	Nesting nesting;
	Elements elements = {0};
	int count;

	if (array == NULL)
		return;
	if (type->oid == ANYARRAYOID)
		element_type_learn(type, getBaseType(ARR_ELEMTYPE(array)));
	nesting_enter(writer, &nesting);
	if (ARR_NDIM(array) == 0)
		json_write_bytes(writer->out, "[]", 2);
	else
	{
		elements.type = type->element;
		deconstruct_array(array, ARR_ELEMTYPE(array), type->element_length, type->element_by_value,
		                  type->element_align, &elements.values, &elements.nulls, &count);
		dimension_write(writer, &elements, ARR_NDIM(array), ARR_DIMS(array));
	}
	nesting_leave(writer, &nesting);
}

/* The bytes `"name":` of one attribute. */
static KsegSpan
attribute_name(KsegWriter *writer, KsegShape *shape, const char *name)
{
	KsegSpan span;
	StringInfoData text;
	int length = strlen(name);
	const char *trouble = writer->trouble;

	initStringInfo(&text);
	if (!json_text_utf8(writer, &name, &length))
	{
		shape->trouble = "an attribute's name has no UTF-8 form";
		writer->trouble = trouble;
		length = 0;
	}
	json_write_string(&text, name, length);
	json_write_char(&text, ':');
	span.data = text.data;
	span.length = text.len;
	return span;
}

static KsegShape *
shape_create(KsegWriter *writer, KsegType *type, TupleDesc desc, uint64 identifier)
{
	MemoryContext context = AllocSetContextCreate(type->context, "kseg row type", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	KsegShape *shape = palloc0(sizeof(KsegShape));

	shape->context = context;
	shape->identifier = identifier;
	shape->count = desc->natts;
	shape->types = palloc0(sizeof(KsegType *) * Max(desc->natts, 1));
	shape->names = palloc0(sizeof(KsegSpan) * Max(desc->natts, 1));
	shape->values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	shape->nulls = palloc(sizeof(bool) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped)
			continue;
		shape->types[i] = event_type_create_late(context, attribute->atttypid);
		shape->names[i] = attribute_name(writer, shape, NameStr(attribute->attname));
	}
	MemoryContextSwitchTo(old);
	return shape;
}

/* The shape for a value of this row type: the one at hand, or a new one in its place. */
static KsegShape *
shape_learn(KsegWriter *writer, KsegType *type, TupleDesc desc, Oid oid, int32 typmod)
{
	uint64 identifier = assign_record_type_identifier(oid, typmod);

	if (type->shape != NULL && type->shape->identifier == identifier)
		return type->shape;
	if (type->shape != NULL)
	{
		MemoryContextDelete(type->shape->context);
		type->shape = NULL;
	}
	type->shape = shape_create(writer, type, desc, identifier);
	return type->shape;
}

static void
attributes_write(KsegWriter *writer, KsegShape *shape)
{
	json_write_char(writer->out, '{');
	for (int i = 0; i < shape->count && !nesting_overflows(writer); i++)
	{
		KsegType *type = shape->types[i];

		if (type == NULL)
			continue;
		json_write_bytes(writer->out, shape->names[i].data, shape->names[i].length);
		if (shape->nulls[i])
			json_write_bytes(writer->out, "null", 4);
		else
			type->encode(writer, type, shape->values[i]);
		json_write_char(writer->out, ',');
	}
	json_write_close(writer->out, '}');
	if (shape->trouble != NULL && writer->trouble == NULL)
		writer->trouble = shape->trouble;
}

void
json_encode_composite(KsegWriter *writer, KsegType *type, Datum value)
{
	/* Not by DatumGetHeapTupleHeader: older minor releases lack the symbol (since 15.20). */
	HeapTupleHeader header = (HeapTupleHeader) json_value_open_aligned(writer, value);
	HeapTupleData tuple = {0};
	Nesting nesting;
	TupleDesc desc;
	KsegShape *shape;
	Oid oid;
	int32 typmod;

	if (header == NULL)
		return;
	oid = HeapTupleHeaderGetTypeId(header);
	typmod = HeapTupleHeaderGetTypMod(header);
	nesting_enter(writer, &nesting);
	desc = lookup_rowtype_tupdesc(oid, typmod);
	shape = shape_learn(writer, type, desc, oid, typmod);
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, shape->values, shape->nulls);
	attributes_write(writer, shape);
	ReleaseTupleDesc(desc);
	nesting_leave(writer, &nesting);
}

/* As range_out: does a bound need quotes? */
static bool
bound_needs_quotes(const char *text, int length)
{
	for (int i = 0; i < length; i++)
	{
		if (strchr("\"\\()[],", text[i]) != NULL || isspace((unsigned char) text[i]))
			return true;
	}
	return length == 0;
}

static void
bound_write(KsegWriter *writer, KsegType *type, StringInfo text, const RangeBound *bound)
{
	const char *value;
	int length;
	bool quotes;

	if (bound->infinite || !json_value_text(writer, type, bound->val, &value, &length))
		return;
	quotes = bound_needs_quotes(value, length);
	if (quotes)
		json_write_char(text, '"');
	for (int i = 0; i < length; i++)
	{
		if (value[i] == '"' || value[i] == '\\')
			json_write_char(text, value[i]);
		json_write_char(text, value[i]);
	}
	if (quotes)
		json_write_char(text, '"');
}

/* Append the range as range_out spells it, its bounds as our encoders do. */
static void
range_write(KsegWriter *writer, TypeCacheEntry *cache, KsegType *element, StringInfo text,
            const RangeType *range)
{
	RangeBound lower, upper;
	bool empty;

	range_deserialize(cache, range, &lower, &upper, &empty);
	if (empty)
	{
		json_write_bytes(text, "empty", 5);
		return;
	}
	json_write_char(text, lower.inclusive ? '[' : '(');
	bound_write(writer, element, text, &lower);
	json_write_char(text, ',');
	bound_write(writer, element, text, &upper);
	json_write_char(text, upper.inclusive ? ']' : ')');
}

static void
multirange_write(KsegWriter *writer, KsegType *type, StringInfo text, const MultirangeType *multirange)
{
	RangeType **ranges;
	int32 count;

	multirange_deserialize(type->cache->rngtype, multirange, &count, &ranges);
	json_write_char(text, '{');
	for (int i = 0; i < count; i++)
	{
		range_write(writer, type->cache->rngtype, type->element, text, ranges[i]);
		json_write_char(text, ',');
	}
	json_write_close(text, '}');
}

/* Both kinds: the text on the side, then as one JSON string, in which NaN and infinity may be spelled. */
static void
ranges_write(KsegWriter *writer, KsegType *type, struct varlena *value, bool multi)
{
	Nesting nesting;
	StringInfoData text;
	bool spelled = writer->spelled;

	initStringInfo(&text);
	nesting_enter(writer, &nesting);
	writer->spelled = true;
	if (multi)
		multirange_write(writer, type, &text, (MultirangeType *) value);
	else
		range_write(writer, type->cache, type->element, &text, (RangeType *) value);
	writer->spelled = spelled;
	json_write_string(writer->out, text.data, text.len);
	nesting_leave(writer, &nesting);
}

void
json_encode_range(KsegWriter *writer, KsegType *type, Datum value)
{
	struct varlena *range = json_value_open_aligned(writer, value);

	if (range != NULL)
		ranges_write(writer, type, range, false);
}

void
json_encode_multirange(KsegWriter *writer, KsegType *type, Datum value)
{
	struct varlena *multirange = json_value_open_aligned(writer, value);

	if (multirange != NULL)
		ranges_write(writer, type, multirange, true);
}
