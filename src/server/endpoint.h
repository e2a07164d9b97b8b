/*
 * endpoint.h
 *	  Addresses that events may be sent to.
 */
#ifndef KSEG_ENDPOINT_H
#define KSEG_ENDPOINT_H

#include "postgres.h"

/*
 * Check an endpoint that somebody sets. ERRORs: not http(s)://host[:port][/prefix] (22023), plaintext to a host that is
 * not loopback (22023), anything but Segment's own by somebody who is not superuser (42501: a server that can be pointed
 * at local addresses is a hole). The courier checks the address really connected to once more.
 */
extern void endpoint_check(const char *endpoint);

/* palloc'd without trailing slashes. */
extern char *endpoint_normalize(const char *endpoint);

/*
 * Read the host of an address: a name, an IPv4 address, or an IPv6 one in brackets. Returns what follows it, or NULL when
 * there is no legal host; *host is palloc'd, without brackets.
 */
extern const char *endpoint_read_host(const char *at, char **host);

/* Read ":port" from 1 to 65535. Returns what follows it, or NULL when it is no port. */
extern const char *endpoint_read_port(const char *at, int *port);

/* Loopback by its looks. A name other than localhost could resolve to anything, so it does not count. */
extern bool endpoint_host_is_loopback(const char *host);

/* Segment's own endpoints by region: "us", "eu"; NULL for any other. */
extern const char *endpoint_of_region(const char *region);

#endif /* KSEG_ENDPOINT_H */
