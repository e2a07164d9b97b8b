/*
 * connect_segment.c
 *	  connect_segment() and COPY kseg.write_key: a server and a user mapping in one call.
 *
 * Owns: the care for the write key on its way into the catalog. It goes to CreateForeignServer and CreateUserMapping
 * directly and never through SQL text, because text would land in pg_stat_statements (track = all), in CONTEXT lines and
 * in the log. What PostgreSQL itself logs of the caller's statement before this code runs (log_statement,
 * log_min_duration_statement) no extension can prevent: then a WARNING names the ways by which a key never meets the log.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "server/endpoint.h"
#include "server/segment_server.h"

/* What the caller said; NULL: not said. */
typedef struct KsegConnect
{
	char *write_key;
	char *region;
	char *endpoint;
	char *server;
	char *for_role;
	const char *activity; /* what other sessions see of the statement */
} KsegConnect;

static List *
connect_add_option(List *options, const char *name, const char *value)
{
	if (value == NULL)
		return options;
	return lappend(options, makeDefElem(pstrdup(name), (Node *) makeString(pstrdup(value)), -1));
}

static void
connect_create_server(const KsegConnect *connect)
{
	CreateForeignServerStmt *statement = makeNode(CreateForeignServerStmt);

	statement->servername = connect->server;
	statement->fdwname = KSEG_SEGMENT_WRAPPER;
	statement->options = connect_add_option(statement->options, "endpoint", connect->endpoint);
	statement->options = connect_add_option(statement->options, "region", connect->region);
	CreateForeignServer(statement);
	CommandCounterIncrement();
}

static const char *
connect_server_option(const ForeignServer *server, const char *name)
{
	ListCell *cell;

	foreach (cell, server->options)
	{
		DefElem *element = lfirst_node(DefElem, cell);

		if (strcmp(element->defname, name) == 0)
			return defGetString(element);
	}
	return NULL;
}

static char *
connect_server_endpoint(const ForeignServer *server)
{
	const char *endpoint = connect_server_option(server, "endpoint");
	const char *region = connect_server_option(server, "region");

	return endpoint_normalize(endpoint ? endpoint : endpoint_of_region(region ? region : "us"));
}

/*
 * The server is there already: it must be the one that is meant. A key never goes to another address than the one it
 * was given for.
 */
static void
connect_check_server(const KsegConnect *connect, const ForeignServer *server)
{
	char *is = connect_server_endpoint(server);
	const char *wanted = connect->endpoint ? endpoint_normalize(connect->endpoint)
	                     : connect->region ? endpoint_of_region(connect->region)
	                                       : is;

	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, KSEG_SEGMENT_WRAPPER) != 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("server \"%s\" exists and is not a server of the wrapper %s", connect->server,
		                       KSEG_SEGMENT_WRAPPER),
		                errhint("Choose another name with server => '...'.")));
	if (wanted == NULL || strcmp(is, wanted) != 0)
		ereport(ERROR,
		        (errcode(ERRCODE_DUPLICATE_OBJECT),
		         errmsg("server \"%s\" exists with another endpoint", connect->server),
		         errdetail("It sends to %s.", is),
		         errhint("Choose another name with server => '...', or change it with ALTER SERVER.")));
}

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

static void
connect_create_mapping(const KsegConnect *connect, RoleSpec *role)
{
	CreateUserMappingStmt *statement = makeNode(CreateUserMappingStmt);

	statement->user = role;
	statement->servername = connect->server;
	statement->options = connect_add_option(NIL, "write_key", connect->write_key);
	CreateUserMapping(statement);
}

static List *
connect_mapping_options(HeapTuple mapping)
{
	bool isnull;
	Datum options = SysCacheGetAttr(USERMAPPINGUSERSERVER, mapping, Anum_pg_user_mapping_umoptions, &isnull);

	return isnull ? NIL : untransformRelOptions(options);
}

/* Set the key in a mapping that is there; a write_key_file would go before it, so that leaves. */
static void
connect_alter_mapping(const KsegConnect *connect, RoleSpec *role, HeapTuple mapping)
{
	AlterUserMappingStmt *statement = makeNode(AlterUserMappingStmt);
	DefElem *key = makeDefElem("write_key", (Node *) makeString(pstrdup(connect->write_key)), -1);
	ListCell *cell;

	key->defaction = DEFELEM_ADD;
	foreach (cell, connect_mapping_options(mapping))
	{
		DefElem *element = lfirst_node(DefElem, cell);

		if (strcmp(element->defname, "write_key") == 0)
			key->defaction = DEFELEM_SET;
		else if (strcmp(element->defname, "write_key_file") == 0)
		{
			DefElem *file = makeDefElem("write_key_file", NULL, -1);

			file->defaction = DEFELEM_DROP;
			statement->options = lappend(statement->options, file);
		}
	}
	statement->user = role;
	statement->servername = connect->server;
	statement->options = lappend(statement->options, key);
	AlterUserMapping(statement);
}

/* Server and mapping. Returns what was done, in a sentence without the key. */
static char *
connect_apply(const KsegConnect *connect)
{
	ForeignServer *server = GetForeignServerByName(connect->server, true);
	RoleSpec *role = connect_role(connect);
	bool created = server == NULL;
	bool replaced;
	HeapTuple mapping;
	char *whose;

	if (created)
	{
		connect_create_server(connect);
		server = GetForeignServerByName(connect->server, false);
	}
	else
		connect_check_server(connect, server);
	whose = role->roletype == ROLESPEC_PUBLIC
	            ? pstrdup("every role with USAGE")
	            : psprintf("role %s", quote_identifier(GetUserNameFromId(connect_role_oid(role), false)));
	mapping = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(connect_role_oid(role)),
	                          ObjectIdGetDatum(server->serverid));
	replaced = HeapTupleIsValid(mapping);
	if (replaced)
	{
		connect_alter_mapping(connect, role, mapping);
		ReleaseSysCache(mapping);
	}
	else
		connect_create_mapping(connect, role);
	CommandCounterIncrement();
	return psprintf("%s server %s (%s), write key %s for %s", created ? "created" : "kept",
	                quote_identifier(connect->server), connect_server_endpoint(server),
	                replaced ? "replaced" : "set", whose);
}

static void
connect_check(const KsegConnect *connect)
{
	PreventCommandIfReadOnly("connect_segment()");
	if (connect->write_key == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("write_key is missing"),
		                errhint("Segment shows a source's write key under Settings, API Keys.")));
	if (connect->server == NULL || connect->server[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("server must have a name")));
	if (connect->region != NULL && connect->endpoint != NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("region and endpoint exclude each other"),
		         errdetail("A region stands for one of Segment's own endpoints.")));
	if (segment_server_key_problem(connect->write_key) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid write_key"),
		                errdetail("%s", segment_server_key_problem(connect->write_key))));
}

/* PostgreSQL's own errors name the right that is missing, but not who can give it. */
static void
connect_add_hint(const KsegConnect *connect, ErrorData *error)
{
	const char *kind = "DATA WRAPPER";
	const char *object = KSEG_SEGMENT_WRAPPER;

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

/*
 * Apply, and on an error keep the statement (which may hold the key) and the context (which may quote it: PL/pgSQL, COPY)
 * out of the log.
 */
static char *
connect_guarded(const KsegConnect *connect)
{
	MemoryContext context = CurrentMemoryContext;
	char *done = NULL;

	PG_TRY();
	{
		connect_check(connect);
		done = connect_apply(connect);
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

/* Does this server write the text of a plain SELECT to its log? */
static bool
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

static char *
connect_text_argument(FunctionCallInfo fcinfo, int index)
{
	return PG_ARGISNULL(index) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(index));
}

PG_FUNCTION_INFO_V1(kseg_sql_connect_segment);

/* connect_segment(write_key text, region text, endpoint text, server text, for_role text) RETURNS text */
Datum
kseg_sql_connect_segment(PG_FUNCTION_ARGS)
{
	KsegConnect connect;
	char *done;

	/* Before anything else: other sessions see this instead of a statement with the key. */
	connect.activity = "SELECT kseg.connect_segment(...)";
	pgstat_report_activity(STATE_RUNNING, connect.activity);

	connect.write_key = connect_text_argument(fcinfo, 0);
	connect.region = connect_text_argument(fcinfo, 1);
	connect.endpoint = connect_text_argument(fcinfo, 2);
	connect.server = connect_text_argument(fcinfo, 3);
	connect.for_role = connect_text_argument(fcinfo, 4);
	done = connect_guarded(&connect);
	if (connect_is_logged())
		ereport(WARNING, (errmsg("this server logs statements: the write key may now be in its log"),
		                  errhint("Replace the key at Segment, then set it with COPY kseg.write_key "
		                          "(write_key) FROM STDIN, or let "
		                          "a superuser name a file in the user mapping's option write_key_file."),
		                  errhidestmt(true), errhidecontext(true)));
	PG_RETURN_TEXT_P(cstring_to_text(done));
}

static char *
connect_tuple_text(TriggerData *trigger, const char *column)
{
	return SPI_getvalue(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation),
	                    SPI_fnumber(RelationGetDescr(trigger->tg_relation), column));
}

/* Said of an INSERT, which holds the key, as well as of a COPY, which does not. */
#define KSEG_WRITE_KEY_ACTIVITY "kseg.write_key gets a row, which is not shown"

static emit_log_hook_type connect_next_log_hook = NULL;

/*
 * COPY quotes the line that it cannot split into columns in the CONTEXT, before any trigger of ours is called, and
 * that line holds the key. Only here it can be kept from the log and, the error not being sent yet, from the client.
 */
static void
connect_hide_line(ErrorData *error)
{
	/* By the view's name alone: the words around it are translated, and Japanese and Korean put COPY behind it. */
	if (error->context != NULL && strstr(error->context, "write_key") != NULL)
	{
		/* elog.c frees what it finds there. */
		pfree(error->context);
		error->context = pstrdup("COPY write_key, a line that is not shown");
	}
	if (connect_next_log_hook != NULL)
		connect_next_log_hook(error);
}

PG_FUNCTION_INFO_V1(kseg_sql_write_key_begin);

/* BEFORE INSERT trigger of the view kseg.write_key, called before COPY reads its first line. */
Datum
kseg_sql_write_key_begin(PG_FUNCTION_ARGS)
{
	static bool hooked = false;

	pgstat_report_activity(STATE_RUNNING, KSEG_WRITE_KEY_ACTIVITY);
	if (!hooked)
	{
		connect_next_log_hook = emit_log_hook;
		emit_log_hook = connect_hide_line;
		hooked = true;
	}
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(kseg_sql_write_key_insert);

/*
 * INSTEAD OF INSERT trigger of the view kseg.write_key: each row is one connect_segment call. COPY's data is in no
 * statement, so neither log nor pg_stat_activity ever sees it.
 */
Datum
kseg_sql_write_key_insert(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	KsegConnect connect = {.activity = KSEG_WRITE_KEY_ACTIVITY};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_INSTEAD(trigger->tg_event))
		elog(ERROR, "kseg_sql_write_key_insert was not called as an INSTEAD OF trigger");
	connect.write_key = connect_tuple_text(trigger, "write_key");
	connect.region = connect_tuple_text(trigger, "region");
	connect.endpoint = connect_tuple_text(trigger, "endpoint");
	connect.server = connect_tuple_text(trigger, "server");
	connect.for_role = connect_tuple_text(trigger, "for_role");
	if (connect.server == NULL)
		connect.server = "segment";
	connect_guarded(&connect);
	return PointerGetDatum(trigger->tg_trigtuple);
}
