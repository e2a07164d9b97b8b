/*
 * kafka_test.c
 *	  The job kafka_test: how far can the brokers be reached, said in CHECK frames, always the same nine in order.
 *
 * Owns: one handle, the one that a run would have. Refuses: to send a message, to make a topic, to try again once a broker has
 * refused credentials or TLS: a test tells what is.
 *
 * The handle is an idempotent producer's, so that it is told whether it may be one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "courier/kafka_conf.h"
#include "courier/kafka_failure.h"
#include "courier/kafka_survey.h"
#include "courier/kafka_topic.h"
#include "courier/wire_report.h"

/* How long a broker that has answered once may take for each further answer. */
#define TEST_ANSWER_MS 10000

/* librdkafka tells the state of its producer id with its statistics. */
#define TEST_STATISTICS_MS "100"

/* Names of topics that are told. */
#define TEST_TOPICS 8

#define TEST_NOT_REACHED "Not tried: the step before it failed."

typedef struct KsegKafkaTest
{
	KsegCourier *courier;
	KsegKafkaClient client;
	KsegSurvey survey;
	rd_kafka_resp_err_t denied; /* the fatal error that ended the idempotent producer; NO_ERROR: none */
	bool assigned;              /* it has its producer id */
	int64_t id_deadline_ms;     /* 0: the survey is not over */
	bool refused; /* the survey is still waiting for brokers that will not have us: it is not looked at */
	bool over;
} KsegKafkaTest;

static void
test_check(KsegKafkaTest *test, const char *check, KsegCheckResult ok, const char *detail, const char *hint)
{
	wire_report_check(&test->courier->io, &test->courier->secret, check, ok, detail,
	                  ok == KSEG_CHECK_NO ? hint : "");
}

/* ---------- the way to a first answer ---------- */

typedef enum TestStep
{
	TEST_CONNECTION,
	TEST_TLS,
	TEST_AUTHENTICATION,
	TEST_ANSWERED
} TestStep;

/* How far has it come? */
static TestStep
test_read_step(const KsegKafkaTest *test)
{
	const KsegKafkaClient *client = &test->client;

	if (!test->refused && test->survey.error == RD_KAFKA_RESP_ERR_NO_ERROR)
		return TEST_ANSWERED;
	if (client->cause == RD_KAFKA_RESP_ERR__AUTHENTICATION)
		return TEST_AUTHENTICATION;
	if (client->cause == RD_KAFKA_RESP_ERR__SSL)
		return TEST_TLS;
	return TEST_CONNECTION;
}

static void
test_check_connection(KsegKafkaTest *test, TestStep step)
{
	const KsegKafkaClient *client = &test->client;
	char detail[KSEG_KAFKA_WORDS_MAX + 100];

	if (step > TEST_CONNECTION)
	{
		test_check(test, "connection", KSEG_CHECK_YES, test->courier->config.bootstrap_servers, "");
		return;
	}
	if (atomic_load(&client->refusal.state) == 2)
	{
		snprintf(detail, sizeof(detail), "Plaintext is for loopback only, and the address is %s",
		         client->refusal.address);
		test_check(test, "connection", KSEG_CHECK_NO, detail,
		           "Set the server option \"security_protocol\" to ssl or sasl_ssl.");
		return;
	}
	test_check(test, "connection", KSEG_CHECK_NO, kafka_client_why(client, RD_KAFKA_RESP_ERR__TIMED_OUT),
	           kafka_failure_hint(client, client->cause));
}

static void
test_check_tls(KsegKafkaTest *test, TestStep step)
{
	const KsegKafkaClient *client = &test->client;

	if (step == TEST_CONNECTION)
		test_check(test, "TLS", KSEG_CHECK_CANNOT_TELL, TEST_NOT_REACHED, "");
	else if (client->plaintext)
		test_check(test, "TLS", KSEG_CHECK_CANNOT_TELL, "The security protocol is plaintext", "");
	else if (step == TEST_TLS)
		test_check(test, "TLS", KSEG_CHECK_NO, client->cause_words,
		           kafka_failure_hint(client, client->cause));
	else
		test_check(test, "TLS", KSEG_CHECK_YES, "Certificate and host name verified", "");
}

static void
test_check_authentication(KsegKafkaTest *test, TestStep step)
{
	const KsegKafkaClient *client = &test->client;
	const KsegConfig *config = &test->courier->config;
	char detail[200];

	if (step < TEST_AUTHENTICATION)
		test_check(test, "authentication", KSEG_CHECK_CANNOT_TELL, TEST_NOT_REACHED, "");
	else if (step == TEST_AUTHENTICATION)
		test_check(test, "authentication", KSEG_CHECK_NO, client->cause_words,
		           kafka_failure_hint(client, client->cause));
	else if (kafka_conf_has_sasl(config))
	{
		snprintf(detail, sizeof(detail), "As %.100s with %s", config->sasl_username, config->sasl_mechanism);
		test_check(test, "authentication", KSEG_CHECK_YES, detail, "");
	}
	else
		test_check(test, "authentication", KSEG_CHECK_CANNOT_TELL,
		           config->ssl_certificate_file[0] != '\0'
		               ? "Without SASL; the client's certificate was not refused"
		               : "Without SASL: the brokers do not ask who we are",
		           "");
}

/* ---------- the cluster ---------- */

/* A broker that is too old for the question has been reached, too. */
static bool
test_is_gone(const KsegSurveyBroker *broker)
{
	return broker->error < 0 && broker->error != RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
}

/* "1 127.0.0.1:9092 (controller), 2 …" */
static void
test_write_brokers(const KsegKafkaTest *test, char *out, size_t room, bool reached)
{
	const KsegSurvey *survey = &test->survey;
	size_t at = 0;

	out[0] = '\0';
	for (int i = 0; i < survey->broker_count && at < room; i++)
	{
		const struct rd_kafka_metadata_broker *broker = &survey->metadata->brokers[i];

		if (test_is_gone(&survey->brokers[i]) == reached)
			continue;
		at += (size_t) snprintf(out + at, room - at, "%s%d %s:%d%s", at > 0 ? ", " : "", broker->id,
		                        broker->host, broker->port,
		                        broker->id == survey->controller ? " (controller)" : "");
	}
}

static int
test_count_gone(const KsegSurvey *survey)
{
	int gone = 0;

	for (int i = 0; i < survey->broker_count; i++)
		gone += test_is_gone(&survey->brokers[i]);
	return gone;
}

static void
test_check_brokers(KsegKafkaTest *test)
{
	const KsegSurvey *survey = &test->survey;
	int gone = test_count_gone(survey);
	char names[600];
	char detail[900];

	test_write_brokers(test, names, sizeof(names), gone == 0);
	if (gone == 0)
		snprintf(detail, sizeof(detail), "%d of %d in cluster %s: %s", survey->broker_count,
		         survey->metadata->broker_cnt, survey->cluster != NULL ? survey->cluster : "without an id",
		         names);
	else
		snprintf(detail, sizeof(detail), "%d of %d do not answer: %s (%s)", gone,
		         survey->metadata->broker_cnt, names,
		         kafka_client_why(&test->client, RD_KAFKA_RESP_ERR__TIMED_OUT));
	test_check(test, "brokers", gone == 0 ? KSEG_CHECK_YES : KSEG_CHECK_NO, detail,
	           "Brokers must be reachable from this machine by the names that they advertise "
	           "(advertised.listeners).");
}

/* Kafka's protocol has no question for a release: what may be known is a setting that brokers up to 3.9 have. */
static void
test_check_version(KsegKafkaTest *test)
{
	const KsegSurvey *survey = &test->survey;
	char detail[200];

	for (int i = 0; i < survey->broker_count; i++)
	{
		const KsegSurveyBroker *broker = &survey->brokers[i];

		if (!broker->described)
			continue;
		if (broker->version[0] != '\0')
			snprintf(detail, sizeof(detail), "Kafka 3 or older, inter.broker.protocol.version %s",
			         broker->version);
		else
			snprintf(detail, sizeof(detail), "Kafka 4.0 or later");
		test_check(test, "broker version", KSEG_CHECK_YES, detail, "");
		return;
	}
	test_check(test, "broker version", KSEG_CHECK_CANNOT_TELL,
	           "Only a Kafka user with DescribeConfigs on the cluster is told", "");
}

static void
test_check_topics(KsegKafkaTest *test)
{
	const struct rd_kafka_metadata *metadata = test->survey.metadata;
	char detail[TEST_TOPICS * (KSEG_TOPIC_NAME_MAX + 2) + 100];
	int count = 0;
	size_t at;

	for (int i = 0; i < metadata->topic_cnt; i++)
		count += strncmp(metadata->topics[i].topic, "__", 2) != 0;
	at = (size_t) snprintf(detail, sizeof(detail), "%d visible%s", count, count > 0 ? ":" : "");
	for (int i = 0, told = 0; i < metadata->topic_cnt && told < TEST_TOPICS; i++)
	{
		if (strncmp(metadata->topics[i].topic, "__", 2) == 0)
			continue;
		at += (size_t) snprintf(detail + at, sizeof(detail) - at, "%s %.*s", told++ > 0 ? "," : "",
		                        KSEG_TOPIC_NAME_MAX, metadata->topics[i].topic);
	}
	if (count > TEST_TOPICS)
		snprintf(detail + at, sizeof(detail) - at, ", …");
	test_check(test, "topics", KSEG_CHECK_YES, detail, "");
}

static void
test_check_settings(KsegKafkaTest *test)
{
	const KsegSurvey *survey = &test->survey;
	char detail[KSEG_TOPIC_NAME_MAX + 200];

	if (survey->topic == NULL)
	{
		test_check(test, "topic settings", KSEG_CHECK_CANNOT_TELL, "There is no topic to ask for", "");
		return;
	}
	if (survey->topic_error == RD_KAFKA_RESP_ERR_NO_ERROR)
		snprintf(detail, sizeof(detail), "Can be read (topic \"%s\")", survey->topic);
	else
		snprintf(detail, sizeof(detail), "Cannot be read (topic \"%s\"): %s", survey->topic,
		         rd_kafka_err2str(survey->topic_error));
	test_check(
	    test, "topic settings",
	    survey->topic_error == RD_KAFKA_RESP_ERR_NO_ERROR ? KSEG_CHECK_YES : KSEG_CHECK_NO, detail,
	    "Grant the Kafka user DescribeConfigs on its topics: kseg then knows which messages a topic refuses "
	    "(without a key, too old), and rejects only those.");
}

static void
test_check_producer(KsegKafkaTest *test)
{
	if (test->denied != RD_KAFKA_RESP_ERR_NO_ERROR)
		test_check(test, "idempotent producer", KSEG_CHECK_NO, rd_kafka_err2str(test->denied),
		           kafka_failure_hint(&test->client, test->denied));
	else if (test->assigned)
		test_check(test, "idempotent producer", KSEG_CHECK_YES, "The brokers have given a producer id", "");
	else
		test_check(test, "idempotent producer", KSEG_CHECK_NO,
		           "The brokers have given no producer id in time",
		           "Brokers that have just started need some seconds.");
}

/* All that is left, once the survey and the producer id are there, or the way to them has ended. */
static void
test_tell(KsegKafkaTest *test)
{
	static const char *const rest[] = {"brokers", "broker version", "topics", "topic settings",
	                                   "idempotent producer"};
	TestStep step = test_read_step(test);
	char library[64];

	snprintf(library, sizeof(library), "librdkafka %s", rd_kafka_version_str());
	test_check(test, "library", KSEG_CHECK_YES, library, "");
	test_check_connection(test, step);
	test_check_tls(test, step);
	test_check_authentication(test, step);
	for (size_t i = 0; step != TEST_ANSWERED && i < sizeof(rest) / sizeof(rest[0]); i++)
		test_check(test, rest[i], KSEG_CHECK_CANNOT_TELL, TEST_NOT_REACHED, "");
	if (step == TEST_ANSWERED)
	{
		test_check_brokers(test);
		test_check_version(test);
		test_check_topics(test);
		test_check_settings(test);
		test_check_producer(test);
	}
	test->over = true;
}

/* ---------- the job ---------- */

static void *
test_open(KsegCourier *courier)
{
	static const KsegKafkaSetting settings[] = {{"enable.idempotence", "true", false},
	                                            {"statistics.interval.ms", TEST_STATISTICS_MS, false}};
	KsegKafkaTest *test = memory_resize(NULL, sizeof(*test));

	*test = (KsegKafkaTest){.courier = courier};
	if (!kafka_client_open(&test->client, courier, RD_KAFKA_PRODUCER, settings,
	                       sizeof(settings) / sizeof(settings[0])))
		return NULL;
	test->client.lenient = true;
	test->survey = (KsegSurvey){.rk = test->client.rk,
	                            .reach_ms = clock_now_ms() + courier->config.connect_timeout_ms,
	                            .answer_ms = TEST_ANSWER_MS};
	if (!kafka_client_begin(&test->client, kafka_survey_ask, &test->survey))
		return NULL;
	return test;
}

static bool
test_is_full(const void *state)
{
	(void) state;
	return false;
}

static void
test_take_events(KsegKafkaTest *test)
{
	rd_kafka_event_t *event;
	char words[KSEG_KAFKA_WORDS_MAX];

	while ((event = kafka_client_next_event(&test->client)) != NULL)
	{
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_STATS)
			test->assigned = test->assigned ||
			                 strstr(rd_kafka_event_stats(event), "\"idemp_state\": \"Assigned\"") != NULL;
		rd_kafka_event_destroy(event);
	}
	test->denied = kafka_client_read_fatal(&test->client, words);
}

/* Nothing better will come: all brokers have been tried, and it is not the network that is in the way. */
static bool
test_is_refused(const KsegKafkaTest *test)
{
	const KsegKafkaClient *client = &test->client;

	return !atomic_load(&test->survey.reached) &&
	       (atomic_load(&client->refusal.state) == 2 ||
	        (client->all_down && (client->cause == RD_KAFKA_RESP_ERR__SSL ||
	                              client->cause == RD_KAFKA_RESP_ERR__AUTHENTICATION)));
}

static int64_t
test_turn(void *state, int64_t now)
{
	KsegKafkaTest *test = state;
	bool working;

	kafka_client_wake_up(&test->client);
	test_take_events(test);
	if (test->over)
		return KSEG_CLOCK_NEVER;
	working = kafka_client_is_working(&test->client);
	test->refused = working && test_is_refused(test);
	if (working && !test->refused)
		return KSEG_CLOCK_NEVER;
	if (test->id_deadline_ms == 0)
		test->id_deadline_ms = now + TEST_ANSWER_MS;
	if (test_read_step(test) == TEST_ANSWERED && !test->assigned &&
	    test->denied == RD_KAFKA_RESP_ERR_NO_ERROR && now < test->id_deadline_ms)
		return test->id_deadline_ms;
	test_tell(test);
	return KSEG_CLOCK_NEVER;
}

static bool
test_is_settled(const void *state)
{
	return ((const KsegKafkaTest *) state)->over;
}

static void
test_report(void *state)
{
	(void) state;
}

static void
test_wait(void *state, int wire_fd, short wire_events, int wait_ms)
{
	kafka_client_wait(&((KsegKafkaTest *) state)->client, wire_fd, wire_events, wait_ms);
}

const KsegJob kafka_test_job = {
    .name = "kafka_test",
    .takes_events = false,
    .open = test_open,
    .is_full = test_is_full,
    .turn = test_turn,
    .is_settled = test_is_settled,
    .report = test_report,
    .wait = test_wait,
};
