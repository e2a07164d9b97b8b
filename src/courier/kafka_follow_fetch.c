/*
 * kafka_follow_fetch.c
 *	  See kafka_follow_fetch.h.
 */
#include "courier/kafka_follow_fetch.h"

#include <string.h>

#include "courier/kafka_compat.h"
#include "courier/kafka_failure.h"
#include "courier/kafka_follow_words.h"
#include "courier/words.h"
#include "wire/wire_follow.h"

/* ---------- starting ---------- */

void
follow_fetch_open(KsegFollowFetch *fetch, KsegKafkaClient *client, KsegFollowSet *set,
                  const KsegFollowPlan *plan)
{
	*fetch = (KsegFollowFetch){.client = client, .set = set};
	consume_queue_open(&fetch->queue, client);
	consume_queue_open_gate(&fetch->queue, client, 0);
	consume_record_open(&fetch->writer, &plan->fields, &client->courier->io);
}

static bool
fetch_begin(KsegFollowFetch *fetch, KsegFollowPartition *partition, int64_t offset)
{
	if (rd_kafka_consume_start_queue(partition->topic->rkt, partition->partition, offset,
	                                 fetch->queue.queue) == 0)
		return true;
	kafka_failure_set(fetch->client, rd_kafka_last_error(), NULL, NULL);
	return false;
}

bool
follow_fetch_start(KsegFollowFetch *fetch, KsegFollowPartition *partition)
{
	bool compares = partition->seen_offset != KSEG_FOLLOW_NONE;

	consume_gate_set_partitions(&fetch->queue.gate, fetch->set->count, fetch->set->name_bytes);
	return fetch_begin(fetch, partition, compares ? partition->seen_offset : partition->next);
}

bool
follow_fetch_restart(KsegFollowFetch *fetch, KsegFollowPartition *partition)
{
	rd_kafka_consume_stop(partition->topic->rkt, partition->partition);
	return follow_fetch_start(fetch, partition);
}

/* ---------- messages ---------- */

static void
fetch_touch(KsegFollowFetch *fetch, KsegFollowPartition *partition)
{
	if (partition->touched)
		return;
	partition->touched = true;
	if (fetch->touched_count == fetch->touched_room)
	{
		fetch->touched_room = fetch->touched_room == 0 ? 64 : 2 * fetch->touched_room;
		fetch->touched = memory_resize(fetch->touched, fetch->touched_room * sizeof(*fetch->touched));
	}
	fetch->touched[fetch->touched_count++] = partition;
}

/* Messages come in runs of one topic. Handles of one topic are one pointer as long as one of them is held. */
static KsegFollowPartition *
fetch_find(KsegFollowFetch *fetch, const rd_kafka_message_t *message)
{
	if (message->rkt == NULL)
		return NULL;
	if (fetch->last == NULL || fetch->last->rkt != message->rkt)
		fetch->last = follow_set_topic(fetch->set, rd_kafka_topic_name(message->rkt));
	return fetch->last != NULL ? follow_set_partition(fetch->last, message->partition) : NULL;
}

/* What a broker has, and this library cannot read: a damaged batch, a compression that it was built without. */
static void
fetch_take_error(KsegFollowFetch *fetch, KsegFollowPartition *partition, const rd_kafka_message_t *message)
{
	KsegFailure sort = kafka_failure_sort(message->err);

	partition->placed = false;
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
	{
		partition->at_end = true;
		if (message->offset > partition->next)
			partition->next = message->offset;
		fetch_touch(fetch, partition);
	}
	else if (sort == KSEG_FAILURE_GAP || KSEG_KAFKA_IS_TRUNCATED(message->err))
		partition->lost = fetch->asks = true;
	else if (consume_fetch_is_unreadable(message->err))
		follow_words_unreadable(fetch->client, partition, message->err, rd_kafka_message_errstr(message));
	else if (sort == KSEG_FAILURE_AUTH)
		follow_words_denied(fetch->client, partition->topic->name, message->err);
	else
		fetch->asks = true;
}

/* The message that was settled last: it comes once more, to be told from another one at its offset. */
static void
fetch_compare(KsegFollowFetch *fetch, KsegFollowPartition *partition, const rd_kafka_message_t *message)
{
	rd_kafka_timestamp_type_t type;
	int64_t time = rd_kafka_message_timestamp(message, &type);

	if (message->offset == partition->seen_offset && time != partition->seen_time)
		follow_words_anew(fetch->client, partition, time);
	partition->seen_offset = KSEG_FOLLOW_NONE;
}

static void
fetch_take(KsegFollowFetch *fetch, const rd_kafka_message_t *message)
{
	KsegFollowPartition *partition = fetch_find(fetch, message);

	if (partition == NULL)
		return;
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		fetch_take_error(fetch, partition, message);
		return;
	}
	if (partition->seen_offset != KSEG_FOLLOW_NONE)
		fetch_compare(fetch, partition, message);
	if (message->offset < partition->next || fetch->client->courier->failure.failure != 0)
		return;
	consume_record_put(&fetch->writer, message, (int32_t) partition->index);
	partition->next = partition->told_next = message->offset + 1;
	partition->at_end = false;
	partition->placed = true;
	fetch->handed = true;
	fetch_touch(fetch, partition);
}

bool
follow_fetch_some(KsegFollowFetch *fetch)
{
	const KsegCourier *courier = fetch->client->courier;
	size_t pending = wire_io_pending(&courier->io);

	while (courier->failure.failure == 0 && wire_io_pending(&courier->io) == pending)
	{
		rd_kafka_message_t *message = consume_queue_take(&fetch->queue);

		if (message == NULL)
			return false;
		fetch_take(fetch, message);
		rd_kafka_message_destroy(message);
	}
	return true;
}

/* ---------- how far ---------- */

/* What librdkafka has passed over by itself, and where the log ends. Its position counts what is taken, looked at or not. */
static void
fetch_look(KsegFollowFetch *fetch, KsegFollowPartition *partition, int64_t position)
{
	int64_t low;
	int64_t high;

	if (partition->placed && consume_queue_is_looked_at(&fetch->queue) && position > partition->next)
		partition->next = position;
	if (rd_kafka_get_watermark_offsets(fetch->client->rk, partition->topic->name, partition->partition, &low,
	                                   &high) != RD_KAFKA_RESP_ERR_NO_ERROR ||
	    high < 0)
		high = partition->end;
	partition->end = partition->at_end || high < partition->next ? partition->next : high;
}

static void
fetch_look_all(KsegFollowFetch *fetch)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int) fetch->touched_count);

	for (uint32_t i = 0; i < fetch->touched_count; i++)
		rd_kafka_topic_partition_list_add(list, fetch->touched[i]->topic->name, fetch->touched[i]->partition);
	rd_kafka_position(fetch->client->rk, list);
	for (uint32_t i = 0; i < fetch->touched_count; i++)
		fetch_look(fetch, fetch->touched[i], list->elems[i].offset);
	rd_kafka_topic_partition_list_destroy(list);
}

static uint32_t
fetch_count_news(const KsegFollowFetch *fetch)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < fetch->touched_count; i++)
		count += fetch->touched[i]->next != fetch->touched[i]->told_next ||
		         fetch->touched[i]->end != fetch->touched[i]->told_end;
	return count;
}

static uint8_t *
fetch_put_step(uint8_t *out, KsegFollowPartition *partition)
{
	KsegWireStep step = {.index = partition->index, .next = partition->next, .end = partition->end};

	if (partition->next == partition->told_next && partition->end == partition->told_end)
		return out;
	partition->told_next = partition->next;
	partition->told_end = partition->end;
	return kseg_step_write(out, &step);
}

void
follow_fetch_report(KsegFollowFetch *fetch)
{
	uint32_t count;
	uint8_t *out;

	if (fetch->touched_count == 0)
		return;
	fetch_look_all(fetch);
	count = fetch_count_news(fetch);
	if (count > 0)
	{
		consume_record_end_frame(&fetch->writer);
		out = wire_io_put_frame(fetch->writer.io, KSEG_FRAME_PROGRESS,
		                        sizeof(count) + count * KSEG_WIRE_STEP_SIZE);
		out = kseg_write_u32(out, count);
		for (uint32_t i = 0; i < fetch->touched_count; i++)
			out = fetch_put_step(out, fetch->touched[i]);
	}
	for (uint32_t i = 0; i < fetch->touched_count; i++)
		fetch->touched[i]->touched = false;
	fetch->touched_count = 0;
}
