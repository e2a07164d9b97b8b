/*
 * server_lookup.c
 *	  Servers by name and role. See server_lookup.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "compat.h"
#include "server/server_lookup.h"

ForeignServer *
server_lookup(const char *name, const KsegServerWords *words, bool missing_ok)
{
	ForeignServer *server = GetForeignServerByName(name, true);

	if (server == NULL)
	{
		if (missing_ok)
			return NULL;
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("server \"%s\" does not exist", name),
		                errhint("Create it with SELECT %s), or name another with server => '...'.",
		                        words->connect)));
	}
	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, words->wrapper) != 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("server \"%s\" is not a server of the wrapper %s", name, words->wrapper)));
	if (kseg_compat_server_aclcheck(server->serverid, GetUserId()) != ACLCHECK_OK)
	{
		if (missing_ok)
			return NULL;
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("permission denied for foreign server %s", name),
		         errhint("Its owner can GRANT USAGE ON FOREIGN SERVER %s TO %s.", quote_identifier(name),
		                 quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	}
	return server;
}

static bool
server_has_mapping(Oid server, Oid user)
{
	return SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(user), ObjectIdGetDatum(server));
}

UserMapping *
server_lookup_mapping(const ForeignServer *server, Oid user, const KsegServerWords *words, bool missing_ok)
{
	UserMapping *mapping;
	bool own = server_has_mapping(server->serverid, user);

	if (!own && !server_has_mapping(server->serverid, InvalidOid))
	{
		if (missing_ok)
			return NULL;
		ereport(ERROR,
		        (errcode(ERRCODE_UNDEFINED_OBJECT),
		         errmsg("there is no user mapping of role \"%s\" for server \"%s\"",
		                GetUserNameFromId(user, false), server->servername),
		         errhint("Say SELECT %s, server => %s), or let its owner do so with for_role => 'public'.",
		                 words->connect, quote_literal_cstr(server->servername))));
	}
	mapping = GetUserMapping(user, server->serverid);
	/* GetUserMapping gives PUBLIC's mapping the name of who asked. */
	mapping->userid = own ? user : InvalidOid;
	return mapping;
}

char *
server_lookup_wrapper(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);

	return server == NULL ? NULL : GetForeignDataWrapper(server->fdwid)->fdwname;
}
