/*
 * stream_hooks.c
 *	  The hook on utility statements: PostgreSQL 15 to 18 never asks a background worker to leave a database, so kseg does.
 *
 * Owns: which statements need a database to be free of kseg's processes (stream_hold.c), and after which of them streams are looked at
 * anew. Refuses: to change what a statement does, and to act for somebody whose statement PostgreSQL is going to refuse: nobody can
 * stop a stream by a DROP that he has no right to.
 *
 * A hold lasts until the transaction ends, because a worker that comes back earlier would wait for the statement's locks, or find the
 * extension half gone.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"

#include "compat.h"
#include "stream/stream_hold.h"
#include "stream/stream_hooks.h"
#include "stream/stream_shared.h"

#define HOOKS_NAME "kseg" /* of the extension and of its schema */

static ProcessUtility_hook_type previous_utility = NULL;

static bool
hooks_owns(Oid catalog, Oid object)
{
	return OidIsValid(object) && kseg_compat_ownercheck(catalog, object, GetUserId());
}

/* Another database than this one, by name, that the current role owns. */
static Oid
hooks_own_database(const char *name)
{
	Oid database = get_database_oid(name, true);

	return database != MyDatabaseId && hooks_owns(DatabaseRelationId, database) ? database : InvalidOid;
}

static DefElem *
hooks_option(List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = lfirst(cell);

		if (strcmp(option->defname, name) == 0)
			return option;
	}
	return NULL;
}

/* The database that a CREATE DATABASE copies; this one may be it. */
static Oid
hooks_template(const CreatedbStmt *statement)
{
	DefElem *option = hooks_option(statement->options, "template");

	return get_database_oid(option != NULL && option->arg != NULL ? defGetString(option) : "template1", true);
}

static bool
hooks_names(List *objects, const char *name)
{
	ListCell *cell;

	foreach (cell, objects)
	{
		if (IsA(lfirst(cell), String) && strcmp(strVal(lfirst(cell)), name) == 0)
			return true;
	}
	return false;
}

/* Its schema is a member of it: nobody can drop that alone. */
static bool
hooks_drops_extension(const DropStmt *statement)
{
	return statement->removeType == OBJECT_EXTENSION && hooks_names(statement->objects, HOOKS_NAME) &&
	       hooks_owns(ExtensionRelationId, get_extension_oid(HOOKS_NAME, true));
}

/* DROP OWNED BY the extension's owner takes the extension with it. */
static bool
hooks_drops_owned_extension(const DropOwnedStmt *statement)
{
	Oid extension = get_extension_oid(HOOKS_NAME, true);
	ListCell *cell;

	if (!OidIsValid(extension))
		return false;
	foreach (cell, statement->roles)
	{
		Oid role = get_rolespec_oid(lfirst(cell), true);

		if (OidIsValid(role) && has_privs_of_role(GetUserId(), role) &&
		    kseg_compat_ownercheck(ExtensionRelationId, extension, role))
			return true;
	}
	return false;
}

static bool
hooks_updates_extension(const AlterExtensionStmt *statement)
{
	return strcmp(statement->extname, HOOKS_NAME) == 0 &&
	       hooks_owns(ExtensionRelationId, get_extension_oid(HOOKS_NAME, true));
}

/* What no transaction block may have: the statement is refused in one, before anything else. */
static bool
hooks_needs_no_block(Node *statement)
{
	return IsA(statement, DropdbStmt) || IsA(statement, CreatedbStmt) ||
	       (IsA(statement, AlterDatabaseStmt) &&
	        hooks_option(((AlterDatabaseStmt *) statement)->options, "tablespace") != NULL);
}

/* The database that must be free of kseg's processes for this statement; InvalidOid: none. */
static Oid
hooks_database_to_hold(Node *statement)
{
	Oid database;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return hooks_own_database(((DropdbStmt *) statement)->dbname);
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE && have_createdb_privilege())
				return hooks_own_database(((RenameStmt *) statement)->subname);
			return InvalidOid;
		case T_AlterDatabaseStmt:
			if (hooks_option(((AlterDatabaseStmt *) statement)->options, "tablespace") != NULL)
				return hooks_own_database(((AlterDatabaseStmt *) statement)->dbname);
			return InvalidOid;
		case T_CreatedbStmt:
			/* Nothing of kseg's runs in a database that is marked as a template: those need no right of ownership. */
			database = hooks_template((CreatedbStmt *) statement);
			return have_createdb_privilege() && hooks_owns(DatabaseRelationId, database) ? database
			                                                                             : InvalidOid;
		case T_DropStmt:
			return hooks_drops_extension((DropStmt *) statement) ? MyDatabaseId : InvalidOid;
		case T_DropOwnedStmt:
			return hooks_drops_owned_extension((DropOwnedStmt *) statement) ? MyDatabaseId : InvalidOid;
		case T_AlterExtensionStmt:
			return hooks_updates_extension((AlterExtensionStmt *) statement) ? MyDatabaseId : InvalidOid;
		default:
			return InvalidOid;
	}
}

/* A restored dump brings definitions by COPY: they are a copy's, and are to be shown as that. */
static bool
hooks_restores_streams(const CopyStmt *statement)
{
	const RangeVar *relation = statement->relation;

	return statement->is_from && relation != NULL && relation->schemaname != NULL &&
	       strcmp(relation->schemaname, HOOKS_NAME) == 0 && strcmp(relation->relname, "stream_entry") == 0;
}

/* Streams to be looked at when this statement's transaction commits. A hold marks its database by itself. */
static void
hooks_mark(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreateExtensionStmt:
			if (strcmp(((CreateExtensionStmt *) statement)->extname, HOOKS_NAME) == 0)
				stream_shared_mark_dirty_at_commit();
			break;
		case T_CopyStmt:
			if (hooks_restores_streams((CopyStmt *) statement))
				stream_shared_mark_dirty_at_commit();
			break;
		case T_CreatedbStmt: /* the launcher finds the new one when it looks for the old one */
			stream_shared_mark_database_at_commit(hooks_template((CreatedbStmt *) statement));
			break;
		case T_AlterDatabaseStmt: /* ALLOW_CONNECTIONS, IS_TEMPLATE */
			stream_shared_mark_database_at_commit(
			    get_database_oid(((AlterDatabaseStmt *) statement)->dbname, true));
			break;
		case T_DropRoleStmt:
			stream_shared_mark_used_at_commit();
			break;
		case T_AlterRoleStmt: /* LOGIN, which decides before 17 */
			if (hooks_option(((AlterRoleStmt *) statement)->options, "canlogin") != NULL)
				stream_shared_mark_used_at_commit();
			break;
		default:
			break;
	}
}

static void
hooks_utility(PlannedStmt *planned, const char *text, bool read_only_tree, ProcessUtilityContext context,
              ParamListInfo parameters, QueryEnvironment *environment, DestReceiver *receiver,
              QueryCompletion *completion)
{
	Node *statement = planned->utilityStmt;
	ProcessUtility_hook_type next = previous_utility != NULL ? previous_utility : standard_ProcessUtility;

	/* A standby has no workers, and refuses these statements. */
	if (stream_shared_is_there() && !RecoveryInProgress() &&
	    !(hooks_needs_no_block(statement) && IsInTransactionBlock(context == PROCESS_UTILITY_TOPLEVEL)))
	{
		Oid database = hooks_database_to_hold(statement);

		if (OidIsValid(database))
			stream_hold_take(database);
		hooks_mark(statement);
	}
	next(planned, text, read_only_tree, context, parameters, environment, receiver, completion);
}

void
stream_hooks_install(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = hooks_utility;
}
