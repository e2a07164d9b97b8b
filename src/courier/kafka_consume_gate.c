/*
 * kafka_consume_gate.c
 *	  See kafka_consume_gate.h.
 *
 * What one answer of F bytes becomes: its messages, each with some 400 bytes of librdkafka's, and unpacked if they were
 * compressed. Predictions of 240 bytes come to 2.7 F as they are, and to 13 F when lz4 had packed them 5 to 1. So F is a
 * thirty-second part of the budget: half of it for what is in the queue, half for the next answers of as many brokers as there
 * are, which wait raw. 512 kB, what the preset of 16 MB comes to, was measured as fast as 8 MB (less cache is missed); only
 * brokers that are far away need more: F for each round trip.
 */
#include "courier/kafka_consume_gate.h"

#include <time.h>

/* Below 64 kB a request for each costs more than it brings; above 8 MB nothing gets faster. */
#define GATE_FETCH_LEAST (64 * 1024)
#define GATE_FETCH_MOST  (8 * 1024 * 1024)

/*
 * An answer may bring nothing that could be taken (only records of aborted transactions), or be lost with its connection.
 * Others wait for it no longer than this; in time it is taken apart within a few.
 */
#define GATE_ARRIVAL_MS 10

/* Bytes of an answer without records: its head with the topic's name, and each partition's (FetchResponse, version 11). */
#define GATE_ANSWER_HEAD      512
#define GATE_ANSWER_PARTITION 64

int64_t
consume_gate_fetch_bytes(int64_t max_queue_bytes)
{
	int64_t bytes = max_queue_bytes / 32;

	return bytes < GATE_FETCH_LEAST ? GATE_FETCH_LEAST : bytes > GATE_FETCH_MOST ? GATE_FETCH_MOST : bytes;
}

void
consume_gate_open(KsegConsumeGate *gate, rd_kafka_queue_t *queue, int64_t fetch_bytes, uint32_t partitions)
{
	pthread_condattr_t attributes;

	*gate = (KsegConsumeGate){.queue = queue, .low_bytes = (size_t) fetch_bytes};
	consume_gate_set_partitions(gate, partitions, 0);
	pthread_mutex_init(&gate->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&gate->taken, &attributes);
	pthread_condattr_destroy(&attributes);
}

void
consume_gate_set_partitions(KsegConsumeGate *gate, uint32_t partitions, size_t name_bytes)
{
	atomic_store(&gate->empty_answer,
	             GATE_ANSWER_HEAD + name_bytes + (size_t) partitions * GATE_ANSWER_PARTITION);
}

/* Is so little left in the queue that the next answer may come? */
static bool
gate_has_room(const KsegConsumeGate *gate, size_t left)
{
	return left * gate->average <= gate->low_bytes;
}

/* Under the mutex: may an answer come in now? If not, this has waited for a while. */
static bool
gate_may_pass(KsegConsumeGate *gate)
{
	size_t left = rd_kafka_queue_length(gate->queue);
	int64_t now = clock_now_ms();
	int64_t until = gate->arrived_ms + GATE_ARRIVAL_MS;
	struct timespec time = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};

	if (gate->arriving ? left == 0 && now >= until : gate_has_room(gate, left))
		return true;
	/* While there is something to take, taking it wakes us; of an answer that brings nothing, only time tells. */
	if (left > 0)
		pthread_cond_wait(&gate->taken, &gate->mutex);
	else
		pthread_cond_timedwait(&gate->taken, &gate->mutex, &time);
	return false;
}

/*
 * An answer that is small may bring a few records all the same, and while nobody takes them there can be any number of such answers:
 * they wait for room, too, but not for an answer that is arriving.
 */
static void
gate_pass_small(KsegConsumeGate *gate)
{
	pthread_mutex_lock(&gate->mutex);
	while (!gate_has_room(gate, rd_kafka_queue_length(gate->queue)))
		pthread_cond_wait(&gate->taken, &gate->mutex);
	pthread_mutex_unlock(&gate->mutex);
}

void
consume_gate_pass(void *argument, size_t bytes)
{
	KsegConsumeGate *gate = argument;

	/* One that brings nothing takes no room, and may be what ends the read: the end of a partition. */
	if (bytes <= atomic_load(&gate->empty_answer))
	{
		gate_pass_small(gate);
		return;
	}
	atomic_fetch_add_explicit(&gate->heard, 1, memory_order_relaxed);
	pthread_mutex_lock(&gate->mutex);
	while (!gate_may_pass(gate))
		;
	gate->arriving = true;
	gate->arrived_ms = clock_now_ms();
	pthread_mutex_unlock(&gate->mutex);
}

void
consume_gate_took(KsegConsumeGate *gate, size_t messages, size_t bytes)
{
	pthread_mutex_lock(&gate->mutex);
	gate->arriving = false;
	gate->average = bytes / messages + 1;
	/* All of them: one may find that its answer brings nothing, and would leave the others to wait for ever. */
	if (gate_has_room(gate, rd_kafka_queue_length(gate->queue)))
		pthread_cond_broadcast(&gate->taken);
	pthread_mutex_unlock(&gate->mutex);
}

void
consume_gate_emptied(KsegConsumeGate *gate)
{
	pthread_mutex_lock(&gate->mutex);
	pthread_cond_broadcast(&gate->taken);
	pthread_mutex_unlock(&gate->mutex);
}
