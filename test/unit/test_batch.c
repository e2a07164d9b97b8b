/*
 * test_batch.c
 *	  Filling batches at exact limits, bodies, and halving down to the culprits.
 */
#include <json-c/json.h>

#include "courier/segment_batch.h"
#include "courier/segment_body.h"
#include "courier/segment_halve.h"
#include "tap.h"

static uint8_t payload[KSEG_FRAME_MAX];

/* An EVENTS frame of count events {"n":N…} of length bytes each, rows from first on. */
static KsegEvents
make_events(uint32_t count, uint32_t length, uint64_t first)
{
	uint8_t *at = kseg_write_u32(payload, count);
	KsegFrame frame = {.payload = payload};
	KsegEvents events;

	for (uint32_t i = 0; i < count; i++)
		at = kseg_write_u32(kseg_write_u64(at, first + i), length);
	for (uint32_t i = 0; i < count; i++)
	{
		if (i > 0)
			*at++ = ',';
		at += sprintf((char *) at, "{\"n\":%0*d}", (int) length - 6, 1);
	}
	frame.length = (uint32_t) (at - payload);
	if (!kseg_events_read(&frame, &events))
		tap_die("the test's own frame is wrong");
	return events;
}

/* How many events an empty batch takes, and what is left. */
static uint32_t
take_once(KsegBatch *batch, uint32_t max_events, size_t max_json, const KsegEvents *events,
          KsegBatchCursor *cursor)
{
	KsegBatchLimits limits = {.events = max_events, .json = max_json};
	uint32_t before = batch->count;

	batch_cursor_init(cursor, events);
	batch_take(batch, &limits, cursor, 1234);
	return batch->count - before;
}

static void
test_event_limit(void)
{
	KsegBatch *batch = batch_create();
	KsegBatchCursor cursor;
	KsegEvents events = make_events(10, 20, 100);

	tap_is(take_once(batch, 10, 100000, &events, &cursor), 10,
	       "a frame of exactly upload_size events fits whole");
	tap_ok(batch->closed && batch_cursor_is_done(&cursor), "and closes the batch");
	batch_reset(batch);
	tap_is(take_once(batch, 9, 100000, &events, &cursor), 9, "one event too many stays behind");
	tap_ok(batch->closed && !batch_cursor_is_done(&cursor) && cursor.next == 9, "and the batch closes");
	batch_reset(batch);
	tap_is(take_once(batch, 11, 100000, &events, &cursor), 10, "below the limit all fit");
	tap_ok(!batch->closed && batch->first_ms == 1234,
	       "and the batch stays open, with the time of its first event");
	tap_is(take_once(batch, 11, 100000, &events, &cursor), 1, "then it takes one more");
	tap_is((int64_t) batch_row(batch, 10), 100, "of that row");
	batch_free(batch);
}

static void
test_byte_limit(void)
{
	KsegBatch *batch = batch_create();
	KsegBatchCursor cursor;
	KsegEvents events = make_events(10, 20, 100);

	/* 10 events of 20 bytes and 9 commas. */
	tap_is(take_once(batch, 2500, 209, &events, &cursor), 10, "a frame of exactly the bytes fits whole");
	batch_reset(batch);
	tap_is(take_once(batch, 2500, 208, &events, &cursor), 9, "one byte less, one event less");
	tap_ok(batch->closed && cursor.offset == 9 * 21, "what is left begins behind its comma");
	batch_reset(batch);
	take_once(batch, 2500, 419, &events, &cursor);
	tap_is(take_once(batch, 2500, 419, &events, &cursor), 10, "a second frame and its comma, to the byte");
	tap_ok(memcmp(batch->body.data + KSEG_BATCH_HEAD_LENGTH + 208, "},{", 3) == 0, "joined by a comma");
	batch_reset(batch);
	take_once(batch, 2500, 418, &events, &cursor);
	tap_is(take_once(batch, 2500, 418, &events, &cursor), 9, "and one byte less");
	tap_is(take_once(batch, 2500, 398, &events, &cursor), 0, "a full batch takes none");
	batch_free(batch);
}

static void
test_largest_event(void)
{
	KsegBatch *batch = batch_create();
	KsegBatchCursor cursor;
	KsegEvents events = make_events(20, KSEG_EVENT_MAX, 1);
	size_t room = KSEG_UPLOAD_MAX - 100;

	tap_is(take_once(batch, 2500, room, &events, &cursor), room / (KSEG_EVENT_MAX + 1),
	       "events of 32 kB fill a body");
	tap_ok(batch->body.length <= KSEG_UPLOAD_MAX, "and not more than a body");
	batch_free(batch);
}

static KsegConfig
make_config(const char *compression)
{
	return (KsegConfig){.compression = (char *) (uintptr_t) compression,
	                    .library_name = (char *) (uintptr_t) "ks\"eg",
	                    .library_version = (char *) (uintptr_t) "0.1"};
}

static void
check_body(KsegBody *body, const KsegBodyForm *form, KsegBatch *batch, uint32_t from, uint32_t to,
           const char *wanted, const char *name)
{
	KsegBatchRange range = batch_find_range(batch, from, to);
	char text[2048];

	if (!body_build(body, form, batch, &range, INT64_C(1785587696789)))
		tap_die("could not build a body");
	snprintf(text, sizeof(text), "%.*s", (int) body->length, body->data);
	tap_is_text(text, wanted, name);
}

#define TAIL                                                                                                 \
	"],\"sentAt\":\"2026-08-01T12:34:56.789Z\",\"context\":{\"library\":{\"name\":\"ks\\\"eg\",\"version\":" \
	"\"0.1\"}}}"

static void
test_body(void)
{
	KsegConfig config = make_config("none");
	KsegBodyForm form;
	KsegBody body = {0};
	KsegBatch *batch = batch_create();
	KsegBatchCursor cursor;
	KsegEvents events = make_events(3, 8, 1);

	body_form_open(&form, &config);
	take_once(batch, 10, 1000, &events, &cursor);
	check_body(&body, &form, batch, 0, 3, "{\"batch\":[{\"n\":01},{\"n\":01},{\"n\":01}" TAIL,
	           "a whole batch");
	check_body(&body, &form, batch, 0, 3, "{\"batch\":[{\"n\":01},{\"n\":01},{\"n\":01}" TAIL,
	           "and again: one tail");
	check_body(&body, &form, batch, 1, 2, "{\"batch\":[{\"n\":01}" TAIL, "its middle");
	check_body(&body, &form, batch, 0, 2, "{\"batch\":[{\"n\":01},{\"n\":01}" TAIL, "its beginning");
	check_body(&body, &form, batch, 2, 3, "{\"batch\":[{\"n\":01}" TAIL, "its end");
	tap_is((int64_t) (KSEG_BATCH_HEAD_LENGTH + form.tail_length + body_form_room(&form)), KSEG_UPLOAD_MAX,
	       "head, events and tail together are at most 475,000 bytes");
	batch_free(batch);
	body_free(&body);
	body_form_close(&form);
}

static void
test_packed_body(void)
{
	static char plain[KSEG_UPLOAD_MAX];
	KsegConfig config = make_config("gzip");
	KsegBodyForm form;
	KsegBody body = {0};
	KsegBatch *batch = batch_create();
	KsegBatchCursor cursor;
	KsegEvents events = make_events(2500, 100, 1);
	struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
	KsegBatchRange range;
	size_t length = 0;

	body_form_open(&form, &config);
	take_once(batch, 2500, body_form_room(&form), &events, &cursor);
	range = batch_find_range(batch, 0, batch->count);
	tap_ok(body_build(&body, &form, batch, &range, 0) && body.length < body.plain_length,
	       "a packed body is smaller");
	libdeflate_gzip_decompress(decompressor, body.data, body.length, plain, sizeof(plain), &length);
	tap_ok(length == body.plain_length && memcmp(plain, batch->body.data, length) == 0,
	       "and unpacks to the plain one");
	libdeflate_free_decompressor(decompressor);
	batch_free(batch);
	body_free(&body);
	body_form_close(&form);
}

/* ---------- halving ---------- */

/* Deliver count events of which the culprits are refused; returns whether all were settled in order, as they should. */
static bool
deliver_halved(uint32_t count, const bool *culprit, uint32_t *requests)
{
	KsegHalve halve;
	uint32_t from;
	uint32_t to;
	uint32_t settled = 0;

	*requests = 0;
	halve_start(&halve, count);
	while (halve_next(&halve, &from, &to))
	{
		bool refused = false;

		++*requests;
		if (from != settled || to <= from || to > count || halve.parts > KSEG_HALVE_PARTS)
			return false;
		for (uint32_t i = from; i < to; i++)
			refused = refused || culprit[i];
		if (refused && halve_split(&halve))
			continue;
		if (refused && to - from != 1)
			return false;
		settled = to;
		halve_settle(&halve);
	}
	return settled == count;
}

static void
test_halving(void)
{
	static bool culprit[KSEG_UPLOAD_EVENTS_MAX];
	uint32_t requests;

	tap_ok(deliver_halved(2500, culprit, &requests) && requests == 1, "no culprit: one request");
	culprit[0] = true;
	tap_ok(deliver_halved(2500, culprit, &requests) && requests <= 2 * 12 + 1,
	       "the first event (%u requests)", requests);
	culprit[0] = false;
	culprit[2499] = true;
	tap_ok(deliver_halved(2500, culprit, &requests) && requests <= 2 * 12 + 1, "the last event (%u requests)",
	       requests);
	culprit[7] = culprit[8] = culprit[1250] = true;
	tap_ok(deliver_halved(2500, culprit, &requests) && requests <= 4 * 2 * 12,
	       "several of them (%u requests)", requests);
	memset(culprit, true, sizeof(culprit));
	tap_ok(deliver_halved(2500, culprit, &requests) && requests == 2 * 2500 - 1, "all of them (%u requests)",
	       requests);
	tap_ok(deliver_halved(1, culprit, &requests) && requests == 1, "a batch of one");
}

static void
test_halving_sizes(void)
{
	static bool culprit[KSEG_UPLOAD_EVENTS_MAX];
	bool good = true;
	uint32_t requests;

	for (uint32_t count = 1; count <= 64; count++)
	{
		for (uint32_t bad = 0; bad < count; bad++)
		{
			culprit[bad] = true;
			good = good && deliver_halved(count, culprit, &requests);
			culprit[bad] = false;
		}
	}
	tap_ok(good, "every culprit in every size up to 64 is found in order");
}

int
main(void)
{
	test_event_limit();
	test_byte_limit();
	test_largest_event();
	test_body();
	test_packed_body();
	test_halving();
	test_halving_sizes();
	return tap_end();
}
