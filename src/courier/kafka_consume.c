/*
 * kafka_consume.c
 *	  The job kafka_consume: a topic, from where CONFIG says to its end as of now.
 *
 * Owns: the order of a read: bounds, partitions, records, DONE. Refuses: to block the loop: questions to the brokers are the
 * client's thread's (kafka_consume_bounds.c), messages are taken from a queue (kafka_consume_fetch.c).
 *
 * Bounded memory: nothing more is taken while KSEG_RECORDS_PENDING bytes of output are not written, and nothing more is let into
 * the queue while it is not taken (kafka_consume_gate.c).
 */
#include <stdio.h>

#include "courier/kafka_consume_fetch.h"
#include "courier/kafka_consume_same.h"
#include "courier/kafka_failure.h"

/*
 * When nothing has come for so long it is asked whether the topic is still there, and again after as long: brokers that live
 * answer within milliseconds, and one small request a second is no burden to those that come back.
 */
#define CONSUME_CHECK_MS 1000

/*
 * A read that took less than this is not asked whether its topic was made anew meanwhile: to delete a topic and to create it takes
 * 80 ms at least (measured with a broker of 4.3.0 on the same machine).
 */
#define CONSUME_SAME_MS 50

typedef enum ConsumeStage
{
	CONSUME_FINDING, /* the client's thread asks for the bounds */
	CONSUME_READING,
	CONSUME_VERIFYING, /* everything is handed over: was it all of one topic? */
	CONSUME_OVER
} ConsumeStage;

typedef struct KsegConsume
{
	KsegCourier *courier;
	KsegConsumePlan plan;
	KsegKafkaClient client;
	KsegConsumeBounds bounds;
	KsegConsumeFetch fetch;
	KsegConsumeSame same;
	ConsumeStage stage;
	int64_t began_ms;    /* when reading began */
	bool verifying;      /* the client's thread asks whether the topic is the same */
	uint64_t heard;      /* answers, as of progress_ms */
	int64_t progress_ms; /* when something has come last, or when PostgreSQL kept us from looking */
	bool checking;       /* the client's thread asks whether the topic is still there */
	int64_t checked_ms;  /* when it was asked last */
} KsegConsume;

/* ---------- opening ---------- */

/*
 * A broker waits for news before it answers "nothing", and a read that is at its end waits for that answer, for it says
 * PARTITION_EOF. 10 ms make that bearable; less would make idle brokers busy while others are read.
 */
static bool
consume_open_client(KsegConsume *consume)
{
	const KsegKafkaSetting settings[] = {{"fetch.wait.max.ms", "10", false}};

	return consume_queue_open_client(&consume->client, consume->courier, settings, 1);
}

static bool
consume_open_topic(KsegConsume *consume)
{
	KsegConsumeBounds *bounds = &consume->bounds;
	const KsegConfig *config = &consume->courier->config;

	bounds->plan = &consume->plan;
	bounds->rk = consume->client.rk;
	bounds->topic = rd_kafka_topic_new(consume->client.rk, config->topic, NULL);
	/* The client gives up first, with what it knows (kafka_client_check_reached). */
	bounds->connect_timeout_ms = (int) config->connect_timeout_ms + 1000;
	bounds->request_timeout_ms = (int) config->request_timeout_ms;
	if (bounds->topic == NULL)
		kafka_failure_set_no_topic(&consume->client, rd_kafka_last_error(), config->topic);
	return bounds->topic != NULL;
}

/* All that is asked before messages are: later on a broker's thread may stand at the gate, and send nothing. */
static void
consume_find(void *argument)
{
	KsegConsume *consume = argument;

	consume_bounds_find(&consume->bounds);
	if (consume->bounds.problem == KSEG_BOUNDS_FOUND)
		consume_same_mark(&consume->same);
}

/* What it opens is _exit's to close. */
static void *
consume_open(KsegCourier *courier)
{
	KsegConsume *consume = memory_resize(NULL, sizeof(KsegConsume));
	char problem[200];

	*consume = (KsegConsume){.courier = courier, .stage = CONSUME_FINDING};
	if (!consume_plan_read(&consume->plan, courier->config.object, problem, sizeof(problem)))
	{
		if (failure_set(&courier->failure, KSEG_FAILURE_CONFIG, 0, "could not use the configuration"))
			failure_set_detail(&courier->failure, "CONFIG cannot be read: %s.", problem);
		return NULL;
	}
	if (!consume_open_client(consume) || !consume_open_topic(consume))
		return NULL;
	consume_fetch_open(&consume->fetch, &consume->client, &consume->bounds);
	consume->same = (KsegConsumeSame){.bounds = &consume->bounds, .time_ms = clock_unix_ms()};
	if (!kafka_client_begin(&consume->client, consume_find, consume))
		return NULL;
	return consume;
}

/* ---------- turns ---------- */

static int64_t
consume_turn_finding(KsegConsume *consume, int64_t now)
{
	if (kafka_client_is_working(&consume->client))
		return kafka_client_check_reached(&consume->client, now);
	if (consume->bounds.problem != KSEG_BOUNDS_FOUND)
	{
		consume_bounds_fail(&consume->bounds, &consume->client);
		return KSEG_CLOCK_NEVER;
	}
	kafka_client_set_reached(&consume->client);
	consume_bounds_report(&consume->bounds, &consume->courier->io);
	consume->began_ms = consume->progress_ms = now;
	if (consume_fetch_start(&consume->fetch))
		consume->stage = CONSUME_READING;
	return now;
}

/* Answers that bring nothing to be handed over are progress, too: a long stretch of aborted transactions. */
static void
consume_note_progress(KsegConsume *consume, bool taken, int64_t now)
{
	uint64_t heard = atomic_load_explicit(&consume->fetch.queue.gate.heard, memory_order_relaxed);

	if (taken || heard != consume->heard)
		consume->progress_ms = now;
	consume->heard = heard;
}

/* Ask whether the topic is still there, if it is time to. Returns when it will be. */
static int64_t
consume_check_topic(KsegConsume *consume, int64_t now)
{
	int64_t last = consume->progress_ms > consume->checked_ms ? consume->progress_ms : consume->checked_ms;

	if (kafka_client_is_working(&consume->client))
		return KSEG_CLOCK_NEVER;
	if (consume->checking)
	{
		consume->checking = false;
		if (consume->bounds.problem != KSEG_BOUNDS_FOUND)
			consume_fetch_fail_topic(&consume->fetch);
	}
	else if (now - last >= CONSUME_CHECK_MS)
	{
		consume->checked_ms = now;
		consume->checking = kafka_client_begin(&consume->client, consume_bounds_check, &consume->bounds);
		return KSEG_CLOCK_NEVER;
	}
	return last + CONSUME_CHECK_MS;
}

/* The queue is empty: what there is leaves, unless the socket has not even taken what came before. */
static int64_t
consume_idle(KsegConsume *consume, int64_t now)
{
	int64_t deadline = consume->progress_ms + consume->courier->config.request_timeout_ms;
	int64_t check;

	if (wire_io_pending(&consume->courier->io) == 0)
		consume_record_end_frame(&consume->fetch.writer);
	consume_fetch_check_positions(&consume->fetch);
	if (consume_fetch_is_done(&consume->fetch))
		return now;
	check = consume_check_topic(consume, now);
	if (now >= deadline)
		consume_fetch_fail_waiting(&consume->fetch);
	return deadline < check ? deadline : check;
}

static int64_t
consume_turn_reading(KsegConsume *consume, int64_t now)
{
	KsegWireIo *io = &consume->courier->io;
	bool taken;

	if (consume_fetch_is_done(&consume->fetch))
	{
		consume_record_end_frame(&consume->fetch.writer);
		consume->stage = now - consume->began_ms < CONSUME_SAME_MS ? CONSUME_OVER : CONSUME_VERIFYING;
		return now;
	}
	wire_io_flush(io);
	if (wire_io_pending(io) >= KSEG_RECORDS_PENDING)
	{
		consume->progress_ms = now;
		return KSEG_CLOCK_NEVER;
	}
	taken = consume_fetch_some(&consume->fetch);
	consume_note_progress(consume, taken, now);
	return taken ? now : consume_idle(consume, now);
}

/* One work at a time: what the client's thread asked before may not be answered yet. */
static int64_t
consume_turn_verifying(KsegConsume *consume, int64_t now)
{
	consume_fetch_discard(&consume->fetch);
	if (kafka_client_is_working(&consume->client))
		return KSEG_CLOCK_NEVER;
	if (!consume->verifying)
	{
		consume->verifying = kafka_client_begin(&consume->client, consume_same_verify, &consume->same);
		return KSEG_CLOCK_NEVER;
	}
	if (consume->same.changed)
		consume_fetch_fail_anew(&consume->fetch, consume->same.partition);
	consume->stage = CONSUME_OVER;
	return now;
}

static int64_t
consume_turn(void *state, int64_t now)
{
	KsegConsume *consume = state;

	kafka_client_wake_up(&consume->client);
	while (kafka_client_next_event(&consume->client) != NULL)
		;
	if (consume->courier->failure.failure != 0)
		return now;
	if (consume->stage == CONSUME_FINDING)
		return consume_turn_finding(consume, now);
	if (consume->stage == CONSUME_READING)
		return consume_turn_reading(consume, now);
	if (consume->stage == CONSUME_VERIFYING)
		return consume_turn_verifying(consume, now);
	return KSEG_CLOCK_NEVER;
}

/* ---------- the job ---------- */

static bool
consume_is_full(const void *state)
{
	(void) state;
	return false;
}

static bool
consume_is_settled(const void *state)
{
	return ((const KsegConsume *) state)->stage == CONSUME_OVER;
}

/* What has been read before a failure is handed over with it, and no other frame can be put while one is being filled. */
static void
consume_report(void *state)
{
	KsegConsume *consume = state;

	if (consume->courier->failure.failure != 0)
		consume_record_end_frame(&consume->fetch.writer);
}

static void
consume_wait(void *state, int wire_fd, short wire_events, int wait_ms)
{
	kafka_client_wait(&((KsegConsume *) state)->client, wire_fd, wire_events, wait_ms);
}

const KsegJob kafka_consume_job = {
    .name = "kafka_consume",
    .takes_events = false,
    .open = consume_open,
    .is_full = consume_is_full,
    .turn = consume_turn,
    .is_settled = consume_is_settled,
    .report = consume_report,
    .wait = consume_wait,
};
