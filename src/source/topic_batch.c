/*
 * topic_batch.c
 *	  The records of one turn of a stream. See topic_batch.h.
 *
 * Invariant: every element of records points to a record that kseg_record_read has found whole, inside a chunk.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "source/topic_batch.h"

/*
 * Frames are copied into chunks of this size, some seven frames (KSEG_RECORDS_FRAME) in each: what a frame does not fill at a chunk's end is
 * under an eighth of it, and a stream that is idle keeps no more than one.
 */
#define BATCH_CHUNK (512 * 1024)

/* Records that there is room for at first: those of some frames. The room doubles. */
#define BATCH_ROOM_START 4096

/* Bytes in front of a RECORDS frame's records: their count, and the number of fields. */
#define BATCH_FRAME_HEAD 8

struct KsegTopicChunk
{
	KsegTopicChunk *next;
	Size room;
	Size used;
	uint8 bytes[FLEXIBLE_ARRAY_MEMBER];
};

KsegTopicBatch *
topic_batch_create(uint32 fields)
{
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg topic batch", ALLOCSET_DEFAULT_SIZES);
	KsegTopicBatch *batch = MemoryContextAllocZero(context, sizeof(KsegTopicBatch));

	batch->context = context;
	batch->fields = fields;
	batch->room = BATCH_ROOM_START;
	batch->records = MemoryContextAlloc(context, sizeof(*batch->records) * batch->room);
	return batch;
}

/*
 * Chunks that this batch has used are kept, for the next one is likely to need them and the pages of megabytes are dear; others, left from
 * a larger batch before it, and those made for one large frame are given back.
 */
void
topic_batch_reset(KsegTopicBatch *batch)
{
	KsegTopicChunk **link = &batch->chunks;

	while (*link != NULL)
	{
		KsegTopicChunk *chunk = *link;

		if (chunk->used == 0 || chunk->room > BATCH_CHUNK)
		{
			*link = chunk->next;
			pfree(chunk);
			continue;
		}
		chunk->used = 0;
		link = &chunk->next;
	}
	batch->filling = batch->chunks;
	batch->count = 0;
	batch->bytes = 0;
}

/* A chunk with so much room behind the one that is filled; it is filled from now on. */
static KsegTopicChunk *
batch_add_chunk(KsegTopicBatch *batch, Size length)
{
	Size room = Max(length, BATCH_CHUNK);
	KsegTopicChunk *chunk = MemoryContextAllocHuge(batch->context, offsetof(KsegTopicChunk, bytes) + room);
	KsegTopicChunk **link = batch->filling != NULL ? &batch->filling->next : &batch->chunks;

	chunk->room = room;
	chunk->used = 0;
	chunk->next = *link;
	*link = chunk;
	batch->filling = chunk;
	return chunk;
}

/* Room for a frame's records, which stay together. */
static uint8 *
batch_reserve(KsegTopicBatch *batch, Size length)
{
	KsegTopicChunk *chunk = batch->filling;
	uint8 *bytes;

	if (chunk != NULL && chunk->room - chunk->used < length)
	{
		/* All behind it are empty, and as large as the first of them. */
		chunk = chunk->next;
		if (chunk != NULL && chunk->room >= length)
			batch->filling = chunk;
		else
			chunk = NULL;
	}
	if (chunk == NULL)
		chunk = batch_add_chunk(batch, length);
	bytes = chunk->bytes + chunk->used;
	chunk->used += length;
	return bytes;
}

static void
batch_reserve_records(KsegTopicBatch *batch, uint32 count)
{
	Size needed = (Size) batch->count + count;

	if (needed <= (Size) batch->room)
		return;
	if (needed > PG_INT32_MAX / 2)
		elog(ERROR, "a batch cannot have %zu records", needed);
	batch->room = Max((int) needed, batch->room * 2);
	batch->records = repalloc_huge(batch->records, sizeof(*batch->records) * batch->room);
}

void
topic_batch_add(KsegTopicBatch *batch, const KsegFrame *frame)
{
	KsegReader reader;
	uint32 count;
	uint32 fields;
	uint8 *bytes;

	kseg_reader_init(&reader, frame);
	count = kseg_read_u32(&reader);
	fields = kseg_read_u32(&reader);
	/* A record's head bounds how many a frame can have, and so what is reserved. */
	if (reader.failed || fields != batch->fields || count > frame->length / KSEG_RECORD_HEAD)
		elog(ERROR, "kseg's courier sent %u records of %u fields, not %u", count, fields, batch->fields);
	batch_reserve_records(batch, count);
	bytes = batch_reserve(batch, frame->length - BATCH_FRAME_HEAD);
	memcpy(bytes, reader.at, frame->length - BATCH_FRAME_HEAD);
	reader.end = bytes + frame->length - BATCH_FRAME_HEAD;
	reader.at = bytes;
	for (uint32 i = 0; i < count; i++)
	{
		KsegRecord record;

		batch->records[batch->count + i] = reader.at;
		if (unlikely(!kseg_record_read(&reader, fields, &record)))
			break;
	}
	if (!kseg_reader_done(&reader))
		elog(ERROR, "kseg's courier sent a record that is none");
	batch->count += (int) count;
	batch->bytes += frame->length - BATCH_FRAME_HEAD;
}

void
topic_batch_get(const KsegTopicBatch *batch, int index, KsegRecord *record)
{
	Assert(index >= 0 && index < batch->count);
	kseg_record_at(batch->records[index], batch->fields, record);
}
