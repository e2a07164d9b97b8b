/*
 * test_kafka_failures.c
 *	  The job kafka_produce against librdkafka's mock brokers: what ends a run, and transactions.
 */
#include "harness_kafka.h"

#include <unistd.h>

static HarnessFailure
fail_run(const HarnessKafkaConfig *config)
{
	Harness h;
	HarnessFailure failure;

	harness_kafka_begin(&h, config);
	harness_feed_numbers(&h, 1, 1, -1);
	failure = harness_expect_failed(&h);
	printf("# %s / %s / %s\n", failure.message, failure.detail, failure.hint);
	harness_stop(&h);
	return failure;
}

static void
test_no_topic(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	HarnessFailure failure;

	harness_kafka_start(&kafka, 1, 1);
	rd_kafka_mock_topic_set_error(kafka.cluster, "orders", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	config = harness_kafka_defaults(&kafka);
	config.topic = "orders";
	failure = fail_run(&config);
	tap_ok(failure.failure == KSEG_FAILURE_REFUSED && strstr(failure.message, "\"orders\"") != NULL &&
	           strstr(failure.hint, "Create") != NULL,
	       "a run to a topic that there is not");
	config.topic = "or/ders";
	tap_is(fail_run(&config).failure, KSEG_FAILURE_REFUSED, "to one that there cannot be");
	/*
	 * The mock tells partitions of a topic with an error, which no broker does, and which ends a librdkafka of 2.4 to 2.9
	 * (its #4907).
	 */
	if (rd_kafka_version() < 0x020400ff || rd_kafka_version() >= 0x020a00ff)
	{
		rd_kafka_mock_topic_set_error(kafka.cluster, "t", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
		config.topic = "t";
		failure = fail_run(&config);
		tap_ok(failure.failure == KSEG_FAILURE_AUTH && strstr(failure.hint, "Write") != NULL,
		       "to one that may not be used");
	}
	harness_kafka_stop(&kafka);
}

static void
test_not_allowed(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	HarnessFailure failure;

	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	rd_kafka_mock_push_request_errors(kafka.cluster, HARNESS_API_PRODUCE, 1,
	                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	tap_is(fail_run(&config).failure, KSEG_FAILURE_AUTH, "a topic that may be seen and not written to");
	rd_kafka_mock_push_request_errors(kafka.cluster, HARNESS_API_INIT_PRODUCER_ID, 1,
	                                  RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
	failure = fail_run(&config);
	tap_ok(failure.failure == KSEG_FAILURE_AUTH && strstr(failure.hint, "IdempotentWrite") != NULL,
	       "a cluster that gives no producer id");
	harness_kafka_stop(&kafka);
}

static void
test_unreachable(void)
{
	HarnessKafkaConfig config = harness_kafka_defaults(NULL);
	HarnessFailure failure;

	config.connect_timeout_ms = 3000;
	failure = fail_run(&config);
	tap_is(failure.failure, KSEG_FAILURE_EXHAUSTED, "nobody there");
	tap_has(failure.detail, "refused", "librdkafka's words");
	tap_has(failure.hint, "bootstrap_servers", "and what to look at");
	config.bootstrap = "192.0.2.1:9092";
	failure = fail_run(&config);
	tap_is(failure.failure, KSEG_FAILURE_ADDRESS, "plaintext beyond loopback is refused");
	tap_has(failure.detail, "192.0.2.1", "with the address");
	config.plaintext_anywhere = 1;
	tap_is(fail_run(&config).failure, KSEG_FAILURE_EXHAUSTED, "unless it is allowed");
	config.security_protocol = "sasl_ssl";
	config.sasl_mechanism = "GSSAPI";
	failure = fail_run(&config);
	tap_ok(failure.failure == KSEG_FAILURE_CONFIG && strstr(failure.hint, "sasl_mechanism") != NULL,
	       "Kerberos, which runs programs, is refused");
	config.sasl_mechanism = "PLAIN";
	config.sasl_password = "pa55word";
	config.ssl_ca_file = "/no/such/pa55word";
	failure = fail_run(&config);
	tap_ok(failure.failure == KSEG_FAILURE_CONFIG && strstr(failure.hint, "ssl_ca_file") != NULL,
	       "a file that there is not");
	tap_ok(strstr(failure.detail, "No such file") != NULL && strstr(failure.detail, "pa55word") == NULL,
	       "OpenSSL's words say so, with the password masked");
}

/* The broker goes before anything is sent, and does not come back. */
static void
test_timeout(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;
	HarnessFailure failure;

	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	config.message_timeout_ms = 1500;
	harness_kafka_begin(&h, &config);
	harness_feed_numbers(&h, 1, 1, -1);
	harness_wait_status(&h, h.status.sent == 1);
	rd_kafka_mock_broker_set_down(kafka.cluster, 1);
	harness_feed_numbers(&h, 2, 3, -1);
	failure = harness_expect_failed(&h);
	tap_is(failure.failure, KSEG_FAILURE_EXHAUSTED,
	       "brokers that stay away end the run after message_timeout");
	tap_has(failure.detail, "row 2", "the first row that is open is told");
	tap_has(failure.hint, "message_timeout", "and the option");
	tap_ok(h.status.rejected == 0 && h.status.sent == 1, "nothing becomes a dead letter");
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

static void
test_end_of_wire(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;

	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	rd_kafka_mock_broker_set_rtt(kafka.cluster, 1, 60000);
	harness_kafka_begin(&h, &config);
	harness_feed_numbers(&h, 1, 1000, -1);
	close(h.wire);
	h.wire = -1;
	tap_ok(harness_wait_exit(&h, HARNESS_LEAVE_MS) != -1,
	       "the end of the wire ends the courier, whatever brokers do");
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

static void
test_garbage(void)
{
	static const uint8_t garbage[] = {2, 0, 0, 0, 1, 2, 3};
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;

	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	harness_kafka_begin(&h, &config);
	harness_send_frame(&h, KSEG_FRAME_MESSAGES, 0, garbage, sizeof(garbage));
	tap_is(harness_expect_failed(&h).failure, KSEG_FAILURE_INTERNAL,
	       "messages that do not add up are refused");
	harness_stop(&h);
	harness_kafka_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	tap_is(harness_expect_failed(&h).failure, KSEG_FAILURE_INTERNAL, "and so are Segment's events");
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

/* ---------- transactions ---------- */

static void
test_transaction(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Harness h;
	HarnessFailure failure;
	KsegMessage message = harness_message(2, NULL, "v");

	message.partition = 9;
	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	config.transactional = 1;
	harness_kafka_begin(&h, &config);
	harness_feed_numbers(&h, 1, 100, -1);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is((int64_t) h.status.sent, 100, "a transaction is committed");
	harness_stop(&h);
	harness_kafka_begin(&h, &config);
	harness_feed_numbers(&h, 1, 1, -1);
	harness_wait_status(&h, h.status.sent == 1);
	harness_feed_messages(&h, &message, 1);
	failure = harness_expect_failed(&h);
	tap_ok(failure.failure == KSEG_FAILURE_REFUSED && strstr(failure.message, "row 2") != NULL,
	       "a message that is refused ends it, and the row is told");
	tap_is(h.status.rejected, 0, "without a dead letter");
	harness_stop(&h);
	harness_kafka_begin(&h, &config);
	harness_feed_numbers(&h, 1, 100, -1);
	harness_wait_status(&h, h.status.sent == 100);
	rd_kafka_mock_broker_set_down(kafka.cluster, 1);
	close(h.wire);
	h.wire = -1;
	tap_ok(harness_wait_exit(&h, HARNESS_LEAVE_MS) != -1,
	       "an abort that nobody answers does not hold up the end");
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

int
main(void)
{
	test_no_topic();
	test_not_allowed();
	test_unreachable();
	test_timeout();
	test_end_of_wire();
	test_garbage();
	test_transaction();
	return tap_end();
}
