/*
 * own_version.c
 *	  See own_version.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "base/own_version.h"

/* No cache of PostgreSQL's has it: one row of a small catalog, by its index. */
char *
own_version_get(void)
{
	Relation catalog = table_open(ExtensionRelationId, AccessShareLock);
	char *version = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("kseg"));
	scan = systable_beginscan(catalog, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		/* heap_getattr would bring in a function of the composite values, which older minor releases have not. */
		Datum values[Natts_pg_extension];
		bool nulls[Natts_pg_extension];

		heap_deform_tuple(tuple, RelationGetDescr(catalog), values, nulls);
		if (!nulls[Anum_pg_extension_extversion - 1])
			version = TextDatumGetCString(values[Anum_pg_extension_extversion - 1]);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return version;
}

bool
own_version_fits(const char *version)
{
	return strcmp(version, KSEG_VERSION) == 0;
}

void
own_version_check(void)
{
	char *version = own_version_get();

	/* Without an extension there are no tables either, and that is told where they are looked for. */
	if (version == NULL || own_version_fits(version))
		return;
	ereport(
	    ERROR,
	    (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	     errmsg("the extension kseg is of another version than the loaded library"),
	     errdetail("The extension in this database has version %s, the library " KSEG_VERSION ".", version),
	     errhint("ALTER EXTENSION kseg UPDATE in this database; restart the server if it runs an older "
	             "library.")));
}
