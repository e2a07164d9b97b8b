/*
 * address.c
 *	  Socket addresses. See address.h.
 */
#include "courier/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

_Static_assert(KSEG_ADDRESS_MAX >= INET6_ADDRSTRLEN, "room for an address of either family");

bool
address_is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *) (const void *) address)->sin_addr.s_addr) >> 24 == 127;
	if (address->sa_family == AF_INET6)
	{
		const struct in6_addr *v6 = &((const struct sockaddr_in6 *) (const void *) address)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
	}
	return false;
}

void
address_write(char *out, const struct sockaddr *address)
{
	snprintf(out, KSEG_ADDRESS_MAX, "of an unknown family");
	if (address->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *) (const void *) address)->sin_addr, out,
		          KSEG_ADDRESS_MAX);
	else if (address->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *) (const void *) address)->sin6_addr, out,
		          KSEG_ADDRESS_MAX);
}
