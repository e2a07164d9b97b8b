/*
 * test_kafka_consume_ends.c
 *	  The courier reads topics of librdkafka's own broker for tests: how a read ends that cannot go on, what does not end it, and
 *	  what the end of the wire does. What is read: test_kafka_consume.c.
 */
#include <unistd.h>

#include "harness_consume.h"

#define BROKERS 3

static HarnessKafka kafka;

/* The topic of those tests that are not about what a topic holds. */
static void
make_whole(void)
{
	harness_kafka_topic(&kafka, "whole", 4);
	for (int32_t i = 0; i < 4; i++)
		harness_kafka_fill(&kafka, "whole", i, 100);
}

/* ---------- reads that cannot go on ---------- */

static void
test_no_topic(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "wohle");
	Harness harness;
	HarnessFailure failure;

	/* These brokers would make the topic when they are asked for it: they speak a Metadata that cannot forbid it. */
	rd_kafka_mock_topic_set_error(kafka.cluster, "wohle", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	harness_consume_begin(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_is(failure.failure, KSEG_FAILURE_REFUSED, "a topic that there is not is refused");
	tap_has(failure.message, "wohle", "by its name");
	tap_has(failure.hint, "Perhaps you meant the topic \"whole\"", "and a near one is named");
	harness_stop(&harness);
}

/* Read a topic of which a request of this kind is not allowed. */
static HarnessFailure
read_not_allowed(int16_t request)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "whole");
	Harness harness;
	HarnessFailure failure;

	rd_kafka_mock_push_request_errors(
	    kafka.cluster, request, BROKERS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
	    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	harness_consume_begin(&harness, &config);
	harness_consume_take(&harness);
	failure = harness_expect_failed(&harness);
	harness_stop(&harness);
	rd_kafka_mock_clear_request_errors(kafka.cluster, request);
	return failure;
}

static void
test_not_allowed(void)
{
	HarnessFailure failure = read_not_allowed(HARNESS_API_LIST_OFFSETS);

	tap_is(failure.failure, KSEG_FAILURE_AUTH,
	       "a topic whose offsets may not be asked for is a matter of rights");
	tap_has(failure.message, "topic \"whole\"", "of this topic");
	failure = read_not_allowed(HARNESS_API_FETCH);
	tap_is(failure.failure, KSEG_FAILURE_AUTH, "so is one whose messages may not be read");
	tap_has(failure.hint, "Grant", "with what to do about it");
}

static void
test_gap(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "gap");
	Harness harness;
	HarnessFailure failure;
	const HarnessRead *read;

	harness_kafka_topic(&kafka, "gap", 1);
	harness_kafka_fill(&kafka, "gap", 0, 10);
	config.bounds = "[{\"partition\":0,\"start\":50,\"end\":60}]";
	read = harness_consume_run(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_ok(read->row_count == 0 && failure.failure == KSEG_FAILURE_GAP,
	       "offsets that are not there are a gap");
	tap_has(failure.detail, "Partition 0 at offset 50", "which is named");
	harness_stop(&harness);

	config.bounds = "[{\"partition\":1,\"start\":0,\"end\":1}]";
	harness_consume_begin(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_is(failure.failure, KSEG_FAILURE_GAP, "so is a partition that is not there any more");
	harness_stop(&harness);

	/* The end of the log is before the end of the read: a topic that was made anew. */
	config.bounds = "[{\"partition\":0,\"start\":8,\"end\":12}]";
	config.common.request_timeout_ms = 1000;
	read = harness_consume_run(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_ok(failure.failure == KSEG_FAILURE_GAP && harness_read_has(read, 0, 8, 9),
	       "a log that ends too early is one, after what there is");
	harness_stop(&harness);
}

static void
test_passing_errors(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "passing");
	Harness harness;
	const HarnessRead *read;

	harness_kafka_topic(&kafka, "passing", 2);
	harness_kafka_fill(&kafka, "passing", 0, 100);
	harness_kafka_fill(&kafka, "passing", 1, 100);
	rd_kafka_mock_push_request_errors(
	    kafka.cluster, HARNESS_API_FETCH, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	    RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
	read = harness_consume_run(&harness, &config);
	tap_ok(read->done && harness_read_has(read, 0, 0, 99) && harness_read_has(read, 1, 0, 99),
	       "errors that pass do not end a read");
	rd_kafka_mock_clear_request_errors(kafka.cluster, HARNESS_API_FETCH);
	harness_stop(&harness);
}

/* Every Fetch is refused as long as there are errors to be told, so that no message has come when the brokers go. */
static void
hold_fetches(void)
{
	for (int i = 0; i < 500; i++)
		rd_kafka_mock_push_request_errors(kafka.cluster, HARNESS_API_FETCH, 1,
		                                  RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
}

static void
test_brokers_gone(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "away");
	Harness harness;
	HarnessFailure failure;
	const HarnessRead *read;

	harness_kafka_topic(&kafka, "away", 1);
	harness_kafka_fill(&kafka, "away", 0, 100);
	hold_fetches();
	config.common.request_timeout_ms = 1500;
	harness_consume_begin_bounds(&harness, &config);
	harness_kafka_set_down(&kafka, true);
	failure = (harness_consume_take(&harness), harness_expect_failed(&harness));
	tap_is(failure.failure, KSEG_FAILURE_EXHAUSTED,
	       "a read whose brokers have gone waits as long as request_timeout says");
	tap_has(failure.message, "1500 ms", "and says so");
	harness_kafka_set_down(&kafka, false);
	harness_stop(&harness);

	rd_kafka_mock_clear_request_errors(kafka.cluster, HARNESS_API_FETCH);
	hold_fetches();
	config.common.request_timeout_ms = HARNESS_WAIT_MS;
	harness_consume_begin_bounds(&harness, &config);
	harness_kafka_set_down(&kafka, true);
	rd_kafka_mock_clear_request_errors(kafka.cluster, HARNESS_API_FETCH);
	harness_kafka_set_down(&kafka, false);
	read = harness_consume_take(&harness);
	tap_ok(read->done && harness_read_has(read, 0, 0, 99), "one whose brokers come back goes on");
	harness_stop(&harness);
}

static void
test_no_broker(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "whole");
	Harness harness;
	HarnessFailure failure;

	/* Nobody listens on port 1. */
	config.common.bootstrap = "127.0.0.1:1";
	config.common.connect_timeout_ms = 500;
	harness_consume_begin(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_is(failure.failure, KSEG_FAILURE_EXHAUSTED, "without a broker a read gives up after connect_timeout");
	tap_has(failure.detail, "onnect", "with librdkafka's reason");
	harness_stop(&harness);
}

static void
test_config_refused(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "whole");
	Harness harness;
	HarnessFailure failure;

	config.partitions = "7";
	harness_consume_begin(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_is(failure.failure, KSEG_FAILURE_CONFIG, "a CONFIG that is none is refused");
	tap_has(failure.detail, "\"partitions\"", "with the key's name");
	harness_stop(&harness);
}

/* ---------- the end of the wire ---------- */

/* Hang up; a courier that was stuck would be there after all that a broker may take. */
static void
hang_up(Harness *harness, const char *name)
{
	int64_t before = harness_now_ms();

	close(harness->wire);
	harness->wire = -1;
	tap_ok(harness_wait_exit(harness, HARNESS_WAIT_MS) != -1 &&
	           harness_now_ms() - before < HARNESS_WAIT_MS / 2,
	       "%s", name);
	harness->pid = 0;
	harness_stop(harness);
}

static void
test_hang_up(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "whole");
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;
	char servers[64];
	Harness harness;

	/* The harness's own server takes the connection and says nothing. */
	harness_start(&harness);
	snprintf(servers, sizeof(servers), "127.0.0.1:%d", harness.port);
	config.common.bootstrap = servers;
	harness_send_hello(&harness, KSEG_WIRE_VERSION, KSEG_BUILD);
	harness_expect_frame(&harness, KSEG_FRAME_HELLO);
	harness_consume_send_config(&harness, &config);
	while (harness.accepted == 0)
		harness_pump(&harness, deadline, "a connection");
	hang_up(&harness, "a courier that waits for the bounds goes when the wire ends");
}

static void
test_hang_up_reading(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "much");
	char *value = harness_allocate(900000);
	Harness harness;

	/* More than socket, frames and queue hold together, so that every thread of the courier waits for somebody. */
	harness_kafka_topic(&kafka, "much", 1);
	memset(value, 'x', 900000);
	for (int i = 0; i < 5; i++)
		harness_kafka_put(&kafka, "much", 0, NULL, value, 900000, NULL);
	harness_kafka_flush(&kafka);
	free(value);
	config.wants = "[{\"kind\":\"value\"}]";
	harness_consume_begin_bounds(&harness, &config);
	hang_up(&harness, "so does one that has more than the wire takes");
}

static void
test_talk(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "much");
	Harness harness;

	config.wants = "[{\"kind\":\"value\"}]";
	harness_consume_begin(&harness, &config);
	harness_send_frame(&harness, KSEG_FRAME_WAITING, 0, NULL, 0);
	harness_consume_take(&harness);
	tap_is(harness_expect_failed(&harness).failure, KSEG_FAILURE_INTERNAL, "nothing is to be said to a read");
	harness_stop(&harness);
}

int
main(void)
{
	harness_kafka_start(&kafka, BROKERS, 1);
	make_whole();
	test_no_topic();
	test_not_allowed();
	test_gap();
	test_passing_errors();
	test_brokers_gone();
	test_no_broker();
	test_config_refused();
	test_hang_up();
	test_hang_up_reading();
	test_talk();
	harness_kafka_stop(&kafka);
	return tap_end();
}
