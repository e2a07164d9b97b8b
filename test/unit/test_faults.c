/*
 * test_faults.c
 *	  The courier when the other side, or kseg.so, does not do as it should.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <poll.h>
#include <ifaddrs.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
	tap_ok(failed.failure == failure && failed.status == http, "%s ends the run (%s)", status, failed.message);
	tap_has(failed.detail, detail, "its detail has the endpoint's words");
	tap_has(failed.hint, hint, "its hint names the option");
	tap_ok(strstr(failed.detail, "sEcret") == NULL && strstr(failed.detail, "c0VjcmV0") == NULL, "and it holds no key");
	tap_ok(h.status.sent == 0 && h.status.last_status == http, "STATUS came before it");
	tap_is(h.request_count, 1, "and nothing was tried again");
	harness_stop(&h);
}

static void
test_final_answers(void)
{
	check_answer_fails("401 Unauthorized", "", "{\"message\":\"no key sEcret+Key, Basic c0VjcmV0K0tleTo=\"}",
	                   KSEG_FAILURE_AUTH, 401, "no key **********", "write_key");
	check_answer_fails("403 Forbidden", "", "no", KSEG_FAILURE_AUTH, 403, "HTTP status 403: no.", "write_key");
	check_answer_fails("301 Moved", "Location: http://127.0.0.1:1/\r\n", "", KSEG_FAILURE_REFUSED, 301, "301", "endpoint");
	check_answer_fails("404 Not Found", "", "<html>\n<b>nothing</b>", KSEG_FAILURE_REFUSED, 404, "<html> <b>nothing",
	                   "endpoint");
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
	tap_ok(failed.failure == KSEG_FAILURE_EXHAUSTED && failed.status == 429, "max_retry_age ends the run, 429 waits included");
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
	tap_ok(h.status.sent == 2 && h.status.retries == 1 && h.status.last_error != 0, "and arrives; STATUS says there was an error");
	harness_stop(&h);
}

static void
test_broken_answers(void)
{
	check_tried_again("closed before the answer", "", false);
	check_tried_again("reset before the answer", "", true);
	check_tried_again("closed within the head", "HTTP/1.1 200 OK\r\nContent-Le", false);
	check_tried_again("closed within the body", "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"succ", false);
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
	tap_ok(harness_has_events(request, 2, 1), "a connection that the server closed between requests is opened anew");
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
	tap_ok(failed.failure == KSEG_FAILURE_EXHAUSTED && failed.status == 0, "a refused connection is tried again, then given up");
	tap_has(failed.detail, "127.0.0.1 port 1", "with libcurl's words");
	harness_stop(&h);
}

static void
test_never_answers(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;

	config.request_timeout_ms = 200;
	config.max_retries = 1;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_expect_request(&h);
	harness_expect_request(&h);
	failed = harness_expect_failed(&h);
	tap_is(failed.failure, KSEG_FAILURE_EXHAUSTED, "a server that never answers is given up after request_timeout and retries");
	tap_has(failed.hint, "request_timeout", "and the hint names request_timeout");
	harness_stop(&h);
}

static void
test_slow_body(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	const HarnessRequest *request;
	const char *answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"success\":true}\r\n0\r\n\r\n";

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
	static const char interim[] = "HTTP/1.1 100 Continue\r\nRetry-After: 5\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";

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
		if (one->ifa_addr != NULL && one->ifa_addr->sa_family == AF_INET && (one->ifa_flags & IFF_LOOPBACK) == 0)
			inet_ntop(AF_INET, &((struct sockaddr_in *) (void *) one->ifa_addr)->sin_addr, out, (socklen_t) room);
	}
	freeifaddrs(all);
}

static void
test_plaintext_addresses(void)
{
	char own[64];
	char endpoint[128];

	check_address_refused("http://192.0.2.1:80", "192.0.2.1"); /* TEST-NET-1 of RFC 5737: nobody is there */
	check_address_refused("http://0.0.0.0:80", "0.0.0.0");     /* connects to this machine, and is not loopback */
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
	static const char *const forms[] = {"http://127.0.0.1:%d", "http://localhost:%d", "http://[::ffff:127.0.0.1]:%d",
	                                    "http://127.0.0.1:%d/prefix"};

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

/* ---------- the wire ---------- */

/* The courier has ended by itself, within a second of the wire's end. */
static void
check_leaves(Harness *h, const char *name)
{
	close(h->wire);
	h->wire = -1;
	tap_ok(harness_wait_exit(h, 1000) != -1, "%s: the courier leaves within a second", name);
}

static void
test_end_of_wire(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();

	harness_start(&h);
	check_leaves(&h, "before HELLO");
	harness_stop(&h);

	harness_begin(&h, &config);
	check_leaves(&h, "before events");
	harness_stop(&h);

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_expect_request(&h);
	check_leaves(&h, "in flight");
	harness_stop(&h);

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_answer(&h, harness_expect_request(&h), "429 Slow down", "Retry-After: 100\r\n", "");
	harness_wait_status(&h, h.status.paused_ms > 0);
	check_leaves(&h, "in a pause");
	harness_stop(&h);

	config.endpoint = "https://192.0.2.1";
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_end(&h);
	check_leaves(&h, "while connecting");
	harness_stop(&h);

	harness_begin(&h, &config);
	harness_send_frame(&h, KSEG_FRAME_END, 0, NULL, 0);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	check_leaves(&h, "after DONE");
	harness_stop(&h);
}

/* An input that is held back because the courier is full must not hide the wire's end. */
static void
test_end_of_wire_when_full(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	uint64_t row = 1;
	int buffer = 4096;

	harness_begin(&h, &config);
	setsockopt(h.wire, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	harness_feed(&h, 0, row, 1);
	harness_expect_request(&h); /* and is never answered */
	for (bool full = false; !full;)
	{
		uint8_t header[KSEG_FRAME_HEADER];
		static uint8_t payload[4 + KSEG_EVENT_ENTRY + KSEG_EVENT_MAX];

		kseg_write_u32(kseg_write_u64(kseg_write_u32(payload, 1), ++row), KSEG_EVENT_MAX);
		memset(payload + 4 + KSEG_EVENT_ENTRY, '1', KSEG_EVENT_MAX);
		kseg_frame_header(header, KSEG_FRAME_EVENTS, 0, sizeof(payload));
		/* It takes 950 kB, then stops reading, and the socket fills up: a write that finds no room for two seconds says so. */
		harness_send_bytes(&h, header, sizeof(header));
		for (size_t at = 0; at < sizeof(payload) && !full;)
		{
			struct timeval wait = {.tv_sec = 2};
			ssize_t put;

			setsockopt(h.wire, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
			put = send(h.wire, payload + at, sizeof(payload) - at, MSG_NOSIGNAL);
			full = put <= 0;
			at += put > 0 ? (size_t) put : 0;
		}
		if (row > 200)
			break;
	}
	tap_ok(row > 20 && row < 100, "a courier that is fed without credit stops reading (after %" PRIu64 " events of 32 kB)", row);
	check_leaves(&h, "full");
	harness_stop(&h);
}

static HarnessFailure
fail_protocol(void (*speak)(Harness *, const HarnessConfig *))
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;

	harness_start(&h);
	speak(&h, &config);
	failed = harness_expect_failed(&h);
	harness_stop(&h);
	return failed;
}

static void
greet(Harness *h, const HarnessConfig *config)
{
	harness_send_hello(h, KSEG_WIRE_VERSION, KSEG_BUILD);
	harness_expect_frame(h, KSEG_FRAME_HELLO);
	if (config != NULL)
		harness_send_config(h, config);
}

static void
speak_other_build(Harness *h, const HarnessConfig *config)
{
	(void) config;
	harness_send_hello(h, KSEG_WIRE_VERSION, "another build");
	harness_expect_frame(h, KSEG_FRAME_HELLO);
}

static void
speak_other_version(Harness *h, const HarnessConfig *config)
{
	(void) config;
	harness_send_hello(h, KSEG_WIRE_VERSION + 1, KSEG_BUILD);
	harness_expect_frame(h, KSEG_FRAME_HELLO);
}

static void
speak_config_first(Harness *h, const HarnessConfig *config)
{
	harness_send_config(h, config);
}

static void
speak_oversize(Harness *h, const HarnessConfig *config)
{
	uint8_t header[KSEG_FRAME_HEADER];

	greet(h, config);
	kseg_frame_header(header, KSEG_FRAME_EVENTS, 0, KSEG_FRAME_MAX + 1);
	harness_send_bytes(h, header, sizeof(header));
}

static void
speak_wrong_lane(Harness *h, const HarnessConfig *config)
{
	greet(h, config);
	harness_feed(h, 1, 1, 1);
}

static void
speak_bad_events(Harness *h, const HarnessConfig *config)
{
	uint8_t payload[64];
	uint8_t *end = kseg_write_u32(kseg_write_u64(kseg_write_u32(payload, 1), 1), 30);

	greet(h, config);
	memcpy(end, "{}", 2);
	harness_send_frame(h, KSEG_FRAME_EVENTS, 0, payload, (size_t) (end + 2 - payload));
}

static void
speak_after_end(Harness *h, const HarnessConfig *config)
{
	greet(h, config);
	harness_feed(h, 0, 1, 1);
	harness_end(h);
	harness_feed(h, 0, 2, 1);
}

static void
speak_unknown_frame(Harness *h, const HarnessConfig *config)
{
	greet(h, config);
	harness_send_frame(h, (KsegFrameType) '?', 0, "x", 1);
}

static void
speak_no_json(Harness *h, const HarnessConfig *config)
{
	(void) config;
	greet(h, NULL);
	harness_send_frame(h, KSEG_FRAME_CONFIG, 0, "{\"write_key\":\"sEcret", 20);
}

static void
speak_unknown_job(Harness *h, const HarnessConfig *config)
{
	HarnessConfig other = *config;

	other.job = "bake_bread";
	greet(h, &other);
}

static void
speak_bad_endpoint(Harness *h, const HarnessConfig *config)
{
	HarnessConfig other = *config;

	other.endpoint = "https://user:sEcret+Key@host";
	greet(h, &other);
}

static void
test_protocol(void)
{
	HarnessFailure failed = fail_protocol(speak_other_build);

	tap_is(failed.failure, KSEG_FAILURE_BUILD, "another build is refused");
	tap_ok(strstr(failed.detail, "another build") != NULL && strstr(failed.detail, KSEG_BUILD) != NULL, "both builds are named");
	tap_is(fail_protocol(speak_other_version).failure, KSEG_FAILURE_BUILD, "another wire version is refused");
	tap_is(fail_protocol(speak_config_first).failure, KSEG_FAILURE_INTERNAL, "CONFIG before HELLO is refused");
	tap_is(fail_protocol(speak_oversize).failure, KSEG_FAILURE_INTERNAL, "a frame over its limit is refused");
	tap_is(fail_protocol(speak_wrong_lane).failure, KSEG_FAILURE_INTERNAL, "a lane that there is not is refused");
	tap_is(fail_protocol(speak_bad_events).failure, KSEG_FAILURE_INTERNAL, "lengths that do not add up are refused");
	tap_is(fail_protocol(speak_after_end).failure, KSEG_FAILURE_INTERNAL, "events after END are refused");
	tap_is(fail_protocol(speak_unknown_frame).failure, KSEG_FAILURE_INTERNAL, "an unknown frame is refused");
	failed = fail_protocol(speak_no_json);
	tap_is(failed.failure, KSEG_FAILURE_CONFIG, "CONFIG that is no JSON is refused");
	tap_ok(strstr(failed.detail, "sEcret") == NULL, "without quoting it");
	tap_is(fail_protocol(speak_unknown_job).failure, KSEG_FAILURE_CONFIG, "an unknown job is refused");
	failed = fail_protocol(speak_bad_endpoint);
	tap_is(failed.failure, KSEG_FAILURE_CONFIG, "an endpoint with a user in it is refused");
	tap_ok(strstr(failed.detail, "sEcret") == NULL && strstr(failed.hint, "\"endpoint\"") != NULL,
	       "without quoting it, naming the option");
}

/* What kseg.so writes while the courier fails must not hide why. */
static void
test_failed_while_fed(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 100);
	harness_answer(&h, harness_expect_request(&h), "401 No", "", "");
	for (int i = 0; i < 200; i++)
		harness_feed(&h, 0, 1000, 1000);
	failed = harness_expect_failed(&h);
	tap_is(failed.failure, KSEG_FAILURE_AUTH, "a courier that has failed takes what still comes, and drops it");
	harness_stop(&h);
}

/* ---------- the process ---------- */

static void
read_proc(Harness *h, const char *file, char *out, size_t room)
{
	char path[64];
	FILE *stream;
	size_t length = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int) h->pid, file);
	stream = fopen(path, "r");
	if (stream != NULL)
	{
		length = fread(out, 1, room - 1, stream);
		fclose(stream);
	}
	for (size_t i = 0; i < length; i++)
		out[i] = out[i] == '\0' ? ' ' : out[i];
	out[length] = '\0';
}

/* What a parent of a courier may have: signals blocked, and descriptors (0 and 200) that lead to one pipe. */
static int
begin_with_inheritance(Harness *h, const HarnessConfig *config)
{
	int leak[2];
	int input = dup(STDIN_FILENO);
	sigset_t all;
	sigset_t before;

	if (pipe(leak) != 0 || dup2(leak[1], STDIN_FILENO) < 0 || dup2(leak[1], 200) < 0)
		tap_die("no pipe");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	harness_begin(h, config);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (input >= 0)
		dup2(input, STDIN_FILENO);
	else
		close(STDIN_FILENO);
	close(input);
	close(leak[1]);
	close(200);
	return leak[0];
}

static void
test_process(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	int leak = begin_with_inheritance(&h, &config);
	struct pollfd closed = {.fd = leak, .events = POLLIN};
	char text[4096];
	struct stat owner;

	tap_ok(poll(&closed, 1, HARNESS_WAIT_MS) == 1 && read(leak, text, 1) == 0,
	       "the courier has closed what it inherited, standard input too");
	read_proc(&h, "oom_score_adj", text, sizeof(text));
	tap_is(atoi(text), 1000, "it is the first for the kernel to kill");
	read_proc(&h, "cmdline", text, sizeof(text));
	tap_is_text(text, "kseg-courier ", "its command line says nothing but its name");
	read_proc(&h, "status", text, sizeof(text));
	tap_has(text, "SigBlk:\t0000000000000000", "it blocks no signal, though its parent did");
	if (geteuid() != 0)
	{
		/* For root this looks the same either way. */
		snprintf(text, sizeof(text), "/proc/%d/mem", (int) h.pid);
		tap_ok(stat(text, &owner) == 0 && owner.st_uid == 0, "its memory is not for others of its user");
	}
	close(leak);
	harness_stop(&h);
}

static void
test_by_hand(void)
{
	int output[2];
	char text[512];
	ssize_t length;
	int status;
	pid_t pid;

	if (pipe(output) != 0)
		tap_die("no pipe");
	pid = fork();
	if (pid == 0)
	{
		dup2(output[1], STDERR_FILENO);
		close(KSEG_WIRE_FD);
		execl(getenv("KSEG_COURIER"), "kseg-courier", (char *) NULL);
		_exit(127);
	}
	close(output[1]);
	length = read(output[0], text, sizeof(text) - 1);
	text[length > 0 ? length : 0] = '\0';
	close(output[0]);
	waitpid(pid, &status, 0);
	tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 2 && strstr(text, "kseg") != NULL, "started by hand it says what it is");
}

/* Dead, or dead and not reaped: in a container without an init nobody reaps it. */
static bool
is_dead(pid_t pid)
{
	char path[64];
	char text[512] = "";
	FILE *stream;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	stream = fopen(path, "r");
	if (stream == NULL)
		return true;
	if (fgets(text, sizeof(text), stream) == NULL)
		text[0] = '\0';
	fclose(stream);
	return text[0] == '\0' || strstr(text, ") Z ") != NULL;
}

/* Start a courier, say its pid, leave the wire's end with a process that lives as long as the pipe hold, and be killed. */
static void
be_a_parent_that_dies(int say, const int *hold)
{
	Harness h;
	HarnessConfig config = harness_defaults();

	harness_begin(&h, &config);
	if (write(say, &h.pid, sizeof(h.pid)) != sizeof(h.pid))
		_exit(1);
	if (fork() == 0)
	{
		char byte;

		close(hold[1]);
		while (read(hold[0], &byte, 1) > 0)
			;
		_exit(0);
	}
	raise(SIGKILL);
}

/* A parent that dies takes its courier along, though something else still holds the wire open. */
static void
test_parent_dies(void)
{
	int say[2];
	int hold[2];
	pid_t parent;
	pid_t courier = 0;
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;

	if (pipe(say) != 0 || pipe(hold) != 0)
		tap_die("no pipe");
	parent = fork();
	if (parent == 0)
		be_a_parent_that_dies(say[1], hold);
	close(say[1]);
	close(hold[0]);
	waitpid(parent, NULL, 0);
	if (read(say[0], &courier, sizeof(courier)) != sizeof(courier))
		tap_die("the parent said nothing");
	while (!is_dead(courier) && harness_now_ms() < deadline)
		;
	tap_ok(is_dead(courier), "a parent that is killed takes its courier along");
	close(say[0]);
	close(hold[1]);
}

int
main(void)
{
	test_by_hand();
	test_process();
	test_parent_dies();
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
	test_end_of_wire();
	test_end_of_wire_when_full();
	test_protocol();
	test_failed_while_fed();
	return tap_end();
}
