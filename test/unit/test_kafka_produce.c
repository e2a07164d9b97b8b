/*
 * test_kafka_produce.c
 *	  The job kafka_produce against librdkafka's mock brokers: what arrives, what is told, what is a message's own fault.
 */
#include "harness_kafka.h"

/* Most messages that a test reads back. */
#define READ_MAX 6000

static bool
holds(const void *data, size_t length, const char *text)
{
	return data != NULL && length == strlen(text) && memcmp(data, text, length) == 0;
}

/* ---------- what arrives ---------- */

static const char *
read_header(const rd_kafka_message_t *message, size_t index, const char **value, size_t *length)
{
	rd_kafka_headers_t *headers;
	const char *name = "";

	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
	    rd_kafka_header_get_all(headers, index, &name, (const void **) value, length) !=
	        RD_KAFKA_RESP_ERR_NO_ERROR)
		return "";
	return name;
}

/* Headers: a = "x", a = NULL, b = "\0". */
static KsegText
make_headers(uint8_t *room)
{
	static const struct
	{
		const char *name;
		uint32_t length;
		const char *value;
	} headers[] = {{"a", 1, "x"}, {"a", KSEG_NO_BYTES, ""}, {"b", 1, "\0"}};
	uint8_t *out = room;

	for (size_t i = 0; i < 3; i++)
	{
		uint32_t bytes = headers[i].length == KSEG_NO_BYTES ? 0 : headers[i].length;

		out = kseg_write_u32(out, 1);
		out = kseg_write_u32(out, headers[i].length);
		*out++ = (uint8_t) headers[i].name[0];
		memcpy(out, headers[i].value, bytes);
		out += bytes;
	}
	return (KsegText){(const char *) room, (uint32_t) (out - room)};
}

static void
check_headers(const rd_kafka_message_t *message)
{
	const char *value = NULL;
	size_t length = 0;

	tap_ok(strcmp(read_header(message, 0, &value, &length), "a") == 0 && holds(value, length, "x"),
	       "a header arrives");
	tap_ok(strcmp(read_header(message, 1, &value, &length), "a") == 0 && value == NULL,
	       "a second one of its name, without a value");
	tap_ok(strcmp(read_header(message, 2, &value, &length), "b") == 0 && length == 1 && value[0] == '\0',
	       "and one of a NUL byte");
}

static void
test_content(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;
	uint8_t room[64];
	KsegMessage messages[] = {harness_message(1, "k", "plain"), harness_message(2, "k", NULL),
	                          harness_message(3, NULL, ""), harness_message(4, "", "empty key"),
	                          harness_message(5, NULL, "all its own")};
	rd_kafka_message_t *got[5];
	rd_kafka_timestamp_type_t type;
	uint64_t size = 0;

	for (int i = 0; i < 5; i++)
	{
		messages[i].partition = 0;
		size += KSEG_MESSAGE_HEAD + messages[i].key.length + messages[i].value.length;
	}
	messages[4].timestamp = 1785587696789;
	messages[4].headers = make_headers(room);
	size += messages[4].headers.length;
	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	harness_kafka_begin(&h, &config);
	harness_feed_messages(&h, messages, 5);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_ok(h.status.sent == 5 && h.status.rejected == 0 && h.status.retries == 0 && h.status.lanes == 1,
	       "STATUS before DONE counts the messages");
	tap_is((int64_t) h.status.bytes, 1 + 5 + 1 + 9 + 11, "bytes are those of keys and values");
	tap_ok(h.status.bytes_on_wire > h.status.bytes && h.status.batches > 0,
	       "bytes_on_wire those of requests");
	tap_ok(h.lanes[0].events == 5 && h.lanes[0].bytes == size, "and the credit is whole");
	harness_kafka_read(&kafka, "t", 1, got, 5);
	tap_ok(holds(got[0]->key, got[0]->key_len, "k") && holds(got[0]->payload, got[0]->len, "plain"),
	       "key and value arrive");
	tap_ok(holds(got[1]->key, got[1]->key_len, "k") && got[1]->payload == NULL, "NULL is a tombstone");
	tap_ok(got[2]->key == NULL && got[2]->payload != NULL && got[2]->len == 0, "an empty value is none");
	tap_ok(got[3]->key != NULL && got[3]->key_len == 0, "and an empty key is a key");
	tap_ok(holds(got[4]->payload, got[4]->len, "all its own") &&
	           rd_kafka_message_timestamp(got[4], &type) == 1785587696789 &&
	           type == RD_KAFKA_TIMESTAMP_CREATE_TIME,
	       "a message's own time arrives");
	check_headers(got[4]);
	harness_kafka_free(got, 5);
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

/* Keys and their murmur2, as in org.apache.kafka.common.utils.UtilsTest of Kafka. */
static void
test_partitions(void)
{
	static const struct
	{
		const char *key;
		int32_t murmur2;
	} known[] = {{"21", -973932308},
	             {"foobar", -790332482},
	             {"a-little-bit-long-string", -985981536},
	             {"a-little-bit-longer-string", -1486304829},
	             {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
	             {"abc", 479470107}};
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;
	rd_kafka_message_t *got[6];
	bool same = true;

	harness_kafka_start(&kafka, 1, 12);
	config = harness_kafka_defaults(&kafka);
	harness_kafka_begin(&h, &config);
	for (uint64_t i = 0; i < 6; i++)
	{
		KsegMessage message = harness_message(i + 1, known[i].key, "v");

		harness_feed_messages(&h, &message, 1);
	}
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	harness_kafka_read(&kafka, "t", 12, got, 6);
	for (int i = 0; i < 6; i++)
	{
		for (int j = 0; j < 6; j++)
		{
			if (holds(got[i]->key, got[i]->key_len, known[j].key))
				same = same && got[i]->partition == (known[j].murmur2 & 0x7fffffff) % 12;
		}
	}
	tap_ok(same, "keys go to the partitions that Java's murmur2 says");
	harness_kafka_free(got, 6);
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

/* ---------- order and tries ---------- */

static void
test_retries(void)
{
	static rd_kafka_message_t *got[READ_MAX];
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;

	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	rd_kafka_mock_push_request_errors(
	    kafka.cluster, HARNESS_API_PRODUCE, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
	harness_kafka_begin(&h, &config);
	harness_feed_numbers(&h, 1, 5000, 0);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is((int64_t) h.status.sent, 5000, "errors that pass are tried again until all is sent");
	tap_ok(h.status.retries >= 3, "and the retries are counted (%d)", (int) h.status.retries);
	harness_kafka_read(&kafka, "t", 1, got, 5000);
	tap_ok(harness_kafka_is_in_order(got, 5000), "nothing is lost, and order is kept");
	harness_kafka_free(got, 5000);
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

static void
test_comes_back(void)
{
	static rd_kafka_message_t *got[READ_MAX];
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;

	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	harness_kafka_begin(&h, &config);
	harness_feed_numbers(&h, 1, 1000, -1);
	harness_wait_status(&h, h.status.sent == 1000);
	rd_kafka_mock_broker_set_down(kafka.cluster, 1);
	harness_feed_numbers(&h, 1001, 1000, -1);
	rd_kafka_mock_broker_set_up(kafka.cluster, 1);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is((int64_t) h.status.sent, 2000, "a broker that comes back gets the rest");
	harness_kafka_read(&kafka, "t", 1, got, 2000);
	tap_ok(harness_kafka_is_in_order(got, 2000), "in order, nothing twice");
	harness_kafka_free(got, 2000);
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

static void
test_full_queue(void)
{
	static rd_kafka_message_t *got[READ_MAX];
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;

	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	config.max_queue_messages = 7;
	config.max_queue_bytes = 1000;
	config.linger_ms = 0;
	rd_kafka_mock_broker_set_rtt(kafka.cluster, 1, 5);
	harness_kafka_begin(&h, &config);
	harness_feed_numbers(&h, 1, 500, 0);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is((int64_t) h.status.sent, 500, "a queue that is full makes messages wait, and drops none");
	harness_kafka_read(&kafka, "t", 1, got, 500);
	tap_ok(harness_kafka_is_in_order(got, 500), "their order is kept");
	harness_kafka_free(got, 500);
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

static void
test_long_linger(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;

	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	config.linger_ms = HARNESS_WAIT_MS * 2;
	config.message_timeout_ms = HARNESS_WAIT_MS * 4;
	harness_kafka_begin(&h, &config);
	harness_feed_numbers(&h, 1, 10, -1);
	harness_send_frame(&h, KSEG_FRAME_WAITING, 0, NULL, 0);
	harness_wait_status(&h, h.status.sent == 10);
	tap_ok(true, "when PostgreSQL waits for credit, what is there is sent");
	harness_feed_numbers(&h, 11, 5, -1);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is((int64_t) h.status.sent, 15, "and END sends what is left, without waiting for linger");
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

/* ---------- a message's own fault ---------- */

static void
test_too_large(void)
{
	static char big[8001];
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;
	KsegMessage messages[3] = {harness_message(1, "a", "small"), harness_message(2, "b", big),
	                           harness_message(3, "c", "small")};
	HarnessRejected rejected;

	memset(big, 'x', sizeof(big) - 1);
	messages[1].value.length = sizeof(big) - 1;
	messages[1].value.data = big;
	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	config.max_message_bytes = 1000;
	harness_kafka_begin(&h, &config);
	harness_feed_messages(&h, messages, 3);
	harness_end(&h);
	rejected = harness_expect_rejected(&h);
	tap_ok(rejected.row == 2 && rejected.status == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
	       "a message that is too large is rejected, with Kafka's code");
	tap_ok(holds(rejected.message.key.data, rejected.message.key.length, "b") &&
	           rejected.message.value.length == sizeof(big) - 1 && rejected.message.row == 2,
	       "and given back as it came");
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_ok(h.status.sent == 2 && h.status.rejected == 1 && h.lanes[0].events == 3, "the others are sent");
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

static void
test_refused_by_broker(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;
	HarnessRejected rejected;

	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	harness_kafka_begin(&h, &config);
	harness_feed_numbers(&h, 1, 1, -1);
	harness_wait_status(&h, h.status.sent == 1);
	rd_kafka_mock_push_request_errors(kafka.cluster, HARNESS_API_PRODUCE, 1,
	                                  RD_KAFKA_RESP_ERR_INVALID_RECORD);
	harness_feed_numbers(&h, 2, 1, -1);
	rejected = harness_expect_rejected(&h);
	tap_ok(rejected.row == 2 && rejected.status == RD_KAFKA_RESP_ERR_INVALID_RECORD &&
	           strstr(rejected.words, "Broker") != NULL,
	       "a message alone in its batch that a broker refuses is rejected");
	harness_feed_numbers(&h, 3, 1, -1);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_ok(h.status.sent == 2 && h.status.rejected == 1 && h.status.last_error == 87,
	       "what comes after it is sent");
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

static void
test_refused_batch(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;
	HarnessFailure failure;

	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	config.linger_ms = 1000;
	rd_kafka_mock_push_request_errors(kafka.cluster, HARNESS_API_PRODUCE, 1,
	                                  RD_KAFKA_RESP_ERR_INVALID_RECORD);
	harness_kafka_begin(&h, &config);
	harness_feed_numbers(&h, 1, 10, -1);
	failure = harness_expect_failed(&h);
	tap_ok(failure.failure == KSEG_FAILURE_REFUSED && failure.status == RD_KAFKA_RESP_ERR_INVALID_RECORD,
	       "a batch of several that is refused ends the run: nobody knows the culprit");
	tap_has(failure.message, "rows 1 to 10", "it says which rows");
	tap_has(failure.hint, "DescribeConfigs", "and what would help");
	tap_ok(h.status.sent == 0 && h.status.rejected == 0, "none is counted");
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

static void
test_own_topics(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;
	KsegMessage messages[5];
	static const char *const names[] = {"t", "..", "not there", "nobody", "u"};
	HarnessRejected rejected;

	harness_kafka_start(&kafka, 1, 1);
	rd_kafka_mock_topic_create(kafka.cluster, "u", 1, 1);
	/* The mock makes every topic that it is asked for, but for those that have an error. */
	rd_kafka_mock_topic_set_error(kafka.cluster, "nobody", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	config = harness_kafka_defaults(&kafka);
	config.topic = "";
	harness_kafka_begin(&h, &config);
	for (int i = 0; i < 5; i++)
	{
		messages[i] = harness_message((uint64_t) i + 1, NULL, "v");
		messages[i].topic = (KsegText){names[i], (uint32_t) strlen(names[i])};
	}
	harness_feed_messages(&h, messages, 5);
	messages[0] = harness_message(6, NULL, "v");
	harness_feed_messages(&h, messages, 1);
	harness_end(&h);
	rejected = harness_expect_rejected(&h);
	tap_ok(rejected.row == 2 && strstr(rejected.words, "name") != NULL, "\"..\" is no topic");
	tap_is((int64_t) harness_expect_rejected(&h).row, 3, "nor is a name with a blank");
	rejected = harness_expect_rejected(&h);
	tap_ok(rejected.row == 4 && rejected.status == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
	       "a topic that there is not");
	tap_is((int64_t) harness_expect_rejected(&h).row, 6, "a message without any topic, too");
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_ok(h.status.sent == 2 && h.status.rejected == 4, "the others are sent");
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

static void
test_own_partition_and_time(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;
	KsegMessage messages[3] = {harness_message(1, NULL, "v"), harness_message(2, NULL, "v"),
	                           harness_message(3, NULL, "v")};
	HarnessRejected rejected;

	messages[0].partition = 2;
	messages[1].timestamp = 0;
	harness_kafka_start(&kafka, 1, 2);
	config = harness_kafka_defaults(&kafka);
	harness_kafka_begin(&h, &config);
	harness_feed_messages(&h, messages, 3);
	harness_end(&h);
	rejected = harness_expect_rejected(&h);
	tap_ok(rejected.row == 1 && rejected.status == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
	       "a partition that there is not");
	rejected = harness_expect_rejected(&h);
	tap_ok(rejected.row == 2 && rejected.status == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
	       "a time that librdkafka would take for now");
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

int
main(void)
{
	test_content();
	test_partitions();
	test_retries();
	test_full_queue();
	test_long_linger();
	test_too_large();
	test_refused_by_broker();
	test_refused_batch();
	test_own_topics();
	test_own_partition_and_time();
	test_comes_back();
	return tap_end();
}
