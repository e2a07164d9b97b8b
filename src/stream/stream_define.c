/*
 * stream_define.c
 *	  Making and changing streams: stream_to_table and alter_stream.
 *
 * Everything about a definition is checked when it is given, so that what does not fit is an error of the statement that says so, and not of
 * a worker later. The check runs as the stream's owner, because the worker will.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "base/own_version.h"
#include "compat.h"
#include "server/kafka_server.h"
#include "source/topic_table.h"
#include "stream/stream_arguments.h"
#include "stream/stream_define.h"
#include "stream/stream_shared.h"
#include "stream/stream_start.h"
#include "stream/stream_write.h"

PG_FUNCTION_INFO_V1(kseg_sql_stream_to_table);
PG_FUNCTION_INFO_V1(kseg_sql_alter_stream);

/* ---------- the check ---------- */

static void
define_check_login(const KsegStreamEntry *entry)
{
	if (kseg_compat_role_may_run(entry->owner))
		return;
	ereport(ERROR,
	        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	         errmsg("role \"%s\" may not log in, so it cannot own a stream", entry->owner_name),
	         errdetail("A stream's worker connects as its owner; before PostgreSQL 17 only a role with "
	                   "LOGIN can be connected as."),
	         errhint("ALTER ROLE %s LOGIN; without a password nobody gets in by it where a password is "
	                 "asked for.",
	                 quote_identifier(entry->owner_name))));
}

static void
define_check_server(const KsegStreamQuery *query)
{
	const char *name = GetForeignServer(query->server)->servername;

	if (kseg_compat_server_aclcheck(query->server, GetUserId()) != ACLCHECK_OK)
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("permission denied for foreign server %s", name),
		         errhint("Its owner can GRANT USAGE ON FOREIGN SERVER %s TO %s.", quote_identifier(name),
		                 quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	(void) kafka_server_get_by_oid(query->server, GetUserId());
}

static void
define_warn_unlogged(const KsegStreamQuery *query)
{
	if (get_rel_persistence(query->target) == RELPERSISTENCE_UNLOGGED)
		ereport(
		    WARNING,
		    (errcode(ERRCODE_WARNING), errmsg("table \"%s\" is unlogged", get_rel_name(query->target)),
		     errdetail("After a crash of the server it is empty, but the stream's position is where it was."),
		     errhint("ALTER TABLE ... SET LOGGED, or kseg.reset_stream after a crash.")));
}

/* As the owner, with the definition's search_path. */
static List *
define_check_as_owner(const KsegStreamEntry *entry)
{
	const KsegStreamQuery *query;
	const KsegTopicTable *table;

	stream_query_set_search_path(entry);
	query = stream_query_analyze(entry);
	define_check_server(query);
	table = topic_table_get(query->source);
	define_warn_unlogged(query);
	return entry->topics != NIL ? entry->topics : list_make1(unconstify(char *, table->topic));
}

List *
stream_define_check(const KsegStreamEntry *entry)
{
	int level = NewGUCNestLevel();
	List *topics;
	Oid user;
	int security;
	int more;

	define_check_login(entry);
	GetUserIdAndSecContext(&user, &security);
	/* Planning runs functions that are immutable, or say so: somebody else's do it without the caller's session. */
	more = entry->owner == user ? 0 : SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION;
	SetUserIdAndSecContext(entry->owner, security | more);
	topics = define_check_as_owner(entry);
	AtEOXact_GUC(false, level);
	SetUserIdAndSecContext(user, security);
	return topics;
}

void
stream_define_check_role(Oid role)
{
	kseg_compat_check_can_set_role(GetUserId(), role);
}

void
stream_define_tell_preload(const KsegStreamEntry *entry)
{
	if (stream_shared_is_there() || !entry->enabled || entry->halted != NULL)
		return;
	ereport(NOTICE, (errmsg("stream \"%s\" will run when this server preloads kseg", entry->name),
	                 errdetail("Streams are run by background workers, which start with the server."),
	                 errhint("Set shared_preload_libraries = 'kseg', beside what is there already, and "
	                         "restart the server.")));
}

/* ---------- stream_to_table ---------- */

static KsegStreamEntry *
define_entry(const KsegArguments *arguments)
{
	KsegStreamEntry *entry = palloc0(sizeof(KsegStreamEntry));

	stream_arguments_preset(entry);
	entry->name = arguments_text(arguments, "name");
	if (entry->name == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name must not be NULL")));
	stream_arguments_check_name(entry->name);
	entry->owner = GetUserId();
	entry->owner_name = GetUserNameFromId(entry->owner, false);
	entry->search_path = pstrdup(namespace_search_path);
	stream_arguments_take(entry, arguments);
	return entry;
}

Datum
kseg_sql_stream_to_table(PG_FUNCTION_ARGS)
{
	KsegArguments arguments;
	KsegStreamEntry *entry;
	List *topics;
	char *start;
	List *positions = NIL;

	own_version_check();
	if (InSecurityRestrictedOperation())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("cannot make a stream within a security-restricted operation")));
	arguments_read(&arguments, fcinfo);
	entry = define_entry(&arguments);
	if (stream_write_exists(entry->name))
		stream_write_refuse_name(entry->name);
	topics = stream_define_check(entry);
	start = arguments_text(&arguments, "start");
	if (start != NULL)
		positions = stream_start_take(entry, start, topics);
	if (!stream_write_new(entry))
		stream_write_refuse_name(entry->name);
	stream_write_positions(entry, positions);
	stream_entry_notify(entry->name, "starting", NULL);
	stream_define_tell_preload(entry);
	PG_RETURN_TEXT_P(cstring_to_text(entry->name));
}

/* ---------- alter_stream ---------- */

/* Who alters it could change its query, and so run anything as its owner: only who may become that owner may. */
static bool
alter_take_owner(KsegStreamEntry *entry, const KsegArguments *arguments)
{
	char *owner = arguments_text(arguments, "owner");

	if (owner != NULL)
	{
		entry->owner = get_role_oid(owner, false);
		entry->owner_name = owner;
	}
	if (!OidIsValid(entry->owner))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
		                errmsg("the owner of stream \"%s\", role \"%s\", does not exist", entry->name,
		                       entry->owner_name),
		                errhint("Give it another one: owner => '...'.")));
	stream_define_check_role(entry->owner);
	return owner != NULL;
}

static bool
alter_take_name(KsegStreamEntry *entry, const KsegArguments *arguments)
{
	char *name = arguments_text(arguments, "new_name");

	if (name == NULL || strcmp(name, entry->name) == 0)
		return false;
	stream_arguments_check_name(name);
	if (stream_write_exists(name))
		stream_write_refuse_name(name);
	entry->name = name;
	return true;
}

/* A halted stream stays so: the change may be what it waits for, or the first of several. */
static void
alter_tell_halted(const KsegStreamEntry *entry)
{
	if (entry->halted == NULL || !entry->enabled)
		return;
	ereport(NOTICE, (errmsg("stream \"%s\" has stopped by itself: %s", entry->name, entry->halted),
	                 errhint("Start it again with kseg.start_stream.")));
}

Datum
kseg_sql_alter_stream(PG_FUNCTION_ARGS)
{
	KsegArguments arguments;
	KsegStreamEntry *entry;
	KsegStreamGiven given;
	bool renamed;
	char *name;

	arguments_read(&arguments, fcinfo);
	name = arguments_text(&arguments, "name");
	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name must not be NULL")));
	entry = stream_write_lock(name);
	if (OidIsValid(entry->owner))
		stream_define_check_role(entry->owner);
	given = stream_arguments_take(entry, &arguments);
	if (given.names)
		entry->search_path = pstrdup(namespace_search_path);
	given.any |= alter_take_owner(entry, &arguments);
	if (given.any)
		(void) stream_define_check(entry);
	renamed = alter_take_name(entry, &arguments);
	if (given.any || renamed)
		stream_write_definition(entry);
	if (renamed)
	{
		stream_write_renamed(entry, name);
		stream_entry_notify(name, "renamed", entry->name);
	}
	alter_tell_halted(entry);
	PG_RETURN_TEXT_P(cstring_to_text(entry->name));
}
