/*
 * kafka_consume_same.c
 *	  See kafka_consume_same.h.
 */
#include "courier/kafka_consume_same.h"

/* How long the brokers may take to answer: a query is not to wait for long for what is most often nothing. */
#define SAME_ASK_MS 2000

int64_t
consume_same_first(int64_t answer, int64_t end)
{
	return answer >= 0 && answer < end ? answer : end;
}

bool
consume_same_is_changed(int64_t answer, int64_t first)
{
	return answer >= 0 && answer < first;
}

/* Ask for every partition that has something to be read; NULL: no answer. The caller destroys the list. */
static rd_kafka_topic_partition_list_t *
same_ask(const KsegConsumeSame *same)
{
	const KsegConsumeBounds *bounds = same->bounds;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int) bounds->count);

	for (uint32_t i = 0; i < bounds->count; i++)
	{
		if (bounds->partitions[i].start < bounds->partitions[i].end)
			rd_kafka_topic_partition_list_add(list, rd_kafka_topic_name(bounds->topic),
			                                  bounds->partitions[i].partition)
			    ->offset = same->time_ms;
	}
	if (list->cnt > 0 &&
	    rd_kafka_offsets_for_times(bounds->rk, list, SAME_ASK_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
		return list;
	rd_kafka_topic_partition_list_destroy(list);
	return NULL;
}

void
consume_same_mark(void *argument)
{
	KsegConsumeSame *same = argument;
	const KsegConsumeBounds *bounds = same->bounds;
	rd_kafka_topic_partition_list_t *list = same_ask(same);

	if (list == NULL)
		return;
	same->first = memory_resize(NULL, bounds->count * sizeof(*same->first));
	for (uint32_t i = 0; i < bounds->count; i++)
	{
		const rd_kafka_topic_partition_t *answer = rd_kafka_topic_partition_list_find(
		    list, rd_kafka_topic_name(bounds->topic), bounds->partitions[i].partition);

		/* Nothing lies before 0: of such a partition nothing will be found out. */
		same->first[i] = answer != NULL && answer->err == RD_KAFKA_RESP_ERR_NO_ERROR
		                     ? consume_same_first(answer->offset, bounds->partitions[i].end)
		                     : 0;
	}
	same->marked = true;
	rd_kafka_topic_partition_list_destroy(list);
}

void
consume_same_verify(void *argument)
{
	KsegConsumeSame *same = argument;
	const KsegConsumeBounds *bounds = same->bounds;
	rd_kafka_topic_partition_list_t *list = same->marked ? same_ask(same) : NULL;

	if (list == NULL)
		return;
	for (uint32_t i = 0; i < bounds->count; i++)
	{
		const rd_kafka_topic_partition_t *answer = rd_kafka_topic_partition_list_find(
		    list, rd_kafka_topic_name(bounds->topic), bounds->partitions[i].partition);

		if (answer == NULL || answer->err != RD_KAFKA_RESP_ERR_NO_ERROR ||
		    !consume_same_is_changed(answer->offset, same->first[i]))
			continue;
		same->changed = true;
		same->partition = answer->partition;
	}
	rd_kafka_topic_partition_list_destroy(list);
}
