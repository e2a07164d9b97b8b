/*
 * kafka_follow_commit.c
 *	  See kafka_follow_commit.h.
 */
#include "courier/kafka_follow_commit.h"

#include <stdio.h>

#include "courier/kafka_failure.h"
#include "courier/memory.h"
#include "wire/wire_follow.h"

void
follow_commit_open(KsegFollowCommit *commit, KsegKafkaClient *client, const KsegFollowSet *set,
                   KsegFollowTrouble *trouble, const char *group)
{
	*commit = (KsegFollowCommit){.client = client, .set = set, .trouble = trouble, .group = group};
	if (group[0] == '\0')
		return;
	commit->answers = rd_kafka_queue_new(client->rk);
	kafka_client_watch(client, commit->answers);
}

static void
commit_keep(KsegFollowCommit *commit, uint32_t index, int64_t next)
{
	if (commit->answers == NULL)
		return;
	if (index >= commit->count)
	{
		commit->next = memory_resize(commit->next, commit->set->count * sizeof(*commit->next));
		while (commit->count < commit->set->count)
			commit->next[commit->count++] = KSEG_FOLLOW_NONE;
	}
	commit->waiting += commit->next[index] == KSEG_FOLLOW_NONE;
	commit->next[index] = next;
}

bool
follow_commit_take(KsegFollowCommit *commit, const KsegFrame *frame)
{
	KsegReader reader;
	KsegWireStep step;
	uint32_t count;

	kseg_reader_init(&reader, frame);
	count = kseg_read_u32(&reader);
	for (uint32_t i = 0; i < count; i++)
	{
		if (!kseg_step_read(&reader, &step) || step.index >= commit->set->count || step.next < 0)
			return false;
		commit_keep(commit, step.index, step.next);
	}
	return kseg_reader_done(&reader);
}

static void
commit_take_answer(KsegFollowCommit *commit, rd_kafka_resp_err_t error)
{
	char message[320];
	char detail[200];

	commit->under_way = false;
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR__NO_OFFSET)
	{
		follow_trouble_clear(commit->trouble, KSEG_TROUBLE_GROUP);
		return;
	}
	snprintf(message, sizeof(message), "positions cannot be committed to the consumer group \"%.200s\"",
	         commit->group);
	snprintf(detail, sizeof(detail), "librdkafka says: %s. The stream goes on.", rd_kafka_err2str(error));
	follow_trouble_set(commit->trouble, KSEG_TROUBLE_GROUP, message, detail,
	                   "The Kafka user needs Read on the group, and nobody else may be a member of it.");
}

static void
commit_begin(KsegFollowCommit *commit)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int) commit->waiting);
	rd_kafka_resp_err_t error;

	for (uint32_t i = 0; i < commit->count; i++)
	{
		const KsegFollowPartition *partition = commit->set->partitions[i];

		if (commit->next[i] == KSEG_FOLLOW_NONE)
			continue;
		rd_kafka_topic_partition_list_add(list, partition->topic->name, partition->partition)->offset =
		    commit->next[i];
		commit->next[i] = KSEG_FOLLOW_NONE;
	}
	commit->waiting = 0;
	error = rd_kafka_commit_queue(commit->client->rk, list, commit->answers, NULL, NULL);
	commit->under_way = error == RD_KAFKA_RESP_ERR_NO_ERROR;
	if (!commit->under_way)
		commit_take_answer(commit, error);
	rd_kafka_topic_partition_list_destroy(list);
}

void
follow_commit_hear(KsegFollowCommit *commit)
{
	rd_kafka_event_t *event;

	if (commit->answers == NULL)
		return;
	while ((event = rd_kafka_queue_poll(commit->answers, 0)) != NULL)
	{
		commit_take_answer(commit, rd_kafka_event_error(event));
		rd_kafka_event_destroy(event);
	}
	if (!commit->under_way && commit->waiting > 0)
		commit_begin(commit);
}
