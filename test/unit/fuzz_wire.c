/*
 * fuzz_wire.c
 *	  Any bytes as frames: nothing is read past them, and what EVENTS accepts comes out of batches whole and in order.
 */
#include <assert.h>
#include <string.h>

#include "courier/segment_batch.h"
#include "wire/wire.h"

/* Cut the events into batches with these limits; together they must be the frame's JSON and rows again. */
static void
check_batches(const KsegEvents *events, const KsegBatchLimits *limits)
{
	KsegBatch *batch = batch_create();
	KsegBatchCursor cursor;
	size_t at = 0;
	uint32_t count = 0;

	batch_cursor_init(&cursor, events);
	while (!batch_cursor_is_done(&cursor))
	{
		size_t json;

		batch_reset(batch);
		batch_take(batch, limits, &cursor, 0);
		json = batch->body.length - KSEG_BATCH_HEAD_LENGTH;
		assert(batch->count > 0 && batch->count <= limits->events && json <= limits->json);
		assert(memcmp(batch->body.data + KSEG_BATCH_HEAD_LENGTH, events->json + at, json) == 0);
		assert(memcmp(batch->entries.data, events->entries + (size_t) count * KSEG_EVENT_ENTRY,
		              (size_t) batch->count * KSEG_EVENT_ENTRY) == 0);
		at += json + 1;
		count += batch->count;
	}
	assert(count == events->count && at == (size_t) events->json_length + 1);
	batch_free(batch);
}

static void
check_frame(const KsegFrame *frame)
{
	KsegWireStatus status;
	KsegWireLane lanes[KSEG_LANES_MAX];
	KsegBatchLimits limits = {.events = 1 + frame->lane % 7, .json = KSEG_EVENT_MAX + frame->lane};
	KsegEvents events;
	KsegReader reader;

	if (kseg_status_read(frame, &status, lanes, KSEG_LANES_MAX))
		assert(status.lanes <= KSEG_LANES_MAX);
	if (kseg_events_read(frame, &events))
		check_batches(&events, &limits);
	kseg_reader_init(&reader, frame);
	while (!reader.failed && !kseg_reader_done(&reader))
	{
		KsegText text = kseg_read_text(&reader);

		assert((const uint8_t *) text.data + text.length <= reader.end || text.length == 0);
		kseg_read_u32(&reader);
		kseg_read_u64(&reader);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KsegFrame frame;
	int taken;

	while ((taken = kseg_frame_parse(data, size, &frame)) > 0)
	{
		assert((size_t) taken <= size);
		check_frame(&frame);
		data += taken;
		size -= (size_t) taken;
	}
	/* And the rest, as a payload whose header was right. */
	frame = (KsegFrame){.type = KSEG_FRAME_EVENTS,
	                    .lane = (uint16_t) (size > 0 ? data[0] : 0),
	                    .payload = data,
	                    .length = (uint32_t) size};
	check_frame(&frame);
	return 0;
}
