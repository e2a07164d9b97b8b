/*
 * kafka_options.h
 *	  The options of the wrapper kseg_kafka: of servers, user mappings, foreign tables and columns.
 *
 * Owns: the table of them with presets and bounds, the checks of single values and of values together, the validator.
 * Refuses: to read them when they are used (kafka_server.c, source/topic_table.c), to connect.
 */
#ifndef KSEG_KAFKA_OPTIONS_H
#define KSEG_KAFKA_OPTIONS_H

#include "postgres.h"

#include "server/option.h"

/* Ends with a name of NULL. Offsets are into KsegKafkaServer; options of tables and columns have none. */
extern const KsegOption kafka_options[];

/*
 * The security protocol of a server: what was said, else 'plaintext' when all of its brokers (bootstrap_normalize) are on
 * this machine, else 'ssl'.
 */
extern const char *kafka_protocol(const char *said, const char *bootstrap_servers);
extern bool kafka_protocol_is_sasl(const char *protocol);
extern bool kafka_protocol_is_tls(const char *protocol);

/* Is this the name of a topic that can be one? The reason why not, or NULL. */
extern const char *kafka_topic_problem(const char *topic);

/* ERROR for values that do not go together, on an object of this catalog; each was checked alone. (kafka_validator.c) */
extern void kafka_options_check_together(List *options, Oid catalog);

#endif /* KSEG_KAFKA_OPTIONS_H */
