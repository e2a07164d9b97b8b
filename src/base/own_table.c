/*
 * own_table.c
 *	  See own_table.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/own_table.h"

Oid
own_table_owner(const char *name)
{
	Oid schema = get_namespace_oid("kseg", true);
	Oid table = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Form_pg_class form;
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table kseg.%s is missing", name),
		                errhint("DROP EXTENSION kseg and CREATE EXTENSION kseg again.")));
	form = (Form_pg_class) GETSTRUCT(tuple);
	owner = form->relowner;
	if (form->relhastriggers || form->relhasrules)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("table kseg.%s has triggers or rules, which kseg does not run", name),
		                errhint("Drop them, and VACUUM the table. Nobody but the owner of the extension "
		                        "needs rights on that table.")));
	ReleaseSysCache(tuple);
	return owner;
}
