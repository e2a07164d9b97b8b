/*
 * kafka_follow_found.c
 *	  See kafka_follow_found.h.
 */
#include "courier/kafka_follow_found.h"

#include <stdio.h>
#include <string.h>

#include "courier/kafka_consume_same.h"
#include "courier/kafka_failure.h"
#include "courier/kafka_follow_words.h"
#include "wire/wire_follow.h"

/*
 * That a topic has gone counts when brokers have said so for this long: one that has just been started may know less than the others
 * for a moment.
 */
#define FOUND_GONE_MS 3000

/*
 * That a log ends before what has been read of it counts after this long: a leader that has stood still and wakes says its old end, until it
 * hears (within a second or so) that another one leads.
 */
#define FOUND_BEYOND_MS 5000

static bool
found_has_failed(const KsegFollowFound *found)
{
	return found->client->courier->failure.failure != 0;
}

/* ---------- what should be there ---------- */

/* Something that is to be read and is not there. */
typedef struct FoundGone
{
	const char *topic; /* NULL: everything is there */
	int32_t partition;
	int64_t wanted;
	int32_t partition_count;
} FoundGone;

static bool
found_is_there(const KsegFollowFound *found, const char *topic, int32_t partition, int64_t wanted,
               FoundGone *gone)
{
	const KsegFoundTopic *answer = follow_survey_topic(found->survey, topic);
	bool missing = answer == NULL || kafka_failure_is_topic(answer->error);
	int32_t count = missing ? 0 : answer->partition_count;

	if (!missing && (answer->error != RD_KAFKA_RESP_ERR_NO_ERROR || partition < count))
		return true;
	*gone = (FoundGone){topic, partition, wanted, count};
	return false;
}

static FoundGone
found_look_for_gone(const KsegFollowFound *found)
{
	const KsegFollowPlan *plan = found->plan;
	FoundGone gone = {0};

	for (uint32_t i = 0; i < found->set->count; i++)
	{
		const KsegFollowPartition *partition = found->set->partitions[i];

		if (!found_is_there(found, partition->topic->name, partition->partition, partition->next, &gone))
			return gone;
	}
	for (uint32_t i = 0; i < plan->position_count; i++)
	{
		const KsegFollowPosition *position = &plan->positions[i];

		if (follow_plan_has_topic(plan, position->topic) &&
		    follow_plan_has_partition(plan, position->topic, position->partition) &&
		    !found_is_there(found, position->topic, position->partition, position->next, &gone))
			return gone;
	}
	return gone;
}

static void
found_check_gone(KsegFollowFound *found, int64_t now)
{
	FoundGone gone = found_look_for_gone(found);

	if (gone.topic == NULL)
		found->gone_ms = KSEG_FOLLOW_NONE;
	else if (found->gone_ms == KSEG_FOLLOW_NONE)
		found->gone_ms = now;
	else if (now - found->gone_ms >= FOUND_GONE_MS)
		follow_words_gone(found->client, gone.topic, gone.partition, gone.wanted, gone.partition_count);
	found->pending = found->pending || gone.topic != NULL;
}

/* ---------- topics that cannot be followed ---------- */

/* Named topics that there are not (yet), which nothing was read of. */
static void
found_check_missing(KsegFollowFound *found)
{
	const char *first = NULL;
	uint32_t count = 0;
	char message[320];

	for (uint32_t i = 0; i < found->survey->topic_count; i++)
	{
		const KsegFoundTopic *topic = &found->survey->topics[i];

		if (topic->error == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
			kafka_failure_set_no_topic(found->client, topic->error, topic->name);
		if (!kafka_failure_is_topic(topic->error))
			continue;
		first = first != NULL ? first : topic->name;
		count++;
	}
	if (count == 0)
	{
		follow_trouble_clear(found->trouble, KSEG_TROUBLE_TOPICS);
		return;
	}
	if (count == 1)
		snprintf(message, sizeof(message), "topic \"%s\" does not exist", first);
	else
		snprintf(message, sizeof(message), "topic \"%s\" and %u others do not exist", first, count - 1);
	follow_trouble_set(found->trouble, KSEG_TROUBLE_TOPICS, message,
	                   "There is no such topic, or the Kafka user may not see it.",
	                   "Create the topic, as kseg never does: it is followed when it is there. "
	                   "kseg.test_server() lists topics.");
}

/* A topic that may not be read ends the follow; that its description is not to be had at the moment does not. */
static void
found_check_errors(KsegFollowFound *found)
{
	for (uint32_t i = 0; i < found->survey->topic_count; i++)
	{
		const KsegFoundTopic *topic = &found->survey->topics[i];

		if (topic->error == RD_KAFKA_RESP_ERR_NO_ERROR || kafka_failure_is_topic(topic->error))
			continue;
		if (kafka_failure_sort(topic->error) == KSEG_FAILURE_AUTH)
			follow_words_denied(found->client, topic->name, topic->error);
		else
			found->pending = true;
	}
}

static void
found_check_leaders(KsegFollowFound *found)
{
	const KsegFollowPartition *first = NULL;
	uint32_t count = 0;
	char message[320];

	for (uint32_t i = 0; i < found->set->count; i++)
	{
		const KsegFollowPartition *partition = found->set->partitions[i];
		const KsegFoundTopic *topic = follow_survey_topic(found->survey, partition->topic->name);

		if (topic == NULL || partition->partition >= topic->partition_count ||
		    topic->leaders[partition->partition] >= 0)
			continue;
		first = first != NULL ? first : partition;
		count++;
	}
	if (count == 0)
	{
		follow_trouble_clear(found->trouble, KSEG_TROUBLE_LEADERS);
		return;
	}
	found->pending = true;
	snprintf(message, sizeof(message), "%u partitions cannot be read at the moment: they have no leader",
	         count);
	follow_trouble_set(found->trouble, KSEG_TROUBLE_LEADERS, message, "",
	                   "Check that all Kafka brokers are up; the others' partitions are read meanwhile.");
}

/* ---------- partitions that are new ---------- */

/* What is asked of every new partition before the first word to PostgreSQL: with begun, those that are known are enough. */
static bool
found_is_complete(KsegFollowFound *found)
{
	const KsegFollowAsk *unknown = NULL;
	char message[400];
	char detail[200];

	for (uint32_t i = 0; i < found->survey->ask_count && unknown == NULL; i++)
	{
		if (found->survey->asks[i].error != RD_KAFKA_RESP_ERR_NO_ERROR)
			unknown = &found->survey->asks[i];
	}
	if (unknown == NULL)
	{
		follow_trouble_clear(found->trouble, KSEG_TROUBLE_OFFSETS);
		return true;
	}
	found->pending = true;
	snprintf(message, sizeof(message), "partition %d of topic \"%s\" cannot be read at the moment",
	         unknown->partition, unknown->topic);
	snprintf(detail, sizeof(detail), "Its offsets are not known. librdkafka says: %s.",
	         rd_kafka_err2str(unknown->error));
	follow_trouble_set(found->trouble, KSEG_TROUBLE_OFFSETS, message, detail,
	                   "Check that all Kafka brokers are up.");
	return false;
}

/* Where a partition without a position begins. */
static int64_t
found_choose_start(const KsegFollowFound *found, const KsegFollowAsk *ask)
{
	/* What came into being after the stream did is read from its first message on. */
	if (found->plan->begun || found->told || found->plan->start == KSEG_FOLLOW_EARLIEST)
		return ask->low;
	if (found->plan->start == KSEG_FOLLOW_LATEST || ask->timed < 0)
		return ask->end;
	return ask->timed;
}

static bool
found_take_up(KsegFollowFound *found, const KsegFollowAsk *ask)
{
	const KsegFollowPosition *position = follow_plan_position(found->plan, ask->topic, ask->partition);
	KsegFollowTopic *topic;
	KsegFollowPartition *partition;

	if (position != NULL && position->next < ask->low)
	{
		follow_words_gap(found->client, ask->topic, ask->partition, position->next, ask->low, ask->end);
		return false;
	}
	topic = follow_set_add_topic(found->set, ask->topic);
	if (topic == NULL)
	{
		kafka_failure_set_no_topic(found->client, rd_kafka_last_error(), ask->topic);
		return false;
	}
	partition = follow_set_add_partition(found->set, topic, ask->partition);
	partition->low = ask->low;
	partition->start = position != NULL ? position->next : found_choose_start(found, ask);
	partition->next = partition->told_next = partition->start;
	partition->end = partition->told_end = ask->end > partition->start ? ask->end : partition->start;
	partition->mark_ms = found->survey->mark_ms;
	partition->mark_first = consume_same_first(ask->marked, ask->end);
	if (position == NULL || position->seen_offset >= position->next || position->seen_offset < ask->low)
		return true;
	partition->seen_offset = position->seen_offset;
	partition->seen_time = position->seen_time;
	return true;
}

static KsegWirePartition
found_wire(const KsegFollowPartition *partition)
{
	return (KsegWirePartition){.index = partition->index,
	                           .partition = partition->partition,
	                           .low = partition->low,
	                           .start = partition->start,
	                           .end = partition->told_end,
	                           .topic = {partition->topic->name, (uint32_t) strlen(partition->topic->name)}};
}

/* PARTITIONS: those from the first on. */
static void
found_report(KsegFollowFound *found, uint32_t first)
{
	size_t size = sizeof(uint32_t);
	uint8_t *out;

	for (uint32_t i = first; i < found->set->count; i++)
	{
		KsegWirePartition entry = found_wire(found->set->partitions[i]);

		size += kseg_partition_size(&entry);
	}
	consume_record_end_frame(&found->fetch->writer);
	out = wire_io_put_frame(&found->client->courier->io, KSEG_FRAME_PARTITIONS, size);
	out = kseg_write_u32(out, found->set->count - first);
	for (uint32_t i = first; i < found->set->count; i++)
	{
		KsegWirePartition entry = found_wire(found->set->partitions[i]);

		out = kseg_partition_write(out, &entry);
	}
	found->told = true;
}

/*
 * Begin those that have something to be read, then the others: the first request that librdkafka sends is for the first partition
 * alone, and if that is empty the next one leaves when the broker has waited for news in vain.
 */
static void
found_start(KsegFollowFound *found, uint32_t first, bool filled)
{
	for (uint32_t i = first; i < found->set->count && !found_has_failed(found); i++)
	{
		KsegFollowPartition *partition = found->set->partitions[i];
		bool has = partition->end > partition->start || partition->seen_offset != KSEG_FOLLOW_NONE;

		if (has == filled)
			follow_fetch_start(found->fetch, partition);
	}
}

static void
found_take_new(KsegFollowFound *found)
{
	uint32_t first = found->set->count;
	bool complete = found_is_complete(found);

	if (!complete && !found->told && !found->plan->begun)
		return;
	for (uint32_t i = 0; i < found->survey->ask_count; i++)
	{
		const KsegFollowAsk *ask = &found->survey->asks[i];

		if (ask->followed == NULL && ask->error == RD_KAFKA_RESP_ERR_NO_ERROR && !found_take_up(found, ask))
			return;
	}
	if (found->told && found->set->count == first)
		return;
	found_report(found, first);
	found_start(found, first, true);
	found_start(found, first, false);
}

/* ---------- partitions that are followed ---------- */

/* The log ends before what has been read of it, and has not been said to for long: it is asked about again. */
static bool
found_may_be_stale(KsegFollowFound *found, KsegFollowPartition *partition, const KsegFollowAsk *ask,
                   int64_t now)
{
	if (partition->next <= ask->end)
	{
		partition->beyond_ms = KSEG_FOLLOW_NONE;
		return false;
	}
	if (partition->beyond_ms == KSEG_FOLLOW_NONE)
		partition->beyond_ms = now;
	if (now - partition->beyond_ms >= FOUND_BEYOND_MS)
		return false;
	found->pending = true;
	return true;
}

/* A broker did not have what was asked for. If it is there after all, that broker did not know of it yet. */
static void
found_check_lost(KsegFollowFound *found, int64_t now)
{
	for (uint32_t i = 0; i < found->survey->ask_count; i++)
	{
		const KsegFollowAsk *ask = &found->survey->asks[i];
		KsegFollowPartition *partition = ask->followed;

		if (partition == NULL || ask->error != RD_KAFKA_RESP_ERR_NO_ERROR)
			continue;
		if (found_may_be_stale(found, partition, ask, now))
			continue;
		if (partition->next < ask->low || partition->next > ask->end)
		{
			follow_words_gap(found->client, ask->topic, ask->partition, partition->next, ask->low, ask->end);
			return;
		}
		partition->lost = false;
		if (!follow_fetch_restart(found->fetch, partition))
			return;
	}
}

static void
found_check_same(KsegFollowFound *found)
{
	for (uint32_t i = 0; i < found->set->count; i++)
	{
		KsegFollowPartition *partition = found->set->partitions[i];

		if (partition->asked_remark == KSEG_FOLLOW_NONE)
			continue;
		partition->mark_first = partition->asked_remark;
		partition->mark_ms = found->survey->mark_ms;
	}
	if (found->survey->anew != NULL)
		follow_words_changed(found->client, found->survey->anew);
}

void
follow_found_take(KsegFollowFound *found, int64_t now)
{
	found->pending = false;
	found_check_errors(found);
	found_check_gone(found, now);
	found_check_missing(found);
	found_check_same(found);
	if (!found_has_failed(found))
		found_check_lost(found, now);
	if (!found_has_failed(found))
		found_take_new(found);
	found_check_leaders(found);
}
