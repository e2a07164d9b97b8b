/*
 * address.h
 *	  Addresses that a library is about to connect to.
 *
 * The address is the one that the socket will really connect to: a name may resolve to anything.
 */
#ifndef KSEG_COURIER_ADDRESS_H
#define KSEG_COURIER_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* Bytes of an address as a text, NUL included (INET6_ADDRSTRLEN). */
#define KSEG_ADDRESS_MAX 46

extern bool address_is_loopback(const struct sockaddr *address);

/* "192.0.2.1", "2001:db8::1" or "of an unknown family" into out (KSEG_ADDRESS_MAX bytes). */
extern void address_write(char *out, const struct sockaddr *address);

#endif /* KSEG_COURIER_ADDRESS_H */
