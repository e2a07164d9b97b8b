/*
 * json_value.h
 *	  A PostgreSQL type and how its values become JSON.
 *
 * Owns: KsegType, which event_types.c makes from a type's OID, and the encoders of json_value.c (plain values) and
 * json_nested.c (arrays, composites, ranges). Refuses: to know columns and Segment.
 */
#ifndef KSEG_JSON_VALUE_H
#define KSEG_JSON_VALUE_H

#include "fmgr.h"
#include "utils/typcache.h"

#include "event/json_write.h"

/* What a type is good for, beside being a property. */
typedef enum KsegTypeClass
{
	KSEG_CLASS_INTEGER,
	KSEG_CLASS_NUMERIC,
	KSEG_CLASS_FLOAT,
	KSEG_CLASS_BOOL,
	KSEG_CLASS_INSTANT, /* timestamptz, timestamp, date */
	KSEG_CLASS_CLOCK,   /* time, timetz, interval */
	KSEG_CLASS_TEXT,    /* whatever SQL calls a string, and enums */
	KSEG_CLASS_UUID,
	KSEG_CLASS_BYTES,
	KSEG_CLASS_JSON,   /* json and jsonb: may be the base of an object */
	KSEG_CLASS_NESTED, /* arrays, composites, ranges, and what casts itself to json */
	KSEG_CLASS_OTHER   /* by its output function */
} KsegTypeClass;

typedef struct KsegType KsegType;
typedef struct KsegShape KsegShape;

/*
 * Append value's JSON to writer->out and note its canon. A value that has no JSON becomes null and a trouble. Never an
 * ERROR of its own (an output function may raise one). Allocates in the current memory context, the row's.
 */
typedef void (*KsegEncode)(KsegWriter *writer, KsegType *type, Datum value);

struct KsegType
{
	KsegEncode encode;
	KsegTypeClass class;
	Oid oid; /* the base type, domains looked through */
	bool varlena;
	bool settings;     /* the function's text depends on settings: enter the fixed ones before it */
	FmgrInfo function; /* output function, or cast to json */

	/* arrays: their elements; ranges and multiranges: their bounds, and the typcache entry */
	KsegType *element;
	int16 element_length;
	bool element_by_value;
	char element_align;
	TypeCacheEntry *cache;

	/* composites, whose attributes are known from a value only: as of the value before */
	KsegShape *shape;
	MemoryContext context; /* the plan's; what values teach goes into children of it, which are replaced */
};

/*
 * event_types.c: an encoder for a column's type, allocated in context. ERRORs, naming the column, when a type in it has
 * no form that is the same in every session (money).
 */
extern KsegType *event_type_create(MemoryContext context, Oid oid, const char *column);
/* Of a type met inside a value: never an ERROR, values of such a type become a trouble. */
extern KsegType *event_type_create_late(MemoryContext context, Oid oid);

/* Plain values: json_value.c. */
extern void json_encode_bool(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_int2(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_int4(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_int8(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_oid(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_float4(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_float8(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_numeric(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_text(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_bpchar(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_name(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_uuid(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_bytea(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_timestamp(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_date(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_time(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_timetz(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_interval(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_json(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_jsonb(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_cast(KsegWriter *writer, KsegType *type, Datum value);   /* function: to json */
extern void json_encode_output(KsegWriter *writer, KsegType *type, Datum value); /* function: to a string */
extern void json_encode_money(KsegWriter *writer, KsegType *type, Datum value);  /* a trouble */

/* Nested values: json_nested.c. */
extern void json_encode_array(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_composite(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_range(KsegWriter *writer, KsegType *type, Datum value);
extern void json_encode_multirange(KsegWriter *writer, KsegType *type, Datum value);

/*
 * The value as plain UTF-8 text, as it stands in the JSON but without quotes and escapes. False: it has none, and
 * writer->trouble says why. The text lies in the value itself or in the current memory context.
 */
extern bool json_value_text(KsegWriter *writer, KsegType *type, Datum value, const char **text, int *length);

/* Has a varlena more than max bytes, its header included? Reads its header only. */
extern bool json_value_oversize(Datum value, int max);

/*
 * A varlena, detoasted but perhaps with a short header; NULL: over the writer's value_max, and null and a trouble were
 * written. What is neither compressed, external nor large costs two comparisons.
 */
extern struct varlena *json_value_open(KsegWriter *writer, Datum value);
/* The same with a full, aligned header, of what holds values: up to container_max. */
extern struct varlena *json_value_open_aligned(KsegWriter *writer, Datum value);

/* event_settings.c: fixed settings for output functions, until the row ends. */
extern void event_settings_enter(KsegWriter *writer);
extern void event_settings_leave(KsegWriter *writer);

#endif /* KSEG_JSON_VALUE_H */
