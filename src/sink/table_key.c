/*
 * table_key.c
 *	  The key by which a statement finds a table's rows. See table_key.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "sink/table_key.h"

/* ---------- the index ---------- */

/* The rules of PostgreSQL's infer_arbiter_indexes, for columns alone. */
static bool
key_index_may_decide(const FormData_pg_index *form, const HeapTupleData *tuple)
{
	return form->indisunique && form->indisvalid && form->indimmediate && !form->indisexclusion &&
	       heap_attisnull((HeapTuple) tuple, Anum_pg_index_indexprs, NULL) &&
	       heap_attisnull((HeapTuple) tuple, Anum_pg_index_indpred, NULL);
}

static bool
key_index_is_over(Oid table, const FormData_pg_index *form, List *key)
{
	ListCell *cell;

	if (form->indnkeyatts != list_length(key))
		return false;
	foreach (cell, key)
	{
		AttrNumber number = get_attnum(table, lfirst(cell));
		bool there = false;

		for (int i = 0; i < form->indnkeyatts; i++)
			there |= form->indkey.values[i] == number;
		if (!there)
			return false;
	}
	return true;
}

Oid
table_key_index(Oid table, List *key)
{
	Relation relation = table_open(table, NoLock);
	List *indexes = RelationGetIndexList(relation);
	Oid found = InvalidOid;
	ListCell *cell;

	foreach (cell, indexes)
	{
		HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
		const FormData_pg_index *form;

		if (!HeapTupleIsValid(tuple))
			continue;
		form = (const FormData_pg_index *) GETSTRUCT(tuple);
		if (key_index_may_decide(form, tuple) && key_index_is_over(table, form, key))
			found = form->indexrelid;
		ReleaseSysCache(tuple);
		if (OidIsValid(found))
			break;
	}
	list_free(indexes);
	table_close(relation, NoLock);
	return found;
}

static bool
key_index_keeps_nulls(Oid index)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	bool keeps;

	if (!HeapTupleIsValid(tuple))
		return true;
	keeps = !((Form_pg_index) GETSTRUCT(tuple))->indnullsnotdistinct;
	ReleaseSysCache(tuple);
	return keeps;
}

/* ---------- its columns ---------- */

typedef struct KeyColumn
{
	Oid type;     /* below domains */
	int32 typmod; /* -1: none, or none that values are rounded by */
	Oid collation;
	bool not_null;
} KeyColumn;

/* Is a value that the modifier has no room for rounded, and not refused or (by a cast only) cut? */
static bool
key_type_rounds(Oid type)
{
	switch (type)
	{
		case NUMERICOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case TIMEOID:
		case TIMETZOID:
		case INTERVALOID:
			return true;
		default:
			return false;
	}
}

static KeyColumn
key_column(Oid table, const char *name)
{
	HeapTuple tuple = SearchSysCacheAttName(table, name);
	Form_pg_attribute attribute;
	KeyColumn column;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "relation %u has no column \"%s\"", table, name);
	attribute = (Form_pg_attribute) GETSTRUCT(tuple);
	column.typmod = attribute->atttypmod;
	column.type = getBaseTypeAndTypmod(attribute->atttypid, &column.typmod);
	if (!key_type_rounds(column.type))
		column.typmod = -1;
	column.collation = attribute->attcollation;
	column.not_null = attribute->attnotnull;
	ReleaseSysCache(tuple);
	return column;
}

bool
table_key_keeps_nulls(Oid table, List *key)
{
	Oid index = table_key_index(table, key);
	ListCell *cell;

	if (OidIsValid(index) && !key_index_keeps_nulls(index))
		return false;
	foreach (cell, key)
	{
		if (!key_column(table, lfirst(cell)).not_null)
			return true;
	}
	return false;
}

/* The collation with its schema: the search_path may have another of the name. */
static char *
key_collation_name(Oid collation)
{
	HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	char *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	name = quote_qualified_identifier(get_namespace_name(form->collnamespace), NameStr(form->collname));
	ReleaseSysCache(tuple);
	return name;
}

void
table_key_append(StringInfo text, Oid table, const char *prefix, const char *name)
{
	KeyColumn column = key_column(table, name);

	appendStringInfo(text, "CAST(%s.%s AS %s)", prefix, quote_identifier(name),
	                 format_type_extended(column.type, column.typmod,
	                                      FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	if (OidIsValid(column.collation))
		appendStringInfo(text, " COLLATE %s", key_collation_name(column.collation));
}

void
table_key_append_equals(StringInfo text, Oid table, const char *name)
{
	Oid type = key_column(table, name).type;
	Oid equals = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(equals));
	Form_pg_operator form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
		                errmsg("could not identify an equality operator for type %s", format_type_be(type))));
	form = (Form_pg_operator) GETSTRUCT(tuple);
	appendStringInfo(text, " OPERATOR(%s.%s) ", quote_identifier(get_namespace_name(form->oprnamespace)),
	                 NameStr(form->oprname));
	ReleaseSysCache(tuple);
}

bool
table_key_equates_nulls(Oid table, List *key, const char *name)
{
	return !key_column(table, name).not_null && !table_key_keeps_nulls(table, key);
}
