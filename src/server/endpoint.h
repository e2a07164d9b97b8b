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

/* Segment's own endpoints by region: "us", "eu"; NULL for any other. */
extern const char *endpoint_of_region(const char *region);

#endif /* KSEG_ENDPOINT_H */
