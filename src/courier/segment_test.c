/*
 * segment_test.c
 *	  The job segment_test: how far can the endpoint be reached, said in CHECK frames, always the same five in order.
 *
 * Owns: one or two requests, made once: a test tells what is, so nothing is tried again. Refuses: to deliver an event.
 *
 * The probe is a POST of an empty batch to the very URL that a run uses, with the write key: it passes every gate that a
 * run passes (proxies, WAFs, the key, the path), and an empty batch holds nothing that could become an event. A receiver
 * that finds it wrong to be empty says 400 or 422, which is the endpoint answering, too.
 *
 * Segment accepts every key there (segment.md), so where key_endpoint is given the key is looked up with it: 200 for a key
 * it knows, 404 for one it does not. Other products say 401 or 403 to the probe itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "courier/courier.h"
#include "courier/segment_body.h"
#include "courier/segment_failure.h"
#include "courier/segment_multi.h"
#include "courier/words.h"
#include "courier/wire_report.h"

typedef enum TestStage
{
	TEST_START,
	TEST_PROBE, /* the empty batch is under way */
	TEST_KEY,   /* the key is being looked up */
	TEST_OVER
} TestStage;

typedef struct KsegTest
{
	KsegCourier *courier;
	CURLM *multi;
	TestStage stage;
	KsegBodyForm form;
	KsegBatch *nothing; /* an empty batch */
	KsegBody body;
	char *host;
	KsegRequest probe;
	KsegRequest key;
	char tls[128];       /* libcurl's words about the TLS connection: version and cipher */
	KsegTransfer result; /* the probe's */
	CURLcode code;
} KsegTest;

#define TEST_NOT_REACHED "Not tried: the step before it failed."

static void
test_check(KsegTest *test, const char *check, KsegCheckResult ok, const char *detail, const char *hint)
{
	wire_report_check(&test->courier->io, &test->courier->secret, check, ok, detail,
	                  ok == KSEG_CHECK_NO ? hint : "");
}

/* ---------- the requests ---------- */

/* "SSL connection using TLSv1.3 / TLS_AES_256_GCM_SHA384": said to the debug function alone, by every TLS library. */
static int
test_note_tls(CURL *easy, curl_infotype type, char *data, size_t length, void *argument)
{
	static const char prefix[] = "SSL connection using ";
	KsegTest *test = argument;
	size_t skip = strlen(prefix);

	(void) easy;
	if (type == CURLINFO_TEXT && length > skip && memcmp(data, prefix, skip) == 0)
		words_clean(test->tls, sizeof(test->tls), data + skip, length - skip);
	return 0;
}

static bool
test_listen(KsegTest *test)
{
	CURL *easy = test->probe.easy;
	CURLcode code = curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, test_note_tls);

	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_DEBUGDATA, test);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
	if (code != CURLE_OK &&
	    failure_set(&test->courier->failure, KSEG_FAILURE_INTERNAL, 0, "could not set up a test"))
		failure_set_detail(&test->courier->failure, "libcurl says: %s.", curl_easy_strerror(code));
	return code == CURLE_OK;
}

static void
test_start_probe(KsegTest *test)
{
	KsegCourier *courier = test->courier;
	KsegBatchRange none = {.offset = KSEG_BATCH_HEAD_LENGTH};
	char url[4096];

	test->stage = TEST_PROBE;
	test->nothing = batch_create();
	body_form_open(&test->form, &courier->config);
	snprintf(url, sizeof(url), "%s/v1/batch", courier->config.endpoint);
	if (!request_open(&test->probe, &courier->config, url, &courier->failure) ||
	    !request_use_key(&test->probe, courier->config.write_key, &courier->failure) || !test_listen(test))
		return;
	if (!body_build(&test->body, &test->form, test->nothing, &none, clock_unix_ms()))
		failure_set(&courier->failure, KSEG_FAILURE_INTERNAL, 0, "could not compress a request");
	else
		request_start_post(&test->probe, test->multi, test->body.data, test->body.length,
		                   test->form.compressor != NULL, 0, &courier->failure);
}

static void
test_start_key(KsegTest *test)
{
	KsegCourier *courier = test->courier;
	char *escaped = curl_easy_escape(test->probe.easy, courier->config.write_key, 0);
	char url[8192];

	test->stage = TEST_KEY;
	snprintf(url, sizeof(url), "%s/v1/projects/%s/settings", courier->config.key_endpoint,
	         escaped != NULL ? escaped : "");
	curl_free(escaped);
	if (request_open(&test->key, &courier->config, url, &courier->failure))
		request_start_get(&test->key, test->multi, &courier->failure);
	explicit_bzero(url, sizeof(url));
}

/* ---------- what they tell ---------- */

/* A time since the request began, in ms; 0: it did not come that far. */
static double
test_time_ms(const KsegTest *test, CURLINFO info)
{
	curl_off_t time = 0;

	if (curl_easy_getinfo(test->probe.easy, info, &time) != CURLE_OK)
		return 0;
	return (double) time / 1000;
}

static bool
test_check_name(KsegTest *test, const char *words)
{
	double time = test_time_ms(test, CURLINFO_NAMELOOKUP_TIME_T);
	bool ok = test->code == CURLE_OK || (test->code != CURLE_COULDNT_RESOLVE_HOST && time > 0);
	char detail[KSEG_WORDS_MAX + 300];

	if (ok)
		snprintf(detail, sizeof(detail), "%s was resolved in %.1f ms", test->host, time);
	else
		snprintf(detail, sizeof(detail), "%s: %s", test->host, words);
	test_check(test, "name resolution", ok ? KSEG_CHECK_YES : KSEG_CHECK_NO, detail,
	           "Check the host in the server option \"endpoint\", and the resolver of the machine that "
	           "PostgreSQL runs on.");
	return ok;
}

/* TLS begins on a connection that is there; libcurl 7.88 has no CURLINFO_CONNECT_TIME then. */
static bool
test_is_tls_error(CURLcode code)
{
	return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
	       code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR ||
	       code == CURLE_SSL_CERTPROBLEM;
}

static bool
test_check_connection(KsegTest *test, const char *words)
{
	const char *hint =
	    "A firewall or SELinux may keep PostgreSQL from connecting out; check the host and port in the "
	    "server option \"endpoint\".";
	double time = test_time_ms(test, CURLINFO_CONNECT_TIME_T);
	double before = test_time_ms(test, CURLINFO_NAMELOOKUP_TIME_T);
	bool ok = time > 0 || test_is_tls_error(test->code);
	char *address = NULL;
	long port = 0;
	char detail[KSEG_WORDS_MAX + 300];

	curl_easy_getinfo(test->probe.easy, CURLINFO_PRIMARY_IP, &address);
	curl_easy_getinfo(test->probe.easy, CURLINFO_PRIMARY_PORT, &port);
	if (time > 0)
		snprintf(detail, sizeof(detail), "%s port %ld in %.1f ms", address != NULL ? address : "", port,
		         time - before);
	else if (ok)
		snprintf(detail, sizeof(detail), "%s", test->host);
	else if (test->result == KSEG_TRANSFER_ADDRESS)
	{
		snprintf(detail, sizeof(detail), "Plaintext is for loopback only, and the address is %s",
		         test->probe.refused_address);
		hint = "Use https:// in the server option \"endpoint\".";
	}
	else
		snprintf(detail, sizeof(detail), "%s", words);
	test_check(test, "connection", ok ? KSEG_CHECK_YES : KSEG_CHECK_NO, detail, hint);
	return ok;
}

static bool
test_check_tls(KsegTest *test, const char *words)
{
	double time = test_time_ms(test, CURLINFO_APPCONNECT_TIME_T);
	char detail[KSEG_WORDS_MAX + 300];

	if (test->probe.plaintext)
	{
		test_check(test, "TLS", KSEG_CHECK_CANNOT_TELL, "The endpoint is plaintext on loopback", "");
		return true;
	}
	if (time > 0)
		snprintf(detail, sizeof(detail), "%s, certificate verified, %.1f ms",
		         test->tls[0] != '\0' ? test->tls : "TLS",
		         time - test_time_ms(test, CURLINFO_CONNECT_TIME_T));
	else
		snprintf(detail, sizeof(detail), "%s", words);
	test_check(test, "TLS", time > 0 ? KSEG_CHECK_YES : KSEG_CHECK_NO, detail,
	           "The server option \"ca_file\" names the authorities to trust, in PEM; the host in "
	           "\"endpoint\" must be one "
	           "that the certificate names.");
	return time > 0;
}

/* 2xx, and what a receiver says to a batch that it read and found empty, or to a key that it does not know. */
static bool
test_answer_is_good(KsegVerdict verdict)
{
	return verdict == KSEG_VERDICT_ACCEPTED || verdict == KSEG_VERDICT_HALVE || verdict == KSEG_VERDICT_AUTH;
}

static bool
test_check_answer(KsegTest *test)
{
	KsegVerdict verdict = answer_sort(&test->probe.answer);
	bool ok = test->result == KSEG_TRANSFER_ANSWERED && test_answer_is_good(verdict);
	const char *hint =
	    verdict == KSEG_VERDICT_REFUSED
	        ? "Check the server option \"endpoint\": kseg appends /v1/batch to it and follows no redirect."
	        : "The endpoint is there but takes nothing now; a run would try again for as long as the server "
	          "options \"max_retries\" and \"max_retry_age\" say.";
	double time = test_time_ms(test, CURLINFO_TOTAL_TIME_T) - test_time_ms(test, CURLINFO_PRETRANSFER_TIME_T);
	char result[KSEG_RESULT_MAX];
	char detail[KSEG_RESULT_MAX + 100];

	segment_describe_result(result, &test->probe,
	                        test->result == KSEG_TRANSFER_ANSWERED ? CURLE_OK : test->code,
	                        &test->courier->secret);
	snprintf(detail, sizeof(detail), "%s (%.1f ms)", result, time);
	if (test->code == CURLE_OPERATION_TIMEDOUT)
		hint = "The server option \"request_timeout\" is how long a request may take.";
	test_check(test, "answer", ok ? KSEG_CHECK_YES : KSEG_CHECK_NO, detail, hint);
	return ok;
}

#define TEST_KEY_HINT "Set the user mapping's \"write_key\" to a key that this endpoint knows."

/* Where nobody else can be asked: what the probe's answer says of the key. */
static void
test_check_key_by_answer(KsegTest *test)
{
	if (answer_sort(&test->probe.answer) == KSEG_VERDICT_AUTH)
		test_check(test, "write key", KSEG_CHECK_NO, "The endpoint does not accept the write key",
		           TEST_KEY_HINT);
	else
		test_check(test, "write key", KSEG_CHECK_CANNOT_TELL,
		           "The endpoint did not object to the write key; it may accept any", "");
}

static void
test_check_key_by_lookup(KsegTest *test, KsegTransfer transfer, CURLcode code)
{
	uint32_t status = test->key.answer.status;
	char result[KSEG_RESULT_MAX];
	char detail[KSEG_RESULT_MAX + 100];

	segment_describe_result(result, &test->key, transfer == KSEG_TRANSFER_ANSWERED ? CURLE_OK : code,
	                        &test->courier->secret);
	snprintf(detail, sizeof(detail), "The settings of this key could not be looked up: %s", result);
	if (transfer == KSEG_TRANSFER_ANSWERED && status == 200)
		test_check(test, "write key", KSEG_CHECK_YES, "Segment knows the write key", "");
	else if (transfer == KSEG_TRANSFER_ANSWERED && status == 404)
		test_check(test, "write key", KSEG_CHECK_NO, "Segment does not know the write key", TEST_KEY_HINT);
	else
		test_check(test, "write key", KSEG_CHECK_CANNOT_TELL, detail, "");
}

/* The checks up to the answer; each needs the one before it. False: one of them failed, and the rest is said, too. */
static bool
test_check_way(KsegTest *test)
{
	static const char *const names[] = {"name resolution", "connection", "TLS", "answer", "write key"};
	size_t reached = 1;
	char words[KSEG_WORDS_MAX];

	words_clean(words, sizeof(words), request_error_words(&test->probe, test->code),
	            strlen(request_error_words(&test->probe, test->code)));
	if (test_check_name(test, words))
		reached += 1 + (size_t) test_check_connection(test, words);
	if (reached == 3)
		reached += (size_t) test_check_tls(test, words);
	if (reached == 4)
	{
		if (test_check_answer(test))
			return true;
	}
	for (size_t i = reached; i < sizeof(names) / sizeof(names[0]); i++)
		test_check(test, names[i], KSEG_CHECK_CANNOT_TELL, TEST_NOT_REACHED, "");
	return false;
}

static void
test_end_probe(KsegTest *test, CURLcode code)
{
	test->code = code;
	test->result = request_finish(&test->probe, code);
	test->stage = TEST_OVER;
	if (!test_check_way(test))
		return;
	if (test->courier->config.key_endpoint[0] != '\0')
		test_start_key(test);
	else
		test_check_key_by_answer(test);
}

/* ---------- the job ---------- */

static void *
test_open(KsegCourier *courier)
{
	KsegTest *test = memory_resize(NULL, sizeof(KsegTest));

	*test = (KsegTest){.courier = courier};
	test->multi = multi_open(1, &courier->failure);
	if (test->multi == NULL || !segment_check_config(courier, &test->host))
		return NULL;
	return test;
}

static bool
test_is_full(const void *state)
{
	(void) state;
	return false;
}

static int64_t
test_turn(void *state, int64_t now)
{
	KsegTest *test = state;
	KsegRequest *request;
	CURLcode code;

	if (test->stage == TEST_START)
		test_start_probe(test);
	multi_perform(test->multi, &test->courier->failure);
	request = multi_next_ended(test->multi, &code);
	if (request == NULL)
		return KSEG_CLOCK_NEVER;
	if (request == &test->probe)
		test_end_probe(test, code);
	else
	{
		test_check_key_by_lookup(test, request_finish(request, code), code);
		test->stage = TEST_OVER;
	}
	return now;
}

static bool
test_is_settled(const void *state)
{
	return ((const KsegTest *) state)->stage == TEST_OVER;
}

static void
test_report(void *state)
{
	(void) state;
}

static void
test_wait(void *state, int wire_fd, short wire_events, int wait_ms)
{
	KsegTest *test = state;

	multi_wait(test->multi, wire_fd, wire_events, wait_ms, &test->courier->failure);
}

const KsegJob segment_test_job = {
    .name = "segment_test",
    .takes_events = false,
    .open = test_open,
    .take_events = NULL,
    .is_full = test_is_full,
    .turn = test_turn,
    .is_settled = test_is_settled,
    .report = test_report,
    .wait = test_wait,
};
