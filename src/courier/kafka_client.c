/*
 * kafka_client.c
 *	  A handle's life but for its end. See kafka_client.h.
 */
#define _GNU_SOURCE /* strcasestr */
#include "courier/kafka_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "courier/kafka_compat.h"
#include "courier/kafka_conf.h"
#include "courier/kafka_failure.h"
#include "courier/words.h"

/* Kafka's numbers of requests (the protocol's table of API keys). */
#define CLIENT_API_PRODUCE 0
#define CLIENT_API_FETCH   1

/* ---------- what librdkafka's threads call ---------- */

static void
client_note_refusal(KsegKafkaRefusal *refusal, const struct sockaddr *address)
{
	int nothing = 0;

	if (!atomic_compare_exchange_strong(&refusal->state, &nothing, 1))
		return;
	address_write(refusal->address, address);
	atomic_store(&refusal->state, 2);
}

/* Brokers tell each other's addresses, so that the first one being on loopback says nothing of the others. */
static int
client_connect(int sockfd, const struct sockaddr *address, int length, const char *id, void *opaque)
{
	KsegKafkaClient *client = opaque;

	(void) id;
	if (client->plaintext && client->courier->config.plaintext_anywhere == 0 && !address_is_loopback(address))
	{
		client_note_refusal(&client->refusal, address);
		return EACCES;
	}
	/* The socket does not block: it is connected when it can be written to. */
	return connect(sockfd, address, (socklen_t) length) == 0 || errno == EINPROGRESS ? 0 : errno;
}

/* Nothing is printed. What is worth telling comes as an event, but for what happens before there is a handle. */
static void
client_take_log(const rd_kafka_t *rk, int level, const char *facility, const char *words)
{
	KsegKafkaClient *client = rd_kafka_opaque(rk);
	const char *said = strstr(words, "]: "); /* behind "[thrd:app]: " */

	(void) level, (void) facility;
	if (client != NULL && atomic_load(&client->opening) && client->log[0] == '\0')
		snprintf(client->log, sizeof(client->log), "%s", said != NULL ? said + 3 : words);
}

static rd_kafka_resp_err_t
client_count_sent(rd_kafka_t *rk, int sockfd, const char *broker, int32_t id, int16_t key, int16_t version,
                  int32_t correlation, size_t size, void *opaque)
{
	KsegKafkaClient *client = opaque;
	KsegKafkaTraffic *traffic = &client->traffic;

	(void) rk, (void) sockfd, (void) broker, (void) id, (void) version, (void) correlation;
	if (key == CLIENT_API_PRODUCE)
	{
		atomic_fetch_add_explicit(&traffic->sent, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&traffic->bytes, size, memory_order_relaxed);
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t
client_count_answered(rd_kafka_t *rk, int sockfd, const char *broker, int32_t id, int16_t key,
                      int16_t version, int32_t correlation, size_t size, int64_t rtt, rd_kafka_resp_err_t err,
                      void *opaque)
{
	KsegKafkaClient *client = opaque;
	KsegKafkaTraffic *traffic = &client->traffic;

	(void) rk, (void) sockfd, (void) broker, (void) id, (void) version, (void) correlation, (void) rtt,
	    (void) err;
	if (key == CLIENT_API_PRODUCE)
		atomic_fetch_add_explicit(&traffic->answered, 1, memory_order_relaxed);
	if (key == CLIENT_API_FETCH)
	{
		void (*hear)(void *argument, size_t bytes) = atomic_load(&client->hear_fetch);

		if (hear != NULL)
			hear(client->hear_fetch_argument, size);
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t
client_add_counters(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque, char *words, size_t room)
{
	rd_kafka_resp_err_t err = rd_kafka_interceptor_add_on_request_sent(rk, "kseg", client_count_sent, opaque);

	(void) conf, (void) words, (void) room;
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		err = rd_kafka_interceptor_add_on_response_received(rk, "kseg", client_count_answered, opaque);
	return err;
}

/* ---------- opening ---------- */

static bool
client_check_library(KsegCourier *courier)
{
	if (!KSEG_KAFKA_IS_BROKEN(rd_kafka_version()))
		return true;
	if (failure_set(&courier->failure, KSEG_FAILURE_CONFIG, 0, "could not use librdkafka %s",
	                rd_kafka_version_str()))
	{
		failure_set_detail(&courier->failure, "This release can end the process while it talks to a broker.");
		failure_set_hint(&courier->failure, "Install librdkafka 2.5.3 or later.");
	}
	return false;
}

static void
client_prepare(KsegKafkaClient *client, rd_kafka_conf_t *conf)
{
	rd_kafka_conf_set_opaque(conf, client);
	rd_kafka_conf_set_connect_cb(conf, client_connect);
	rd_kafka_conf_set_log_cb(conf, client_take_log);
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS);
	rd_kafka_conf_interceptor_add_on_new(conf, "kseg", client_add_counters, client);
}

static void
client_clean(const KsegKafkaClient *client, char *out, const char *words)
{
	size_t length = strlen(words);
	char *copy = memory_copy_text(words, length);

	secret_mask(&client->courier->secret, copy, length);
	words_clean(out, KSEG_KAFKA_WORDS_MAX, copy, length);
	free(copy);
}

/* rd_kafka_new reads the files that CONFIG names; what is wrong with one is in the log. */
static void
client_fail_new(KsegKafkaClient *client, const char *error)
{
	KsegFailureReport *report = &client->courier->failure;
	char words[KSEG_KAFKA_WORDS_MAX];
	char log[KSEG_KAFKA_WORDS_MAX];

	if (!failure_set(report, KSEG_FAILURE_CONFIG, 0, "could not set up a Kafka client"))
		return;
	client_clean(client, words, error);
	client_clean(client, log, client->log);
	failure_set_detail(report, "librdkafka says: %s%s%s.", words, log[0] != '\0' ? "; " : "", log);
	if (kafka_conf_has_tls(&client->courier->config))
		failure_set_hint(report,
		                 "The server options \"ssl_ca_file\", \"ssl_certificate_file\" and \"ssl_key_file\" "
		                 "name files in PEM that PostgreSQL's user must be able to read; the user mapping's "
		                 "\"ssl_key_password\" opens an encrypted key.");
}

static bool
client_open_wake(KsegKafkaClient *client)
{
	client->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (client->wake_fd >= 0)
		return true;
	if (failure_set(&client->courier->failure, KSEG_FAILURE_INTERNAL, 0, "could not set up a Kafka client"))
		failure_set_detail(&client->courier->failure, "There is no descriptor: %s.", strerror(errno));
	return false;
}

bool
kafka_client_open(KsegKafkaClient *client, KsegCourier *courier, rd_kafka_type_t type,
                  const KsegKafkaSetting *settings, size_t count)
{
	char words[512] = "";
	rd_kafka_conf_t *conf;

	*client = (KsegKafkaClient){.courier = courier, .wake_fd = -1};
	client->plaintext = !kafka_conf_has_tls(&courier->config);
	client->deadline_ms = clock_now_ms() + courier->config.connect_timeout_ms;
	if (!client_check_library(courier) || !client_open_wake(client))
		return false;
	conf = kafka_conf_create(courier, type, settings, count);
	if (conf == NULL)
		return false;
	client_prepare(client, conf);
	atomic_store(&client->opening, true);
	client->rk = rd_kafka_new(type, conf, words, sizeof(words));
	atomic_store(&client->opening, false);
	if (client->rk == NULL)
	{
		/* conf is left as it is: with interceptors, 2.0.2 has freed a part of it by now, and would do so again. */
		client_fail_new(client, words);
		return false;
	}
	client->events = rd_kafka_queue_get_main(client->rk);
	kafka_client_watch(client, client->events);
	return true;
}

void
kafka_client_hear_fetches(KsegKafkaClient *client, void (*hear)(void *argument, size_t bytes), void *argument)
{
	client->hear_fetch_argument = argument;
	atomic_store(&client->hear_fetch, hear);
}

/* ---------- waking and waiting ---------- */

void
kafka_client_watch(KsegKafkaClient *client, rd_kafka_queue_t *queue)
{
	uint64_t one = 1; /* what an eventfd takes */

	rd_kafka_queue_io_event_enable(queue, client->wake_fd, &one, sizeof(one));
}

void
kafka_client_wake_up(KsegKafkaClient *client)
{
	uint64_t times;

	if (read(client->wake_fd, &times, sizeof(times)) < 0)
		return; /* nothing has woken us: EAGAIN */
}

void
kafka_client_wait(const KsegKafkaClient *client, int wire_fd, short wire_events, int wait_ms)
{
	struct pollfd fds[2] = {{.fd = wire_fd, .events = wire_events},
	                        {.fd = client->wake_fd, .events = POLLIN}};

	poll(fds, 2, wait_ms);
}

/* ---------- events ---------- */

/* Errors that only say that there were others. */
static bool
client_is_summary(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || err == RD_KAFKA_RESP_ERR__FATAL;
}

/*
 * The broker did not take the credentials. A connection that was lost while they were being looked at is reported with the
 * same code.
 */
static bool
client_is_wrong_credentials(rd_kafka_resp_err_t err, const char *words)
{
	return err == RD_KAFKA_RESP_ERR__AUTHENTICATION && strstr(words, "transport failure") == NULL &&
	       strcasestr(words, "timed out") == NULL && strcasestr(words, "disconnect") == NULL;
}

/* Until a broker has answered, what keeps all of them from it is not a passing thing if TLS is. */
static bool
client_cannot_begin(const KsegKafkaClient *client)
{
	return !client->reached && !atomic_load(&client->traffic.metadata) && client->all_down &&
	       client->cause == RD_KAFKA_RESP_ERR__SSL;
}

/*
 * TLS that fails is not always called so: a broker that misses our certificate says it after its own side of the handshake, and
 * one that knows no TLS hangs up in the middle of it.
 */
static rd_kafka_resp_err_t
client_sort_error(rd_kafka_resp_err_t err, const char *words)
{
	bool tls = strstr(words, "SSL alert") != NULL || strstr(words, "state SSL_HANDSHAKE") != NULL;

	return err == RD_KAFKA_RESP_ERR__TRANSPORT && tls ? RD_KAFKA_RESP_ERR__SSL : err;
}

static void
client_take_error(KsegKafkaClient *client, rd_kafka_resp_err_t err, const char *words)
{
	err = client_sort_error(err, words);
	client->error = err;
	client->all_down = client->all_down || err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
	client_clean(client, client->words, words);
	if (!client_is_summary(err))
	{
		client->cause = err;
		memcpy(client->cause_words, client->words, sizeof(client->cause_words));
	}
	if (client->lenient)
		return;
	if (err == RD_KAFKA_RESP_ERR__FATAL)
		kafka_failure_set(client, err, NULL, NULL);
	else if (client_is_wrong_credentials(err, client->words))
		kafka_failure_set(client, err, client->words, NULL);
	else if (client_cannot_begin(client))
		kafka_failure_set(client, client->cause, client->cause_words, NULL);
}

static void
client_check_refusal(KsegKafkaClient *client)
{
	KsegFailureReport *report = &client->courier->failure;

	if (client->lenient || atomic_load(&client->refusal.state) != 2)
		return;
	if (!failure_set(report, KSEG_FAILURE_ADDRESS, 0,
	                 "could not connect to a Kafka broker: plaintext is for loopback only"))
		return;
	failure_set_detail(report, "The address that would be connected to is %s.", client->refusal.address);
	failure_set_hint(
	    report, "Set the server option \"security_protocol\" to ssl or sasl_ssl, or have brokers advertise "
	            "loopback addresses. A superuser can allow plaintext by naming a broker beyond loopback "
	            "in \"bootstrap_servers\", and the protocol.");
}

rd_kafka_event_t *
kafka_client_next_event(KsegKafkaClient *client)
{
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(client->events, 0)) != NULL)
	{
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR ||
		    rd_kafka_event_type(event) == RD_KAFKA_EVENT_STATS)
			return event;
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
			client_take_error(client, rd_kafka_event_error(event), rd_kafka_event_error_string(event));
		rd_kafka_event_destroy(event);
	}
	client_check_refusal(client);
	return NULL;
}

const char *
kafka_client_why(const KsegKafkaClient *client, rd_kafka_resp_err_t err)
{
	return client->cause != RD_KAFKA_RESP_ERR_NO_ERROR ? client->cause_words : rd_kafka_err2str(err);
}

rd_kafka_resp_err_t
kafka_client_read_fatal(const KsegKafkaClient *client, char *out)
{
	char words[KSEG_KAFKA_WORDS_MAX] = "";
	rd_kafka_resp_err_t error = rd_kafka_fatal_error(client->rk, words, sizeof(words));

	client_clean(client, out, words);
	return error;
}

/* ---------- the first answer ---------- */

void
kafka_client_set_reached(KsegKafkaClient *client)
{
	client->reached = true;
	/* What was in the way of the first connection explains nothing that comes later. */
	client->cause = RD_KAFKA_RESP_ERR_NO_ERROR;
	client->cause_words[0] = '\0';
}

int64_t
kafka_client_check_reached(KsegKafkaClient *client, int64_t now)
{
	KsegFailureReport *report = &client->courier->failure;
	const char *why = kafka_client_why(client, RD_KAFKA_RESP_ERR__TIMED_OUT);

	if (!client->reached && atomic_load(&client->traffic.metadata))
		kafka_client_set_reached(client);
	if (client->reached)
		return KSEG_CLOCK_NEVER;
	if (now < client->deadline_ms)
		return client->deadline_ms;
	if (failure_set(report, KSEG_FAILURE_EXHAUSTED, 0, "could not reach a Kafka broker within %lld ms",
	                (long long) client->courier->config.connect_timeout_ms))
	{
		failure_set_detail(report, "librdkafka says: %s.", why);
		failure_set_hint(report, "%s", kafka_failure_hint(client, client->cause));
	}
	return KSEG_CLOCK_NEVER;
}

/* ---------- work that blocks ---------- */

static void *
client_run_work(void *argument)
{
	KsegKafkaClient *client = argument;
	uint64_t one = 1;

	client->work(client->work_argument);
	atomic_store(&client->work_done, true);
	if (write(client->wake_fd, &one, sizeof(one)) < 0)
		return NULL; /* it is at its most, so the loop is awake */
	return NULL;
}

bool
kafka_client_begin(KsegKafkaClient *client, void (*work)(void *argument), void *argument)
{
	int error;

	client->work = work;
	client->work_argument = argument;
	atomic_store(&client->work_done, false);
	error = pthread_create(&client->thread, NULL, client_run_work, client);
	client->working = error == 0;
	if (error != 0 &&
	    failure_set(&client->courier->failure, KSEG_FAILURE_INTERNAL, 0, "could not start a thread"))
		failure_set_detail(&client->courier->failure, "The operating system says: %s.", strerror(error));
	return client->working;
}

bool
kafka_client_is_working(KsegKafkaClient *client)
{
	if (client->working && atomic_load(&client->work_done))
	{
		pthread_join(client->thread, NULL);
		client->working = false;
	}
	return client->working;
}
