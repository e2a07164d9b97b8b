/*
 * client_produce.c: messages of any bytes into a topic, in transactions that end as they are told to.
 *
 * A line of standard input is a message or a command:
 *   {"key":…,"value":…,"headers":[[name,value]…],"partition":…,"timestamp":…,"hex":true}
 *     All may be missing. A key, value or header's value that is missing or null is NULL. "hex": they, and the headers' names, are
 *     in hexadecimal; otherwise text. Without a partition librdkafka's murmur2_random chooses, without a timestamp it is now.
 *   {"do":"flush"}       waits for every message's report
 *   {"do":"begin"}       a transaction begins (-X transactional.id=…)
 *   {"do":"commit"}, {"do":"abort"}      flushes, and ends it
 * A command prints what has become of the messages since the last one, a line for each in their order, {"partition":…,"offset":…}
 * or {"error":"…"}, and then {"done":"…"}. The end of the input is a flush; a transaction that is open then stays so, as when the
 * program is killed. The status is 1 when a message was not delivered.
 */
#include "client.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What has become of a message. */
typedef struct Report
{
	int32_t partition;
	int64_t offset;
	rd_kafka_resp_err_t error;
} Report;

/* Bytes taken out of JSON, or NULL. */
typedef struct Bytes
{
	char *data;
	size_t length;
} Bytes;

typedef struct Producer
{
	rd_kafka_t *handle;
	const char *topic;
	Report *reports; /* of message number printed + i */
	size_t sent;     /* messages in reports */
	size_t room;
	bool failed;
	bool transactions_ready;
} Producer;

/* A number of a message in reports cannot be its address: they move as they grow. */
static void
delivered(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
	Producer *producer = opaque;
	Report *report = &producer->reports[(size_t) message->_private];

	(void) handle;
	report->partition = message->partition;
	report->offset = message->offset;
	report->error = message->err;
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		producer->failed = true;
}

static int
nibble(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	client_fail("not hexadecimal: %c", digit);
}

/* Takes bytes out of a JSON string; NULL for null or nothing. The caller frees data. */
static Bytes
bytes_of(json_object *string, bool hex)
{
	Bytes bytes = {NULL, 0};
	const char *text;

	if (string == NULL)
		return bytes;
	text = json_object_get_string(string);
	bytes.length = (size_t) json_object_get_string_len(string);
	if (json_object_get_type(string) != json_type_string)
		bytes.length = strlen(text);
	bytes.data = malloc(bytes.length + 1);
	memcpy(bytes.data, text, bytes.length);
	if (hex)
	{
		if (bytes.length % 2 != 0)
			client_fail("half a byte: %s", text);
		bytes.length /= 2;
		for (size_t i = 0; i < bytes.length; i++)
			bytes.data[i] = (char) (nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
	}
	bytes.data[bytes.length] = '\0';
	return bytes;
}

static rd_kafka_headers_t *
headers_of(json_object *list, bool hex)
{
	size_t count = list ? json_object_array_length(list) : 0;
	rd_kafka_headers_t *headers = rd_kafka_headers_new(count);

	for (size_t i = 0; i < count; i++)
	{
		json_object *pair = json_object_array_get_idx(list, i);
		Bytes name = bytes_of(json_object_array_get_idx(pair, 0), hex);
		Bytes value = bytes_of(json_object_array_get_idx(pair, 1), hex);

		if (rd_kafka_header_add(headers, name.data, (ssize_t) name.length, value.data,
		                        (ssize_t) value.length) != 0)
			client_fail("a header was not taken");
		free(name.data);
		free(value.data);
	}
	return headers;
}

/* Makes room for one more report and returns the message's number. */
static size_t
report_add(Producer *producer)
{
	if (producer->sent == producer->room)
	{
		producer->room = producer->room ? producer->room * 2 : 1024;
		producer->reports = realloc(producer->reports, producer->room * sizeof(Report));
	}
	return producer->sent++;
}

static void
message_send(Producer *producer, json_object *line)
{
	bool hex = json_object_get_boolean(json_object_object_get(line, "hex"));
	json_object *partition = json_object_object_get(line, "partition");
	Bytes key = bytes_of(json_object_object_get(line, "key"), hex);
	Bytes value = bytes_of(json_object_object_get(line, "value"), hex);
	rd_kafka_headers_t *headers = headers_of(json_object_object_get(line, "headers"), hex);
	size_t number = report_add(producer);
	rd_kafka_resp_err_t error;

	do
	{
		rd_kafka_poll(producer->handle, 0);
		/* clang-format off */
		error = rd_kafka_producev(producer->handle, RD_KAFKA_V_TOPIC(producer->topic),
			RD_KAFKA_V_PARTITION(partition ? json_object_get_int(partition) : RD_KAFKA_PARTITION_UA),
			RD_KAFKA_V_KEY(key.data, key.length), RD_KAFKA_V_VALUE(value.data, value.length),
			RD_KAFKA_V_TIMESTAMP(json_object_get_int64(json_object_object_get(line, "timestamp"))),
			RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE((void *) number),
			RD_KAFKA_V_END);
		/* clang-format on */
		if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL)
			rd_kafka_poll(producer->handle, 100);
	} while (error == RD_KAFKA_RESP_ERR__QUEUE_FULL);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		/* Refused at once (too big, say): that is its report. */
		producer->reports[number] = (Report){.partition = -1, .offset = -1, .error = error};
		producer->failed = true;
		rd_kafka_headers_destroy(headers);
	}
	free(key.data);
	free(value.data);
}

/* Waits until every message has its report, and prints them. */
static void
flush(Producer *producer)
{
	rd_kafka_resp_err_t error = rd_kafka_flush(producer->handle, CLIENT_PATIENCE_MS);

	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		client_fail("flush: %s", rd_kafka_err2str(error));
	for (size_t i = 0; i < producer->sent; i++)
	{
		const Report *report = &producer->reports[i];

		if (report->error == RD_KAFKA_RESP_ERR_NO_ERROR)
			printf("{\"partition\":%d,\"offset\":%lld}\n", report->partition, (long long) report->offset);
		else
			printf("{\"error\":\"%s\"}\n", rd_kafka_err2str(report->error));
	}
	producer->sent = 0;
}

/* Runs a step of a transaction until it is done: what librdkafka calls retriable, it does not try again by itself. */
static void
step(Producer *producer, const char *name, rd_kafka_error_t *(*call)(rd_kafka_t *, int) )
{
	rd_kafka_error_t *error;

	while ((error = call(producer->handle, CLIENT_PATIENCE_MS)) != NULL)
	{
		if (!rd_kafka_error_is_retriable(error))
			client_fail("%s: %s", name, rd_kafka_error_string(error));
		rd_kafka_error_destroy(error);
	}
}

static rd_kafka_error_t *
transaction_begin(rd_kafka_t *handle, int timeout)
{
	(void) timeout;
	return rd_kafka_begin_transaction(handle);
}

static void
command_run(Producer *producer, const char *name)
{
	if (strcmp(name, "begin") == 0)
	{
		if (!producer->transactions_ready)
			step(producer, "init", rd_kafka_init_transactions);
		producer->transactions_ready = true;
		step(producer, name, transaction_begin);
	}
	else
	{
		/* Before an abort too: without it librdkafka would throw away what it has not sent, and nothing would be aborted. */
		flush(producer);
		if (strcmp(name, "commit") == 0)
			step(producer, name, rd_kafka_commit_transaction);
		else if (strcmp(name, "abort") == 0)
			step(producer, name, rd_kafka_abort_transaction);
		else if (strcmp(name, "flush") != 0)
			client_fail("there is nothing to do: %s", name);
	}
	printf("{\"done\":\"%s\"}\n", name);
	fflush(stdout);
}

void
client_produce(const Client *client, int count, char **arguments)
{
	rd_kafka_conf_t *conf = client_conf();
	Producer producer = {.topic = arguments[0]};
	char *text = NULL;
	size_t room = 0;

	(void) count;
	client_set(conf, "partitioner", "murmur2_random");
	/* Written by all copies, and once, whatever is tried again. */
	client_set(conf, "enable.idempotence", "true");
	/* The largest that librdkafka takes: the broker's limit is the one to meet. */
	client_set(conf, "message.max.bytes", "1000000000");
	rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	rd_kafka_conf_set_opaque(conf, &producer);
	client_conf_finish(conf, client);
	producer.handle = client_handle(RD_KAFKA_PRODUCER, conf);
	while (getline(&text, &room, stdin) > 0)
	{
		json_object *line = json_tokener_parse(text);
		json_object *what;

		if (!json_object_is_type(line, json_type_object))
			client_fail("not a JSON object: %s", text);
		what = json_object_object_get(line, "do");
		if (what != NULL)
			command_run(&producer, json_object_get_string(what));
		else
			message_send(&producer, line);
		json_object_put(line);
	}
	flush(&producer);
	client_end(producer.failed ? 1 : 0);
}
