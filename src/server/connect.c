/*
 * connect.c
 *	  A server and a user mapping in one call. See connect.h.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "access/xact.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "server/connect.h"
#include "server/option.h"

List *
connect_add_option(List *options, const char *name, const char *value)
{
	if (value == NULL)
		return options;
	return lappend(options, makeDefElem(pstrdup(name), (Node *) makeString(pstrdup(value)), -1));
}

List *
connect_drop_option(List *options, const char *name)
{
	return lappend(options, makeDefElem(pstrdup(name), NULL, -1));
}

/* ---------- the server ---------- */

ForeignServer *
connect_find_server(const KsegConnect *connect)
{
	ForeignServer *server = GetForeignServerByName(connect->server, true);

	if (server != NULL && strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, connect->wrapper) != 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("server \"%s\" exists and is not a server of the wrapper %s", connect->server,
		                       connect->wrapper),
		                errhint("Choose another name with server => '...'.")));
	return server;
}

ForeignServer *
connect_create_server(const KsegConnect *connect, List *options)
{
	CreateForeignServerStmt *statement = makeNode(CreateForeignServerStmt);

	statement->servername = connect->server;
	statement->fdwname = pstrdup(connect->wrapper);
	statement->options = options;
	CreateForeignServer(statement);
	CommandCounterIncrement();
	return GetForeignServerByName(connect->server, false);
}

/* ---------- the user mapping ---------- */

static RoleSpec *
connect_role(const KsegConnect *connect)
{
	RoleSpec *role = makeNode(RoleSpec);

	role->location = -1;
	if (connect->for_role == NULL)
		role->roletype = ROLESPEC_CURRENT_USER;
	else if (strcmp(connect->for_role, "public") == 0)
		role->roletype = ROLESPEC_PUBLIC;
	else
	{
		role->roletype = ROLESPEC_CSTRING;
		role->rolename = connect->for_role;
	}
	return role;
}

static Oid
connect_role_oid(const RoleSpec *role)
{
	return role->roletype == ROLESPEC_PUBLIC ? InvalidOid : get_rolespec_oid(role, false);
}

char *
connect_whose(const KsegConnect *connect)
{
	RoleSpec *role = connect_role(connect);

	if (role->roletype == ROLESPEC_PUBLIC)
		return pstrdup("every role with USAGE");
	return psprintf("role %s", quote_identifier(GetUserNameFromId(connect_role_oid(role), false)));
}

List *
connect_mapping_options(const KsegConnect *connect, const ForeignServer *server, bool *there)
{
	Oid role = connect_role_oid(connect_role(connect));
	HeapTuple mapping =
	    SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role), ObjectIdGetDatum(server->serverid));
	List *options = NIL;
	Datum stored;
	bool isnull;

	*there = HeapTupleIsValid(mapping);
	if (!*there)
		return NIL;
	stored = SysCacheGetAttr(USERMAPPINGUSERSERVER, mapping, Anum_pg_user_mapping_umoptions, &isnull);
	/* Copies: untransformRelOptions makes strings of its own. */
	if (!isnull)
		options = untransformRelOptions(stored);
	ReleaseSysCache(mapping);
	return options;
}

static void
connect_create_mapping(const KsegConnect *connect, List *options)
{
	CreateUserMappingStmt *statement = makeNode(CreateUserMappingStmt);
	ListCell *cell;

	statement->user = connect_role(connect);
	statement->servername = connect->server;
	foreach (cell, options)
	{
		if (lfirst_node(DefElem, cell)->arg != NULL)
			statement->options = lappend(statement->options, lfirst(cell));
	}
	CreateUserMapping(statement);
}

/* Add what is not there, set what is, drop what is there and has no value. */
static void
connect_alter_mapping(const KsegConnect *connect, List *there, List *options)
{
	AlterUserMappingStmt *statement = makeNode(AlterUserMappingStmt);
	ListCell *cell;

	statement->user = connect_role(connect);
	statement->servername = connect->server;
	foreach (cell, options)
	{
		DefElem *option = lfirst_node(DefElem, cell);
		bool exists = option_value(there, option->defname) != NULL;

		option->defaction = option->arg == NULL ? DEFELEM_DROP : exists ? DEFELEM_SET : DEFELEM_ADD;
		if (exists || option->arg != NULL)
			statement->options = lappend(statement->options, option);
	}
	AlterUserMapping(statement);
}

void
connect_set_mapping(const KsegConnect *connect, const ForeignServer *server, List *options)
{
	bool exists;
	List *there = connect_mapping_options(connect, server, &exists);

	if (exists)
		connect_alter_mapping(connect, there, options);
	else
		connect_create_mapping(connect, options);
	CommandCounterIncrement();
}

/* ---------- the care for the secret ---------- */

/* PostgreSQL's own errors name the right that is missing, but not who can give it. */
static void
connect_add_hint(const KsegConnect *connect, ErrorData *error)
{
	const char *kind = "DATA WRAPPER";
	const char *object = connect->wrapper;

	if (error->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE || error->hint != NULL || connect->server == NULL)
		return;
	if (OidIsValid(get_foreign_server_oid(connect->server, true)))
	{
		kind = "SERVER";
		object = quote_identifier(connect->server);
	}
	error->hint = psprintf("Its owner can GRANT USAGE ON FOREIGN %s %s TO %s.", kind, object,
	                       quote_identifier(GetUserNameFromId(GetUserId(), false)));
}

static void
connect_check(const KsegConnect *connect)
{
	PreventCommandIfReadOnly(psprintf("%s()", connect->function));
	if (connect->server == NULL || connect->server[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("server must have a name")));
}

char *
connect_guarded(const KsegConnect *connect, char *(*apply)(const KsegConnect *connect))
{
	MemoryContext context = CurrentMemoryContext;
	char *done = NULL;

	PG_TRY();
	{
		connect_check(connect);
		done = apply(connect);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		error->hide_stmt = true;
		error->hide_ctx = true;
		error->context = NULL;
		error->internalquery = NULL;
		connect_add_hint(connect, error);
		ReThrowError(error);
	}
	PG_END_TRY();
	/* The validator has put words of its own there. */
	pgstat_report_activity(STATE_RUNNING, connect->activity);
	return done;
}

bool
connect_is_logged(void)
{
	const char *sample = GetConfigOption("log_min_duration_sample", true, false);
	const char *explain = GetConfigOption("auto_explain.log_min_duration", true, false);

	return log_statement == LOGSTMT_ALL || log_min_duration_statement >= 0 || log_xact_sample_rate > 0 ||
	       /* Each statement has debug messages. With them goes the statement, and in a function what it called. */
	       (log_min_messages < LOG && (log_min_error_statement < LOG || error_context_stack != NULL)) ||
	       (sample != NULL && strcmp(sample, "-1") != 0) || (explain != NULL && strcmp(explain, "-1") != 0) ||
	       Debug_print_parse || Debug_print_rewritten || Debug_print_plan;
}

char *
connect_text_argument(FunctionCallInfo fcinfo, int index)
{
	return PG_ARGISNULL(index) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(index));
}
