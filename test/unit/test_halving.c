/*
 * test_halving.c
 *	  Batches that Segment refuses: halves of halves, in order, down to the events that are to blame.
 */
#include "harness.h"

/* Answer 400 to every request that holds an event whose number is bad; returns how many requests it took. */
static int
serve_halving(Harness *h, const int *bad, int bad_count, uint64_t total, const char *status, const char *body)
{
	int requests = 0;

	while (h->status.sent + h->status.rejected < total)
	{
		const HarnessRequest *request;
		bool refused = false;

		if (h->request_next == h->request_count)
		{
			harness_pump(h, harness_now_ms() + HARNESS_WAIT_MS, "a request or a STATUS");
			continue;
		}
		request = harness_expect_request(h);
		requests++;
		for (int i = 0; i < bad_count; i++)
		{
			char event[32];

			snprintf(event, sizeof(event), "{\"n\":%d}", bad[i]);
			refused = refused || strstr(request->body, event) != NULL;
		}
		if (refused)
			harness_answer(h, request, status, "", body);
		else
			harness_answer_ok(h, request);
	}
	return requests;
}

static void
expect_rejected(Harness *h, uint64_t row, uint32_t status, const char *words, const char *event)
{
	const HarnessFrame *kept = harness_expect_frame(h, KSEG_FRAME_REJECTED);
	KsegFrame frame = {.payload = kept->payload, .length = kept->length};
	KsegReader reader;
	KsegText text;

	kseg_reader_init(&reader, &frame);
	tap_is((int64_t) kseg_read_u64(&reader), (int64_t) row, "REJECTED names the row");
	tap_is(kseg_read_u32(&reader), status, "and the HTTP status");
	text = kseg_read_text(&reader);
	tap_ok(text.length == strlen(words) && memcmp(text.data, words, text.length) == 0, "and the words: %.*s",
	       (int) text.length, text.data);
	text = kseg_read_text(&reader);
	tap_ok(text.length == strlen(event) && memcmp(text.data, event, text.length) == 0, "and the event: %.*s",
	       (int) text.length, text.data);
	tap_ok(kseg_reader_done(&reader), "and nothing else");
}

static void
test_halving(void)
{
	static const int bad[] = {1, 17, 18, 50};
	Harness h;
	HarnessConfig config = harness_defaults();

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 50);
	harness_end(&h);
	serve_halving(&h, bad, 4, 50, "400 Bad Request",
	              "{\"success\":false,\"message\":\"no name for key sEcret+Key\"}");
	expect_rejected(&h, 1, 400, "no name for key **********", "{\"n\":1}");
	expect_rejected(&h, 17, 400, "no name for key **********", "{\"n\":17}");
	expect_rejected(&h, 18, 400, "no name for key **********", "{\"n\":18}");
	expect_rejected(&h, 50, 400, "no name for key **********", "{\"n\":50}");
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_ok(h.status.sent == 46 && h.status.rejected == 4 && h.lanes[0].events == 50, "the others are sent");
	harness_stop(&h);
}

static void
test_halving_in_order(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 4);
	harness_end(&h);
	harness_answer(&h, harness_expect_request(&h), "413 Too Large", "", "");
	request = harness_expect_request(&h);
	tap_ok(harness_has_events(request, 1, 2), "the first half goes first");
	harness_answer(&h, request, "503 Busy", "", "");
	request = harness_expect_request(&h);
	tap_ok(harness_has_events(request, 1, 2), "and comes again before the second");
	tap_is_text(harness_header(request, "X-Retry-Count"), "1", "as a request of its own");
	harness_answer_ok(&h, request);
	request = harness_expect_request(&h);
	tap_ok(harness_has_events(request, 3, 2), "then the second half");
	harness_answer_ok(&h, request);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is((int64_t) h.status.batches, 2, "each half is a request");
	harness_stop(&h);
}

static void
test_success_false(void)
{
	static const int bad[] = {2};
	Harness h;
	HarnessConfig config = harness_defaults();

	config.compression = "gzip";
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 3);
	harness_end(&h);
	serve_halving(&h, bad, 1, 3, "200 OK", "{\"success\":false,\"error\":\"not so\"}");
	expect_rejected(&h, 2, 200, "not so", "{\"n\":2}");
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	harness_stop(&h);
}

static void
test_all_rejected(void)
{
	static const int bad[] = {1, 2, 3, 4, 5};
	Harness h;
	HarnessConfig config = harness_defaults();

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 5);
	harness_end(&h);
	tap_is(serve_halving(&h, bad, 5, 5, "422 No", ""), 9, "five culprits take nine requests");
	for (int i = 0; i < 5; i++)
		harness_expect_frame(&h, KSEG_FRAME_REJECTED);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_ok(h.status.sent == 0 && h.status.rejected == 5, "all of them are rejected, which is no failure");
	harness_stop(&h);
}

int
main(void)
{
	test_halving();
	test_halving_in_order();
	test_success_false();
	test_all_rejected();
	return tap_end();
}
