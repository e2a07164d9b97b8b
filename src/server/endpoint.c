/*
 * endpoint.c
 *	  Addresses that events may be sent to. See endpoint.h.
 *
 * The parsing is narrow on purpose: what it does not understand is refused when it is set, so that libcurl never has to
 * guess. User information, queries and fragments have no place in an endpoint.
 */
#include "postgres.h"

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

/* The port in ":port", checked; returns what follows it. */
static const char *
endpoint_skip_port(const char *endpoint, const char *at)
{
	int port = 0;
	const char *start = ++at;

	while (isdigit((unsigned char) *at) && port <= 65535)
		port = port * 10 + (*at++ - '0');
	if (at == start || port < 1 || port > 65535)
		endpoint_invalid(endpoint, "The port is a number from 1 to 65535.");
	return at;
}

/* The host as a palloc'd string (IPv6 without brackets); *rest is what follows it. */
static char *
endpoint_host(const char *endpoint, const char *at, const char **rest)
{
	size_t length;

	if (*at == '[')
	{
		length = strspn(at + 1, "0123456789abcdefABCDEF:.");
		if (length == 0 || at[1 + length] != ']')
			endpoint_invalid(endpoint, "An IPv6 address stands in brackets: https://[::1]:8443.");
		*rest = at + length + 2;
		return pnstrdup(at + 1, length);
	}
	length = strspn(at, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_");
	if (length == 0)
		endpoint_invalid(endpoint, "Write it as https://host, https://host:port or https://host/prefix.");
	*rest = at + length;
	return pnstrdup(at, length);
}

/* Loopback by its looks. A name other than localhost could resolve to anything, so it does not count. */
static bool
endpoint_host_is_loopback(const char *host)
{
	unsigned int a, b, c, d;
	char end;

	return pg_strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
	       (sscanf(host, "%u.%u.%u.%u%c", &a, &b, &c, &d, &end) == 4 && a == 127 && b < 256 && c < 256 &&
	        d < 256);
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
	host = endpoint_host(endpoint, normal + (plaintext ? 7 : 8), &at);
	if (*at == ':')
		at = endpoint_skip_port(endpoint, at);
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
