/*
 * kafka_block.c
 *	  Frames of messages, kept. See kafka_block.h.
 */
#include "courier/kafka_block.h"

#include <stdlib.h>
#include <string.h>

#include "courier/memory.h"

static size_t
block_size(const KsegKafkaBlock *block)
{
	return sizeof(*block) + block->count * sizeof(block->entries[0]) + block->length;
}

/* The bytes lie behind the entries: one allocation. */
static KsegKafkaBlock *
block_create(const uint8_t *bytes, uint32_t length, uint32_t count)
{
	KsegKafkaBlock head = {.count = count, .unsettled = count, .length = length};
	KsegKafkaBlock *block = memory_resize(NULL, block_size(&head));

	*block = head;
	block->bytes = (uint8_t *) &block->entries[count];
	memcpy(block->bytes, bytes, length);
	return block;
}

/* Find where each message lies. False: they do not fill the block's bytes exactly. */
static bool
block_index(KsegKafkaBlock *block)
{
	KsegReader reader = {.at = block->bytes, .end = block->bytes + block->length};
	KsegMessage message;

	for (uint32_t i = 0; i < block->count; i++)
	{
		KsegKafkaEntry *entry = &block->entries[i];

		entry->block = block;
		entry->at = (uint32_t) (reader.at - block->bytes);
		if (!kseg_message_read(&reader, &message))
			return false;
		entry->size = message.size;
	}
	return kseg_reader_done(&reader);
}

bool
kafka_blocks_take(KsegKafkaBlocks *blocks, const KsegFrame *frame)
{
	KsegReader reader;
	uint32_t count;
	uint32_t length;
	KsegKafkaBlock *block;

	kseg_reader_init(&reader, frame);
	count = kseg_read_u32(&reader);
	length = (uint32_t) (reader.end - reader.at);
	/* Before count is believed: each message has a head. */
	if (reader.failed || count > length / KSEG_MESSAGE_HEAD)
		return false;
	if (count == 0)
		return length == 0;
	block = block_create(reader.at, length, count);
	if (!block_index(block))
	{
		free(block);
		return false;
	}
	if (blocks->head == NULL)
		blocks->head = block;
	else
		blocks->tail->next = block;
	blocks->tail = block;
	blocks->bytes += block_size(block);
	return true;
}

KsegKafkaEntry *
kafka_blocks_ahead(const KsegKafkaBlocks *blocks, uint32_t ahead)
{
	KsegKafkaBlock *head = blocks->head;

	return head == NULL || ahead >= head->count - head->handed ? NULL : &head->entries[head->handed + ahead];
}

/* A block leaves the queue before its last message can be settled: whoever settles it last frees it. */
void
kafka_blocks_advance(KsegKafkaBlocks *blocks)
{
	KsegKafkaBlock *head = blocks->head;

	if (++head->handed == head->count)
		blocks->head = head->next;
}

void
kafka_entry_read(const KsegKafkaEntry *entry, KsegMessage *message)
{
	const uint8_t *bytes = entry->block->bytes + entry->at;
	KsegReader reader = {.at = bytes, .end = bytes + entry->size};

	kseg_message_read(&reader, message);
}

const char *
kafka_entry_bytes(const KsegKafkaEntry *entry)
{
	return (const char *) entry->block->bytes + entry->at;
}

void
kafka_blocks_settle(KsegKafkaBlocks *blocks, KsegKafkaEntry *entry)
{
	KsegKafkaBlock *block = entry->block;

	if (--block->unsettled > 0)
		return;
	blocks->bytes -= block_size(block);
	free(block);
}
