/*
 * segment_failure.c
 *	  Words for what ends a run. See segment_failure.h.
 */
#include "courier/segment_failure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "courier/words.h"

/* libcurl's words, with the secret masked and made harmless: an error can quote what a server sent. */
static void
segment_read_error_words(char *out, size_t room, const KsegRequest *request, CURLcode code,
                         const KsegSecret *secret)
{
	const char *words = request_error_words(request, code);
	size_t length = strlen(words);
	char *copy = memory_copy_text(words, length);

	secret_mask(secret, copy, length);
	words_clean(out, room, copy, length);
	free(copy);
}

/* code is 0 where an answer came, or came as far as it was read. */
void
segment_describe_result(char *out, const KsegRequest *request, CURLcode code, const KsegSecret *secret)
{
	char words[KSEG_WORDS_MAX];

	if (code != CURLE_OK)
	{
		segment_read_error_words(words, sizeof(words), request, code, secret);
		snprintf(out, KSEG_RESULT_MAX, "libcurl says: %s", words);
		return;
	}
	answer_read_words(&request->answer, secret, words, sizeof(words));
	snprintf(out, KSEG_RESULT_MAX, "The endpoint answered HTTP status %u%s%s", request->answer.status,
	         words[0] == '\0' ? "" : ": ", words);
}

static bool
segment_check_url(KsegCourier *courier, const char *url, const char *key, char **host)
{
	char problem[128];

	if (request_check_url(url, problem, sizeof(problem), host))
		return true;
	if (failure_set(&courier->failure, KSEG_FAILURE_CONFIG, 0, "could not use the endpoint"))
	{
		failure_set_detail(&courier->failure, "\"%s\" cannot be connected to: %s.", key, problem);
		failure_set_hint(&courier->failure,
		                 "Set the server option \"endpoint\" to https://host[:port][/prefix].");
	}
	return false;
}

bool
segment_check_config(KsegCourier *courier, char **host)
{
	const KsegConfig *config = &courier->config;

	return segment_check_url(courier, config->endpoint, "endpoint", host) &&
	       (config->key_endpoint[0] == '\0' ||
	        segment_check_url(courier, config->key_endpoint, "key_endpoint", NULL));
}

void
segment_fail_answer(KsegCourier *courier, const KsegRequest *request, KsegVerdict verdict)
{
	KsegFailureReport *report = &courier->failure;
	uint32_t status = request->answer.status;
	bool auth = verdict == KSEG_VERDICT_AUTH;
	char result[KSEG_RESULT_MAX];

	if (!failure_set(
	        report, auth ? KSEG_FAILURE_AUTH : KSEG_FAILURE_REFUSED, status, "could not deliver events: %s",
	        auth ? "the endpoint does not accept the write key" : "the endpoint refused a request for good"))
		return;
	segment_describe_result(result, request, CURLE_OK, &courier->secret);
	failure_set_detail(report, "%s.", result);
	if (auth)
		failure_set_hint(report, "Set the user mapping's \"write_key\" to a key that this endpoint knows.");
	else if (status >= 300 && status < 400)
		failure_set_hint(report,
		                 "kseg does not follow redirects: they would take the write key elsewhere. Set the "
		                 "server option \"endpoint\" to where this one points.");
	else
		failure_set_hint(report, "Check the server option \"endpoint\": kseg appends /v1/batch to it.");
}

static void
segment_fail_tls(KsegCourier *courier, const char *words)
{
	KsegFailureReport *report = &courier->failure;

	if (!failure_set(report, KSEG_FAILURE_CONFIG, 0, "could not make a trusted connection to the endpoint"))
		return;
	failure_set_detail(report, "libcurl says: %s.", words);
	failure_set_hint(
	    report, "The server option \"ca_file\" names the authorities to trust, in PEM; without it the "
	            "system's are trusted. The host in \"endpoint\" must be one that the certificate names.");
}

static void
segment_fail_address(KsegCourier *courier, const KsegRequest *request)
{
	KsegFailureReport *report = &courier->failure;

	if (!failure_set(report, KSEG_FAILURE_ADDRESS, 0,
	                 "could not connect to the endpoint: plaintext is for loopback only"))
		return;
	failure_set_detail(report, "The address that would be connected to is %s.", request->refused_address);
	failure_set_hint(report, "Use https:// in the server option \"endpoint\".");
}

void
segment_fail_transfer(KsegCourier *courier, const KsegRequest *request, KsegTransfer transfer, CURLcode code)
{
	char words[KSEG_WORDS_MAX];

	segment_read_error_words(words, sizeof(words), request, code, &courier->secret);
	if (transfer == KSEG_TRANSFER_ADDRESS)
		segment_fail_address(courier, request);
	else if (transfer == KSEG_TRANSFER_CONFIG)
		segment_fail_tls(courier, words);
	else if (failure_set(&courier->failure, KSEG_FAILURE_INTERNAL, 0,
	                     "could not send a request to the endpoint"))
		failure_set_detail(&courier->failure, "libcurl says: %s.", words);
}

void
segment_fail_exhausted(KsegCourier *courier, const KsegRequest *request, CURLcode code, uint32_t attempts,
                       bool by_count)
{
	KsegFailureReport *report = &courier->failure;
	const char *option = by_count ? "max_retries" : "max_retry_age";
	char result[KSEG_RESULT_MAX];

	if (!failure_set(report, KSEG_FAILURE_EXHAUSTED, code == CURLE_OK ? request->answer.status : 0,
	                 "could not deliver events: gave up after %u attempts of a request", attempts))
		return;
	segment_describe_result(result, request, code, &courier->secret);
	failure_set_detail(report, "%s.", result);
	if (code == CURLE_OPERATION_TIMEDOUT)
		failure_set_hint(
		    report,
		    "The server option \"%s\" ended the attempts; \"request_timeout\" is how long each of "
		    "them may take.",
		    option);
	else
		failure_set_hint(report,
		                 "The server option \"%s\" ended the attempts; kseg.test_server() says how far the "
		                 "endpoint can be reached.",
		                 option);
}
