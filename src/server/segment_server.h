/*
 * segment_server.h
 *	  Servers of the wrapper kseg_segment: their options, who may use them, and what a courier is told of them.
 *
 * Owns: the option table, its checks, the look-up by name and role. Refuses: to connect.
 */
#ifndef KSEG_SEGMENT_SERVER_H
#define KSEG_SEGMENT_SERVER_H

#include "postgres.h"
#include "lib/stringinfo.h"

#define KSEG_SEGMENT_WRAPPER "kseg_segment"

/* A server as a role may use it. Durations in milliseconds. Strings are palloc'd in the context of the look-up. */
typedef struct KsegSegmentServer
{
	Oid oid;
	char *name;
	char *endpoint; /* "https://host[:port][/prefix]", no slash at the end */
	char *region;   /* "us" or "eu" */
	char *ca_file;  /* NULL: the system's authorities */
	char *compression;
	int upload_size; /* events in a request */
	int upload_interval;
	int max_queue_size; /* events in flight */
	int connections;    /* = lanes */
	int request_timeout;
	int max_retries;
	int max_retry_age;
	/* of the user mapping */
	char *write_key; /* NULL when write_key_file is to be read */
	char *write_key_file;
} KsegSegmentServer;

/*
 * The server of this name with the current user's mapping (else PUBLIC's).
 * ERRORs with hints: no such server (42704), not a kseg_segment server (HV000 class), no USAGE (42501), no mapping or no key.
 * missing_ok: NULL instead, when the server or the mapping is not there or may not be used.
 */
extern KsegSegmentServer *segment_server_get(const char *name, bool missing_ok);

/* The write key itself; reads write_key_file when the mapping names one. Wipe it after use. */
extern char *segment_server_write_key(const KsegSegmentServer *server);

/* Append the CONFIG of a job (src/README.md) to json. Holds the write key: wipe it after use. */
extern void segment_server_config(const KsegSegmentServer *server, const char *write_key, const char *job,
                                  StringInfo json);

/* Is this a write key that can be one? The reason why not, or NULL. Never shows the key. */
extern const char *segment_server_key_problem(const char *write_key);

#endif /* KSEG_SEGMENT_SERVER_H */
