/*
 * config.h
 *	  What CONFIG says (src/README.md), checked.
 *
 * Owns: the texts of the configuration, secrets among them, and which keys a job has. Refuses: to have defaults (kseg.so sends
 * every key that the job has) and to quote a value in a problem: it could be a secret.
 */
#ifndef KSEG_COURIER_CONFIG_H
#define KSEG_COURIER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

/* Texts are NULL and numbers 0 where the job has no such key. */
typedef struct KsegConfig
{
	char *job;
	int64_t lanes; /* of jobs that have no such key: 1 */

	/* Segment's jobs */
	char *endpoint;
	char *key_endpoint; /* "" when nobody can tell */
	char *write_key;
	char *ca_file; /* "" for the system's authorities */
	char *library_name;
	char *library_version;
	int64_t upload_size;
	int64_t upload_interval_ms;
	int64_t max_retries;
	int64_t max_retry_age_ms;

	/* Segment's and Kafka's jobs */
	char *compression; /* Segment: gzip, none; Kafka: none, gzip, snappy, lz4, zstd */
	int64_t request_timeout_ms;

	/* Kafka's jobs; "" where nothing is set */
	char *bootstrap_servers;
	char *security_protocol; /* plaintext, ssl, sasl_plaintext, sasl_ssl */
	char *sasl_mechanism;
	char *sasl_username;
	char *sasl_password;
	char *ssl_ca_file;
	char *ssl_certificate_file;
	char *ssl_key_file;
	char *ssl_key_password;
	char *client_id;
	char *isolation_level;      /* read_committed, read_uncommitted */
	int64_t plaintext_anywhere; /* 1: a plaintext protocol may leave loopback */
	int64_t linger_ms;
	int64_t message_timeout_ms;
	int64_t max_message_bytes;
	int64_t max_queue_messages;
	int64_t max_queue_bytes;
	int64_t connect_timeout_ms;
	int64_t transaction_timeout_ms;

	/* kafka_produce, kafka_consume */
	char *topic;
	/* kafka_produce */
	int64_t transactional;
	char *transactional_id;

	/* kafka_consume, kafka_follow: the whole object, for what is nested in it; its secrets are overwritten. Owned by config */
	struct json_object *object;
} KsegConfig;

/*
 * Read a configuration: the keys of its job are checked, others are ignored. For a job that there is not, only job is set.
 * False: problem (a sentence's part, with the key's name and never a value) says why, and config is closed again. True: the
 * caller ends it with config_close.
 */
extern bool config_read(KsegConfig *config, const char *json, size_t length, char *problem, size_t room);

/* Overwrites the secrets, frees the texts. May be called twice. */
extern void config_close(KsegConfig *config);

#endif /* KSEG_COURIER_CONFIG_H */
