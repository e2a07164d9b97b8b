/*
 * client_pace.c: messages at an even pace, each with its number and the time when it was given to librdkafka.
 *
 *   pace TOPIC RATE SECONDS TEMPLATE
 *
 * RATE messages a second for so many seconds, over all partitions. The value is TEMPLATE with the first #N replaced by the message's number (from 0)
 * and the first #T by the time in microseconds since 1970. Each is sent at once (linger.ms=0, no Nagle), acknowledged by all replicas.
 * When it is late it catches up, so that nothing's slowness makes the pace slower. Prints what p50, p99 and the longest took from there to the
 * acknowledgement, in microseconds: what the broker's part is.
 */
#include "client.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t *taken;     /* microseconds that each message took until it was acknowledged */
static size_t taken_count; /* of those that have been */

static int64_t
now_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static void
delivered(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
	(void) handle;
	(void) opaque;
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		client_fail("a message was not delivered: %s", rd_kafka_err2str(message->err));
	taken[taken_count++] = now_us(CLOCK_MONOTONIC) - (int64_t) (intptr_t) message->_private;
}

static int
compare(const void *left, const void *right)
{
	int64_t a = *(const int64_t *) left;
	int64_t b = *(const int64_t *) right;

	return (a > b) - (a < b);
}

/* Writes text up to the mark, and the number in its place; returns what is behind the mark. */
static const char *
replace(char **out, const char *text, const char *mark, int64_t number)
{
	const char *found = strstr(text, mark);

	if (found == NULL)
		client_fail("the template has no %s behind what was replaced before", mark);
	*out += sprintf(*out, "%.*s%lld", (int) (found - text), text, (long long) number);
	return found + strlen(mark);
}

static void
send_one(rd_kafka_t *handle, const char *topic, const char *template, int64_t number)
{
	char value[4096];
	char *out = value;
	const char *rest;
	rd_kafka_resp_err_t error;

	if (strlen(template) > sizeof(value) - 64)
		client_fail("the template is too long");
	rest = replace(&out, template, "#N", number);
	rest = replace(&out, rest, "#T", now_us(CLOCK_REALTIME));
	out += sprintf(out, "%s", rest);
	error =
	    rd_kafka_producev(handle, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_VALUE(value, (size_t) (out - value)),
	                      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
	                      RD_KAFKA_V_OPAQUE((void *) (intptr_t) now_us(CLOCK_MONOTONIC)), RD_KAFKA_V_END);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		client_fail("%s", rd_kafka_err2str(error));
}

/* Sleeps until a time of the monotonic clock; not at all when it has passed. */
static void
sleep_until(int64_t until_us)
{
	struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};

	(void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

void
client_pace(const Client *client, int count, char **arguments)
{
	rd_kafka_conf_t *conf = client_conf();
	int64_t rate = client_number(arguments[1]);
	int64_t messages = rate * client_number(arguments[2]);
	int64_t begun;
	rd_kafka_t *handle;

	(void) count;
	if (rate < 1 || messages < 1)
		client_fail("a rate and seconds above 0 are wanted");
	client_set(conf, "acks", "all");
	client_set(conf, "linger.ms", "0");
	rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	client_conf_finish(conf, client);
	handle = client_handle(RD_KAFKA_PRODUCER, conf);
	taken = calloc((size_t) messages, sizeof(*taken));
	begun = now_us(CLOCK_MONOTONIC);
	for (int64_t i = 0; i < messages; i++)
	{
		sleep_until(begun + i * 1000000 / rate);
		send_one(handle, arguments[0], arguments[3], i);
		rd_kafka_poll(handle, 0);
	}
	if (rd_kafka_flush(handle, CLIENT_PATIENCE_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		client_fail("not all messages were acknowledged");
	qsort(taken, taken_count, sizeof(*taken), compare);
	printf("%lld %lld %lld\n", (long long) taken[taken_count / 2], (long long) taken[taken_count * 99 / 100],
	       (long long) taken[taken_count - 1]);
}
