/*
 * client.h: what the parts of the test client share.
 *
 * The client does to a real broker what a test needs exactly: topics made and gone, messages of any bytes in and out, transactions
 * committed, aborted and left open. It is a program of the tests, not of kseg: nothing of src is in it, so that a mistake of ours
 * is not made on both sides.
 *
 * A failure ends the program with the reason on standard error (client_fail). It ends by _exit in any case: what librdkafka would
 * still do at its end (flush, leave, abort) is not what was asked for.
 */
#ifndef KSEG_TEST_CLIENT_H
#define KSEG_TEST_CLIENT_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

/* How long one thing may take (milliseconds): a broker that has just started under load loads its coordinators for some seconds. */
#define CLIENT_PATIENCE_MS 60000

/* What the command line says before the command: addresses and librdkafka's properties. */
typedef struct Client
{
	const char *bootstrap;
	char **properties; /* name=value */
	int properties_count;
} Client;

/* Prints "client: …" on standard error and ends with status 1. */
void client_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Ends with this status, after what is on standard output has been written. */
void client_end(int status) __attribute__((noreturn));

/* Makes a configuration with the client's addresses and, winning over what the command sets before, its properties. */
rd_kafka_conf_t *client_conf(void);
void client_conf_finish(rd_kafka_conf_t *conf, const Client *client);

/* Sets one property; fails the program when librdkafka does not take it. */
void client_set(rd_kafka_conf_t *conf, const char *name, const char *value);

/* Makes a handle; it takes the configuration. Never destroyed: the program's end is its end. */
rd_kafka_t *client_handle(rd_kafka_type_t type, rd_kafka_conf_t *conf);

/* Asks for a topic's partitions: *partitions is how many it has, 0 when there is no such topic or a partition has no leader (yet).
 * Returns whether, and why not, there is an answer at all. */
rd_kafka_resp_err_t client_partitions(rd_kafka_t *handle, const char *topic, int *partitions);

/* Asks a partition's leader for its offsets, as rd_kafka_query_watermark_offsets; a leader that does not know yet that it is one is
 * asked again. Fails the program when there is no answer. */
void client_watermarks(rd_kafka_t *handle, const char *topic, int partition, int64_t *low, int64_t *high);

/* Reads a number of an argument; fails the program when it is none. */
long long client_number(const char *word);

/* Milliseconds of a clock that never goes back. */
long long client_now_ms(void);

/* The commands. arguments is what follows the command's name; how many there must be is checked by the caller. */
void client_produce(const Client *client, int count, char **arguments);
void client_pace(const Client *client, int count, char **arguments);
void client_consume(const Client *client, int count, char **arguments);
void client_offsets(const Client *client, int count, char **arguments);
void client_topic_create(const Client *client, int count, char **arguments);
void client_topic_delete(const Client *client, int count, char **arguments);
void client_topic_configure(const Client *client, int count, char **arguments);
void client_topic_grow(const Client *client, int count, char **arguments);
void client_records_delete(const Client *client, int count, char **arguments);

#endif
