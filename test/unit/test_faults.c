/*
 * test_faults.c
 *	  The courier when the endpoint does not do as it should.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <ifaddrs.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* ---------- answers that end a run ---------- */

static void
check_answer_fails(const char *status, const char *headers, const char *body, uint32_t failure, uint32_t http,
                   const char *detail, const char *hint)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 2);
	harness_answer(&h, harness_expect_request(&h), status, headers, body);
	failed = harness_expect_failed(&h);
	tap_ok(failed.failure == failure && failed.status == http, "%s ends the run (%s)", status,
	       failed.message);
	tap_has(failed.detail, detail, "its detail has the endpoint's words");
	tap_has(failed.hint, hint, "its hint names the option");
	tap_ok(strstr(failed.detail, "sEcret") == NULL && strstr(failed.detail, "c0VjcmV0") == NULL,
	       "and it holds no key");
	tap_ok(h.status.sent == 0 && h.status.last_status == http, "STATUS came before it");
	tap_is(h.request_count, 1, "and nothing was tried again");
	harness_stop(&h);
}

static void
test_final_answers(void)
{
	check_answer_fails("401 Unauthorized", "", "{\"message\":\"no key sEcret+Key, Basic c0VjcmV0K0tleTo=\"}",
	                   KSEG_FAILURE_AUTH, 401, "no key **********", "write_key");
	check_answer_fails("403 Forbidden", "", "no", KSEG_FAILURE_AUTH, 403, "HTTP status 403: no.",
	                   "write_key");
	check_answer_fails("301 Moved", "Location: http://127.0.0.1:1/\r\n", "", KSEG_FAILURE_REFUSED, 301, "301",
	                   "endpoint");
	check_answer_fails("404 Not Found", "", "<html>\n<b>nothing</b>", KSEG_FAILURE_REFUSED, 404,
	                   "<html> <b>nothing", "endpoint");
	check_answer_fails("501 Not Implemented", "", "", KSEG_FAILURE_REFUSED, 501, "501", "endpoint");
}

static void
test_exhausted_by_count(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;

	config.max_retries = 1;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_answer(&h, harness_expect_request(&h), "500 Oh", "", "");
	harness_answer(&h, harness_expect_request(&h), "502 Bad Gateway", "", "upstream is away");
	failed = harness_expect_failed(&h);
	tap_ok(failed.failure == KSEG_FAILURE_EXHAUSTED && failed.status == 502, "max_retries ends the run");
	tap_has(failed.message, "2 attempts", "it says how many attempts there were");
	tap_has(failed.detail, "upstream is away", "and what the last one met");
	tap_has(failed.hint, "max_retries", "and which option ended them");
	tap_is((int64_t) h.status.retries, 1, "STATUS counts the retry");
	harness_stop(&h);
}

static void
test_exhausted_by_age(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;
	int64_t start;

	config.max_retry_age_ms = 20000;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	start = harness_now_ms();
	harness_answer(&h, harness_expect_request(&h), "429 Slow down", "Retry-After: 60\r\n", "");
	failed = harness_expect_failed(&h);
	tap_ok(failed.failure == KSEG_FAILURE_EXHAUSTED && failed.status == 429,
	       "max_retry_age ends the run, 429 waits included");
	tap_has(failed.hint, "max_retry_age", "and is named");
	tap_ok(harness_now_ms() - start < 10000, "at once, where the wait would outlast it");
	harness_stop(&h);
}

/* ---------- broken transfers ---------- */

/* What the server does with the first request; the second must be the same and is answered well. */
static void
check_tried_again(const char *name, const char *raw, bool abrupt)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 2);
	harness_end(&h);
	request = harness_expect_request(&h);
	harness_send_raw(&h, request, raw, strlen(raw));
	harness_hang_up(&h, request, abrupt);
	request = harness_expect_request(&h);
	tap_ok(harness_has_events(request, 1, 2), "%s: the request comes again", name);
	tap_is_text(harness_header(request, "X-Retry-Count"), "1", "as a retry");
	harness_answer_ok(&h, request);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_ok(h.status.sent == 2 && h.status.retries == 1 && h.status.last_error != 0,
	       "and arrives; STATUS says there was an error");
	harness_stop(&h);
}

static void
test_broken_answers(void)
{
	check_tried_again("closed before the answer", "", false);
	check_tried_again("reset before the answer", "", true);
	check_tried_again("closed within the head", "HTTP/1.1 200 OK\r\nContent-Le", false);
	check_tried_again("closed within the body", "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"succ",
	                  false);
	check_tried_again("garbage", "\x01\x02\x03 this is not HTTP\r\n\r\n", false);
	check_tried_again("a head of garbage", "HTTP/1.1 abc\r\n\r\n", false);
}

static void
test_stale_connection(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	request = harness_expect_request(&h);
	harness_answer_ok(&h, request);
	harness_wait_status(&h, h.status.sent == 1);
	harness_hang_up(&h, request, false);
	harness_feed(&h, 0, 2, 1);
	harness_end(&h);
	request = harness_expect_request(&h);
	tap_ok(harness_has_events(request, 2, 1),
	       "a connection that the server closed between requests is opened anew");
	harness_answer_ok(&h, request);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is((int64_t) h.status.sent, 2, "and both requests arrive");
	harness_stop(&h);
}

static void
test_nobody_listens(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;

	config.endpoint = "http://127.0.0.1:1"; /* tcpmux: nobody's */
	config.max_retries = 1;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	failed = harness_expect_failed(&h);
	tap_ok(failed.failure == KSEG_FAILURE_EXHAUSTED && failed.status == 0,
	       "a refused connection is tried again, then given up");
	tap_has(failed.detail, "libcurl says: ", "with libcurl's words");
	harness_stop(&h);
}

static void
test_never_answers(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;

	config.request_timeout_ms = 2000;
	config.max_retries = 1;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_expect_request(&h);
	harness_expect_request(&h);
	failed = harness_expect_failed(&h);
	tap_is(failed.failure, KSEG_FAILURE_EXHAUSTED,
	       "a server that never answers is given up after request_timeout and retries");
	tap_has(failed.hint, "request_timeout", "and the hint names request_timeout");
	harness_stop(&h);
}

static void
test_slow_body(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;
	const char *answer =
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"success\":true}\r\n0\r\n\r\n";

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_end(&h);
	request = harness_expect_request(&h);
	for (const char *at = answer; *at != '\0'; at++)
		harness_send_raw(&h, request, at, 1);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is((int64_t) h.status.sent, 1, "an answer that comes byte by byte, in chunks, is an answer");
	harness_stop(&h);
}

static void
test_huge_body(void)
{
	static char piece[256 * 1024];
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";

	memset(piece, 'x', sizeof(piece));
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_end(&h);
	request = harness_expect_request(&h);
	harness_send_raw(&h, request, head, strlen(head));
	for (int i = 0; i < 64; i++)
		harness_send_raw(&h, request, piece, sizeof(piece));
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is((int64_t) h.status.sent, 1, "200 with a body of 1 GB is a success, of which 1 MB is read");
	harness_stop(&h);
}

static void
test_early_refusal(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;
	static const char interim[] =
	    "HTTP/1.1 100 Continue\r\nRetry-After: 5\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_end(&h);
	request = harness_expect_request(&h);
	harness_send_raw(&h, request, interim, strlen(interim));
	harness_answer_ok(&h, request);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	tap_is((int64_t) h.status.sent, 1, "interim answers are passed over");
	harness_stop(&h);
}

/* ---------- addresses ---------- */

static void
check_address_refused(const char *endpoint, const char *address)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;

	config.endpoint = endpoint;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	failed = harness_expect_failed(&h);
	tap_is(failed.failure, KSEG_FAILURE_ADDRESS, endpoint);
	tap_has(failed.detail, address, "the address is named");
	harness_stop(&h);
}

/* An address of this machine that is not loopback, "" when it has none. */
static void
find_own_address(char *out, size_t room)
{
	struct ifaddrs *all;

	out[0] = '\0';
	if (getifaddrs(&all) != 0)
		return;
	for (struct ifaddrs *one = all; one != NULL && out[0] == '\0'; one = one->ifa_next)
	{
		if (one->ifa_addr != NULL && one->ifa_addr->sa_family == AF_INET &&
		    (one->ifa_flags & IFF_LOOPBACK) == 0)
			inet_ntop(AF_INET, &((struct sockaddr_in *) (void *) one->ifa_addr)->sin_addr, out,
			          (socklen_t) room);
	}
	freeifaddrs(all);
}

static void
test_plaintext_addresses(void)
{
	char own[64];
	char endpoint[128];

	check_address_refused("http://192.0.2.1:80", "192.0.2.1"); /* TEST-NET-1 of RFC 5737: nobody is there */
	check_address_refused("http://0.0.0.0:80", "0.0.0.0"); /* connects to this machine, and is not loopback */
	check_address_refused("http://[::ffff:192.0.2.1]:80", "192.0.2.1");
	check_address_refused("http://[2001:db8::1]:80", "2001:db8::1");
	find_own_address(own, sizeof(own));
	if (own[0] == '\0')
		return;
	snprintf(endpoint, sizeof(endpoint), "http://%s:1", own);
	check_address_refused(endpoint, own);
}

static void
test_loopback_forms(void)
{
	static const char *const forms[] = {"http://127.0.0.1:%d", "http://localhost:%d",
	                                    "http://[::ffff:127.0.0.1]:%d", "http://127.0.0.1:%d/prefix"};

	for (int i = 0; i < 4; i++)
	{
		Harness h;
		HarnessConfig config = harness_defaults();
		const HarnessRequest *request;
		char endpoint[64];

		harness_start(&h);
		snprintf(endpoint, sizeof(endpoint), forms[i], h.port);
		config.endpoint = endpoint;
		harness_send_hello(&h, KSEG_WIRE_VERSION, KSEG_BUILD);
		harness_expect_frame(&h, KSEG_FRAME_HELLO);
		harness_send_config(&h, &config);
		harness_feed(&h, 0, 1, 1);
		request = harness_expect_request(&h);
		tap_ok(strstr(request->head, i == 3 ? "POST /prefix/v1/batch " : "POST /v1/batch ") != NULL,
		       "%s may be plaintext", endpoint);
		harness_answer_ok(&h, request);
		harness_stop(&h);
	}
}

int
main(void)
{
	test_final_answers();
	test_exhausted_by_count();
	test_exhausted_by_age();
	test_broken_answers();
	test_stale_connection();
	test_nobody_listens();
	test_never_answers();
	test_slow_body();
	test_huge_body();
	test_early_refusal();
	test_plaintext_addresses();
	test_loopback_forms();
	return tap_end();
}
