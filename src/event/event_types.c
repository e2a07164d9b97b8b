/*
 * event_types.c
 *	  Which encoder a type has: decided once a run, from the catalogs.
 *
 * Owns: the table of types that kseg writes itself, and the way every other one goes: domain to base, array to elements,
 * composite, range, a cast to json (as PostgreSQL's json_categorize_type finds it), at last the output function.
 * Refuses: money at any depth that the catalogs can tell, because its text depends on lc_monetary.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"

#include "event/json_value.h"

typedef struct TypeRule
{
	Oid oid;
	KsegTypeClass class;
	KsegEncode encode;
} TypeRule;

static const TypeRule rules[] = {
    {BOOLOID, KSEG_CLASS_BOOL, json_encode_bool},
    {INT2OID, KSEG_CLASS_INTEGER, json_encode_int2},
    {INT4OID, KSEG_CLASS_INTEGER, json_encode_int4},
    {INT8OID, KSEG_CLASS_INTEGER, json_encode_int8},
    {OIDOID, KSEG_CLASS_INTEGER, json_encode_oid},
    {FLOAT4OID, KSEG_CLASS_FLOAT, json_encode_float4},
    {FLOAT8OID, KSEG_CLASS_FLOAT, json_encode_float8},
    {NUMERICOID, KSEG_CLASS_NUMERIC, json_encode_numeric},
    {TEXTOID, KSEG_CLASS_TEXT, json_encode_text},
    {VARCHAROID, KSEG_CLASS_TEXT, json_encode_text},
    {BPCHAROID, KSEG_CLASS_TEXT, json_encode_bpchar},
    {NAMEOID, KSEG_CLASS_TEXT, json_encode_name},
    {UUIDOID, KSEG_CLASS_UUID, json_encode_uuid},
    {BYTEAOID, KSEG_CLASS_BYTES, json_encode_bytea},
    {TIMESTAMPTZOID, KSEG_CLASS_INSTANT, json_encode_timestamp},
    {TIMESTAMPOID, KSEG_CLASS_INSTANT, json_encode_timestamp},
    {DATEOID, KSEG_CLASS_INSTANT, json_encode_date},
    {TIMEOID, KSEG_CLASS_CLOCK, json_encode_time},
    {TIMETZOID, KSEG_CLASS_CLOCK, json_encode_timetz},
    {INTERVALOID, KSEG_CLASS_CLOCK, json_encode_interval},
    {JSONOID, KSEG_CLASS_JSON, json_encode_json},
    {JSONBOID, KSEG_CLASS_JSON, json_encode_jsonb},
    {CASHOID, KSEG_CLASS_OTHER, json_encode_money},
};

/*
 * Built-in types by output function whose text depends on no setting: no nest level for them, nor for strings. Everything
 * else is taken to depend (point on extra_float_digits, regclass on search_path, an extension's type on who knows what).
 */
static const Oid settled[] = {XMLOID, VOIDOID,     INETOID,    CIDROID,     MACADDROID,    MACADDR8OID,
                              BITOID, VARBITOID,   XIDOID,     XID8OID,     CIDOID,        TIDOID,
                              LSNOID, TSVECTOROID, TSQUERYOID, JSONPATHOID, PG_SNAPSHOTOID};

static bool
type_is_settled(Oid oid)
{
	for (int i = 0; i < lengthof(settled); i++)
	{
		if (settled[i] == oid)
			return true;
	}
	return false;
}

static const TypeRule *
type_rule(Oid oid)
{
	for (int i = 0; i < lengthof(rules); i++)
	{
		if (rules[i].oid == oid)
			return &rules[i];
	}
	return NULL;
}

/* An array, or false. */
static bool
type_as_array(KsegType *type)
{
	Oid element = get_element_type(type->oid);

	if (type->oid != ANYARRAYOID && !OidIsValid(element))
		return false;
	type->class = KSEG_CLASS_NESTED;
	type->encode = json_encode_array;
	if (OidIsValid(element))
	{
		type->element = event_type_create_late(type->context, element);
		get_typlenbyvalalign(element, &type->element_length, &type->element_by_value, &type->element_align);
	}
	return true;
}

static bool
type_as_composite(KsegType *type)
{
	if (!type_is_rowtype(type->oid))
		return false;
	type->class = KSEG_CLASS_NESTED;
	type->encode = json_encode_composite;
	return true;
}

static bool
type_as_range(KsegType *type)
{
	bool multi = type_is_multirange(type->oid);
	TypeCacheEntry *range;

	if (!multi && !type_is_range(type->oid))
		return false;
	type->cache = lookup_type_cache(type->oid, multi ? TYPECACHE_MULTIRANGE_INFO : TYPECACHE_RANGE_INFO);
	range = multi ? type->cache->rngtype : type->cache;
	type->element = event_type_create_late(type->context, range->rngelemtype->type_id);
	type->class = KSEG_CLASS_NESTED;
	type->encode = multi ? json_encode_multirange : json_encode_range;
	return true;
}

/* A cast to json that somebody made for his type, as to_json takes it. */
static bool
type_as_cast(KsegType *type)
{
	Oid function;

	if (type->oid < FirstNormalObjectId)
		return false;
	if (find_coercion_pathway(JSONOID, type->oid, COERCION_EXPLICIT, &function) != COERCION_PATH_FUNC ||
	    !OidIsValid(function))
		return false;
	fmgr_info_cxt(function, &type->function, type->context);
	type->class = KSEG_CLASS_NESTED;
	type->encode = json_encode_cast;
	type->settings = true;
	return true;
}

static void
type_as_output(KsegType *type)
{
	Oid function;
	bool is_varlena;
	char category;
	bool preferred;

	getTypeOutputInfo(type->oid, &function, &is_varlena);
	fmgr_info_cxt(function, &type->function, type->context);
	get_type_category_preferred(type->oid, &category, &preferred);
	/* "char" is of category Z since 15; UNKNOWN and enums are texts to their users. */
	type->class = category == TYPCATEGORY_STRING || category == TYPCATEGORY_ENUM ||
	                      category == TYPCATEGORY_UNKNOWN || type->oid == CHAROID
	                  ? KSEG_CLASS_TEXT
	                  : KSEG_CLASS_OTHER;
	type->encode = json_encode_output;
	type->settings = type->class != KSEG_CLASS_TEXT && !type_is_settled(type->oid);
}

KsegType *
event_type_create_late(MemoryContext context, Oid oid)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	KsegType *type = palloc0(sizeof(KsegType));
	const TypeRule *rule;

	type->oid = getBaseType(oid);
	type->context = context;
	type->varlena = get_typlen(type->oid) == -1;
	rule = type_rule(type->oid);
	if (rule != NULL)
	{
		type->class = rule->class;
		type->encode = rule->encode;
	}
	else if (!type_as_array(type) && !type_as_composite(type) && !type_as_range(type) && !type_as_cast(type))
		type_as_output(type);
	MemoryContextSwitchTo(old);
	return type;
}

static bool composite_has_money(Oid oid, List *seen);

/* Is a type money, or made of it? seen: the composites that are being looked into. */
static bool
type_has_money(Oid oid, List *seen)
{
	Oid base = getBaseType(oid);
	Oid element = get_element_type(base);

	if (base == CASHOID)
		return true;
	if (OidIsValid(element))
		return type_has_money(element, seen);
	if (type_is_multirange(base))
		base = get_multirange_range(base);
	if (type_is_range(base))
		return type_has_money(get_range_subtype(base), seen);
	return base != RECORDOID && type_is_rowtype(base) && composite_has_money(base, seen);
}

static bool
composite_has_money(Oid oid, List *seen)
{
	TupleDesc desc;
	bool found = false;

	check_stack_depth();
	if (list_member_oid(seen, oid))
		return false;
	seen = lappend_oid(list_copy(seen), oid);
	desc = lookup_rowtype_tupdesc(oid, -1);
	for (int i = 0; i < desc->natts && !found; i++)
		found =
		    !TupleDescAttr(desc, i)->attisdropped && type_has_money(TupleDescAttr(desc, i)->atttypid, seen);
	ReleaseTupleDesc(desc);
	return found;
}

KsegType *
event_type_create(MemoryContext context, Oid oid, const char *column)
{
	if (type_has_money(oid, NIL))
		ereport(
		    ERROR,
		    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		     errmsg("column \"%s\" is of type money or holds it, and cannot be sent", column),
		     errdetail("The text of money depends on lc_monetary, so an event would depend on the session."),
		     errhint("Cast it to numeric.")));
	return event_type_create_late(context, oid);
}
