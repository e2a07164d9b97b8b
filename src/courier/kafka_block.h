/*
 * kafka_block.h
 *	  Messages in the courier: a MESSAGES frame, kept until each of its messages is settled.
 *
 * Owns: the bytes that librdkafka sends from (it copies keys, but not values), so that a message that is refused can be given
 * back as it came. Refuses: to know librdkafka.
 *
 * One copy of a frame costs a tenth of a copy and an allocation for each message. The price: one message that is not settled
 * keeps its whole frame, so memory is counted in blocks, and not in messages (kafka_blocks_bytes).
 */
#ifndef KSEG_COURIER_KAFKA_BLOCK_H
#define KSEG_COURIER_KAFKA_BLOCK_H

#include <stdbool.h>

#include "wire/wire_message.h"

typedef struct KsegKafkaBlock KsegKafkaBlock;

/* A message in a block: what librdkafka gives back with a delivery report. */
typedef struct KsegKafkaEntry
{
	KsegKafkaBlock *block;
	uint32_t at; /* of the message in the block's bytes */
	uint32_t size;
} KsegKafkaEntry;

struct KsegKafkaBlock
{
	KsegKafkaBlock *next; /* in the queue of those that are not handed over */
	uint32_t count;
	uint32_t handed;    /* messages handed over to librdkafka, from the front */
	uint32_t unsettled; /* of count */
	uint32_t length;
	uint8_t *bytes;
	KsegKafkaEntry entries[];
};

/* Blocks in the order they came. All zero is an empty queue. */
typedef struct KsegKafkaBlocks
{
	KsegKafkaBlock *head; /* the first with a message that is not handed over */
	KsegKafkaBlock *tail;
	size_t bytes; /* of all blocks that are there, handed over or not */
} KsegKafkaBlocks;

/* Keep a frame's messages. False: its lengths do not add up, and nothing is kept. */
extern bool kafka_blocks_take(KsegKafkaBlocks *blocks, const KsegFrame *frame);

/* The message that is so many behind the next one to be handed over, NULL: not in this block. And: the next one has been. */
extern KsegKafkaEntry *kafka_blocks_ahead(const KsegKafkaBlocks *blocks, uint32_t ahead);
extern void kafka_blocks_advance(KsegKafkaBlocks *blocks);

/* The message itself; its texts lie in the block. */
extern void kafka_entry_read(const KsegKafkaEntry *entry, KsegMessage *message);

/* The message as it came, entry->size bytes. */
extern const char *kafka_entry_bytes(const KsegKafkaEntry *entry);

/* Nobody needs the message any more. The entry is gone with its block. */
extern void kafka_blocks_settle(KsegKafkaBlocks *blocks, KsegKafkaEntry *entry);

#endif /* KSEG_COURIER_KAFKA_BLOCK_H */
