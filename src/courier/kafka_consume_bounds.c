/*
 * kafka_consume_bounds.c
 *	  Questions to the brokers before a read. See kafka_consume_bounds.h.
 *
 * Offsets are asked for by rd_kafka_offsets_for_times, which sends one ListOffsets to each leader for all of its partitions,
 * where rd_kafka_query_watermark_offsets sends two for each partition. It passes a time on as it is, and the protocol gives -2
 * and -1 a meaning of their own: the earliest and the latest offset (ListOffsetsRequest; the latest is the last stable one
 * with read_committed). Tried with librdkafka 2.0.2, 2.8.0 and 2.14.2.
 */
#include "courier/kafka_consume_bounds.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "courier/kafka_consume_near.h"
#include "courier/kafka_failure.h"

#define BOUNDS_EARLIEST (-2)
#define BOUNDS_LATEST   (-1)

/* How long a list of all topics may take, for a hint that is only nice to have. */
#define BOUNDS_NEAR_MS 2000

/* How long one broker may take to say whether the topic is still there, before another one is asked. */
#define BOUNDS_CHECK_MS 2000

/* Between two questions while leaders move, which takes a broker some hundreds of milliseconds. */
#define BOUNDS_AGAIN_MS 100

/* ---------- problems ---------- */

static bool
bounds_problem(KsegConsumeBounds *bounds, KsegBoundsProblem problem, rd_kafka_resp_err_t error,
               int32_t partition)
{
	bounds->problem = problem;
	bounds->error = error;
	bounds->problem_partition = partition;
	return false;
}

/* The nearest of all topics to one that there is not. */
static void
bounds_find_near(KsegConsumeBounds *bounds)
{
	const char *wanted = rd_kafka_topic_name(bounds->topic);
	const struct rd_kafka_metadata *metadata;
	uint32_t nearest = KSEG_NEAR_FAR;

	if (rd_kafka_metadata(bounds->rk, 1, NULL, &metadata, BOUNDS_NEAR_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	for (int i = 0; i < metadata->topic_cnt; i++)
	{
		const char *name = metadata->topics[i].topic;
		uint32_t distance = consume_near_distance(wanted, name);

		if (distance < nearest && metadata->topics[i].err == RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			nearest = distance;
			snprintf(bounds->near, sizeof(bounds->near), "%s", name);
		}
	}
	rd_kafka_metadata_destroy(metadata);
}

void
consume_bounds_fail(const KsegConsumeBounds *bounds, KsegKafkaClient *client)
{
	KsegFailureReport *report = &client->courier->failure;
	const char *topic = rd_kafka_topic_name(bounds->topic);
	char message[256];

	snprintf(message, sizeof(message), "could not read topic \"%s\"", topic);
	if (kafka_failure_is_topic(bounds->error))
	{
		if (report->failure != 0)
			return;
		kafka_failure_set_no_topic(client, bounds->error, topic);
		if (bounds->near[0] != '\0')
			failure_set_hint(report, "Perhaps you meant the topic \"%s\".", bounds->near);
		return;
	}
	if (report->failure != 0)
		return;
	kafka_failure_set(client, bounds->error, NULL, message);
	if (bounds->problem == KSEG_BOUNDS_OFFSETS && bounds->problem_partition != KSEG_CONSUME_NONE)
		failure_set_detail(report, "The offsets of partition %d are not known: %s.",
		                   bounds->problem_partition, rd_kafka_err2str(bounds->error));
	if (report->failure == KSEG_FAILURE_GAP)
		failure_set_hint(report, "%s", KSEG_CONSUME_GAP_HINT);
}

/* ---------- partitions ---------- */

static void
bounds_add(KsegConsumeBounds *bounds, int32_t partition)
{
	size_t size = (bounds->count + 1) * sizeof(KsegConsumePartition);

	bounds->partitions = memory_resize(bounds->partitions, size);
	bounds->partitions[bounds->count++] =
	    (KsegConsumePartition){.partition = partition, .stop = INT64_MAX, .log_end = KSEG_CONSUME_NONE};
}

/* The offsets that an earlier read had in this partition, or NULL. */
static const KsegConsumeRange *
bounds_range(const KsegConsumePlan *plan, int32_t partition)
{
	for (uint32_t i = 0; i < plan->range_count; i++)
	{
		if (plan->ranges[i].partition == partition)
			return &plan->ranges[i];
	}
	return NULL;
}

/* A topic's partitions have the numbers from 0 on; the broker names them in any order. */
static bool
bounds_choose(KsegConsumeBounds *bounds, int32_t partition_count)
{
	const KsegConsumePlan *plan = bounds->plan;

	for (int32_t i = 0; i < partition_count; i++)
	{
		if (consume_plan_has_partition(plan, i) && (!plan->has_ranges || bounds_range(plan, i) != NULL))
			bounds_add(bounds, i);
	}
	/* Partitions are never taken away, but a topic can be made anew with fewer. */
	for (uint32_t i = 0; i < plan->range_count; i++)
	{
		if (plan->ranges[i].partition >= partition_count && plan->ranges[i].end > plan->ranges[i].start)
			return bounds_problem(bounds, KSEG_BOUNDS_OFFSETS, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
			                      plan->ranges[i].partition);
	}
	return true;
}

static bool
bounds_ask_topic(KsegConsumeBounds *bounds)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t error =
	    rd_kafka_metadata(bounds->rk, 0, bounds->topic, &metadata, bounds->connect_timeout_ms);
	int32_t partition_count = 0;

	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		return bounds_problem(bounds, KSEG_BOUNDS_METADATA, error, KSEG_CONSUME_NONE);
	error = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
	partition_count = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
	rd_kafka_metadata_destroy(metadata);
	if (kafka_failure_is_topic(error))
		bounds_find_near(bounds);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		return bounds_problem(bounds, KSEG_BOUNDS_TOPIC, error, KSEG_CONSUME_NONE);
	return bounds_choose(bounds, partition_count);
}

/* ---------- offsets ---------- */

/*
 * For each partition the first offset whose message is of time_ms or later (or has a time's special meaning); where there is
 * none, otherwise. Answers are put at offset bytes into each partition.
 */
static bool
bounds_ask_offsets_once(KsegConsumeBounds *bounds, int64_t time_ms, size_t offset, int64_t deadline_ms)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int) bounds->count);
	int64_t left = deadline_ms - clock_now_ms();
	rd_kafka_resp_err_t error;
	bool asked;

	for (uint32_t i = 0; i < bounds->count; i++)
		rd_kafka_topic_partition_list_add(list, rd_kafka_topic_name(bounds->topic),
		                                  bounds->partitions[i].partition)
		    ->offset = time_ms;
	error = rd_kafka_offsets_for_times(bounds->rk, list, left > 1 ? (int) left : 1);
	asked = error == RD_KAFKA_RESP_ERR_NO_ERROR ||
	        bounds_problem(bounds, KSEG_BOUNDS_OFFSETS, error, KSEG_CONSUME_NONE);
	for (uint32_t i = 0; asked && i < bounds->count; i++)
	{
		const rd_kafka_topic_partition_t *answer = &list->elems[i];

		*(int64_t *) (void *) ((char *) &bounds->partitions[i] + offset) = answer->offset;
		if (answer->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			asked = bounds_problem(bounds, KSEG_BOUNDS_OFFSETS, answer->err, answer->partition);
	}
	rd_kafka_topic_partition_list_destroy(list);
	return asked;
}

/* Who leads a partition is being settled; librdkafka tries again by itself after the other errors of this kind. */
static bool
bounds_is_moving(rd_kafka_resp_err_t error)
{
	return error == RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH || error == RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH;
}

/* The same, again while leaders move: a broker that has come back is behind for a moment, and what librdkafka knows is older. */
static bool
bounds_ask_offsets(KsegConsumeBounds *bounds, int64_t time_ms, size_t offset, int64_t deadline_ms)
{
	const struct rd_kafka_metadata *metadata;

	while (!bounds_ask_offsets_once(bounds, time_ms, offset, deadline_ms))
	{
		if (!bounds_is_moving(bounds->error) || deadline_ms - clock_now_ms() < BOUNDS_AGAIN_MS)
			return false;
		bounds->problem = KSEG_BOUNDS_FOUND; /* until the next answer */
		bounds->error = RD_KAFKA_RESP_ERR_NO_ERROR;
		poll(NULL, 0, BOUNDS_AGAIN_MS);
		if (rd_kafka_metadata(bounds->rk, 0, bounds->topic, &metadata, BOUNDS_CHECK_MS) ==
		    RD_KAFKA_RESP_ERR_NO_ERROR)
			rd_kafka_metadata_destroy(metadata);
	}
	return true;
}

static bool
bounds_ask_ends(KsegConsumeBounds *bounds, int64_t deadline_ms)
{
	return bounds_ask_offsets(bounds, BOUNDS_EARLIEST, offsetof(KsegConsumePartition, low), deadline_ms) &&
	       bounds_ask_offsets(bounds, BOUNDS_LATEST, offsetof(KsegConsumePartition, end), deadline_ms);
}

/* No message is that late: nothing to read (-1, the protocol's "none"), as if all of them came before. */
static bool
bounds_ask_start(KsegConsumeBounds *bounds, int64_t deadline_ms)
{
	if (bounds->plan->timestamp_from_ms == KSEG_CONSUME_NONE)
		return true;
	if (!bounds_ask_offsets(bounds, bounds->plan->timestamp_from_ms, offsetof(KsegConsumePartition, start),
	                        deadline_ms))
		return false;
	for (uint32_t i = 0; i < bounds->count; i++)
	{
		if (bounds->partitions[i].start < 0)
			bounds->partitions[i].start = INT64_MAX;
	}
	return true;
}

/* ---------- the topic's kind of timestamps ---------- */

/* Is this entry of DescribeConfigs' answer message.timestamp.type = LogAppendTime? */
static bool
bounds_is_append_time(const rd_kafka_ConfigEntry_t *entry)
{
	const char *value = rd_kafka_ConfigEntry_value(entry);

	return strcmp(rd_kafka_ConfigEntry_name(entry), "message.timestamp.type") == 0 && value != NULL &&
	       strcmp(value, "LogAppendTime") == 0;
}

static bool
bounds_read_configs(rd_kafka_event_t *event)
{
	const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
	size_t resource_count = 0;
	const rd_kafka_ConfigResource_t **resources;
	bool append_time = false;

	if (result == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	resources = rd_kafka_DescribeConfigs_result_resources(result, &resource_count);
	for (size_t i = 0; i < resource_count; i++)
	{
		size_t entry_count = 0;
		const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resources[i], &entry_count);

		for (size_t j = 0; j < entry_count; j++)
			append_time = append_time || bounds_is_append_time(entries[j]);
	}
	return append_time;
}

/* No right to ask, or no answer: then it is not known, and time may go back. */
static bool
bounds_has_append_time(KsegConsumeBounds *bounds, int64_t deadline_ms)
{
	const char *name = rd_kafka_topic_name(bounds->topic);
	rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(bounds->rk);
	int64_t left = deadline_ms - clock_now_ms();
	rd_kafka_event_t *event;
	bool append_time = false;

	rd_kafka_DescribeConfigs(bounds->rk, &resource, 1, NULL, queue);
	event = rd_kafka_queue_poll(queue, left > 0 ? (int) left : 0);
	if (event != NULL)
	{
		append_time = bounds_read_configs(event);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_ConfigResource_destroy(resource);
	rd_kafka_queue_destroy(queue);
	return append_time;
}

/* A partition without any message that late has no stop: -1. */
static bool
bounds_ask_stop(KsegConsumeBounds *bounds, int64_t deadline_ms)
{
	if (bounds->plan->timestamp_to_ms == KSEG_CONSUME_NONE || !bounds_has_append_time(bounds, deadline_ms))
		return true;
	if (!bounds_ask_offsets(bounds, bounds->plan->timestamp_to_ms, offsetof(KsegConsumePartition, stop),
	                        deadline_ms))
		return false;
	for (uint32_t i = 0; i < bounds->count; i++)
	{
		if (bounds->partitions[i].stop < 0)
			bounds->partitions[i].stop = INT64_MAX;
	}
	return true;
}

/* ---------- cutting ---------- */

static int64_t
bounds_between(int64_t value, int64_t least, int64_t most)
{
	return value < least ? least : value > most ? most : value;
}

void
consume_bounds_cut(const KsegConsumePlan *plan, KsegConsumePartition *partition)
{
	int64_t start = partition->start;
	int64_t end = partition->end < partition->low ? partition->low : partition->end;

	if (plan->offset_from != KSEG_CONSUME_NONE && plan->offset_from > start)
		start = plan->offset_from;
	if (plan->offset_to != KSEG_CONSUME_NONE)
		end = bounds_between(plan->offset_to, partition->low, end);
	if (plan->tail != KSEG_CONSUME_NONE && end - partition->low > plan->tail && end - plan->tail > start)
		start = end - plan->tail;
	partition->start = bounds_between(start, partition->low, end);
	partition->end = end;
}

/* An earlier read's offsets, as they are: what is gone since is a gap, and not left out in silence. */
static void
bounds_take_ranges(KsegConsumeBounds *bounds)
{
	for (uint32_t i = 0; i < bounds->count; i++)
	{
		KsegConsumePartition *partition = &bounds->partitions[i];
		const KsegConsumeRange *range = bounds_range(bounds->plan, partition->partition);

		partition->low = range->start;
		partition->start = range->start;
		partition->end = range->end;
	}
}

static bool
bounds_find_ends(KsegConsumeBounds *bounds, int64_t deadline_ms)
{
	if (bounds->plan->has_ranges)
	{
		bounds_take_ranges(bounds);
		return true;
	}
	if (!bounds_ask_ends(bounds, deadline_ms) || !bounds_ask_start(bounds, deadline_ms))
		return false;
	for (uint32_t i = 0; i < bounds->count; i++)
		consume_bounds_cut(bounds->plan, &bounds->partitions[i]);
	return true;
}

void
consume_bounds_find(void *argument)
{
	KsegConsumeBounds *bounds = argument;
	int64_t deadline_ms;

	if (!bounds_ask_topic(bounds) || bounds->count == 0)
		return;
	deadline_ms = clock_now_ms() + bounds->request_timeout_ms;
	if (!bounds_find_ends(bounds, deadline_ms) || !bounds_ask_stop(bounds, deadline_ms))
		return;
	for (uint32_t i = 0; i < bounds->count; i++)
	{
		KsegConsumePartition *partition = &bounds->partitions[i];

		partition->next = partition->start;
		partition->done = partition->start >= partition->end;
	}
}

void
consume_bounds_check(void *argument)
{
	KsegConsumeBounds *bounds = argument;
	const struct rd_kafka_metadata *metadata;
	int32_t last = bounds->partitions[bounds->count - 1].partition;
	rd_kafka_resp_err_t error;

	if (rd_kafka_metadata(bounds->rk, 0, bounds->topic, &metadata, BOUNDS_CHECK_MS) !=
	    RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	error = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topics[0].partition_cnt <= last)
		error = RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
	rd_kafka_metadata_destroy(metadata);
	if (kafka_failure_sort(error) != KSEG_FAILURE_EXHAUSTED && error != RD_KAFKA_RESP_ERR_NO_ERROR)
		bounds_problem(bounds, KSEG_BOUNDS_TOPIC, error, KSEG_CONSUME_NONE);
}

/* ---------- telling ---------- */

void
consume_bounds_report(const KsegConsumeBounds *bounds, KsegWireIo *io)
{
	size_t entry = sizeof(uint32_t) + 3 * sizeof(uint64_t);
	uint8_t *out = wire_io_put_frame(io, KSEG_FRAME_BOUNDS, sizeof(uint32_t) + bounds->count * entry);

	out = kseg_write_u32(out, bounds->count);
	for (uint32_t i = 0; i < bounds->count; i++)
	{
		const KsegConsumePartition *partition = &bounds->partitions[i];

		out = kseg_write_u32(out, (uint32_t) partition->partition);
		out = kseg_write_u64(out, (uint64_t) partition->low);
		out = kseg_write_u64(out, (uint64_t) partition->start);
		out = kseg_write_u64(out, (uint64_t) partition->end);
	}
}
