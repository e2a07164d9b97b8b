/*
 * test_kafka_check.c
 *	  The job kafka_test: nine checks in order, whatever the brokers do.
 */
#include "harness_kafka.h"

#include <unistd.h>

#define CHECKS 9

typedef struct Check
{
	char name[64];
	uint32_t ok;
	char detail[2048];
	char hint[1024];
} Check;

static const char *const names[] = {"library",        "connection",     "TLS",
                                    "authentication", "brokers",        "broker version",
                                    "topics",         "topic settings", "idempotent producer"};

static void
copy_text(char *out, size_t room, KsegText text)
{
	snprintf(out, room, "%.*s", (int) text.length, text.data);
}

static void
read_checks(Harness *h, Check *checks)
{
	for (int i = 0; i < CHECKS; i++)
	{
		const HarnessFrame *kept = harness_expect_frame(h, KSEG_FRAME_CHECK);
		KsegFrame frame = {.payload = kept->payload, .length = kept->length};
		KsegReader reader;

		kseg_reader_init(&reader, &frame);
		copy_text(checks[i].name, sizeof(checks[i].name), kseg_read_text(&reader));
		checks[i].ok = kseg_read_u32(&reader);
		copy_text(checks[i].detail, sizeof(checks[i].detail), kseg_read_text(&reader));
		copy_text(checks[i].hint, sizeof(checks[i].hint), kseg_read_text(&reader));
		if (!kseg_reader_done(&reader) || strcmp(checks[i].name, names[i]) != 0)
			tap_die("check %d is not \"%s\" but \"%s\"", i, names[i], checks[i].name);
		printf("# %s: %u, %s%s%s\n", checks[i].name, checks[i].ok, checks[i].detail,
		       checks[i].hint[0] != '\0' ? " / " : "", checks[i].hint);
	}
	harness_expect_frame(h, KSEG_FRAME_DONE);
}

/* wanted: a digit for each check, as 0 no, 1 yes, 2 cannot tell; a "no" has a hint, and only a "no". */
static void
run_checks(const HarnessKafkaConfig *config, Check *checks, const char *wanted, const char *name)
{
	Harness h;
	char got[CHECKS + 1] = "";
	bool hinted = true;

	harness_kafka_begin(&h, config);
	read_checks(&h, checks);
	for (int i = 0; i < CHECKS; i++)
	{
		got[i] = (char) ('0' + checks[i].ok);
		hinted = hinted && (checks[i].ok == 0) == (checks[i].hint[0] != '\0');
	}
	tap_is_text(got, wanted, name);
	tap_ok(hinted, "each \"no\" has a hint, and nothing else");
	harness_stop(&h);
}

static void
test_cluster(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Check checks[CHECKS];

	harness_kafka_start(&kafka, 3, 1);
	rd_kafka_mock_topic_create(kafka.cluster, "orders", 1, 1);
	config = harness_kafka_defaults(&kafka);
	config.job = "kafka_test";
	/* The mock does not know the question for configurations. */
	run_checks(&config, checks, "112212101", "three brokers are reached");
	tap_has(checks[0].detail, "librdkafka ", "the library tells its version");
	tap_has(checks[4].detail, "3 of 3", "the brokers are counted");
	tap_has(checks[6].detail, "2 visible:", "the topics, too");
	tap_has(checks[6].detail, "orders", "with their names");
	rd_kafka_mock_push_request_errors(kafka.cluster, HARNESS_API_INIT_PRODUCER_ID, 1,
	                                  RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
	run_checks(&config, checks, "112212100", "a cluster that gives no producer id");
	tap_has(checks[8].hint, "IdempotentWrite", "and what is missing");
	harness_kafka_stop(&kafka);
}

static void
test_unreachable(void)
{
	HarnessKafkaConfig config = harness_kafka_defaults(NULL);
	Check checks[CHECKS];

	config.job = "kafka_test";
	config.connect_timeout_ms = 3000;
	run_checks(&config, checks, "102222222", "nobody there: no failure, but a \"no\"");
	tap_has(checks[1].detail, "refused", "with librdkafka's words");
	config.bootstrap = "nobody.invalid:9092";
	run_checks(&config, checks, "102222222", "a name that nobody has");
	tap_has(checks[1].detail, "resolve", "librdkafka says so");
	config.bootstrap = "192.0.2.1:9092";
	config.connect_timeout_ms = HARNESS_WAIT_MS * 2;
	run_checks(&config, checks, "102222222", "plaintext beyond loopback is not waited for");
	tap_has(checks[1].hint, "security_protocol", "the hint names the option");
}

/* TLS, spoken to a port that speaks plaintext. */
static void
test_tls(void)
{
	HarnessKafka kafka;
	HarnessKafkaConfig config;
	Check checks[CHECKS];

	harness_kafka_start(&kafka, 1, 1);
	config = harness_kafka_defaults(&kafka);
	config.job = "kafka_test";
	config.security_protocol = "ssl";
	config.connect_timeout_ms = 5000;
	run_checks(&config, checks, "110222222", "a broker that does not know TLS");
	tap_has(checks[2].hint, "security_protocol", "the hint names the option");
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
	config.job = "kafka_test";
	rd_kafka_mock_broker_set_rtt(kafka.cluster, 1, 60000);
	harness_kafka_begin(&h, &config);
	close(h.wire);
	h.wire = -1;
	tap_ok(harness_wait_exit(&h, HARNESS_LEAVE_MS) != -1, "the end of the wire ends a test, too");
	harness_stop(&h);
	harness_kafka_stop(&kafka);
}

int
main(void)
{
	test_cluster();
	test_unreachable();
	test_tls();
	test_end_of_wire();
	return tap_end();
}
