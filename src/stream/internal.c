/*
 * internal.c
 *	  Statements on kseg's own tables. See internal.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "stream/internal.h"

/* Where rows are written by what is run here; the first one's owner is whom it is run as. */
static const char *const internal_tables[] = {"stream_entry", "position_entry", "dead_letter_entry"};

/*
 * The owner of a table of kseg's. Its triggers and rules would run as that owner, who may be a superuser, with rows that anybody may
 * give: kseg makes none, so whoever was given the right to (ALTER DEFAULT PRIVILEGES, say) gets nothing by it.
 */
static Oid
internal_table_owner(const char *name)
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

static Oid
internal_owner(void)
{
	Oid owner = internal_table_owner(internal_tables[0]);

	for (int i = 1; i < lengthof(internal_tables); i++)
		(void) internal_table_owner(internal_tables[i]);
	return owner;
}

static void
internal_prepare(KsegInternal *statement)
{
	SPIPlanPtr plan = SPI_prepare(statement->text, statement->count, unconstify(Oid *, statement->types));

	if (plan == NULL)
		elog(ERROR, "could not prepare a statement on kseg's tables: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep a statement on kseg's tables");
	statement->plan = plan;
}

int
internal_execute(KsegInternal *statement, Datum *values, const char *nulls, bool read_only, long limit)
{
	Oid user;
	int security;
	int result;

	/* An ERROR on the way ends a (sub)transaction, and that puts the user back. */
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(internal_owner(), security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	if (statement->plan == NULL)
		internal_prepare(statement);
	result = SPI_execute_plan(statement->plan, values, nulls, read_only, limit);
	if (result <= 0)
		elog(ERROR, "could not run a statement on kseg's tables: %s", SPI_result_code_string(result));
	SetUserIdAndSecContext(user, security);
	return result;
}
