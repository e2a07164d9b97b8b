/*
 * client.c: the test client's beginning: its command line, and what its parts share. See client.h for what it is.
 *
 *   client -b HOST:PORT[,…] [-X property=value]… COMMAND …
 *
 *   produce TOPIC                        messages and commands as JSON lines on standard input, see client_produce.c
 *   pace TOPIC RATE SECONDS TEMPLATE     messages with the time in them at an even pace, see client_pace.c
 *   consume TOPIC                        every message there is, as JSON lines, see client_consume.c
 *   offsets TOPIC                        {"partition":…,"low":…,"high":…} for each partition
 *   create TOPIC PARTITIONS REPLICATION [config=value]…
 *   delete TOPIC
 *   configure TOPIC config=value…        these and no others: what is not named goes back to its default
 *   grow TOPIC PARTITIONS
 *   delete-records TOPIC PARTITION OFFSET        everything before OFFSET, as retention does
 *
 * What is done to a topic is seen by all of the addresses when the program ends.
 */
#include "client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void
client_fail(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fputs("client: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	fflush(stderr);
	_exit(1);
}

void
client_end(int status)
{
	if (fflush(stdout) != 0)
		client_fail("could not write: %s", strerror(errno));
	_exit(status);
}

void
client_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char reason[512];

	if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
		client_fail("%s", reason);
}

rd_kafka_conf_t *
client_conf(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	client_set(conf, "client.id", "kseg-test");
	client_set(conf, "log_level", "2"); /* what goes wrong is told once, by client_fail */
	client_set(conf, "socket.nagle.disable", "true");
	/* A paused node takes connections and says nothing: it is given up before long, for another one. */
	client_set(conf, "api.version.request.timeout.ms", "3000");
	return conf;
}

void
client_conf_finish(rd_kafka_conf_t *conf, const Client *client)
{
	client_set(conf, "bootstrap.servers", client->bootstrap);
	for (int i = 0; i < client->properties_count; i++)
	{
		char *name = strdup(client->properties[i]);
		char *value = strchr(name, '=');

		if (value == NULL)
			client_fail("no value: %s", name);
		*value++ = '\0';
		client_set(conf, name, value);
		free(name);
	}
}

rd_kafka_t *
client_handle(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
	char reason[512];
	rd_kafka_t *handle = rd_kafka_new(type, conf, reason, sizeof(reason));

	if (handle == NULL)
		client_fail("%s", reason);
	return handle;
}

rd_kafka_resp_err_t
client_partitions(rd_kafka_t *handle, const char *topic, int *partitions)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_t *wanted = rd_kafka_topic_new(handle, topic, NULL);
	rd_kafka_resp_err_t error;

	*partitions = 0;
	if (wanted == NULL)
		client_fail("topic %s: %s", topic, rd_kafka_err2str(rd_kafka_last_error()));
	/* 5 s: ten times what a paused machine takes; a broker that is down is waited for as long. */
	error = rd_kafka_metadata(handle, 0, wanted, &metadata, 5000);
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		const rd_kafka_metadata_topic_t *found = &metadata->topics[0];

		if (metadata->topic_cnt == 1 && found->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			*partitions = found->partition_cnt;
		for (int i = 0; i < *partitions; i++)
			if (found->partitions[i].leader < 0)
				*partitions = 0;
		rd_kafka_metadata_destroy(metadata);
	}
	rd_kafka_topic_destroy(wanted);
	return error;
}

void
client_watermarks(rd_kafka_t *handle, const char *topic, int partition, int64_t *low, int64_t *high)
{
	long long end = client_now_ms() + CLIENT_PATIENCE_MS;
	rd_kafka_resp_err_t error;

	do
	{
		error = rd_kafka_query_watermark_offsets(handle, topic, partition, low, high, CLIENT_PATIENCE_MS);
		if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
			return;
		usleep(5000);
	} while ((error == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
	          error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
	          error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) &&
	         client_now_ms() < end);
	client_fail("partition %d of topic %s: %s", partition, topic, rd_kafka_err2str(error));
}

long long
client_number(const char *word)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(word, &end, 10);
	if (errno != 0 || end == word || *end != '\0')
		client_fail("not a number: %s", word);
	return number;
}

long long
client_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static const struct Command
{
	const char *name;
	int least; /* arguments */
	void (*run)(const Client *client, int count, char **arguments);
} commands[] = {
    {"produce", 1, client_produce},     {"consume", 1, client_consume},
    {"offsets", 1, client_offsets},     {"create", 3, client_topic_create},
    {"delete", 1, client_topic_delete}, {"configure", 1, client_topic_configure},
    {"grow", 2, client_topic_grow},     {"delete-records", 3, client_records_delete},
    {"pace", 4, client_pace},
};

int
main(int argc, char **argv)
{
	Client client = {.properties = calloc(argc, sizeof(char *))};
	int option;

	while ((option = getopt(argc, argv, "+b:X:")) != -1)
	{
		if (option == 'b')
			client.bootstrap = optarg;
		else if (option == 'X')
			client.properties[client.properties_count++] = optarg;
		else
			_exit(2);
	}
	if (client.bootstrap == NULL || optind == argc)
		client_fail("usage: client -b HOST:PORT[,...] [-X property=value]... COMMAND ...");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
	{
		if (strcmp(commands[i].name, argv[optind]) != 0)
			continue;
		if (argc - optind - 1 < commands[i].least)
			client_fail("%s takes at least %d arguments", commands[i].name, commands[i].least);
		commands[i].run(&client, argc - optind - 1, argv + optind + 1);
		client_end(0);
	}
	client_fail("there is no command %s", argv[optind]);
}
