/*
 * kafka_server.h
 *	  Servers of the wrapper kseg_kafka: their options, who may use them, and what a courier is told of them.
 *
 * Owns: the look-up by name and role, the beginning of CONFIG. The option tables and their checks are in kafka_options.h.
 * Refuses: to connect.
 */
#ifndef KSEG_KAFKA_SERVER_H
#define KSEG_KAFKA_SERVER_H

#include "postgres.h"
#include "lib/stringinfo.h"

#define KSEG_KAFKA_WRAPPER "kseg_kafka"

/* A server as a role may use it. Durations in milliseconds, sizes in bytes. Strings are palloc'd in the look-up's context. */
typedef struct KsegKafkaServer
{
	Oid oid;
	char *name;
	char *bootstrap_servers; /* "host:port,host:port" */
	char *security_protocol; /* plaintext, ssl, sasl_plaintext, sasl_ssl; never NULL after the look-up */
	char *sasl_mechanism;    /* PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 */
	char *ssl_ca_file;       /* NULL: the system's authorities */
	char *ssl_certificate_file;
	char *ssl_key_file;
	char *client_id;
	char *compression;   /* none, gzip, snappy, lz4, zstd */
	int linger;          /* how long a message waits for others */
	int message_timeout; /* from the message's arrival in the courier to giving it up, tries included */
	int max_message_bytes;
	int max_queue_messages; /* in flight */
	int max_queue_bytes;    /* in flight, and of what a read takes in ahead */
	char *isolation_level;  /* read_committed, read_uncommitted */
	int connect_timeout;    /* until a first broker answers */
	int request_timeout;    /* a read without any answer for so long fails */
	int transaction_timeout;
	/* of the user mapping */
	char *sasl_username;
	char *sasl_password;
	char *ssl_key_password;
	bool mapping_of_public; /* not the role's own */
} KsegKafkaServer;

/*
 * The server of this name, with the mapping of the current user (else PUBLIC's). ERRORs with hints: no such server (42704),
 * not a kseg_kafka server (42809), no USAGE (42501), no mapping (42704), a SASL protocol without user name or password (42704).
 * missing_ok: NULL instead, when the server or the mapping is not there or may not be used.
 *
 * By OID, for a foreign table, with the mapping of role user (else PUBLIC's): the same but for USAGE, which PostgreSQL asks
 * when the table is made; afterwards the right is the table's, as with every foreign data wrapper.
 */
extern KsegKafkaServer *kafka_server_get(const char *name, bool missing_ok);
extern KsegKafkaServer *kafka_server_get_by_oid(Oid server, Oid user);

/* Is there such a server, and is it of this wrapper? For functions that take a server of any wrapper. */
extern bool kafka_server_is_one(const char *name);

/* Plaintext to brokers beyond this machine: a superuser has said so (kafka_validator.c). */
extern bool kafka_server_is_plaintext_anywhere(const KsegKafkaServer *server);

/*
 * Append what every Kafka job's CONFIG begins with (src/README.md): an object without its closing brace, to which the caller
 * adds its own keys with config_text and config_int (config_write.h). Holds the password: wipe it after use.
 */
extern void kafka_server_config(const KsegKafkaServer *server, const char *job, StringInfo json);

#endif /* KSEG_KAFKA_SERVER_H */
