/*
 * segment_batch.c
 *	  Filling batches from frames, at exact limits. See segment_batch.h.
 */
#include "courier/segment_batch.h"

#include <stdlib.h>
#include <string.h>

KsegBatch *
batch_create(void)
{
	KsegBatch *batch = memory_resize(NULL, sizeof(KsegBatch));

	*batch = (KsegBatch){0};
	batch_reset(batch);
	return batch;
}

void
batch_reset(KsegBatch *batch)
{
	batch->next = NULL;
	batch->body.length = 0;
	batch->entries.length = 0;
	batch->count = 0;
	batch->closed = false;
	batch->first_ms = 0;
	buffer_append(&batch->body, KSEG_BATCH_HEAD, KSEG_BATCH_HEAD_LENGTH);
}

void
batch_free(KsegBatch *batch)
{
	buffer_free(&batch->body);
	buffer_free(&batch->entries);
	free(batch);
}

void
batch_cursor_init(KsegBatchCursor *cursor, const KsegEvents *events)
{
	*cursor = (KsegBatchCursor){.events = *events};
}

bool
batch_cursor_is_done(const KsegBatchCursor *cursor)
{
	return cursor->next == cursor->events.count;
}

static uint32_t
batch_entry_length(const uint8_t *entries, uint32_t index)
{
	uint32_t length;

	memcpy(&length, entries + (size_t) index * KSEG_EVENT_ENTRY + sizeof(uint64_t), sizeof(length));
	return length;
}

/* How many of the cursor's events fit, and the bytes of their joined JSON. */
static uint32_t
batch_count_fitting(const KsegBatch *batch, const KsegBatchLimits *limits, const KsegBatchCursor *cursor,
                    size_t *json)
{
	uint32_t left = cursor->events.count - cursor->next;
	uint32_t events = limits->events - batch->count;
	size_t used = batch->body.length - KSEG_BATCH_HEAD_LENGTH + (batch->count > 0 ? 1 : 0);
	size_t room = limits->json > used ? limits->json - used : 0;
	uint32_t count = 0;

	*json = cursor->events.json_length - cursor->offset;
	if (left <= events && *json <= room)
		return left;

	*json = 0;
	while (count < left && count < events)
	{
		size_t more = batch_entry_length(cursor->events.entries, cursor->next + count) + (count > 0 ? 1 : 0);

		if (*json + more > room)
			break;
		*json += more;
		count++;
	}
	return count;
}

void
batch_take(KsegBatch *batch, const KsegBatchLimits *limits, KsegBatchCursor *cursor, int64_t now_ms)
{
	size_t json;
	uint32_t count = batch_count_fitting(batch, limits, cursor, &json);

	if (count > 0)
	{
		if (batch->count == 0)
			batch->first_ms = now_ms;
		else
			buffer_append(&batch->body, ",", 1);
		buffer_append(&batch->body, cursor->events.json + cursor->offset, json);
		buffer_append(&batch->entries, cursor->events.entries + (size_t) cursor->next * KSEG_EVENT_ENTRY,
		              (size_t) count * KSEG_EVENT_ENTRY);
		batch->count += count;
		cursor->next += count;
		cursor->offset += (uint32_t) json + (batch_cursor_is_done(cursor) ? 0 : 1);
	}
	if (!batch_cursor_is_done(cursor) || batch->count == limits->events)
		batch->closed = true;
}

KsegBatchRange
batch_find_range(const KsegBatch *batch, uint32_t from, uint32_t to)
{
	const uint8_t *entries = (const uint8_t *) batch->entries.data;
	KsegBatchRange range = {.from = from, .to = to, .offset = KSEG_BATCH_HEAD_LENGTH};

	for (uint32_t i = 0; i < from; i++)
		range.offset += batch_entry_length(entries, i) + 1;
	for (uint32_t i = from; i < to; i++)
		range.length += batch_entry_length(entries, i) + (i > from ? 1 : 0);
	return range;
}

uint64_t
batch_range_bytes(const KsegBatchRange *range)
{
	return range->length - (range->to - range->from - 1);
}

uint64_t
batch_row(const KsegBatch *batch, uint32_t index)
{
	uint64_t row;

	memcpy(&row, batch->entries.data + (size_t) index * KSEG_EVENT_ENTRY, sizeof(row));
	return row;
}
