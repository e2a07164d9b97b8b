/*
 * test_deliver.c
 *	  The courier delivering: requests as Segment wants them, retries, pauses, order, figures.
 */
#include "harness.h"

#include <time.h>

static void
test_success(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 3);
	harness_end(&h);
	request = harness_expect_request(&h);
	tap_ok(strncmp(request->head, "POST /v1/batch HTTP/1.1\r\n", 25) == 0,
	       "a batch is POSTed to /v1/batch in HTTP/1.1");
	tap_is_text(harness_header(request, "Authorization"),
	            "Basic c0VjcmV0K0tleTo=", "with the write key as Basic user");
	tap_is_text(harness_header(request, "Content-Type"), "application/json", "as JSON");
	tap_is_text(harness_header(request, "User-Agent"), "kseg/0.1", "by kseg");
	tap_is_text(harness_header(request, "Expect"), "", "without asking whether to continue");
	tap_is_text(harness_header(request, "X-Retry-Count"), "", "and without a retry count");
	tap_ok(harness_has_events(request, 1, 3), "its events are the ones that were fed, in order");
	tap_has(request->body, "],\"sentAt\":\"20", "it says when it was sent");
	tap_has(request->body, "\"context\":{\"library\":{\"name\":\"kseg\",\"version\":\"0.1\"}}}",
	        "and by which library");
	harness_answer_ok(&h, request);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_ok(h.status.sent == 3 && h.status.batches == 1 && h.status.rejected == 0 && h.status.retries == 0,
	       "STATUS before DONE counts them");
	tap_ok(h.status.bytes == request->body_length && h.status.bytes_on_wire == request->wire_length,
	       "and their bytes");
	tap_ok(h.lanes[0].events == 3 && h.lanes[0].bytes == 21 && h.lanes[0].retrying == 0,
	       "and the lane's credit");
	harness_stop(&h);
}

static void
test_gzip_and_keep_alive(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;
	uint64_t wire = 0;

	config.compression = "gzip";
	config.upload_size = 50;
	harness_begin(&h, &config);
	for (uint64_t i = 0; i < 5; i++)
	{
		harness_feed(&h, 0, 1 + 50 * i, 50);
		request = harness_expect_request(&h);
		tap_ok(strcmp(harness_header(request, "Content-Encoding"), "gzip") == 0 &&
		           harness_has_events(request, 1 + 50 * i, 50),
		       "packed request %d carries its events", (int) i);
		wire += request->wire_length;
		harness_answer_ok(&h, request);
	}
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is(h.accepted, 1, "five requests went over one connection");
	tap_is((int64_t) h.status.bytes_on_wire, (int64_t) wire, "bytes_on_wire counts the bodies as packed");
	tap_ok(h.status.bytes > wire, "bytes counts them as they were before");
	harness_stop(&h);
}

static void
test_splitting(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;

	config.upload_size = 40;
	config.upload_interval_ms = 3600000;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 100);
	request = harness_expect_request(&h);
	tap_ok(harness_has_events(request, 1, 40), "a frame of 100 events is cut at upload_size");
	harness_answer_ok(&h, request);
	request = harness_expect_request(&h);
	tap_ok(harness_has_events(request, 41, 40), "and again");
	harness_answer_ok(&h, request);
	harness_wait_status(&h, h.status.sent == 80);
	harness_feed(&h, 0, 101, 1);
	harness_end(&h);
	request = harness_expect_request(&h);
	tap_ok(harness_has_events(request, 81, 21),
	       "END sends what is left, without waiting for upload_interval");
	harness_answer_ok(&h, request);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	harness_stop(&h);
}

static void
test_interval(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;
	int64_t start;

	config.upload_interval_ms = 300;
	harness_begin(&h, &config);
	start = harness_now_ms();
	harness_feed(&h, 0, 1, 1);
	request = harness_expect_request(&h);
	tap_ok(request->at_ms - start >= 300, "a request that is not full leaves after upload_interval");
	harness_answer_ok(&h, request);
	harness_stop(&h);
}

/* All credit may lie in batches that are not full; the courier must not wait for what cannot come. */
static void
test_waiting(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *first;
	const HarnessRequest *second;
	uint16_t lane;
	uint64_t next;

	config.lanes = 2;
	config.upload_interval_ms = 3600000;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 3);
	harness_feed(&h, 1, 1001, 3);
	harness_send_frame(&h, KSEG_FRAME_WAITING, 0, NULL, 0);
	first = harness_expect_request(&h);
	second = harness_expect_request(&h);
	tap_ok(harness_has_events(first, harness_has_events(first, 1, 3) ? 1 : 1001, 3) && second != NULL,
	       "when PostgreSQL waits for credit, what is there is sent");
	lane = harness_has_events(first, 1, 3) ? 0 : 1;
	harness_answer_ok(&h, first);
	harness_wait_status(&h, h.status.sent == 3);
	/* To the lane that is idle; the other one's request stays in flight until what is expected has come. */
	next = lane == 0 ? 4 : 1004;
	harness_feed(&h, lane, next, 3);
	harness_send_frame(&h, KSEG_FRAME_WAITING, 0, NULL, 0);
	harness_feed(&h, lane, next + 3, 97);
	first = harness_expect_request(&h);
	tap_ok(harness_has_events(first, next, 100),
	       "while a lane has a request in flight, batches go on filling");
	harness_answer_ok(&h, second);
	harness_answer_ok(&h, first);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	harness_stop(&h);
}

static void
test_large_body(void)
{
	static uint8_t payload[4 + 16 * (KSEG_EVENT_ENTRY + KSEG_EVENT_MAX + 1)];
	Harness h;
	HarnessConfig config = harness_defaults();
	uint8_t *at = kseg_write_u32(payload, 16);
	const HarnessRequest *request;

	for (uint64_t i = 0; i < 16; i++)
		at = kseg_write_u32(kseg_write_u64(at, i), KSEG_EVENT_MAX);
	for (int i = 0; i < 16; i++)
		at += sprintf((char *) at, "%s{\"x\":\"%0*d\"}", i > 0 ? "," : "", KSEG_EVENT_MAX - 8, i);
	config.upload_size = 2500;
	harness_begin(&h, &config);
	harness_send_frame(&h, KSEG_FRAME_EVENTS, 0, payload, (size_t) (at - payload));
	harness_end(&h);
	request = harness_expect_request(&h);
	tap_ok(request->body_length <= KSEG_UPLOAD_MAX && request->body_length > KSEG_UPLOAD_MAX - KSEG_EVENT_MAX,
	       "events of 32 kB fill a body to at most 475,000 bytes (%zu)", request->body_length);
	harness_answer_ok(&h, request);
	request = harness_expect_request(&h);
	harness_answer_ok(&h, request);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is((int64_t) h.status.sent, 16, "and all of them arrive");
	tap_is((int64_t) h.lanes[0].bytes, 16 * KSEG_EVENT_MAX, "credit is given back to the byte");
	harness_stop(&h);
}

/* ---------- retries ---------- */

/* Wait until the wall clock shows another millisecond. */
static void
let_a_millisecond_pass(void)
{
	struct timespec first;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &first);
	do
		clock_gettime(CLOCK_REALTIME, &now);
	while (now.tv_sec == first.tv_sec && now.tv_nsec / 1000000 == first.tv_nsec / 1000000);
}

static void
test_retry(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;
	char first_sent_at[64];

	config.upload_size = 1;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 2);
	request = harness_expect_request(&h);
	snprintf(first_sent_at, sizeof(first_sent_at), "%.38s", strstr(request->body, "\"sentAt\""));
	let_a_millisecond_pass();
	harness_answer(&h, request, "503 Busy", "", "later");
	harness_wait_status(&h, h.lanes[0].retrying == 1);
	tap_ok(h.status.last_status == 503 && h.status.sent == 0,
	       "STATUS says that the lane is trying again, and why");
	request = harness_expect_request(&h);
	tap_ok(harness_has_events(request, 1, 1), "after a 503 the same events come again, before the next ones");
	tap_is_text(harness_header(request, "X-Retry-Count"), "1", "with a retry count");
	tap_ok(strstr(request->body, "\"sentAt\"") != NULL && strstr(request->body, first_sent_at) == NULL,
	       "and a new sentAt");
	harness_answer(&h, request, "500 Oh", "", "");
	request = harness_expect_request(&h);
	tap_is_text(harness_header(request, "X-Retry-Count"), "2", "which counts on");
	harness_answer_ok(&h, request);
	request = harness_expect_request(&h);
	tap_ok(harness_has_events(request, 2, 1), "then the next ones");
	tap_is_text(harness_header(request, "X-Retry-Count"), "", "with no count of their own");
	harness_answer_ok(&h, request);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_ok(h.status.retries == 2 && h.status.sent == 2 && h.lanes[0].retrying == 0,
	       "two retries are counted");
	harness_stop(&h);
}

static void
test_lanes_are_apart(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *first;
	const HarnessRequest *second;

	config.lanes = 2;
	config.upload_size = 1;
	config.compression = "gzip";
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 2);
	first = harness_expect_request(&h);
	harness_feed(&h, 1, 1001, 2);
	second = harness_expect_request(&h);
	tap_ok(harness_has_events(second, 1001, 1), "a lane does not wait for another one's answer");
	harness_answer_ok(&h, second);
	second = harness_expect_request(&h);
	tap_ok(harness_has_events(second, 1002, 1), "and goes on while that one is in flight");
	harness_answer_ok(&h, second);
	harness_answer_ok(&h, first);
	first = harness_expect_request(&h);
	tap_ok(harness_has_events(first, 2, 1), "within a lane the order is kept");
	harness_answer_ok(&h, first);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_ok(h.lanes[0].events == 2 && h.lanes[1].events == 2, "each lane has its own credit");
	harness_stop(&h);
}

static void
test_pause(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *first;
	const HarnessRequest *second;
	int64_t start;

	config.lanes = 2;
	config.max_retries = 0;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	first = harness_expect_request(&h);
	start = harness_now_ms();
	harness_answer(&h, first, "429 Too Many Requests", "Retry-After: 1\r\n", "");
	harness_wait_status(&h, h.status.paused_ms > 0);
	/* One more than asked for: the courier's clock is in whole milliseconds, rounded down. */
	tap_ok(h.status.paused_ms <= 1001 && h.lanes[0].retrying == 1,
	       "STATUS says how long a 429 pauses the run");
	harness_feed(&h, 1, 1001, 1);
	first = harness_expect_request(&h);
	second = harness_expect_request(&h);
	tap_ok(first->at_ms - start >= 1000 && second->at_ms - start >= 1000,
	       "no lane sends anything before that");
	if (harness_header(first, "X-Retry-Count")[0] == '\0')
	{
		const HarnessRequest *swap = first;

		first = second;
		second = swap;
	}
	tap_is_text(harness_header(first, "X-Retry-Count"), "1",
	            "then the same request comes again, though max_retries is 0");
	harness_answer_ok(&h, first);
	harness_answer_ok(&h, second);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_ok(h.status.retries == 0 && h.status.last_status == 429 && h.status.paused_ms == 0,
	       "and no retry is counted");
	harness_stop(&h);
}

static void
test_pause_without_header(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;

	config.max_retries = 0;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_answer(&h, harness_expect_request(&h), "429 Too Many Requests", "", "");
	harness_answer(&h, harness_expect_request(&h), "429 Too Many Requests", "Retry-After: 0\r\n", "");
	request = harness_expect_request(&h);
	tap_is_text(harness_header(request, "X-Retry-Count"), "2",
	            "a 429 that asks for no wait is tried again by the backoff");
	harness_answer_ok(&h, request);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	harness_stop(&h);
}

static void
test_nothing(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();

	harness_begin(&h, &config);
	harness_end(&h);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is(h.accepted, 0, "a run without events connects nowhere");
	harness_stop(&h);
}

int
main(void)
{
	test_success();
	test_gzip_and_keep_alive();
	test_splitting();
	test_interval();
	test_waiting();
	test_large_body();
	test_retry();
	test_lanes_are_apart();
	test_pause();
	test_pause_without_header();
	test_nothing();
	return tap_end();
}
