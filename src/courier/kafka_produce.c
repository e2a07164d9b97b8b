/*
 * kafka_produce.c
 *	  The job kafka_produce: messages to Kafka, all acknowledged by all in-sync replicas.
 *
 * Owns: the stages of a run and the transaction. Refuses: to touch a message (kafka_send.c does).
 *
 *	  ASKING ──a broker has answered, the topic is there──► (transactional: BEGINNING ──►) RUNNING
 *	  RUNNING ──END, and every message is settled──► (transactional: COMMITTING ──►) OVER
 *
 * Whatever blocks is done by the client's thread: the loop always hears the wire's end.
 */
#include <stdatomic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "courier/kafka_failure.h"
#include "courier/kafka_produce_settings.h"
#include "courier/kafka_send.h"
#include "courier/wire_report.h"
#include "courier/words.h"

/* A flush is worth a thread where waiting for batches to fill would be felt. */
#define PRODUCE_LINGER_LONG_MS 50

typedef enum ProduceStage
{
	PRODUCE_ASKING,
	PRODUCE_BEGINNING,
	PRODUCE_RUNNING,
	PRODUCE_COMMITTING,
	PRODUCE_OVER
} ProduceStage;

typedef struct KsegProduce
{
	KsegKafkaSender sender;
	/* The second one takes the first one's place when the topic takes only smaller batches; the first is left as it is. */
	KsegKafkaClient clients[2];
	ProduceStage stage;
	bool in_transaction;
	atomic_bool leaving; /* read by the client's thread, too */

	/* what the client's thread works on and with */
	KsegKafkaTopic *asked; /* NULL: any broker's answer will do */
	int64_t deadline_ms;
	rd_kafka_resp_err_t error;
	bool refused; /* the transaction is not committed and cannot be: that is sure */
	char words[KSEG_KAFKA_WORDS_MAX];
} KsegProduce;

/* One try of what waits for messages that another call may have to let go: many times what it takes a broker that is well. */
#define PRODUCE_TRY_MS 100

/* ---------- the handle ---------- */

static bool
produce_open_client(KsegProduce *produce, KsegKafkaClient *client, int64_t batch_bytes)
{
	KsegKafkaSender *sender = &produce->sender;
	KsegProduceSettings settings;

	produce_settings_fill(&settings, &sender->courier->config, batch_bytes);
	if (!kafka_client_open(client, sender->courier, RD_KAFKA_PRODUCER, settings.settings, settings.count))
		return false;
	kafka_sender_use(sender, client);
	sender->batch_bytes = batch_bytes;
	return true;
}

/* ---------- what the client's thread does ---------- */

static void
produce_ask(void *argument)
{
	KsegProduce *produce = argument;
	rd_kafka_t *rk = produce->sender.client->rk;

	if (produce->asked == NULL)
	{
		produce->error = kafka_topic_ask_brokers(rk, produce->deadline_ms);
		return;
	}
	kafka_topic_ask(rk, produce->asked, produce->deadline_ms);
	produce->error = produce->asked->error;
}

/* Takes over what a call of the transaction API has returned. True: it is over, well or not. */
static bool
produce_take_result(KsegProduce *produce, rd_kafka_error_t *error)
{
	bool again = error != NULL && rd_kafka_error_is_retriable(error) && clock_now_ms() < produce->deadline_ms;

	produce->error = error != NULL ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
	produce->refused =
	    error != NULL && (rd_kafka_error_txn_requires_abort(error) || rd_kafka_error_is_fatal(error));
	if (error == NULL)
		return true;
	words_clean(produce->words, sizeof(produce->words), rd_kafka_error_string(error),
	            strlen(rd_kafka_error_string(error)));
	rd_kafka_error_destroy(error);
	return !again;
}

static int
produce_left_ms(const KsegProduce *produce)
{
	int64_t left = produce->deadline_ms - clock_now_ms();

	return left > 0 ? (int) left : 0;
}

static void
produce_begin(void *argument)
{
	KsegProduce *produce = argument;
	rd_kafka_t *rk = produce->sender.client->rk;

	while (!produce_take_result(produce, rd_kafka_init_transactions(rk, produce_left_ms(produce))))
		continue;
	if (produce->error == RD_KAFKA_RESP_ERR_NO_ERROR)
		produce_take_result(produce, rd_kafka_begin_transaction(rk));
}

static void
produce_commit(void *argument)
{
	KsegProduce *produce = argument;
	rd_kafka_t *rk = produce->sender.client->rk;

	while (!produce_take_result(produce, rd_kafka_commit_transaction(rk, produce_left_ms(produce))))
		continue;
}

static void
produce_abort(void *argument)
{
	KsegProduce *produce = argument;
	rd_kafka_t *rk = produce->sender.client->rk;
	int left_ms;

	/*
	 * In short tries: messages behind a refused one come back ("out of order") after librdkafka has purged its queues, and
	 * only another try purges again; until then it waits for them in vain.
	 */
	do
		left_ms = produce_left_ms(produce);
	while (!produce_take_result(
	    produce, rd_kafka_abort_transaction(rk, left_ms < PRODUCE_TRY_MS ? left_ms : PRODUCE_TRY_MS)));
}

/*
 * While a flush is under way librdkafka does not wait for batches to fill. In short tries, because after a failure some
 * messages wait for the abort, and the abort for us.
 */
static void
produce_flush(void *argument)
{
	KsegProduce *produce = argument;
	rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__TIMED_OUT;

	while (error == RD_KAFKA_RESP_ERR__TIMED_OUT && produce_left_ms(produce) > 0 &&
	       !atomic_load(&produce->leaving))
		error = rd_kafka_flush(produce->sender.client->rk, PRODUCE_TRY_MS);
}

static void
produce_do(KsegProduce *produce, void (*work)(void *argument), int64_t within_ms)
{
	produce->deadline_ms = clock_now_ms() + within_ms;
	kafka_client_begin(produce->sender.client, work, produce);
}

static void
produce_ask_for(KsegProduce *produce, KsegKafkaTopic *topic)
{
	produce->asked = topic;
	/* A little longer than the client waits for a first answer: it knows better why there is none. */
	produce_do(produce, produce_ask, produce->sender.courier->config.connect_timeout_ms + 1000);
}

/* ---------- stages ---------- */

static void
produce_start_running(KsegProduce *produce)
{
	const KsegConfig *config = &produce->sender.courier->config;

	produce->stage = config->transactional ? PRODUCE_BEGINNING : PRODUCE_RUNNING;
	/* A coordinator that was elected a moment ago takes some seconds to load. */
	if (config->transactional)
		produce_do(produce, produce_begin, config->transaction_timeout_ms);
}

/* The topic takes only batches that are smaller than ours: have a handle that makes no larger ones. */
static bool
produce_must_shrink(const KsegProduce *produce)
{
	const KsegKafkaTopic *topic = produce->sender.topic;

	return topic != NULL && topic->batch_max > 0 && topic->batch_max < produce->sender.batch_bytes;
}

static void
produce_shrink(KsegProduce *produce)
{
	KsegKafkaTopic known = *produce->sender.topic;

	if (!produce_open_client(produce, &produce->clients[1], known.batch_max))
		return;
	kafka_client_set_reached(&produce->clients[1]);
	known.rkt = produce->sender.topic->rkt;
	*produce->sender.topic = known;
}

static void
produce_end_asking(KsegProduce *produce)
{
	KsegKafkaSender *sender = &produce->sender;
	rd_kafka_resp_err_t error = produce->error;

	if (kafka_failure_is_topic(error))
		kafka_failure_set_no_topic(sender->client, error, sender->courier->config.topic);
	else if (kafka_failure_sort(error) == KSEG_FAILURE_AUTH)
		kafka_failure_set(sender->client, error, NULL, "could not use the topic");
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		return; /* no broker has answered: the client says so at its own deadline, within a second */
	kafka_client_set_reached(sender->client);
	if (produce_must_shrink(produce))
		produce_shrink(produce);
	if (sender->courier->failure.failure == 0)
		produce_start_running(produce);
}

static void
produce_end_beginning(KsegProduce *produce)
{
	if (produce->error != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		kafka_failure_set(produce->sender.client, produce->error, produce->words,
		                  "could not begin a transaction in Kafka");
		return;
	}
	produce->in_transaction = true;
	produce->stage = PRODUCE_RUNNING;
}

static void
produce_end_commit(KsegProduce *produce)
{
	if (produce->error != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		kafka_failure_set(produce->sender.client, produce->error, produce->words,
		                  "could not commit the transaction in Kafka");
		return;
	}
	produce->in_transaction = false;
	produce->stage = PRODUCE_OVER;
}

/* The run ends while a commit has been asked for that nobody has refused: a broker may carry it out yet. */
static void
produce_tell_doubt(KsegProduce *produce, bool working)
{
	KsegFailureReport *report = &produce->sender.courier->failure;

	if (report->failure != 0 && produce->stage == PRODUCE_COMMITTING && (working || !produce->refused))
		failure_set_hint(report,
		                 "Its transaction may have been committed or not: look at the topic before you "
		                 "repeat the run.");
}

/* Nothing more comes, or nothing can come before something is settled: batches that could still fill need not wait. */
static bool
produce_may_flush(const KsegProduce *produce)
{
	const KsegCourier *courier = produce->sender.courier;

	return produce->sender.held > 0 &&
	       (courier->ended || (courier->peer_waits && courier->config.linger_ms >= PRODUCE_LINGER_LONG_MS));
}

/* The client's thread is idle. */
static void
produce_run(KsegProduce *produce)
{
	KsegKafkaSender *sender = &produce->sender;

	if (sender->asking != NULL && produce->asked == sender->asking)
	{
		/* What kept the brokers from answering has been tried again for as long as a first answer may take. */
		if (kafka_failure_sort(sender->asking->error) == KSEG_FAILURE_EXHAUSTED &&
		    sender->asking->error != RD_KAFKA_RESP_ERR_NO_ERROR)
			kafka_failure_set(sender->client, sender->asking->error, NULL,
			                  "could not ask brokers for a topic");
		sender->asking = NULL;
	}
	produce->asked = NULL;
	kafka_sender_hand_over(sender);
	if (sender->asking != NULL)
		produce_ask_for(produce, sender->asking);
	else if (produce_may_flush(produce))
		produce_do(produce, produce_flush, produce->sender.courier->config.message_timeout_ms);
	else if (sender->courier->ended && kafka_sender_is_idle(sender) && sender->courier->failure.failure == 0)
	{
		produce->stage = produce->in_transaction ? PRODUCE_COMMITTING : PRODUCE_OVER;
		if (produce->in_transaction)
			produce_do(produce, produce_commit, sender->courier->config.transaction_timeout_ms);
	}
}

/* ---------- the job ---------- */

static void *
produce_open(KsegCourier *courier)
{
	KsegProduce *produce = memory_resize(NULL, sizeof(*produce));
	const KsegConfig *config = &courier->config;

	*produce = (KsegProduce){.stage = PRODUCE_ASKING, .clients = {{.courier = courier}}};
	kafka_sender_open(&produce->sender, courier);
	if (config->topic[0] != '\0' &&
	    !kafka_topic_is_legal((KsegText){config->topic, (uint32_t) strlen(config->topic)}))
	{
		kafka_failure_set_no_topic(&produce->clients[0], RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, config->topic);
		return NULL;
	}
	if (!produce_open_client(produce, &produce->clients[0], produce_settings_batch(config)))
		return NULL;
	produce_ask_for(produce, produce->sender.topic);
	return produce;
}

static bool
produce_take_messages(void *state, const KsegFrame *frame, int64_t now)
{
	(void) now;
	return kafka_blocks_take(&((KsegProduce *) state)->sender.blocks, frame);
}

static bool
produce_is_full(const void *state)
{
	return kafka_sender_is_full(&((const KsegProduce *) state)->sender);
}

static void
produce_take_reports(KsegProduce *produce)
{
	rd_kafka_event_t *event;

	while ((event = kafka_client_next_event(produce->sender.client)) != NULL)
	{
		kafka_sender_take_report(&produce->sender, event);
		rd_kafka_event_destroy(event);
	}
}

static int64_t
produce_turn(void *state, int64_t now)
{
	KsegProduce *produce = state;
	KsegKafkaClient *client = produce->sender.client;
	bool working;

	kafka_client_wake_up(client);
	working = kafka_client_is_working(client);
	produce_take_reports(produce);
	if (working && produce->stage == PRODUCE_RUNNING && produce->sender.asking == NULL)
		kafka_sender_hand_over(&produce->sender); /* a flush does not stop what comes behind it */
	if (!working && produce->sender.courier->failure.failure == 0)
	{
		if (produce->stage == PRODUCE_ASKING)
			produce_end_asking(produce);
		else if (produce->stage == PRODUCE_BEGINNING)
			produce_end_beginning(produce);
		else if (produce->stage == PRODUCE_COMMITTING)
			produce_end_commit(produce);
		if (produce->stage == PRODUCE_RUNNING)
			produce_run(produce);
	}
	produce_tell_doubt(produce, working);
	return kafka_client_check_reached(produce->sender.client, now);
}

static bool
produce_is_settled(const void *state)
{
	return ((const KsegProduce *) state)->stage == PRODUCE_OVER;
}

static void
produce_report(void *state)
{
	KsegKafkaSender *sender = &((KsegProduce *) state)->sender;

	kafka_sender_count(sender);
	if (!sender->status_due)
		return;
	wire_report_status(&sender->courier->io, &sender->status, &sender->credit);
	sender->status_due = false;
}

static void
produce_wait(void *state, int wire_fd, short wire_events, int wait_ms)
{
	kafka_client_wait(((KsegProduce *) state)->sender.client, wire_fd, wire_events, wait_ms);
}

/* Wait for the client's thread until the deadline, taking in delivery reports: librdkafka waits for that. */
static bool
produce_wait_work(KsegProduce *produce, int64_t deadline_ms)
{
	KsegKafkaClient *client = produce->sender.client;

	while (kafka_client_is_working(client))
	{
		rd_kafka_event_t *event;
		int64_t left = deadline_ms - clock_now_ms();

		while ((event = kafka_client_next_event(client)) != NULL)
			rd_kafka_event_destroy(event);
		if (left <= 0)
			return false;
		kafka_client_wait(client, -1, 0, (int) left);
		kafka_client_wake_up(client);
	}
	return true;
}

/*
 * A transaction that is open is aborted, so that readers of its partitions need not wait for the broker's own timeout. One
 * that is being committed is let be: if it gets through, it was asked for.
 */
static void
produce_leave(void *state)
{
	KsegProduce *produce = state;
	int64_t deadline_ms = clock_now_ms() + KSEG_LEAVE_MS;

	if (!produce->in_transaction)
		return;
	atomic_store(&produce->leaving, true);
	if (produce->stage == PRODUCE_RUNNING)
		rd_kafka_purge(produce->sender.client->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
	if (!produce_wait_work(produce, deadline_ms) ||
	    (produce->stage == PRODUCE_COMMITTING && produce->error == RD_KAFKA_RESP_ERR_NO_ERROR))
		return;
	produce_do(produce, produce_abort, deadline_ms - clock_now_ms());
	produce_wait_work(produce, deadline_ms);
}

const KsegJob kafka_produce_job = {
    .name = "kafka_produce",
    .takes_events = true,
    .take_messages = produce_take_messages,
    .open = produce_open,
    .is_full = produce_is_full,
    .turn = produce_turn,
    .is_settled = produce_is_settled,
    .report = produce_report,
    .wait = produce_wait,
    .leave = produce_leave,
};
