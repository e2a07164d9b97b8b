/*
 * bootstrap.h
 *	  The brokers that a client of Kafka asks first: "host:port,host:port".
 *
 * Owns: the list's syntax, and whether it stays on this machine. Refuses: to resolve names, and a protocol in front of a
 * host (librdkafka takes "SSL://host"): how to connect is said in one place, the option security_protocol.
 */
#ifndef KSEG_BOOTSTRAP_H
#define KSEG_BOOTSTRAP_H

#include "postgres.h"

/* Kafka's own default listener: config/server.properties. */
#define KSEG_KAFKA_PORT 9092

/*
 * The list as "host:port,host:port" with every port and without blanks, palloc'd. ERROR 22023 for what is none; it does not
 * show a list with an @, which could hold a password.
 */
extern char *bootstrap_normalize(const char *list);

/* Is every host of a normalized list loopback by its looks (endpoint.h)? */
extern bool bootstrap_is_loopback(const char *list);

#endif /* KSEG_BOOTSTRAP_H */
