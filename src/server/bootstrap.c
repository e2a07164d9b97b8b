/*
 * bootstrap.c
 *	  The brokers that a client of Kafka asks first. See bootstrap.h.
 *
 * As with endpoints the parsing is narrow: what it does not understand is refused when it is set, so that librdkafka never
 * has to guess.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "lib/stringinfo.h"

#include "server/bootstrap.h"
#include "server/endpoint.h"

#define BOOTSTRAP_FORM  "Write it as host, host:port or [IPv6 address]:port, several separated by commas."
#define BOOTSTRAP_BLANK " \t\n\r"

static void
bootstrap_invalid(const char *list, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                strchr(list, '@') != NULL
	                    ? errmsg("invalid value for option \"bootstrap_servers\"")
	                    : errmsg("invalid value for option \"bootstrap_servers\": \"%s\"", list),
	                detail ? errdetail("%s", detail) : 0, errhint("%s", hint)));
}

/* Append one server and its port; returns what follows it. */
static const char *
bootstrap_read_server(const char *list, const char *at, StringInfo normal)
{
	struct in6_addr ipv6;
	int port = KSEG_KAFKA_PORT;
	bool brackets = *at == '[';
	char *host;

	at = endpoint_read_host(at, &host);
	if (at == NULL || (brackets && inet_pton(AF_INET6, host, &ipv6) != 1))
		bootstrap_invalid(list, NULL, BOOTSTRAP_FORM);
	else if (strncmp(at, "://", 3) == 0)
		bootstrap_invalid(list, NULL, "Leave out the protocol: it is said by the option security_protocol.");
	else if (*at == ':')
		at = endpoint_read_port(at, &port);
	if (at == NULL)
		bootstrap_invalid(list, "A port is a number from 1 to 65535.", BOOTSTRAP_FORM);
	appendStringInfo(normal, brackets ? "%s[%s]:%d" : "%s%s:%d", normal->len > 0 ? "," : "", host, port);
	pfree(host);
	return at;
}

char *
bootstrap_normalize(const char *list)
{
	StringInfoData normal;
	const char *at = list;

	if (strchr(list, '@') != NULL)
		bootstrap_invalid(list, NULL,
		                  "There is no user name or password in it: both are options of the user mapping.");
	initStringInfo(&normal);
	for (;;)
	{
		at += strspn(at, BOOTSTRAP_BLANK);
		at = bootstrap_read_server(list, at, &normal);
		at += strspn(at, BOOTSTRAP_BLANK);
		if (*at == '\0')
			return normal.data;
		if (*at != ',')
			bootstrap_invalid(list, NULL, BOOTSTRAP_FORM);
		at++;
	}
}

bool
bootstrap_is_loopback(const char *list)
{
	const char *at = list;

	while (*at != '\0')
	{
		char *host;
		bool loopback;

		at = endpoint_read_host(at, &host);
		if (at == NULL)
			return false;
		loopback = endpoint_host_is_loopback(host);
		pfree(host);
		if (!loopback)
			return false;
		at += strcspn(at, ",");
		at += *at == ',';
	}
	return true;
}
