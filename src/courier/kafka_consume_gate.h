/*
 * kafka_consume_gate.h
 *	  How much a read takes in ahead: a gate in front of librdkafka's queue.
 *
 * Owns: the byte budget of a read (the server's max_queue_bytes), for all partitions and brokers together. Refuses: to look at
 * messages.
 *
 * librdkafka has thresholds of its own (queued.max.messages.kbytes, queued.min.messages), but before 2.2 a broker's thread that
 * has found one exceeded sleeps for up to a second, whatever the reader does meanwhile; later ones poll
 * (fetch.queue.backoff.ms). So they are set out of reach, and the thread that brings an answer waits here, before it takes the
 * answer apart, until the loop has taken most of what was there. It is let go at once then, and has the next answer already in
 * its hands: one answer is read while the next one is on its way.
 */
#ifndef KSEG_COURIER_KAFKA_CONSUME_GATE_H
#define KSEG_COURIER_KAFKA_CONSUME_GATE_H

#include "courier/kafka_client.h"

typedef struct KsegConsumeGate
{
	rd_kafka_queue_t *queue;
	size_t low_bytes;            /* the next answer may come when about so many bytes are left */
	_Atomic size_t empty_answer; /* an answer of more bytes than this brings records, or skips some */
	_Atomic uint64_t heard;      /* answers that brought something */
	pthread_mutex_t mutex;
	pthread_cond_t taken;
	/* under the mutex */
	size_t average;     /* bytes of a message, of those taken last */
	bool arriving;      /* an answer was let in, and nothing was taken since */
	int64_t arrived_ms; /* when */
} KsegConsumeGate;

/*
 * Bytes of one answer to a Fetch (fetch.max.bytes) for this budget: a thirty-second part. What an answer grows to is counted in
 * consume_gate.c.
 */
extern int64_t consume_gate_fetch_bytes(int64_t max_queue_bytes);

/* Stand before queue, for answers of fetch_bytes about a topic with this many partitions. */
extern void consume_gate_open(KsegConsumeGate *gate, rd_kafka_queue_t *queue, int64_t fetch_bytes,
                              uint32_t partitions);

/* From now on answers are about so many partitions, of topics whose names have so many bytes together. */
extern void consume_gate_set_partitions(KsegConsumeGate *gate, uint32_t partitions, size_t name_bytes);

/* An answer has come: called by a broker's thread (kafka_client_hear_fetches), argument a KsegConsumeGate. */
extern void consume_gate_pass(void *argument, size_t bytes);

/* The loop has taken messages from the queue, of so many bytes together. */
extern void consume_gate_took(KsegConsumeGate *gate, size_t messages, size_t bytes);

/*
 * Nothing was there to be taken. Who waits must look again: the messages of a partition that was stopped were counted as left in
 * the queue, and librdkafka has thrown them away.
 */
extern void consume_gate_emptied(KsegConsumeGate *gate);

#endif /* KSEG_COURIER_KAFKA_CONSUME_GATE_H */
