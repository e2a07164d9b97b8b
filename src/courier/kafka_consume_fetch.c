/*
 * kafka_consume_fetch.c
 *	  See kafka_consume_fetch.h.
 */
#include "courier/kafka_consume_fetch.h"

#include <stdio.h>
#include <string.h>

#include "courier/kafka_failure.h"
#include "courier/words.h"

/* ---------- how far a partition has come ---------- */

KsegFetchVerdict
consume_fetch_judge(KsegConsumePartition *partition, int64_t offset, bool append_time)
{
	if (partition->done)
		return offset >= partition->end ? KSEG_FETCH_BEYOND : KSEG_FETCH_DROP;
	if (offset < partition->next)
		return KSEG_FETCH_DROP;
	if (offset >= partition->stop && !append_time)
		partition->stop = INT64_MAX;
	if (offset >= partition->end || offset >= partition->stop)
	{
		partition->done = true;
		return KSEG_FETCH_BEYOND;
	}
	partition->next = offset + 1;
	partition->done = partition->next >= partition->end;
	return KSEG_FETCH_HAND_OVER;
}

void
consume_fetch_note_end(KsegConsumePartition *partition, int64_t offset)
{
	if (offset >= partition->end)
		partition->done = true;
	else
		partition->log_end = offset;
}

/* ---------- starting ---------- */

void
consume_fetch_open(KsegConsumeFetch *fetch, KsegKafkaClient *client, KsegConsumeBounds *bounds)
{
	*fetch = (KsegConsumeFetch){.client = client, .bounds = bounds};
	consume_queue_open(&fetch->queue, client);
	fetch->left = bounds->plan->max_records == KSEG_CONSUME_NONE ? INT64_MAX : bounds->plan->max_records;
	consume_record_open(&fetch->writer, bounds->plan, &client->courier->io);
}

static void
fetch_index(KsegConsumeFetch *fetch)
{
	KsegConsumeBounds *bounds = fetch->bounds;

	fetch->numbers = bounds->count == 0 ? 0 : bounds->partitions[bounds->count - 1].partition + 1;
	fetch->by_number = memory_resize(NULL, ((size_t) fetch->numbers + 1) * sizeof(KsegConsumePartition *));
	memset(fetch->by_number, 0, ((size_t) fetch->numbers + 1) * sizeof(KsegConsumePartition *));
	for (uint32_t i = 0; i < bounds->count; i++)
	{
		fetch->by_number[bounds->partitions[i].partition] = &bounds->partitions[i];
		fetch->open += !bounds->partitions[i].done;
	}
}

bool
consume_fetch_start(KsegConsumeFetch *fetch)
{
	KsegConsumeBounds *bounds = fetch->bounds;
	KsegKafkaClient *client = fetch->client;

	fetch_index(fetch);
	consume_queue_open_gate(&fetch->queue, client, bounds->count);
	for (uint32_t i = 0; i < bounds->count; i++)
	{
		const KsegConsumePartition *partition = &bounds->partitions[i];

		if (partition->done || rd_kafka_consume_start_queue(bounds->topic, partition->partition,
		                                                    partition->start, fetch->queue.queue) == 0)
			continue;
		kafka_failure_set(client, rd_kafka_last_error(), NULL, NULL);
		return false;
	}
	return true;
}

/* ---------- what went wrong ---------- */

bool
consume_fetch_is_unreadable(rd_kafka_resp_err_t error)
{
	return error == RD_KAFKA_RESP_ERR__BAD_MSG || error == RD_KAFKA_RESP_ERR__BAD_COMPRESSION ||
	       error == RD_KAFKA_RESP_ERR__UNDERFLOW || error == RD_KAFKA_RESP_ERR_INVALID_MSG ||
	       error == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE || error == RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED;
}

/* How an error of one partition ends the read; 0: it does not, librdkafka tries again. */
static KsegFailure
fetch_sort(rd_kafka_resp_err_t error)
{
	KsegFailure sort = kafka_failure_sort(error);

	/* It was there when the read began. */
	if (kafka_failure_is_topic(error) || error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
		return KSEG_FAILURE_GAP;
	if (consume_fetch_is_unreadable(error))
		return KSEG_FAILURE_REFUSED;
	return sort == KSEG_FAILURE_EXHAUSTED ? 0 : sort;
}

/* False: something else has failed before. The caller adds a detail. */
static bool
fetch_fail(KsegConsumeFetch *fetch, KsegFailure failure, rd_kafka_resp_err_t error)
{
	KsegFailureReport *report = &fetch->client->courier->failure;

	if (!failure_set(report, failure, (uint32_t) error, "could not read on in topic \"%s\"",
	                 rd_kafka_topic_name(fetch->bounds->topic)))
		return false;
	failure_set_hint(report, "%s",
	                 failure == KSEG_FAILURE_GAP ? KSEG_CONSUME_GAP_HINT
	                                             : kafka_failure_hint(fetch->client, error));
	return true;
}

static void
fetch_fail_partition(KsegConsumeFetch *fetch, KsegFailure failure, rd_kafka_resp_err_t error,
                     const KsegConsumePartition *partition, const char *words)
{
	char clean[KSEG_KAFKA_WORDS_MAX];

	words_clean(clean, sizeof(clean), words, strlen(words));
	if (fetch_fail(fetch, failure, error))
		failure_set_detail(&fetch->client->courier->failure, "Partition %d at offset %lld: %s.",
		                   partition->partition, (long long) partition->next, clean);
}

void
consume_fetch_fail_topic(KsegConsumeFetch *fetch)
{
	rd_kafka_resp_err_t error = fetch->bounds->error;

	if (fetch_fail(fetch, fetch_sort(error), error))
		failure_set_detail(&fetch->client->courier->failure, "librdkafka says of the topic: %s.",
		                   rd_kafka_err2str(error));
}

void
consume_fetch_fail_anew(KsegConsumeFetch *fetch, int32_t partition)
{
	if (fetch_fail(fetch, KSEG_FAILURE_GAP, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE))
		failure_set_detail(
		    &fetch->client->courier->failure,
		    "Partition %d has newer messages than the query where older ones were: the topic was deleted and "
		    "made anew while it was read, so what was read may be of both.",
		    partition);
}

void
consume_fetch_fail_waiting(KsegConsumeFetch *fetch)
{
	KsegKafkaClient *client = fetch->client;
	KsegFailureReport *report = &client->courier->failure;

	for (uint32_t i = 0; i < fetch->bounds->count; i++)
	{
		const KsegConsumePartition *partition = &fetch->bounds->partitions[i];

		if (!partition->done && partition->log_end != KSEG_CONSUME_NONE)
			fetch_fail_partition(
			    fetch, KSEG_FAILURE_GAP, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, partition,
			    "the partition now ends before the offset that it ended at when the query began");
	}
	if (!failure_set(report, KSEG_FAILURE_EXHAUSTED, (uint32_t) client->error,
	                 "could not read on in topic \"%s\": nothing has come for %lld ms",
	                 rd_kafka_topic_name(fetch->bounds->topic),
	                 (long long) client->courier->config.request_timeout_ms))
		return;
	failure_set_detail(report, "%u partitions are not read to their end. librdkafka says: %s.", fetch->open,
	                   kafka_client_why(client, RD_KAFKA_RESP_ERR__TIMED_OUT));
	failure_set_hint(
	    report, "Check that the brokers are up; the server option \"request_timeout\" is how long a read "
	            "waits for them.");
}

/* ---------- messages ---------- */

static void
fetch_take_error(KsegConsumeFetch *fetch, KsegConsumePartition *partition, const rd_kafka_message_t *message)
{
	KsegFailure failure;

	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
	{
		consume_fetch_note_end(partition, message->offset);
		return;
	}
	failure = fetch_sort(message->err);
	if (failure != 0)
		fetch_fail_partition(fetch, failure, message->err, partition, rd_kafka_message_errstr(message));
}

/* A partition that is done but whose log goes on would be read to its end, for nothing. */
static void
fetch_stop(KsegConsumeFetch *fetch, KsegConsumePartition *partition)
{
	if (!partition->stopped)
		rd_kafka_consume_stop(fetch->bounds->topic, partition->partition);
	partition->stopped = true;
}

static void
fetch_take_message(KsegConsumeFetch *fetch, KsegConsumePartition *partition,
                   const rd_kafka_message_t *message)
{
	rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;

	if (partition->stop != INT64_MAX)
		rd_kafka_message_timestamp(message, &type);
	switch (consume_fetch_judge(partition, message->offset, type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME))
	{
		case KSEG_FETCH_HAND_OVER:
			consume_record_put(&fetch->writer, message, message->partition);
			fetch->left--;
			break;
		case KSEG_FETCH_BEYOND:
			fetch_stop(fetch, partition);
			break;
		case KSEG_FETCH_DROP:
			break;
	}
}

static void
fetch_take(KsegConsumeFetch *fetch, const rd_kafka_message_t *message)
{
	KsegConsumePartition *partition = NULL;
	bool done;

	if (message->partition >= 0 && message->partition < fetch->numbers)
		partition = fetch->by_number[message->partition];
	if (partition == NULL)
		return;
	done = partition->done;
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (!done)
			fetch_take_error(fetch, partition, message);
	}
	else
		fetch_take_message(fetch, partition, message);
	fetch->open -= partition->done && !done;
}

bool
consume_fetch_some(KsegConsumeFetch *fetch)
{
	const KsegCourier *courier = fetch->client->courier;
	size_t pending = wire_io_pending(&courier->io);
	rd_kafka_message_t *message;
	bool any = false;

	while (!consume_fetch_is_done(fetch) && courier->failure.failure == 0 &&
	       wire_io_pending(&courier->io) == pending)
	{
		message = consume_queue_take(&fetch->queue);
		if (message == NULL)
			break;
		fetch_take(fetch, message);
		rd_kafka_message_destroy(message);
		any = true;
	}
	return any;
}

void
consume_fetch_discard(KsegConsumeFetch *fetch)
{
	rd_kafka_message_t *message;

	while ((message = consume_queue_take(&fetch->queue)) != NULL)
		rd_kafka_message_destroy(message);
}

void
consume_fetch_check_positions(KsegConsumeFetch *fetch)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int) fetch->open);
	const char *topic = rd_kafka_topic_name(fetch->bounds->topic);

	for (uint32_t i = 0; i < fetch->bounds->count; i++)
	{
		if (!fetch->bounds->partitions[i].done)
			rd_kafka_topic_partition_list_add(list, topic, fetch->bounds->partitions[i].partition);
	}
	rd_kafka_position(fetch->client->rk, list);
	for (int i = 0; i < list->cnt; i++)
	{
		KsegConsumePartition *partition = fetch->by_number[list->elems[i].partition];

		/* From 2.8 on (seen with 2.8.0) the position counts a PARTITION_EOF as a message; what follows tells. */
		partition->done =
		    list->elems[i].offset >= partition->end &&
		    (partition->log_end == KSEG_CONSUME_NONE || list->elems[i].offset != partition->log_end + 1);
		fetch->open -= partition->done;
	}
	rd_kafka_topic_partition_list_destroy(list);
}

bool
consume_fetch_is_done(const KsegConsumeFetch *fetch)
{
	return fetch->open == 0 || fetch->left == 0;
}
