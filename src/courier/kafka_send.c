/*
 * kafka_send.c
 *	  Handing over and settling. See kafka_send.h.
 *
 * What brokers refuse, they refuse by the batch. kafka_topic.c finds the culprits before they are sent, as far as the topic's
 * configuration may be read, and a message that is too large is alone in its batch (batch.size is never more than the topic
 * takes). What is left is a batch of several refused for something that nobody could foresee: then the run fails, because
 * sending the others once more would put them behind messages that came after them.
 */
#include "courier/kafka_send.h"

#include <string.h>

#include "courier/kafka_compat.h"
#include "courier/kafka_failure.h"
#include "courier/wire_report.h"

/*
 * Messages handed over in one call. librdkafka locks the topic once for them, and wakes its threads as often; more than some
 * hundred gain nothing that can be measured.
 */
#define SEND_BATCH 256

void
kafka_sender_open(KsegKafkaSender *sender, KsegCourier *courier)
{
	*sender = (KsegKafkaSender){.courier = courier, .status = {.lanes = 1}};
}

void
kafka_sender_use(KsegKafkaSender *sender, KsegKafkaClient *client)
{
	const char *name = sender->courier->config.topic;

	sender->client = client;
	sender->topics = (KsegKafkaTopics){.rk = client->rk};
	sender->topic = NULL;
	if (name[0] != '\0')
		sender->topic = kafka_topic_create(client->rk, (KsegText){name, (uint32_t) strlen(name)});
}

bool
kafka_sender_is_idle(const KsegKafkaSender *sender)
{
	return sender->held == 0 && kafka_blocks_ahead(&sender->blocks, 0) == NULL;
}

/*
 * Twice the credit: a block stays until its last message is settled, and partitions are not settled in the order of blocks.
 * When one of several brokers is away, its partitions' messages keep the blocks of the others, too; then the query waits for
 * it before the credit is used up.
 */
bool
kafka_sender_is_full(const KsegKafkaSender *sender)
{
	return sender->blocks.bytes + wire_io_pending(&sender->courier->io) >
	       2 * (size_t) sender->courier->config.max_queue_bytes;
}

/* ---------- settling ---------- */

static void
sender_settle(KsegKafkaSender *sender, KsegKafkaEntry *entry)
{
	sender->credit.events++;
	sender->credit.bytes += entry->size;
	sender->status_due = true;
	kafka_blocks_settle(&sender->blocks, entry);
}

/* The run cannot leave a message out of a transaction: then it is not all of them. */
static void
sender_fail_rejected(KsegKafkaSender *sender, uint64_t row, rd_kafka_resp_err_t error, const char *words)
{
	KsegFailureReport *report = &sender->courier->failure;

	if (!failure_set(report, KSEG_FAILURE_REFUSED, (uint32_t) error,
	                 "could not send row %llu in a transaction", (unsigned long long) row))
		return;
	failure_set_detail(report, "The message is refused: %s.", words);
	failure_set_hint(report,
	                 "The transaction was aborted: nothing of this run can be seen by readers with "
	                 "isolation.level=read_committed. Leave the row out, or run without transactional.");
}

static void
sender_reject(KsegKafkaSender *sender, KsegKafkaEntry *entry, rd_kafka_resp_err_t error, const char *words)
{
	KsegMessage message;

	kafka_entry_read(entry, &message);
	sender->status.last_error = (uint32_t) error;
	if (sender->courier->config.transactional)
	{
		sender_fail_rejected(sender, message.row, error, words);
		return;
	}
	wire_report_rejected(&sender->courier->io, message.row, (uint32_t) error, words, kafka_entry_bytes(entry),
	                     entry->size);
	sender->status.rejected++;
	sender_settle(sender, entry);
}

/* No message may outlive its transaction: whichever of the two timeouts is shorter has passed. */
static void
sender_fail_expired(KsegKafkaSender *sender, rd_kafka_resp_err_t error, const KsegMessage *message)
{
	KsegFailureReport *report = &sender->courier->failure;
	const KsegConfig *config = &sender->courier->config;
	bool transaction = config->transactional && config->transaction_timeout_ms < config->message_timeout_ms;

	if (!failure_set(report, KSEG_FAILURE_EXHAUSTED, (uint32_t) error,
	                 "could not send messages to Kafka within %lld ms",
	                 (long long) (transaction ? config->transaction_timeout_ms : config->message_timeout_ms)))
		return;
	failure_set_detail(report,
	                   "The first message that was not acknowledged is of row %llu. librdkafka says: %s.",
	                   (unsigned long long) message->row, kafka_client_why(sender->client, error));
	failure_set_hint(
	    report,
	    "The server option \"%s\" ended the attempts; kseg.test_server() says which brokers can be "
	    "reached.",
	    transaction ? "transaction_timeout" : "message_timeout");
}

/* message_timeout has passed, or a broker refuses all of them. Nothing of it is the message's fault. */
static void
sender_fail(KsegKafkaSender *sender, rd_kafka_resp_err_t error, const KsegMessage *message)
{
	sender->status.last_error = (uint32_t) error;
	if (kafka_failure_is_topic(error))
	{
		kafka_failure_set_no_topic(sender->client, error, sender->courier->config.topic);
		return;
	}
	if (error != RD_KAFKA_RESP_ERR__MSG_TIMED_OUT)
	{
		kafka_failure_set(sender->client, error, NULL, "could not send messages to Kafka");
		return;
	}
	sender_fail_expired(sender, error, message);
}

/* Several messages of one batch, of which one at least is at fault, and nobody says which. */
static void
sender_fail_batch(KsegKafkaSender *sender, rd_kafka_resp_err_t error, uint64_t first, uint64_t last)
{
	KsegFailureReport *report = &sender->courier->failure;

	sender->status.last_error = (uint32_t) error;
	if (!failure_set(report, KSEG_FAILURE_REFUSED, (uint32_t) error, "could not send rows %llu to %llu",
	                 (unsigned long long) first, (unsigned long long) last))
		return;
	failure_set_detail(report,
	                   "A broker refused a batch of messages and does not say which of them is at fault: %s.",
	                   rd_kafka_err2str(error));
	if (error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
		failure_set_hint(report, "Set the server option \"max_message_bytes\" to what the topic takes "
		                         "(max.message.bytes): batches are never larger.");
	else
		failure_set_hint(report,
		                 "Grant the Kafka user DescribeConfigs on the topic: then kseg knows what the topic "
		                 "refuses, and finds the rows at fault.");
}

/*
 * Sort what librdkafka or a broker says to one message. words: a sentence's part, NULL for librdkafka's. (From 2.4 on it has the
 * broker's words, too, but at times in memory that it has freed.)
 */
static void
sender_take_refusal(KsegKafkaSender *sender, KsegKafkaEntry *entry, rd_kafka_resp_err_t error,
                    const char *words)
{
	KsegMessage message;

	kafka_entry_read(entry, &message);
	/* A partition that the message did not ask for has gone with its topic. */
	if (error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION && message.partition < 0)
		error = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (kafka_failure_is_own(error) ||
	    (kafka_failure_is_topic(error) && (message.topic.length > 0 || sender->topic == NULL)))
		sender_reject(sender, entry, error, words != NULL ? words : rd_kafka_err2str(error));
	else
		sender_fail(sender, error, &message);
}

/* ---------- delivery reports ---------- */

/* Refused by a broker for what the messages are, and not for where they go. */
static bool
sender_is_ambiguous(rd_kafka_resp_err_t error, size_t count)
{
	return KSEG_KAFKA_IS_BYSTANDER(error) ||
	       (count > 1 && kafka_failure_is_own(error) && error != RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION);
}

static void
sender_take_ambiguous(KsegKafkaSender *sender, const rd_kafka_message_t *report, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t error = report->err;
	uint64_t first = 0;
	KsegMessage message = {0};

	for (; report != NULL; report = rd_kafka_event_message_next(event))
	{
		kafka_entry_read(report->_private, &message);
		first = first == 0 ? message.row : first;
		error = KSEG_KAFKA_IS_BYSTANDER(report->err) ? error : report->err;
		sender->held--;
	}
	sender_fail_batch(sender, error, first, message.row);
}

static void
sender_take_one(KsegKafkaSender *sender, const rd_kafka_message_t *report)
{
	KsegKafkaEntry *entry = report->_private;

	sender->held--;
	if (report->err != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		sender_take_refusal(sender, entry, report->err, NULL);
		return;
	}
	sender->status.sent++;
	sender->status.bytes += report->len + report->key_len;
	sender_settle(sender, entry);
}

/* The messages of one event are of one partition and one batch. */
void
kafka_sender_take_report(KsegKafkaSender *sender, rd_kafka_event_t *event)
{
	size_t count = rd_kafka_event_message_count(event);
	const rd_kafka_message_t *report = rd_kafka_event_message_next(event);

	if (report == NULL)
		return;
	sender->answered += report->err >= 0; /* librdkafka's own errors are negative */
	sender->status.batches += report->err == RD_KAFKA_RESP_ERR_NO_ERROR;
	if (sender_is_ambiguous(report->err, count))
	{
		sender_take_ambiguous(sender, report, event);
		return;
	}
	for (; report != NULL; report = rd_kafka_event_message_next(event))
		sender_take_one(sender, report);
}

/*
 * A request that is tried again is a request more than there are batches; while any is under way nobody can tell, so the figure
 * is brought up to date when none is, and at a failure from those that have come back.
 */
void
kafka_sender_count(KsegKafkaSender *sender)
{
	KsegKafkaTraffic *traffic = &sender->client->traffic;
	uint64_t bytes = atomic_load(&traffic->bytes);
	uint64_t requests = atomic_load(sender->held == 0 ? &traffic->sent : &traffic->answered);

	sender->status_due = sender->status_due || bytes != sender->status.bytes_on_wire;
	sender->status.bytes_on_wire = bytes;
	if ((sender->held == 0 || sender->courier->failure.failure != 0) &&
	    requests > sender->answered + sender->status.retries)
		sender->status.retries = requests - sender->answered;
}

/* ---------- handing over ---------- */

/* Headers as librdkafka has them, or NULL: they do not add up. The caller hands them over or destroys them. */
static rd_kafka_headers_t *
sender_read_headers(KsegText rest)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
	KsegHeader header;

	while (kseg_header_next(&rest, &header))
		rd_kafka_header_add(headers, header.name.data, (ssize_t) header.name.length, header.value.data,
		                    (ssize_t) header.value.length);
	if (rest.length == 0 && rest.data != NULL)
		return headers;
	rd_kafka_headers_destroy(headers);
	return NULL;
}

/* A message with a partition, a time or headers of its own. */
static rd_kafka_resp_err_t
sender_produce(KsegKafkaSender *sender, const KsegKafkaTopic *topic, KsegKafkaEntry *entry,
               const KsegMessage *message)
{
	rd_kafka_headers_t *headers = NULL;
	int64_t time = message->timestamp == KSEG_NO_TIMESTAMP ? 0 : message->timestamp; /* 0: now */
	rd_kafka_resp_err_t error;

	if (message->headers.length > 0)
	{
		headers = sender_read_headers(message->headers);
		if (headers == NULL)
			return RD_KAFKA_RESP_ERR_INVALID_RECORD;
	}
	error = rd_kafka_producev(
	    sender->client->rk, RD_KAFKA_V_RKT(topic->rkt),
	    RD_KAFKA_V_PARTITION(message->partition < 0 ? RD_KAFKA_PARTITION_UA : message->partition),
	    RD_KAFKA_V_KEY(message->key.data, message->key.length),
	    RD_KAFKA_V_VALUE((void *) (uintptr_t) message->value.data, message->value.length),
	    RD_KAFKA_V_TIMESTAMP(time), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(entry), RD_KAFKA_V_END);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR && headers != NULL)
		rd_kafka_headers_destroy(headers);
	return error;
}

/* Messages that go to one topic, in a row, and have nothing of their own but key and value. */
typedef struct SendBatch
{
	KsegKafkaTopic *topic;
	int count;
	rd_kafka_message_t messages[SEND_BATCH];
} SendBatch;

static void
send_batch_add(SendBatch *batch, KsegKafkaTopic *topic, KsegKafkaEntry *entry, const KsegMessage *message)
{
	batch->topic = topic;
	batch->messages[batch->count++] =
	    (rd_kafka_message_t){.payload = (void *) (uintptr_t) message->value.data,
	                         .len = message->value.length,
	                         .key = (void *) (uintptr_t) message->key.data,
	                         .key_len = message->key.length,
	                         ._private = entry};
}

/*
 * What came of handing over the message at the front of the queue. False: librdkafka's queue is full, and it stays where it is.
 */
static bool
sender_advance(KsegKafkaSender *sender, KsegKafkaEntry *entry, rd_kafka_resp_err_t error, const char *words)
{
	if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		return false;
	kafka_blocks_advance(&sender->blocks);
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
		sender->held++;
	else
		sender_take_refusal(sender, entry, error, words);
	return true;
}

/* Hand over the batch, which is the front of the queue. False: not all of it, for now. */
static bool
sender_flush(KsegKafkaSender *sender, SendBatch *batch)
{
	int count = batch->count;

	batch->count = 0;
	if (count == 0)
		return true;
	rd_kafka_produce_batch(batch->topic->rkt, RD_KAFKA_PARTITION_UA, 0, batch->messages, count);
	for (int i = 0; i < count; i++)
	{
		/* librdkafka takes none after the first that it had no room for, so order is kept. */
		if (!sender_advance(sender, batch->messages[i]._private, batch->messages[i].err, NULL))
			return false;
	}
	return true;
}

/*
 * The topic of a message. NULL: it cannot be sent there (error, words), or (NO_ERROR) nothing is known of the topic yet.
 */
static KsegKafkaTopic *
sender_find_topic(KsegKafkaSender *sender, const KsegMessage *message, rd_kafka_resp_err_t *error,
                  const char **words)
{
	KsegKafkaTopic *topic = message->topic.length == 0 ? sender->topic : NULL;

	if (topic == NULL && !kafka_topic_is_legal(message->topic))
	{
		*error = RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
		*words = "no topic can have this name";
		return NULL;
	}
	if (topic == NULL)
		topic = kafka_topics_find(&sender->topics, message->topic);
	if (topic == NULL)
		return NULL;
	*error = topic->error;
	if (*error == RD_KAFKA_RESP_ERR_NO_ERROR)
		*error = kafka_topic_check(topic, message,
		                           message->timestamp == KSEG_NO_TIMESTAMP ? 0 : clock_unix_ms(), words);
	return *error == RD_KAFKA_RESP_ERR_NO_ERROR ? topic : NULL;
}

static bool
sender_is_plain(const KsegMessage *message)
{
	return message->partition < 0 && message->timestamp == KSEG_NO_TIMESTAMP && message->headers.length == 0;
}

/* A message that goes by itself, with nothing in the batch before it. False: not now. */
static bool
sender_take_single(KsegKafkaSender *sender, KsegKafkaEntry *entry, const KsegMessage *message,
                   KsegKafkaTopic *topic, rd_kafka_resp_err_t error, const char *words)
{
	if (topic == NULL && error == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		sender->asking = kafka_topics_add(&sender->topics, message->topic);
		return false;
	}
	if (topic != NULL)
		error = sender_produce(sender, topic, entry, message);
	return sender_advance(sender, entry, error, words);
}

/* One message into the batch, or the batch to librdkafka. False: nothing more can be done now. */
static bool
sender_step(KsegKafkaSender *sender, SendBatch *batch)
{
	KsegMessage message;
	KsegKafkaTopic *topic;
	rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
	const char *words = NULL;
	bool room =
	    sender->held + (uint64_t) batch->count < (uint64_t) sender->courier->config.max_queue_messages;
	KsegKafkaEntry *entry = room ? kafka_blocks_ahead(&sender->blocks, (uint32_t) batch->count) : NULL;

	if (entry == NULL)
		return batch->count > 0 && sender_flush(sender, batch);
	kafka_entry_read(entry, &message);
	topic = sender_find_topic(sender, &message, &error, &words);
	if (topic != NULL && sender_is_plain(&message) && batch->count < SEND_BATCH &&
	    (batch->count == 0 || batch->topic == topic))
	{
		send_batch_add(batch, topic, entry, &message);
		return true;
	}
	if (batch->count > 0)
		return sender_flush(sender, batch);
	return sender_take_single(sender, entry, &message, topic, error, words);
}

void
kafka_sender_hand_over(KsegKafkaSender *sender)
{
	SendBatch batch;

	batch.count = 0;
	while (sender->courier->failure.failure == 0 && sender->asking == NULL && sender_step(sender, &batch))
		continue;
}
