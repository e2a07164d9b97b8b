/*
 * stream_query.c
 *	  A stream's query and target. See stream_query.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/varlena.h"

#include "base/near_miss.h"
#include "base/query_text.h"
#include "server/kafka_server.h"
#include "sink/table_order.h"
#include "stream/stream_query.h"

/* ---------- the source ---------- */

/* Topics that the query reads. */
typedef struct QuerySources
{
	Oid first;
	Oid other; /* another one than the first */
} QuerySources;

static bool
query_is_topic(const RangeTblEntry *entry, void *argument)
{
	QuerySources *sources = argument;
	const ForeignServer *server;

	if (entry->relkind != RELKIND_FOREIGN_TABLE)
		return false;
	server = GetForeignServer(GetForeignServerIdByRelId(entry->relid));
	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, KSEG_KAFKA_WRAPPER) != 0)
		return false;
	if (!OidIsValid(sources->first))
		sources->first = entry->relid;
	else if (sources->first != entry->relid)
		sources->other = entry->relid;
	return true;
}

static void
query_no_source(void)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the query reads no Kafka topic"),
	                errdetail("A stream's source is a foreign table on a server of the wrapper %s, which the "
	                          "query names itself or through views.",
	                          KSEG_KAFKA_WRAPPER),
	                errhint("CREATE FOREIGN TABLE ... SERVER kafka OPTIONS (topic '...').")));
}

static Oid
query_find_source(const Query *query)
{
	QuerySources sources = {InvalidOid, InvalidOid};
	int count = table_order_count(query, query_is_topic, &sources);

	if (count == 0)
		query_no_source();
	if (OidIsValid(sources.other))
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("the query reads more than one Kafka topic: \"%s\" and \"%s\"",
		                get_rel_name(sources.first), get_rel_name(sources.other)),
		         errdetail("A batch has messages of one foreign table."),
		         errhint("Make a stream for each of them into tables, and join those; or give one foreign "
		                 "table several topics with topics => '{...}'.")));
	if (count > 1)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("the query reads the topic \"%s\" more than once", get_rel_name(sources.first)),
		         errdetail("Each batch's messages go through the query once."),
		         errhint("Read it once, or make a stream into a table, and query that.")));
	return sources.first;
}

static bool
query_is_temporary(const RangeTblEntry *entry, void *argument)
{
	if (!isAnyTempNamespace(get_rel_namespace(entry->relid)))
		return false;
	*(Oid *) argument = entry->relid;
	return true;
}

/* The worker is another session. */
static void
query_check_lasting(const Query *query)
{
	Oid relation = InvalidOid;

	if (table_order_count(query, query_is_temporary, &relation) > 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("the query reads \"%s\", which is temporary", get_rel_name(relation)),
		                errdetail("Streams run in sessions of their own, which do not see it."),
		                errhint("Make it a table or view that lasts.")));
}

/*
 * A batch ends where it ends, and its parts are applied anew when one of them fails: what a query makes of several messages at once would
 * depend on that.
 */
static void
query_check_order(const Query *query, Oid source, const KsegStreamEntry *entry, bool *ordered)
{
	bool by_place = entry->on_conflict == KSEG_ON_CONFLICT_UPDATE;
	const char *problem = table_order_problem(query, source, by_place);

	*ordered = table_order_problem(query, source, true) == NULL;
	if (problem != NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the query %s", problem),
		         by_place
		             ? errdetail("With on_conflict 'update' the last message of a key decides, so each row "
		                         "must be of one message.")
		             : errdetail("A stream applies batches of any size, so each row must be of one message."),
		         errhint("Let the stream put the messages into a table as they are, and group or cut "
		                 "them there; joins and conditions are fine.")));
}

/* ---------- the target ---------- */

/* Most tables among which a near miss is looked for: beyond that the search is not worth its time. */
#define QUERY_NEAR_TABLES_MAX 1000

/* Names of tables in the schema, ends with NULL. */
static const char **
query_table_names(Oid schema)
{
	const char **names = palloc0(sizeof(char *) * (QUERY_NEAR_TABLES_MAX + 1));
	Relation classes = table_open(RelationRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	int count = 0;

	ScanKeyInit(&key, Anum_pg_class_relnamespace, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(schema));
	scan = systable_beginscan(classes, InvalidOid, false, NULL, 1, &key);
	while (count < QUERY_NEAR_TABLES_MAX && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		if (form->relkind == RELKIND_RELATION || form->relkind == RELKIND_PARTITIONED_TABLE ||
		    form->relkind == RELKIND_VIEW)
			names[count++] = pstrdup(NameStr(form->relname));
	}
	systable_endscan(scan);
	table_close(classes, AccessShareLock);
	return names;
}

static void
query_no_target(const RangeVar *name, const char *text)
{
	List *path = fetch_search_path(false);
	Oid schema = path != NIL ? linitial_oid(path) : InvalidOid;
	const char *near = NULL;

	if (name->schemaname != NULL)
		schema = get_namespace_oid(name->schemaname, true);
	if (OidIsValid(schema))
		near = near_miss_find(name->relname, query_table_names(schema));
	ereport(
	    ERROR,
	    (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table \"%s\" does not exist", text),
	     near != NULL
	         ? errhint("Perhaps you meant \"%s\".",
	                   quote_qualified_identifier(get_namespace_name(schema), near))
	         : errhint("A stream does not make its table: CREATE TABLE first, with the query's columns.")));
}

static Oid
query_find_target(const char *text)
{
	RangeVar *name = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(text)));
	Oid target = RangeVarGetRelid(name, AccessShareLock, true);

	if (!OidIsValid(target))
		query_no_target(name, text);
	return target;
}

/* ---------- the whole ---------- */

static void
query_take_columns(const Query *query, KsegTableRequest *request)
{
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		const TargetEntry *target = lfirst_node(TargetEntry, cell);

		if (target->resjunk)
			continue;
		request->columns = lappend(request->columns, target->resname);
		request->types = lappend_oid(request->types, exprType((Node *) target->expr));
	}
}

KsegStreamQuery *
stream_query_analyze(const KsegStreamEntry *entry)
{
	static const KsegTableConflict conflicts[] = {
	    [KSEG_ON_CONFLICT_ERROR] = KSEG_TABLE_CONFLICT_ERROR,
	    [KSEG_ON_CONFLICT_IGNORE] = KSEG_TABLE_CONFLICT_IGNORE,
	    [KSEG_ON_CONFLICT_UPDATE] = KSEG_TABLE_CONFLICT_UPDATE,
	};
	KsegStreamQuery *result = palloc0(sizeof(KsegStreamQuery));
	KsegTableRequest *request = &result->request;
	Query *query;

	request->query = query_check_statement(entry->query);
	query = query_analyze(entry->query);
	query_check_lasting(query);
	result->source = query_find_source(query);
	result->server = GetForeignServerIdByRelId(result->source);
	query_check_order(query, result->source, entry, &result->ordered);
	result->target = query_find_target(entry->target);
	query_take_columns(query, request);
	request->source = result->source;
	request->target = result->target;
	request->key = entry->key;
	request->on_conflict = conflicts[entry->on_conflict];
	request->delete_when = entry->delete_when;
	table_statement_check(request);
	return result;
}

void
stream_query_set_search_path(const KsegStreamEntry *entry)
{
	(void) set_config_option("search_path", entry->search_path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
	                         true, 0, false);
}
