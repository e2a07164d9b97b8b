/*
 * endpoint.c
 *	  Addresses that events may be sent to. See endpoint.h.
 *
 * The parsing is narrow on purpose: what it does not understand is refused when it is set, so that libcurl never has to
 * guess. User information, queries and fragments have no place in an endpoint.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "miscadmin.h"

#include "server/endpoint.h"

static const struct
{
	const char *region;
	const char *endpoint;
} segment_endpoints[] = {
    /* segment.md, "Endpoints and authentication" */
    {"us", "https://api.segment.io"},
    {"eu", "https://events.eu1.segmentapis.com"},
};

const char *
endpoint_of_region(const char *region)
{
	for (int i = 0; i < lengthof(segment_endpoints); i++)
	{
		if (strcmp(segment_endpoints[i].region, region) == 0)
			return segment_endpoints[i].endpoint;
	}
	return NULL;
}

static bool
endpoint_is_segments(const char *endpoint)
{
	for (int i = 0; i < lengthof(segment_endpoints); i++)
	{
		if (strcmp(segment_endpoints[i].endpoint, endpoint) == 0)
			return true;
	}
	return false;
}

char *
endpoint_normalize(const char *endpoint)
{
	char *copy = pstrdup(endpoint);
	size_t length = strlen(copy);

	while (length > 0 && copy[length - 1] == '/')
		copy[--length] = '\0';
	return copy;
}

static void
endpoint_invalid(const char *endpoint, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("invalid value for option \"endpoint\": \"%s\"", endpoint), errhint("%s", hint)));
}

const char *
endpoint_read_port(const char *at, int *port)
{
	const char *start = ++at;

	*port = 0;
	while (isdigit((unsigned char) *at) && *port <= 65535)
		*port = *port * 10 + (*at++ - '0');
	return at == start || *port < 1 || *port > 65535 ? NULL : at;
}

const char *
endpoint_read_host(const char *at, char **host)
{
	size_t length;

	if (*at == '[')
	{
		length = strspn(at + 1, "0123456789abcdefABCDEF:.");
		if (length == 0 || at[1 + length] != ']')
			return NULL;
		*host = pnstrdup(at + 1, length);
		return at + length + 2;
	}
	length = strspn(at, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_");
	if (length == 0)
		return NULL;
	*host = pnstrdup(at, length);
	return at + length;
}

/* The host as a palloc'd string (IPv6 without brackets) and what follows it and its port. */
static const char *
endpoint_host(const char *endpoint, const char *at, char **host)
{
	int port;

	at = endpoint_read_host(at, host);
	if (at == NULL)
		endpoint_invalid(endpoint,
		                 strchr(endpoint, '[') != NULL
		                     ? "An IPv6 address stands in brackets: https://[::1]:8443."
		                     : "Write it as https://host, https://host:port or https://host/prefix.");
	if (*at != ':')
		return at;
	at = endpoint_read_port(at, &port);
	if (at == NULL)
		endpoint_invalid(endpoint, "The port is a number from 1 to 65535.");
	return at;
}

bool
endpoint_host_is_loopback(const char *host)
{
	struct in_addr ipv4;
	struct in6_addr ipv6;

	/* inet_pton takes no leading zeros, which others read as octal: 0127.0.0.1 is elsewhere. */
	return pg_strcasecmp(host, "localhost") == 0 ||
	       (inet_pton(AF_INET, host, &ipv4) == 1 && ntohl(ipv4.s_addr) >> 24 == IN_LOOPBACKNET) ||
	       (inet_pton(AF_INET6, host, &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6));
}

static void
endpoint_check_path(const char *endpoint, const char *path)
{
	if (*path != '\0' && *path != '/')
		endpoint_invalid(endpoint, "Write it as https://host, https://host:port or https://host/prefix.");
	if (path[strspn(path, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_~/%")] != '\0')
		endpoint_invalid(endpoint,
		                 "An endpoint has no query, fragment, user name, blank or other special character.");
	if (strstr(path, "/v1/batch") != NULL || strcmp(path, "/v1") == 0)
		endpoint_invalid(endpoint, "Leave out \"/v1/batch\": kseg appends it.");
}

void
endpoint_check(const char *endpoint)
{
	char *normal = endpoint_normalize(endpoint);
	bool plaintext = strncmp(normal, "http://", 7) == 0;
	const char *at;
	char *host;

	if (endpoint_is_segments(normal))
		return;
	if (strchr(endpoint, '@') != NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for option \"endpoint\""),
		         errhint("An endpoint has no user name or password: the write key is the user mapping's.")));
	if (!plaintext && strncmp(normal, "https://", 8) != 0)
		endpoint_invalid(endpoint, "It begins with https:// (or http:// on this machine itself).");
	at = endpoint_host(endpoint, normal + (plaintext ? 7 : 8), &host);
	endpoint_check_path(endpoint, at);
	if (plaintext && !endpoint_host_is_loopback(host))
		endpoint_invalid(
		    endpoint,
		    "Plaintext would show people's data to the network; http:// is for localhost, 127.0.0.1 "
		    "and [::1] only. Use https://.");
	if (!superuser())
		ereport(
		    ERROR,
		    (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		     errmsg("only superusers may set the endpoint of a %s server to other than Segment's own",
		            "kseg_segment"),
		     errhint("Leave out endpoint and choose region 'us' or 'eu', or ask a superuser to create the "
		             "server.")));
}
