/*
 * kafka_consume_queue.c
 *	  See kafka_consume_queue.h.
 */
#include "courier/kafka_consume_queue.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/*
 * librdkafka's properties of every read:
 * - Its own thresholds are out of reach: consume_gate says why.
 * - After an error it tries again sooner than after its 500 ms.
 * - A topic that has gone is told after 5 s instead of 30: other brokers than the first may not know yet of one that came
 *   into being just now, but not for so long.
 * - message.max.bytes is a producer's; fetch.max.bytes must not be less than it.
 */
bool
consume_queue_open_client(KsegKafkaClient *client, KsegCourier *courier, const KsegKafkaSetting *settings,
                          size_t count)
{
	char fetch_bytes[24];
	const KsegKafkaSetting common[] = {
	    {"enable.partition.eof", "true", false},
	    {"auto.offset.reset", "error", false},
	    {"enable.auto.commit", "false", false},
	    {"enable.auto.offset.store", "false", false},
	    {"check.crcs", "true", false},
	    {"fetch.error.backoff.ms", "100", false},
	    {"fetch.message.max.bytes", fetch_bytes, false},
	    {"message.max.bytes", "1000", false},
	    {"fetch.max.bytes", fetch_bytes, false},
	    {"queued.min.messages", "10000000", false},
	    {"queued.max.messages.kbytes", "2097151", false},
	    {"fetch.queue.backoff.ms", "10", true},
	    {"topic.metadata.propagation.max.ms", "5000", false},
	};
	const size_t common_count = sizeof(common) / sizeof(common[0]);
	KsegKafkaSetting all[sizeof(common) / sizeof(common[0]) + KSEG_CONSUME_SETTINGS_MAX];

	assert(count <= KSEG_CONSUME_SETTINGS_MAX);
	snprintf(fetch_bytes, sizeof(fetch_bytes), "%lld",
	         (long long) consume_gate_fetch_bytes(courier->config.max_queue_bytes));
	memcpy(all, common, sizeof(common));
	memcpy(all + common_count, settings, count * sizeof(*settings));
	return kafka_client_open(client, courier, RD_KAFKA_CONSUMER, all, common_count + count);
}

void
consume_queue_open(KsegConsumeQueue *queue, KsegKafkaClient *client)
{
	*queue = (KsegConsumeQueue){.queue = rd_kafka_queue_new(client->rk)};
	kafka_client_watch(client, queue->queue);
}

void
consume_queue_open_gate(KsegConsumeQueue *queue, KsegKafkaClient *client, uint32_t partitions)
{
	int64_t bytes = consume_gate_fetch_bytes(client->courier->config.max_queue_bytes);

	consume_gate_open(&queue->gate, queue->queue, bytes, partitions);
	kafka_client_hear_fetches(client, consume_gate_pass, &queue->gate);
}

/* Fill the batch anew. False: the queue is empty. */
static bool
queue_refill(KsegConsumeQueue *queue)
{
	ssize_t count = rd_kafka_consume_batch_queue(queue->queue, 0, queue->batch, KSEG_FETCH_BATCH);
	size_t bytes = 0;

	queue->batch_at = 0;
	queue->batch_count = count > 0 ? (size_t) count : 0;
	for (size_t i = 0; i < queue->batch_count; i++)
		bytes += queue->batch[i]->len + queue->batch[i]->key_len;
	if (queue->batch_count > 0)
		consume_gate_took(&queue->gate, queue->batch_count, bytes);
	else
		consume_gate_emptied(&queue->gate);
	return queue->batch_count > 0;
}

rd_kafka_message_t *
consume_queue_take(KsegConsumeQueue *queue)
{
	if (consume_queue_is_looked_at(queue) && !queue_refill(queue))
		return NULL;
	return queue->batch[queue->batch_at++];
}

bool
consume_queue_is_looked_at(const KsegConsumeQueue *queue)
{
	return queue->batch_at == queue->batch_count;
}
