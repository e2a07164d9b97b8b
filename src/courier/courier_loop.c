/*
 * courier_loop.c
 *	  The courier's main loop: the talk with PostgreSQL, and a job behind it.
 *
 * Owns: the order of the talk (wire.h). Refuses: to know what a job does. Whatever is in flight, the end of the wire
 * ends the courier within the same turn.
 */
#include <json-c/json.h>
#include <libdeflate.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "courier/courier.h"
#include "courier/curl_compat.h"
#include "courier/kafka_compat.h"
#include "courier/wire_report.h"

/* How long a courier that has said its last word waits for PostgreSQL to hang up: it reads within milliseconds. */
#define TALK_LINGER_MS (10 * 1000)

typedef enum TalkStage
{
	TALK_HELLO,  /* waiting for HELLO */
	TALK_CONFIG, /* waiting for CONFIG */
	TALK_JOB,    /* a job is at work */
	TALK_OVER    /* DONE or FAILED is said; what still comes is not looked at */
} TalkStage;

typedef struct Talk
{
	KsegCourier courier;
	TalkStage stage;
	const KsegJob *job;
	void *state; /* the job's, from its open on */
	int64_t over_ms;
	bool left; /* the job has undone what it must not leave */
} Talk;

static const KsegJob *const talk_jobs[] = {&segment_deliver_job, &segment_test_job, &kafka_produce_job,
                                           &kafka_consume_job,   &kafka_follow_job, &kafka_test_job,
                                           &kafka_topics_job};

static void
talk_fail_protocol(Talk *talk, const char *words)
{
	if (failure_set(&talk->courier.failure, KSEG_FAILURE_INTERNAL, 0, "could not understand kseg.so"))
		failure_set_detail(&talk->courier.failure, "%s.", words);
}

/* ---------- frames ---------- */

static void
talk_take_hello(Talk *talk, const KsegFrame *frame)
{
	KsegReader reader;
	uint32_t version;
	KsegText build;
	char libraries[512];
	/* Not curl_version(): that asks OpenLDAP too, which looks up this machine's name, and waits 5 s for a DNS server that is gone. */
	const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);

	kseg_reader_init(&reader, frame);
	version = kseg_read_u32(&reader);
	build = kseg_read_text(&reader);
	snprintf(libraries, sizeof(libraries), "libcurl/%s %s librdkafka/%s json-c/%s libdeflate/%s",
	         curl->version, curl->ssl_version != NULL ? curl->ssl_version : "without TLS",
	         rd_kafka_version_str(), json_c_version(), LIBDEFLATE_VERSION_STRING);
	wire_report_hello(&talk->courier.io, libraries);
	talk->stage = TALK_CONFIG;
	if (!reader.failed && version == KSEG_WIRE_VERSION && build.length == strlen(KSEG_BUILD) &&
	    memcmp(build.data, KSEG_BUILD, build.length) == 0)
		return;
	if (failure_set(&talk->courier.failure, KSEG_FAILURE_BUILD, 0,
	                "could not start a run: kseg.so and kseg-courier are not of one build"))
	{
		failure_set_detail(&talk->courier.failure,
		                   "kseg.so is build \"%.*s\" (wire %u), kseg-courier is build \"%s\" (wire %d).",
		                   build.length < 100 ? (int) build.length : 100, build.data, version, KSEG_BUILD,
		                   KSEG_WIRE_VERSION);
		failure_set_hint(&talk->courier.failure,
		                 "kseg was installed anew under a running session: connect again, or "
		                 "restart the server if kseg is preloaded.");
	}
}

static void
talk_start_job(Talk *talk)
{
	KsegCourier *courier = &talk->courier;

	for (size_t i = 0; i < sizeof(talk_jobs) / sizeof(talk_jobs[0]); i++)
	{
		if (strcmp(talk_jobs[i]->name, courier->config.job) == 0)
			talk->job = talk_jobs[i];
	}
	if (talk->job != NULL)
		talk->state = talk->job->open(courier);
	else if (failure_set(&courier->failure, KSEG_FAILURE_CONFIG, 0, "could not use the configuration"))
		failure_set_detail(&courier->failure, "This courier knows no such job.");
}

static void
talk_take_config(Talk *talk, const KsegFrame *frame)
{
	KsegCourier *courier = &talk->courier;
	char problem[200];
	bool read =
	    config_read(&courier->config, (const char *) frame->payload, frame->length, problem, sizeof(problem));

	wire_io_wipe(frame);
	talk->stage = TALK_JOB;
	if (read)
	{
		secret_open(&courier->secret, courier->config.write_key);
		secret_add(&courier->secret, courier->config.sasl_password);
		secret_add(&courier->secret, courier->config.ssl_key_password);
		talk_start_job(talk);
	}
	else if (failure_set(&courier->failure, KSEG_FAILURE_CONFIG, 0, "could not use the configuration"))
		failure_set_detail(&courier->failure, "CONFIG cannot be read: %s.", problem);
}

static void
talk_take_events(Talk *talk, const KsegFrame *frame, int64_t now)
{
	KsegEvents events;

	if (frame->lane >= talk->courier.config.lanes)
		talk_fail_protocol(talk, "It sent events for a lane that there is not");
	else if (!kseg_events_read(frame, &events))
		talk_fail_protocol(talk, "It sent events whose lengths do not add up");
	else
		talk->job->take_events(talk->state, frame->lane, &events, now);
}

static void
talk_take_messages(Talk *talk, const KsegFrame *frame, int64_t now)
{
	if (!talk->job->take_messages(talk->state, frame, now))
		talk_fail_protocol(talk, "It sent messages whose lengths do not add up");
}

static void
talk_take_committed(Talk *talk, const KsegFrame *frame)
{
	if (!talk->job->take_committed(talk->state, frame))
		talk_fail_protocol(talk, "It sent positions whose lengths do not add up");
}

static void
talk_take_frame(Talk *talk, const KsegFrame *frame, int64_t now)
{
	bool feeding = talk->stage == TALK_JOB && talk->job->takes_events && !talk->courier.ended;

	talk->courier.peer_waits = feeding && frame->type == KSEG_FRAME_WAITING && frame->length == 0;

	if (talk->stage == TALK_HELLO && frame->type == KSEG_FRAME_HELLO)
		talk_take_hello(talk, frame);
	else if (talk->stage == TALK_CONFIG && frame->type == KSEG_FRAME_CONFIG)
		talk_take_config(talk, frame);
	else if (feeding && frame->type == KSEG_FRAME_EVENTS && talk->job->take_events != NULL)
		talk_take_events(talk, frame, now);
	else if (feeding && frame->type == KSEG_FRAME_MESSAGES && talk->job->take_messages != NULL)
		talk_take_messages(talk, frame, now);
	else if (talk->stage == TALK_JOB && frame->type == KSEG_FRAME_COMMITTED &&
	         talk->job->take_committed != NULL)
		talk_take_committed(talk, frame);
	else if (talk->courier.peer_waits)
		return;
	else if (talk->stage == TALK_JOB && !talk->courier.ended && frame->type == KSEG_FRAME_END &&
	         frame->length == 0)
		talk->courier.ended = true;
	else
		talk_fail_protocol(talk, "It sent a frame that has no place here");
}

/* ---------- the loop's steps ---------- */

/* Is there anything to read for? A job that holds all it may lets the socket fill up. */
static bool
talk_wants_input(const Talk *talk)
{
	return talk->stage != TALK_JOB || !talk->job->is_full(talk->state);
}

static void
talk_read(Talk *talk, int64_t now)
{
	KsegWireIo *io = &talk->courier.io;
	KsegFrame frame;
	KsegWireNext next = KSEG_WIRE_MORE;

	if (!talk_wants_input(talk))
	{
		wire_io_probe(io);
		return;
	}
	if (!wire_io_read(io))
		return;
	if (talk->stage == TALK_OVER)
	{
		wire_io_discard(io);
		return;
	}
	while (talk->courier.failure.failure == 0 && (next = wire_io_next_frame(io, &frame)) == KSEG_WIRE_FRAME)
		talk_take_frame(talk, &frame, now);
	if (next == KSEG_WIRE_GARBAGE)
		talk_fail_protocol(talk, "It sent a frame that is longer than any");
}

/* Returns when the job wants to be called again at the latest. */
static int64_t
talk_work(Talk *talk, int64_t now)
{
	if (talk->stage != TALK_JOB || talk->courier.failure.failure != 0)
		return KSEG_CLOCK_NEVER;
	return talk->job->turn(talk->state, now);
}

/* Say the last word, once, if the run is over: the job's figures, then FAILED or DONE. */
static void
talk_end(Talk *talk, int64_t now)
{
	KsegCourier *courier = &talk->courier;
	bool failed = courier->failure.failure != 0;

	if (talk->stage == TALK_OVER ||
	    (!failed && (talk->stage != TALK_JOB || !talk->job->is_settled(talk->state))))
		return;
	if (talk->state != NULL)
		talk->job->report(talk->state);
	if (failed)
		wire_report_failed(&courier->io, &courier->secret, &courier->failure);
	else
		wire_report_done(&courier->io);
	talk->stage = TALK_OVER;
	talk->over_ms = now;
}

/*
 * Figures are told when the socket takes them; until then they only change, and the newest are told. Returns whether the socket
 * has taken anything of what was pending: a job that holds back until it does is to be called again, for no event will
 * tell when it has taken all.
 */
static bool
talk_write(Talk *talk)
{
	KsegWireIo *io = &talk->courier.io;
	size_t pending = wire_io_pending(io);
	bool taken;

	wire_io_flush(io);
	taken = wire_io_pending(io) < pending;
	if (talk->stage == TALK_JOB && wire_io_pending(io) == 0)
	{
		talk->job->report(talk->state);
		wire_io_flush(io);
	}
	return taken;
}

static int
talk_wait_ms(const Talk *talk, int64_t next)
{
	int64_t wait;

	if (talk->stage == TALK_OVER)
		next = talk->over_ms + TALK_LINGER_MS;
	if (next == KSEG_CLOCK_NEVER)
		return INT_MAX;
	wait = next - clock_now_ms();
	return wait < 0 ? 0 : wait > INT_MAX ? INT_MAX : (int) wait;
}

static void
talk_wait(Talk *talk, int64_t next)
{
	KsegWireIo *io = &talk->courier.io;
	struct pollfd wire = {.fd = io->fd};

	wire.events = (short) ((talk_wants_input(talk) ? POLLIN : 0) | (wire_io_pending(io) > 0 ? POLLOUT : 0));
	if (talk->stage == TALK_JOB)
		talk->job->wait(talk->state, wire.fd, wire.events, talk_wait_ms(talk, next));
	else
		poll(&wire, 1, talk_wait_ms(talk, next));
}

/* Nobody feeds the job or waits for it any more, and its last word has been written: it undoes what must not stay. */
static void
talk_leave(Talk *talk)
{
	if (talk->left || talk->state == NULL || talk->job->leave == NULL)
		return;
	talk->left = true;
	talk->job->leave(talk->state);
}

static bool
talk_has_lingered(const Talk *talk)
{
	return talk->stage == TALK_OVER && clock_now_ms() - talk->over_ms >= TALK_LINGER_MS;
}

int
courier_run(int wire_fd)
{
	static Talk talk; /* all zero */

	wire_io_open(&talk.courier.io, wire_fd);
	for (;;)
	{
		int64_t now = clock_now_ms();
		int64_t next;

		talk_read(&talk, now);
		if (talk.courier.io.closed)
			break;
		next = talk_work(&talk, now);
		talk_end(&talk, now);
		if (talk_write(&talk))
			next = now;
		if (talk.courier.io.closed || talk_has_lingered(&talk))
			break;
		if (talk.stage == TALK_OVER && wire_io_pending(&talk.courier.io) == 0)
			talk_leave(&talk);
		talk_wait(&talk, next);
	}
	talk_leave(&talk);
	return talk.courier.failure.failure == 0 ? 0 : 1;
}
