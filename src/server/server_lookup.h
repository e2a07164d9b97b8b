/*
 * server_lookup.h
 *	  Servers by name and role, of any of kseg's wrappers.
 *
 * Owns: the ways in which a server is not to be had, and what to do about each. Refuses: to know a wrapper's options.
 */
#ifndef KSEG_SERVER_LOOKUP_H
#define KSEG_SERVER_LOOKUP_H

#include "postgres.h"
#include "foreign/foreign.h"

/* What the hints of a wrapper's servers say. */
typedef struct KsegServerWords
{
	const char *wrapper; /* its name */
	const char
	    *connect; /* the call that makes one, without its last arguments: "kseg.connect_x(y => '...'" */
} KsegServerWords;

/*
 * The server of this name, on which the current user has USAGE. ERRORs with hints: there is none (42704), it is of another
 * wrapper (42809), no USAGE (42501). missing_ok: NULL for the first and the last.
 */
extern ForeignServer *server_lookup(const char *name, const KsegServerWords *words, bool missing_ok);

/*
 * The mapping of this user (else PUBLIC's) for the server. ERROR with a hint: there is none (42704). missing_ok: NULL. Its
 * userid is InvalidOid when it is PUBLIC's.
 */
extern UserMapping *server_lookup_mapping(const ForeignServer *server, Oid user, const KsegServerWords *words,
                                          bool missing_ok);

/* The name of the wrapper of the server of this name, or NULL when there is no such server. palloc'd. */
extern char *server_lookup_wrapper(const char *name);

#endif /* KSEG_SERVER_LOOKUP_H */
