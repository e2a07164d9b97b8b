/*
 * connect.h
 *	  connect_*(): a server and a user mapping in one call, with care for the secret.
 *
 * Owns: the care for a secret on its way into the catalog, and what the wrappers' connect functions and the views to COPY into
 * have in common. The secret goes to CreateForeignServer and CreateUserMapping directly and never through SQL text, because
 * text would land in pg_stat_statements (track = all), in CONTEXT lines and in the log. What PostgreSQL itself logs of the
 * caller's statement before this code runs (log_statement, log_min_duration_statement) no extension can prevent: then a
 * WARNING names the ways by which a secret never meets the log.
 * Refuses: to know a wrapper's options.
 */
#ifndef KSEG_CONNECT_H
#define KSEG_CONNECT_H

#include "postgres.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "nodes/pg_list.h"

/* What every connect function is called with, and what it is. */
typedef struct KsegConnect
{
	const char *function; /* "connect_segment" */
	const char *wrapper;
	const char *activity; /* what other sessions see of the statement */
	char *server;
	char *for_role; /* NULL: the caller; "public": every role */
} KsegConnect;

/* Append an option; value NULL: nothing, or with connect_drop_option: the option leaves, if it is there. */
extern List *connect_add_option(List *options, const char *name, const char *value);
extern List *connect_drop_option(List *options, const char *name);

/*
 * Call apply, which does the work and returns a sentence without a secret; returns that. On an ERROR the statement (which may
 * hold the secret) and the context (which may quote it: PL/pgSQL, COPY) are kept out of the log, and a missing right gets a
 * hint. Refuses in a read-only transaction (25006) and without a server's name (22004).
 */
extern char *connect_guarded(const KsegConnect *connect, char *(*apply)(const KsegConnect *connect));

/* Of apply: the server, NULL when there is none yet. ERROR 42809: it is of another wrapper. */
extern ForeignServer *connect_find_server(const KsegConnect *connect);
extern ForeignServer *connect_create_server(const KsegConnect *connect, List *options);

/* Of apply: the options of the role's mapping; *there: is there one? */
extern List *connect_mapping_options(const KsegConnect *connect, const ForeignServer *server, bool *there);

/* Of apply: create the role's mapping with these options, or set and drop them in the one that is there. */
extern void connect_set_mapping(const KsegConnect *connect, const ForeignServer *server, List *options);

/* "role x" or "every role with USAGE", palloc'd. */
extern char *connect_whose(const KsegConnect *connect);

/* Does this server write the text of a plain SELECT to its log? */
extern bool connect_is_logged(void);

/* A function's argument, or NULL. palloc'd. */
extern char *connect_text_argument(FunctionCallInfo fcinfo, int index);

/* ---------- views to COPY into: connect_copy.c ---------- */

/*
 * Of a BEFORE INSERT trigger, called before COPY reads its first line: from now on no CONTEXT in log or errors quotes a line
 * of the view. activity: said of an INSERT, which holds the secret, as well as of a COPY, which does not.
 */
extern void connect_copy_begin(const char *activity);

/* Of an INSTEAD OF INSERT trigger: its data, after a check that it is called as one; a column's text, or NULL. */
extern TriggerData *connect_copy_trigger(FunctionCallInfo fcinfo);
extern char *connect_copy_text(TriggerData *trigger, const char *column);

#endif /* KSEG_CONNECT_H */
