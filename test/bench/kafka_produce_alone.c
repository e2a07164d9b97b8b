/*
 * kafka_produce_alone.c
 *	  librdkafka alone: prepared payloads to a topic, and how fast. What kseg's producing is measured against.
 *
 *	  kafka_produce_alone --bootstrap HOST:PORT --topic TOPIC [--file LINES | --count N --size BYTES] [--keys N]
 *	                      [--compression lz4] [--linger 5] [--batch-size 524288] [--queue 100000] [--property NAME=VALUE]…
 *
 * Every message is in memory before the clock starts: the lines of --file, or --count JSON objects of --size bytes. --keys N
 * gives them keys customer-0 … customer-N-1 in turn. The settings are kseg's own (idempotent, all replicas, murmur2_random, no
 * more than --queue messages under way). The clock stops when the last delivery report has come.
 *
 * Prints one line: messages, seconds, messages/s, CPU seconds of the process, requests that failed. Ends with status 1 if a
 * message was not delivered.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Messages given to librdkafka in one call. */
#define ALONE_BATCH 256

typedef struct Alone
{
	const char *bootstrap;
	const char *topic;
	const char *file;
	long count;
	long size;
	long keys;
	rd_kafka_conf_t *conf;
	rd_kafka_message_t *messages;
	long delivered;
	long failed;
} Alone;

static void
alone_die(const char *what, const char *words)
{
	fprintf(stderr, "kafka_produce_alone: %s: %s\n", what, words);
	_exit(2);
}

static void *
alone_allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		alone_die("calloc", "out of memory");
	return memory;
}

static double
alone_seconds(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

/* ---------- what to do ---------- */

static void
alone_set(Alone *alone, const char *name, const char *value)
{
	char words[512];

	if (rd_kafka_conf_set(alone->conf, name, value, words, sizeof(words)) != RD_KAFKA_CONF_OK)
		alone_die(name, words);
}

static void
alone_set_property(Alone *alone, const char *property)
{
	char *name = strdup(property);
	char *value = strchr(name, '=');

	if (value == NULL)
		alone_die(property, "is not NAME=VALUE");
	*value++ = '\0';
	alone_set(alone, name, value);
	free(name);
}

static void
alone_set_defaults(Alone *alone)
{
	static const char *const settings[] = {"enable.idempotence=true",
	                                       "acks=all",
	                                       "max.in.flight.requests.per.connection=5",
	                                       "partitioner=murmur2_random",
	                                       "compression.codec=lz4",
	                                       "linger.ms=5",
	                                       "batch.size=524288",
	                                       "batch.num.messages=100000",
	                                       "queue.buffering.max.messages=100000",
	                                       "queue.buffering.max.kbytes=2147483647",
	                                       "socket.nagle.disable=true"};

	*alone = (Alone){.count = 1000000, .size = 240, .conf = rd_kafka_conf_new()};
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		alone_set_property(alone, settings[i]);
}

static void
alone_take_option(Alone *alone, const char *name, const char *value)
{
	if (strcmp(name, "--bootstrap") == 0)
		alone->bootstrap = value;
	else if (strcmp(name, "--topic") == 0)
		alone->topic = value;
	else if (strcmp(name, "--file") == 0)
		alone->file = value;
	else if (strcmp(name, "--count") == 0)
		alone->count = atol(value);
	else if (strcmp(name, "--size") == 0)
		alone->size = atol(value);
	else if (strcmp(name, "--keys") == 0)
		alone->keys = atol(value);
	else if (strcmp(name, "--compression") == 0)
		alone_set(alone, "compression.codec", value);
	else if (strcmp(name, "--linger") == 0)
		alone_set(alone, "linger.ms", value);
	else if (strcmp(name, "--batch-size") == 0)
		alone_set(alone, "batch.size", value);
	else if (strcmp(name, "--queue") == 0)
		alone_set(alone, "queue.buffering.max.messages", value);
	else if (strcmp(name, "--property") == 0)
		alone_set_property(alone, value);
	else
		alone_die(name, "there is no such option");
}

/* ---------- the messages ---------- */

static void
alone_read_file(Alone *alone)
{
	FILE *file = fopen(alone->file, "r");
	long room = 0;
	size_t size = 0;
	char *line = NULL;
	ssize_t length;

	if (file == NULL)
		alone_die(alone->file, strerror(errno));
	alone->count = 0;
	while ((length = getline(&line, &size, file)) >= 0)
	{
		if (alone->count == room)
		{
			room = room == 0 ? 65536 : 2 * room;
			alone->messages = realloc(alone->messages, (size_t) room * sizeof(*alone->messages));
			if (alone->messages == NULL)
				alone_die("realloc", "out of memory");
		}
		length -= length > 0 && line[length - 1] == '\n';
		alone->messages[alone->count++] =
		    (rd_kafka_message_t){.payload = strndup(line, (size_t) length), .len = (size_t) length};
	}
	free(line);
	fclose(file);
}

/* A prediction, in the shape of the benchmarks' table, filled up with blanks. */
static void
alone_write_payload(char *out, long size, long number)
{
	int length = snprintf(
	    out, (size_t) size,
	    "{\"n\":%ld,\"customer\":\"customer-%ld\",\"iphone\":%.6f,\"apple_watch\":%.6f,\"macbook\":%.6f,"
	    "\"when\":\"2026-08-01T12:34:56.%03ldZ\",\"segment\":\"%s\",\"score\":%ld",
	    number, number % 100000, (double) (number * 7919 % 1000) / 1000,
	    (double) (number * 104729 % 1000) / 1000, (double) (number * 1299709 % 1000) / 1000, number % 1000,
	    number % 3 == 0 ? "unlikely" : "likely", number * 31 % 997);

	if (length < size - 1)
		memset(out + length, ' ', (size_t) (size - length));
	out[size - 1] = '}';
}

static void
alone_make(Alone *alone)
{
	char *payloads = alone_allocate((size_t) alone->count * (size_t) alone->size + 1);

	alone->messages = alone_allocate((size_t) alone->count * sizeof(*alone->messages));
	for (long i = 0; i < alone->count; i++)
	{
		char *payload = payloads + i * alone->size;

		alone_write_payload(payload, alone->size, i);
		alone->messages[i] = (rd_kafka_message_t){.payload = payload, .len = (size_t) alone->size};
	}
}

static void
alone_add_keys(Alone *alone)
{
	for (long i = 0; i < alone->count && alone->keys > 0; i++)
	{
		char *key = alone_allocate(32);

		alone->messages[i].key_len = (size_t) snprintf(key, 32, "customer-%ld", i % alone->keys);
		alone->messages[i].key = key;
	}
}

/* ---------- sending ---------- */

static void
alone_take_reports(Alone *alone, rd_kafka_queue_t *queue, int wait_ms)
{
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(queue, wait_ms)) != NULL)
	{
		const rd_kafka_message_t *report;

		while ((report = rd_kafka_event_message_next(event)) != NULL)
		{
			alone->delivered += report->err == RD_KAFKA_RESP_ERR_NO_ERROR;
			alone->failed += report->err != RD_KAFKA_RESP_ERR_NO_ERROR;
		}
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
			fprintf(stderr, "kafka_produce_alone: %s\n", rd_kafka_event_error_string(event));
		rd_kafka_event_destroy(event);
		wait_ms = 0;
	}
}

static void
alone_send(Alone *alone, rd_kafka_topic_t *topic, rd_kafka_queue_t *queue)
{
	long at = 0;

	while (at < alone->count)
	{
		long count = alone->count - at < ALONE_BATCH ? alone->count - at : ALONE_BATCH;
		int taken =
		    rd_kafka_produce_batch(topic, RD_KAFKA_PARTITION_UA, 0, alone->messages + at, (int) count);

		/* None is taken after the first that the queue had no room for. */
		if (taken < count && alone->messages[at + taken].err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			alone_die("produce", rd_kafka_err2str(alone->messages[at + taken].err));
		at += taken;
		alone_take_reports(alone, queue, taken < count ? 100 : 0);
	}
	while (alone->delivered + alone->failed < alone->count)
		alone_take_reports(alone, queue, 100);
}

int
main(int argc, char **argv)
{
	Alone alone;
	char words[512];
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	const struct rd_kafka_metadata *metadata;
	double start;
	double cpu;
	double seconds;

	alone_set_defaults(&alone);
	for (int i = 1; i + 1 < argc; i += 2)
		alone_take_option(&alone, argv[i], argv[i + 1]);
	if (alone.bootstrap == NULL || alone.topic == NULL || argc % 2 == 0)
		alone_die("usage", "--bootstrap HOST:PORT --topic TOPIC, and what this file's head says");
	if (alone.file != NULL)
		alone_read_file(&alone);
	else
		alone_make(&alone);
	alone_add_keys(&alone);
	alone_set(&alone, "bootstrap.servers", alone.bootstrap);
	rd_kafka_conf_set_events(alone.conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, alone.conf, words, sizeof(words));
	if (rk == NULL)
		alone_die("rd_kafka_new", words);
	topic = rd_kafka_topic_new(rk, alone.topic, NULL);
	if (rd_kafka_metadata(rk, 0, topic, &metadata, 10000) != RD_KAFKA_RESP_ERR_NO_ERROR)
		alone_die(alone.bootstrap, "no broker answers");
	start = alone_seconds(CLOCK_MONOTONIC);
	cpu = alone_seconds(CLOCK_PROCESS_CPUTIME_ID);
	alone_send(&alone, topic, rd_kafka_queue_get_main(rk));
	seconds = alone_seconds(CLOCK_MONOTONIC) - start;
	cpu = alone_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%ld messages, %.3f s, %.0f messages/s, %.2f CPU s, %ld failed\n", alone.delivered, seconds,
	       (double) alone.delivered / seconds, cpu, alone.failed);
	fflush(stdout);
	_exit(alone.failed == 0 ? 0 : 1);
}
