/*
 * client_consume.c: what is in a topic, to the last byte: every message from the first offset to the end, of all partitions, as the
 * consumer's isolation level lets it be seen (-X isolation.level=…).
 *
 * A message is one line: {"partition":…,"offset":…,"timestamp":…,"timestamp_type":"create","key":…,"value":…,"headers":[[…,…]…],
 * "hex":true}. Keys, values and headers are in hexadecimal, or null; client_produce.c takes such lines as they are.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prints bytes in hexadecimal; null when there are none at all. */
static void
hex_print(const void *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *at = bytes;

	if (bytes == NULL)
	{
		fputs("null", stdout);
		return;
	}
	putchar('"');
	for (size_t i = 0; i < length; i++)
	{
		putchar(digits[at[i] >> 4]);
		putchar(digits[at[i] & 15]);
	}
	putchar('"');
}

static void
headers_print(const rd_kafka_message_t *message)
{
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t length;

	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	for (size_t i = 0;
	     rd_kafka_header_get_all(headers, i, &name, &value, &length) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
	{
		fputs(i == 0 ? "[" : ",[", stdout);
		hex_print(name, strlen(name));
		putchar(',');
		hex_print(value, length);
		putchar(']');
	}
}

static void
message_print(const rd_kafka_message_t *message)
{
	static const char *const types[] = {"none", "create", "append"};
	rd_kafka_timestamp_type_t type;
	int64_t timestamp = rd_kafka_message_timestamp(message, &type);

	printf("{\"partition\":%d,\"offset\":%lld,\"timestamp\":%lld,\"timestamp_type\":\"%s\",\"key\":",
	       message->partition, (long long) message->offset, (long long) timestamp, types[type]);
	hex_print(message->key, message->key_len);
	fputs(",\"value\":", stdout);
	hex_print(message->payload, message->len);
	fputs(",\"headers\":[", stdout);
	headers_print(message);
	fputs("],\"hex\":true}\n", stdout);
}

static rd_kafka_t *
consumer_begin(const Client *client, const char *isolation)
{
	rd_kafka_conf_t *conf = client_conf();

	client_set(conf, "group.id", "kseg-test"); /* librdkafka wants one; without commits it is never used */
	client_set(conf, "enable.auto.commit", "false");
	client_set(conf, "enable.partition.eof", "true");
	client_set(conf, "fetch.wait.max.ms", "10"); /* an empty answer tells of the end */
	client_set(conf, "isolation.level", isolation);
	client_conf_finish(conf, client);
	return client_handle(RD_KAFKA_CONSUMER, conf);
}

/* The partitions of a topic that must be there. */
static int
partitions_of(rd_kafka_t *consumer, const char *topic)
{
	int partitions;
	rd_kafka_resp_err_t error = client_partitions(consumer, topic, &partitions);

	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		client_fail("topic %s: %s", topic, rd_kafka_err2str(error));
	if (partitions == 0)
		client_fail("there is no topic %s", topic);
	return partitions;
}

void
client_consume(const Client *client, int count, char **arguments)
{
	rd_kafka_t *consumer = consumer_begin(client, "read_committed");
	int open = partitions_of(consumer, arguments[0]);
	rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(open);
	rd_kafka_resp_err_t error;

	(void) count;
	for (int i = 0; i < open; i++)
		rd_kafka_topic_partition_list_add(all, arguments[0], i)->offset = RD_KAFKA_OFFSET_BEGINNING;
	error = rd_kafka_assign(consumer, all);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		client_fail("%s", rd_kafka_err2str(error));
	while (open > 0)
	{
		rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, CLIENT_PATIENCE_MS);

		if (message == NULL)
			client_fail("nothing came in %d ms, %d partitions have not ended", CLIENT_PATIENCE_MS, open);
		if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			open--;
		else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			client_fail("%s", rd_kafka_message_errstr(message));
		else
			message_print(message);
		rd_kafka_message_destroy(message);
	}
}

void
client_offsets(const Client *client, int count, char **arguments)
{
	/* Uncommitted: the end of all that is there, not of what can be read yet. */
	rd_kafka_t *consumer = consumer_begin(client, "read_uncommitted");
	int partitions = partitions_of(consumer, arguments[0]);

	(void) count;
	for (int i = 0; i < partitions; i++)
	{
		int64_t low, high;

		client_watermarks(consumer, arguments[0], i, &low, &high);
		printf("{\"partition\":%d,\"low\":%lld,\"high\":%lld}\n", i, (long long) low, (long long) high);
	}
}
