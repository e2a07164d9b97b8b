/*
 * kafka_follow_set.c
 *	  See kafka_follow_set.h.
 */
#include "courier/kafka_follow_set.h"

#include <string.h>

#include "courier/memory.h"

KsegFollowTopic *
follow_set_topic(const KsegFollowSet *set, const char *name)
{
	for (uint32_t i = 0; i < set->topic_count; i++)
	{
		if (strcmp(set->topics[i]->name, name) == 0)
			return set->topics[i];
	}
	return NULL;
}

KsegFollowTopic *
follow_set_add_topic(KsegFollowSet *set, const char *name)
{
	KsegFollowTopic *topic = follow_set_topic(set, name);
	rd_kafka_topic_t *rkt;

	if (topic != NULL)
		return topic;
	rkt = rd_kafka_topic_new(set->rk, name, NULL);
	if (rkt == NULL)
		return NULL;
	topic = memory_resize(NULL, sizeof(*topic));
	*topic = (KsegFollowTopic){
	    .name = memory_copy_text(name, strlen(name)), .rkt = rkt, .missing_ms = KSEG_FOLLOW_NONE};
	set->topics = memory_resize(set->topics, (set->topic_count + 1) * sizeof(*set->topics));
	set->topics[set->topic_count++] = topic;
	set->name_bytes += strlen(name);
	return topic;
}

KsegFollowPartition *
follow_set_partition(const KsegFollowTopic *topic, int32_t partition)
{
	return partition >= 0 && partition < topic->numbers ? topic->by_number[partition] : NULL;
}

static void
set_reserve_number(KsegFollowTopic *topic, int32_t partition)
{
	if (partition < topic->numbers)
		return;
	topic->by_number = memory_resize(topic->by_number, ((size_t) partition + 1) * sizeof(*topic->by_number));
	while (topic->numbers <= partition)
		topic->by_number[topic->numbers++] = NULL;
}

KsegFollowPartition *
follow_set_add_partition(KsegFollowSet *set, KsegFollowTopic *topic, int32_t partition)
{
	KsegFollowPartition *followed = memory_resize(NULL, sizeof(*followed));

	*followed = (KsegFollowPartition){.topic = topic,
	                                  .partition = partition,
	                                  .index = set->count,
	                                  .seen_offset = KSEG_FOLLOW_NONE,
	                                  .beyond_ms = KSEG_FOLLOW_NONE,
	                                  .mark_ms = KSEG_FOLLOW_NONE};
	set_reserve_number(topic, partition);
	topic->by_number[partition] = followed;
	set->partitions = memory_resize(set->partitions, (set->count + 1) * sizeof(*set->partitions));
	set->partitions[set->count++] = followed;
	return followed;
}
