/*
 * kafka_follow.c
 *	  The job kafka_follow: topics without an end.
 *
 * Owns: the turns: what librdkafka has said, what a survey has found, messages, how far partitions have come. Refuses: to block the
 * loop (questions to brokers are the client's thread's), and to give up because brokers are away: it says so and tries on.
 *
 * Bounded memory: nothing more is taken while pending_bytes of output are not written, and nothing more is let into the queue while it
 * is not taken (kafka_consume_gate.c).
 */
#include <stdio.h>
#include <string.h>

#include "courier/kafka_failure.h"
#include "courier/kafka_follow_commit.h"
#include "courier/kafka_follow_found.h"
#include "courier/kafka_follow_words.h"

/* How often PostgreSQL is told how far partitions have come while records keep coming. */
#define FOLLOW_PROGRESS_MS 200

/* When something could not be found out it is asked again after this long; brokers answer that within milliseconds, or not. */
#define FOLLOW_AGAIN_MS 500

/*
 * A quiet topic that was made anew with as many messages as it had gives no error, and nothing is handed over (seen with librdkafka 2.14.2):
 * it is looked at four times a minute, too, by one small request to each leader.
 */
#define FOLLOW_VERIFY_MS 15000

typedef struct KsegFollow
{
	KsegCourier *courier;
	KsegFollowPlan plan;
	KsegKafkaClient client;
	KsegFollowSet set;
	KsegFollowFetch fetch;
	KsegFollowSurvey survey;
	KsegFollowTrouble trouble;
	KsegFollowFound found;
	KsegFollowCommit commit;
	bool surveying;      /* the client's thread asks */
	bool again;          /* what was heard since it was begun is to be asked about as well */
	bool held;           /* the output was full while it asked: that nobody answered may be our own doing */
	int64_t surveyed_ms; /* when it was begun last */
	int64_t verified_ms; /* when it was seen last that topics are still those that they were */
	int64_t survey_ms;   /* when it is to be begun next */
	int64_t progress_ms; /* when PostgreSQL was told last */
	int64_t alive_ms;    /* when it is to hear next that this process lives */
} KsegFollow;

/* ---------- opening ---------- */

/*
 * A broker waits a second for news before it answers "nothing": an idle stream costs one answer a second and broker. News are answered
 * at once, and a partition that is begun meanwhile waits for as long at the most.
 */
static bool
follow_open_client(KsegFollow *follow)
{
	const KsegKafkaSetting settings[] = {
	    {"fetch.wait.max.ms", "1000", false},
	    {"fetch.min.bytes", "1", false},
	    {"statistics.interval.ms", "0", false},
	    {"group.id", follow->plan.commit_group, false},
	};

	/* Without a group its coordinator is not looked for, and no right on it is needed. */
	return consume_queue_open_client(&follow->client, follow->courier, settings,
	                                 follow->plan.commit_group[0] != '\0' ? 4 : 3);
}

/* What it opens is _exit's to close. */
static void *
follow_open(KsegCourier *courier)
{
	KsegFollow *follow = memory_resize(NULL, sizeof(KsegFollow));
	char problem[200];

	*follow = (KsegFollow){.courier = courier, .surveyed_ms = INT64_MIN / 2};
	if (!follow_plan_read(&follow->plan, courier->config.object, problem, sizeof(problem)))
	{
		if (failure_set(&courier->failure, KSEG_FAILURE_CONFIG, 0, "could not use the configuration"))
			failure_set_detail(&courier->failure, "CONFIG cannot be read: %s.", problem);
		return NULL;
	}
	if (!follow_open_client(follow))
		return NULL;
	follow->alive_ms = clock_now_ms() + follow->plan.alive_ms;
	follow->set.rk = follow->client.rk;
	follow_fetch_open(&follow->fetch, &follow->client, &follow->set, &follow->plan);
	follow_commit_open(&follow->commit, &follow->client, &follow->set, &follow->trouble,
	                   follow->plan.commit_group);
	follow->survey = (KsegFollowSurvey){.plan = &follow->plan, .set = &follow->set};
	follow->found = (KsegFollowFound){.client = &follow->client,
	                                  .plan = &follow->plan,
	                                  .set = &follow->set,
	                                  .fetch = &follow->fetch,
	                                  .survey = &follow->survey,
	                                  .trouble = &follow->trouble,
	                                  .gone_ms = KSEG_FOLLOW_NONE};
	return follow;
}

/* ---------- surveys ---------- */

static void
follow_set_brokers_trouble(KsegFollow *follow)
{
	KsegKafkaClient *client = &follow->client;
	char detail[KSEG_KAFKA_WORDS_MAX + 40];

	snprintf(detail, sizeof(detail), "librdkafka says: %s.",
	         kafka_client_why(client, RD_KAFKA_RESP_ERR__TIMED_OUT));
	/* Where one has been reached before, its address and protocol are right. */
	follow_trouble_set(&follow->trouble, KSEG_TROUBLE_BROKERS, "no Kafka broker can be reached", detail,
	                   client->reached ? "Check that the Kafka brokers are up; the stream goes on by itself."
	                                   : kafka_failure_hint(client, RD_KAFKA_RESP_ERR__TRANSPORT));
}

/* Something was heard: brokers are to be asked soon, but not all the time. */
static void
follow_hurry(KsegFollow *follow)
{
	int64_t soon = follow->surveyed_ms + FOLLOW_AGAIN_MS;

	follow->again = true;
	if (follow->survey_ms > soon)
		follow->survey_ms = soon;
}

/* Errors that the handle has reported. They end nothing, but for those that the client ends the run with. */
static void
follow_hear(KsegFollow *follow)
{
	KsegKafkaClient *client = &follow->client;
	rd_kafka_event_t *event;

	client->error = RD_KAFKA_RESP_ERR_NO_ERROR;
	while ((event = kafka_client_next_event(client)) != NULL)
		rd_kafka_event_destroy(event);
	if (client->error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		follow_set_brokers_trouble(follow);
	if (client->error != RD_KAFKA_RESP_ERR_NO_ERROR)
		follow_hurry(follow);
}

static void
follow_begin_survey(KsegFollow *follow, int64_t now)
{
	KsegFollowSurvey *survey = &follow->survey;

	/* What was handed over since an earlier survey that could not verify it, still is to be. */
	survey->verify = survey->verify || follow->fetch.handed || now - follow->verified_ms >= FOLLOW_VERIFY_MS;
	follow->fetch.handed = false;
	for (uint32_t i = 0; i < follow->set.count; i++)
	{
		KsegFollowPartition *partition = follow->set.partitions[i];

		partition->asked = partition->lost;
		partition->asked_next = partition->next;
		partition->asked_remark = KSEG_FOLLOW_NONE;
	}
	survey->mark_ms = clock_unix_ms();
	follow->surveyed_ms = now;
	follow->held = follow->again = false;
	follow->surveying = kafka_client_begin(&follow->client, follow_survey_ask, survey);
}

static void
follow_end_survey(KsegFollow *follow, int64_t now)
{
	rd_kafka_resp_err_t error = follow->survey.error;

	follow->surveying = false;
	if (follow->survey.verified)
	{
		follow->survey.verify = false;
		follow->verified_ms = follow->surveyed_ms;
	}
	follow->survey_ms = follow->surveyed_ms + follow->plan.discovery_ms;
	if (follow->again)
		follow_hurry(follow);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		follow_hurry(follow);
		if (!follow->held)
			follow_set_brokers_trouble(follow);
		return;
	}
	kafka_client_set_reached(&follow->client);
	follow_trouble_clear(&follow->trouble, KSEG_TROUBLE_BROKERS);
	follow_found_take(&follow->found, now);
	if (follow->found.pending)
		follow_hurry(follow);
}

/* Returns when to be called again at the latest. */
static int64_t
follow_survey(KsegFollow *follow, int64_t now)
{
	if (kafka_client_is_working(&follow->client))
		return KSEG_CLOCK_NEVER;
	if (follow->surveying)
		follow_end_survey(follow, now);
	if (now < follow->survey_ms)
		return follow->survey_ms;
	follow_begin_survey(follow, now);
	return KSEG_CLOCK_NEVER;
}

/* ---------- turns ---------- */

/* Nothing is left to be taken: what there is leaves, unless the socket has not even taken what came before. */
static int64_t
follow_idle(KsegFollow *follow, int64_t now)
{
	if (wire_io_pending(&follow->courier->io) > 0)
		return KSEG_CLOCK_NEVER;
	consume_record_end_frame(&follow->fetch.writer);
	follow_fetch_report(&follow->fetch);
	follow->progress_ms = now;
	return KSEG_CLOCK_NEVER;
}

static int64_t
follow_read(KsegFollow *follow, int64_t now)
{
	KsegWireIo *io = &follow->courier->io;

	wire_io_flush(io);
	if (wire_io_pending(io) >= (size_t) follow->plan.pending_bytes)
	{
		follow->held = true;
		return KSEG_CLOCK_NEVER;
	}
	if (!follow_fetch_some(&follow->fetch))
		return follow_idle(follow, now);
	if (now - follow->progress_ms >= FOLLOW_PROGRESS_MS)
	{
		follow->progress_ms = now;
		follow_fetch_report(&follow->fetch);
	}
	return now;
}

/*
 * PROGRESS without a step: a courier that stands still could not be told from one that has nothing to say. Not while earlier output waits to be
 * read. Returns when to be called again at the latest.
 */
static int64_t
follow_say_alive(KsegFollow *follow, int64_t now)
{
	KsegWireIo *io = &follow->courier->io;

	if (now < follow->alive_ms)
		return follow->alive_ms;
	follow->alive_ms = now + follow->plan.alive_ms;
	if (wire_io_pending(io) == 0)
	{
		consume_record_end_frame(&follow->fetch.writer);
		kseg_write_u32(wire_io_put_frame(io, KSEG_FRAME_PROGRESS, sizeof(uint32_t)), 0);
	}
	return follow->alive_ms;
}

static int64_t
follow_turn(void *state, int64_t now)
{
	KsegFollow *follow = state;
	int64_t survey;
	int64_t read;
	int64_t next;

	kafka_client_wake_up(&follow->client);
	follow_hear(follow);
	follow_commit_hear(&follow->commit);
	if (follow->courier->failure.failure != 0)
		return now;
	read = follow_read(follow, now);
	if (follow->fetch.asks)
		follow_hurry(follow);
	follow->fetch.asks = false;
	survey = follow_survey(follow, now);
	if (follow_trouble_is_news(&follow->trouble))
	{
		consume_record_end_frame(&follow->fetch.writer);
		follow_trouble_report(&follow->trouble, follow->courier);
	}
	next = follow_say_alive(follow, now);
	if (read < next)
		next = read;
	return survey < next ? survey : next;
}

/* ---------- the job ---------- */

static bool
follow_take_committed(void *state, const KsegFrame *frame)
{
	return follow_commit_take(&((KsegFollow *) state)->commit, frame);
}

static bool
follow_is_full(const void *state)
{
	(void) state;
	return false;
}

/* It never is: only a failure or the end of the wire ends it. */
static bool
follow_is_settled(const void *state)
{
	(void) state;
	return false;
}

/* What has been read before a failure is handed over with it, and no other frame can be put while one is being filled. */
static void
follow_report(void *state)
{
	KsegFollow *follow = state;

	if (follow->courier->failure.failure != 0)
		consume_record_end_frame(&follow->fetch.writer);
}

static void
follow_wait(void *state, int wire_fd, short wire_events, int wait_ms)
{
	kafka_client_wait(&((KsegFollow *) state)->client, wire_fd, wire_events, wait_ms);
}

const KsegJob kafka_follow_job = {
    .name = "kafka_follow",
    .takes_events = false,
    .open = follow_open,
    .take_committed = follow_take_committed,
    .is_full = follow_is_full,
    .turn = follow_turn,
    .is_settled = follow_is_settled,
    .report = follow_report,
    .wait = follow_wait,
};
