/*
 * config.h
 *	  What CONFIG says (src/README.md), checked.
 *
 * Owns: the texts of the configuration, the write key among them. Refuses: to have defaults (kseg.so sends every key) and
 * to quote a value in a problem: it could be the key.
 */
#ifndef KSEG_COURIER_CONFIG_H
#define KSEG_COURIER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct KsegConfig
{
	char *job;
	char *endpoint;
	char *key_endpoint; /* "" when nobody can tell */
	char *write_key;
	char *compression; /* "gzip" or "none" */
	char *ca_file;     /* "" for the system's authorities */
	char *library_name;
	char *library_version;
	int64_t lanes;
	int64_t upload_size;
	int64_t upload_interval_ms;
	int64_t request_timeout_ms;
	int64_t max_retries;
	int64_t max_retry_age_ms;
} KsegConfig;

/*
 * Read a configuration. False: problem (a sentence's part, with the key's name and never a value) says why, and config
 * is closed again. True: the caller ends it with config_close.
 */
extern bool config_read(KsegConfig *config, const char *json, size_t length, char *problem, size_t room);

/* Overwrites the write key, frees the texts. May be called twice. */
extern void config_close(KsegConfig *config);

#endif /* KSEG_COURIER_CONFIG_H */
