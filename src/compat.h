/*
 * compat.h
 *	  The differences between PostgreSQL 15, 16, 17 and 18: the only place that tests PG_VERSION_NUM.
 *
 * Each entry names the upstream commit or release that made the difference. Code elsewhere uses the newest spelling, or
 * a kseg_compat_ name where the spelling would mislead on an older version.
 */
#ifndef KSEG_COMPAT_H
#define KSEG_COMPAT_H

#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_foreign_server.h"

#if PG_VERSION_NUM < 150000
#error "kseg needs PostgreSQL 15 or later"
#endif

#include "access/xact.h"
#include "common/jsonapi.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/wait_event.h"
#include "utils/memutils.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"    /* 18: 393e0d231, WaitEventSet left latch.h */
#include "commands/explain_format.h" /* 18: ExplainProperty… and ExplainState left explain.h */
#include "commands/explain_state.h"
#endif
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h" /* 16: d9f7f5d32, soft errors */
#include "varatt.h"          /* 16: d952373a9, SET_VARSIZE and its like left postgres.h */
#endif
#include "optimizer/pathnode.h"
#include "optimizer/prep.h"
#include "parser/parsetree.h"

/*
 * PG_FUNCTION_INFO_V1 marks functions for export only from 16 on (089480c07); kseg.map does the exporting on every
 * version, so nothing is needed here.
 */

/* 17 (50c67c201): a WaitEventSet belongs to a resource owner, NULL for none, instead of to a memory context. */
static inline WaitEventSet *
kseg_compat_create_wait_event_set(int events)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, events);
#else
	return CreateWaitEventSet(TopMemoryContext, events);
#endif
}

/* 17 (c9af05465): extensions may name their wait events. Before that every one of them reads "Extension". */
static inline uint32
kseg_compat_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* 16 (c727f511b): one object_aclcheck instead of a function for each kind of object. */
static inline AclResult
kseg_compat_server_aclcheck(Oid server, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, server, role, ACL_USAGE);
#else
	return pg_foreign_server_aclcheck(server, role, ACL_USAGE);
#endif
}

/* 16 (afbfc0298): the same for ownership. */
static inline bool
kseg_compat_server_ownercheck(Oid server, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(ForeignServerRelationId, server, role);
#else
	return pg_foreign_server_ownercheck(server, role);
#endif
}

/* The same for what streams look after: a database or an extension, by the catalog it is in. */
static inline bool
kseg_compat_ownercheck(Oid catalog, Oid object, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(catalog, object, role);
#else
	if (catalog == DatabaseRelationId)
		return pg_database_ownercheck(object, role);
	Assert(catalog == ExtensionRelationId);
	return pg_extension_ownercheck(object, role);
#endif
}

/* 16 (c727f511b): whether a role may connect to a database. */
static inline bool
kseg_compat_may_connect(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, database, role, ACL_CONNECT) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}

/* 17 (e7689190b): a background worker may connect as a role without LOGIN. Before that the flag means nothing. */
#if PG_VERSION_NUM >= 170000
#define KSEG_COMPAT_BYPASS_ROLE_LOGIN BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define KSEG_COMPAT_BYPASS_ROLE_LOGIN 0
#endif

/* 16 (d7e39d72c, and the renaming that followed it): look-ups by index and by backend id are told apart. From 1. */
static inline LocalPgBackendStatus *
kseg_compat_backend_status(int index)
{
#if PG_VERSION_NUM >= 160000
	return pgstat_get_local_beentry_by_index(index);
#else
	return pgstat_fetch_stat_local_beentry(index);
#endif
}

/*
 * 16 (a61b1f748): whose rights a statement's relation is reached with has a function of its own; InvalidOid would be nobody. A
 * partition that rows are routed to has no range table entry, and is reached with its root's.
 */
static inline Oid
kseg_compat_result_user(ResultRelInfo *result, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return ExecGetResultRelCheckAsUser(result, estate);
#else
	ResultRelInfo *named = result->ri_RangeTableIndex != 0 ? result : result->ri_RootResultRelInfo;
	RangeTblEntry *entry = exec_rt_fetch(named->ri_RangeTableIndex, estate);

	return OidIsValid(entry->checkAsUser) ? entry->checkAsUser : GetUserId();
#endif
}

/* 16 (the JSON parser without throwing): what it calls back returns how it went. */
#if PG_VERSION_NUM >= 160000
typedef JsonParseErrorType KsegJsonAction;
#define KSEG_JSON_GO_ON return JSON_SUCCESS
#else
typedef void KsegJsonAction;
#define KSEG_JSON_GO_ON return
#endif

/*
 * 17 (1c99cde2f): the lexer may be the caller's. Of JSON in UTF-8; lives in the current memory context. unescape: the actions get
 * strings without escapes, and an escape that the database's encoding has no character for is an ERROR.
 */
static inline JsonLexContext *
kseg_compat_json_lex(const char *json, int length, bool unescape)
{
#if PG_VERSION_NUM >= 170000
	return makeJsonLexContextCstringLen(NULL, json, length, PG_UTF8, unescape);
#else
	return makeJsonLexContextCstringLen(unconstify(char *, json), length, PG_UTF8, unescape);
#endif
}

/* 17: intervals may be infinite (519fc1bd9). */
#if PG_VERSION_NUM < 170000
#define INTERVAL_NOT_FINITE(i) false
#define INTERVAL_IS_NOBEGIN(i) false
#endif

/* 16 (d9f7f5d32): input functions can report what is wrong with a text without raising it. */
static inline bool
kseg_compat_has_soft_errors(void)
{
#if PG_VERSION_NUM >= 160000
	return true;
#else
	return false;
#endif
}

/*
 * Call an input function. False: the text is wrong, and *error says why (palloc'd). A type whose function knows no soft errors
 * raises it all the same. Before 16 never to be called.
 */
static inline bool
kseg_compat_input_soft(FmgrInfo *input, char *text, Oid ioparam, int32 typmod, Datum *value,
                       ErrorData **error)
{
#if PG_VERSION_NUM >= 160000
	ErrorSaveContext context = {.type = T_ErrorSaveContext, .details_wanted = true};

	if (InputFunctionCallSafe(input, text, ioparam, typmod, (Node *) &context, value))
		return true;
	*error = context.error_data;
#endif
	return false;
}

/* 17 (0075d7894): an internal subtransaction may begin while a parallel query is under way. */
static inline bool
kseg_compat_subtransaction_allowed(void)
{
#if PG_VERSION_NUM >= 170000
	return true;
#else
	return !IsInParallelMode();
#endif
}

/* 16 (a61b1f748): as whom a foreign table is read stands in the plan, before that in the range table. */
static inline Oid
kseg_compat_scan_user(const ForeignScanState *node)
{
	const ForeignScan *plan = (const ForeignScan *) node->ss.ps.plan;
#if PG_VERSION_NUM >= 160000
	Oid user = plan->checkAsUser;
#else
	Oid user = exec_rt_fetch(plan->scan.scanrelid, node->ss.ps.state)->checkAsUser;
#endif

	return OidIsValid(user) ? user : GetUserId();
}

/* 17 (9e9931d2b) adds fdw_restrictinfo, 18 (e22253467) the count of disabled nodes: both mean nothing to a plain scan. */
static inline ForeignPath *
kseg_compat_foreign_path(PlannerInfo *root, RelOptInfo *rel, Cost startup_cost, Cost total_cost)
{
#if PG_VERSION_NUM >= 180000
	return create_foreignscan_path(root, rel, NULL, rel->rows, 0, startup_cost, total_cost, NIL,
	                               rel->lateral_relids, NULL, NIL, NIL);
#elif PG_VERSION_NUM >= 170000
	return create_foreignscan_path(root, rel, NULL, rel->rows, startup_cost, total_cost, NIL,
	                               rel->lateral_relids, NULL, NIL, NIL);
#else
	return create_foreignscan_path(root, rel, NULL, rel->rows, startup_cost, total_cost, NIL,
	                               rel->lateral_relids, NULL, NIL);
#endif
}

/* 16 (19d8e2308) can update only the indexes that summarize; an INSERT updates all. No speculation: a duplicate is an ERROR. */
static inline List *
kseg_compat_insert_index_tuples(ResultRelInfo *result, TupleTableSlot *slot, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL, false);
#else
	return ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL);
#endif
}

/* 18 (3eea7a0c9): the executor knows by itself whether a plan runs once. Runs it to its end. */
static inline void
kseg_compat_executor_run(QueryDesc *query)
{
#if PG_VERSION_NUM >= 180000
	ExecutorRun(query, ForwardScanDirection, 0);
#else
	ExecutorRun(query, ForwardScanDirection, 0, true);
#endif
}

/* Volatile functions that see no table: random() has had brothers since 16 and 17, and its name's macro another form; 18 has uuidv4, uuidv7. */
#if PG_VERSION_NUM >= 180000
#define KSEG_COMPAT_BLIND_FUNCTIONS F_RANDOM_, F_RANDOM_INT4_INT4, F_RANDOM_INT8_INT8, F_UUIDV4, F_UUIDV7_
#elif PG_VERSION_NUM >= 170000
#define KSEG_COMPAT_BLIND_FUNCTIONS F_RANDOM_, F_RANDOM_INT4_INT4, F_RANDOM_INT8_INT8
#else
#define KSEG_COMPAT_BLIND_FUNCTIONS F_RANDOM
#endif

/* 16 (2489d76c4): the joins of a jointree are named by their kind. The numbers of its relations alone. */
static inline Relids
kseg_compat_from_items(Node *jointree)
{
#if PG_VERSION_NUM >= 160000
	return get_relids_in_jointree(jointree, false, false);
#else
	return get_relids_in_jointree(jointree, false);
#endif
}

/* 16 (2489d76c4): a Var says which outer joins may have made it NULL. */
static inline void
kseg_compat_set_nulling_joins(Var *var, Relids joins)
{
#if PG_VERSION_NUM >= 160000
	var->varnullingrels = joins;
#endif
}

/*
 * Make a view's entry of the range table the sub-select that it stands for, as the rewriter does. 16 (1b4d280ea, a61b1f748) leaves the
 * view in the entry, to be locked and to have its rights checked; before that an entry for it in the view's own query does both.
 */
static inline void
kseg_compat_open_view(RangeTblEntry *entry, Query *query, bool security_barrier)
{
#if PG_VERSION_NUM < 160000
	RangeTblEntry *view = rt_fetch(PRS2_OLD_VARNO, query->rtable);

	view->requiredPerms = entry->requiredPerms;
	view->checkAsUser = entry->checkAsUser;
	view->selectedCols = entry->selectedCols;
	view->insertedCols = entry->insertedCols;
	view->updatedCols = entry->updatedCols;
	view->extraUpdatedCols = entry->extraUpdatedCols;
	entry->requiredPerms = 0;
	entry->checkAsUser = InvalidOid;
	entry->selectedCols = NULL;
	entry->insertedCols = NULL;
	entry->updatedCols = NULL;
	entry->extraUpdatedCols = NULL;
	entry->relid = InvalidOid;
	entry->relkind = 0;
	entry->rellockmode = 0;
#endif
	entry->rtekind = RTE_SUBQUERY;
	entry->subquery = query;
	entry->security_barrier = security_barrier;
	entry->tablesample = NULL;
	entry->inh = false;
}

/* May a background worker connect as this role? See KSEG_COMPAT_BYPASS_ROLE_LOGIN. */
static inline bool
kseg_compat_role_may_run(Oid role)
{
#if PG_VERSION_NUM >= 170000
	return true;
#else
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool login = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return login;
#endif
}

/* 16 (3d14e171e): belonging to a role and becoming it are told apart. ERROR unless the member may SET ROLE to it. */
static inline void
kseg_compat_check_can_set_role(Oid member, Oid role)
{
#if PG_VERSION_NUM >= 160000
	check_can_set_role(member, role);
#else
	check_is_member_of_role(member, role);
#endif
}

/* 17 (51efe38cb): transaction_timeout ends the whole session. A batch that is too long for it would never be done. */
static inline void
kseg_compat_no_transaction_timeout(void)
{
#if PG_VERSION_NUM >= 170000
	SetConfigOption("transaction_timeout", "0", PGC_USERSET, PGC_S_OVERRIDE);
#endif
}

#endif /* KSEG_COMPAT_H */
