/*
 * test_config.c
 *	  CONFIG's checks; and the small parts: times, the write key's forms.
 */
#include "courier/clock.h"
#include "courier/config.h"
#include "courier/secret.h"
#include "courier/segment_request.h"
#include "tap.h"

#define GOOD                                                                                                 \
	"\"job\":\"segment_deliver\",\"endpoint\":\"https://"                                                    \
	"api.segment.io\",\"key_endpoint\":\"\",\"write_key\":\"k3y\","                                          \
	"\"compression\":\"gzip\",\"ca_file\":\"\",\"library_name\":\"kseg\",\"library_version\":\"0.1\","       \
	"\"lanes\":4,"                                                                                           \
	"\"upload_interval_ms\":500,\"request_timeout_ms\":15000,\"max_retries\":10,\"max_retry_age_ms\":600000"

/* Returns the problem, "" for none. */
static const char *
read_config(const char *json)
{
	static char problem[200];
	KsegConfig config;

	problem[0] = '\0';
	if (config_read(&config, json, strlen(json), problem, sizeof(problem)))
		config_close(&config);
	else if (problem[0] == '\0')
		return "a failure without words";
	return problem;
}

static void
test_reading(void)
{
	const char *json = "{" GOOD ",\"upload_size\":2500,\"of tomorrow\":[1]}";
	KsegConfig config;
	char problem[200];

	tap_ok(config_read(&config, json, strlen(json), problem, sizeof(problem)),
	       "a whole configuration is read");
	tap_ok(strcmp(config.endpoint, "https://api.segment.io") == 0 && strcmp(config.write_key, "k3y") == 0 &&
	           config.lanes == 4 && config.upload_size == 2500 && config.max_retry_age_ms == 600000,
	       "with its values, and unknown keys ignored");
	config_close(&config);
	config_close(&config);
	tap_ok(config.write_key == NULL, "and closed, twice");
}

static void
test_refusals(void)
{
	tap_has(read_config("{" GOOD "}"), "\"upload_size\" is missing", "a missing key is named");
	tap_has(read_config("{" GOOD ",\"upload_size\":0}"), "\"upload_size\"", "a number below its least");
	tap_has(read_config("{" GOOD ",\"upload_size\":2501}"), "\"upload_size\"", "a number above its most");
	tap_has(read_config("{" GOOD ",\"upload_size\":\"9\"}"), "\"upload_size\"", "a number as a text");
	tap_has(read_config("{" GOOD ",\"upload_size\":9,\"lanes\":33}"), "\"lanes\"",
	        "more lanes than there are");
	tap_has(read_config("{" GOOD ",\"upload_size\":9,\"write_key\":\"\"}"), "\"write_key\"",
	        "an empty write key");
	tap_has(read_config("{" GOOD ",\"upload_size\":9,\"write_key\":\"a\\r\\nb\"}"), "\"write_key\"",
	        "a line break in it");
	tap_has(read_config("{" GOOD ",\"upload_size\":9,\"endpoint\":\"a\\u0000b\"}"), "\"endpoint\"",
	        "a NUL in a text");
	tap_has(read_config("{" GOOD ",\"upload_size\":9,\"compression\":\"zip\"}"), "compression",
	        "another compression");
	tap_has(read_config("[]"), "not one JSON object", "an array");
	tap_has(read_config("{\"job\":"), "not one JSON object", "half an object");
	tap_has(read_config("{\"a\":[[[[[[[[1]]]]]]]]}"), "not one JSON object", "a deep one");
	tap_has(read_config(""), "not one JSON object", "nothing");
}

/* What request_check_url says, "" for a good one. */
static const char *
check_url(const char *url)
{
	static char problem[128];

	problem[0] = '\0';
	request_check_url(url, problem, sizeof(problem), NULL);
	return problem;
}

static void
test_urls(void)
{
	tap_is_text(check_url("https://api.segment.io"), "", "https://api.segment.io");
	tap_is_text(check_url("https://events.eu1.segmentapis.com:8443/prefix"), "", "with a port and a prefix");
	tap_is_text(check_url("http://[::1]:8765"), "", "http to an IPv6 address");
	tap_has(check_url("ftp://127.0.0.1"), "begins neither", "another scheme is refused");
	tap_has(check_url("api.segment.io"), "begins neither", "no scheme, too");
	tap_has(check_url("file:///etc/passwd"), "begins neither", "and a file");
	tap_has(check_url("https://user@host"), "user", "a user is refused");
	tap_has(check_url("https://host/?a=b"), "query", "a query is refused");
	tap_has(check_url("https://host:99999"), "not a URL", "an impossible port is refused");
	tap_has(check_url("https://"), "not a URL", "a URL without a host is refused");
}

static void
check_time(int64_t unix_ms, const char *wanted)
{
	char text[KSEG_CLOCK_UTC_LENGTH + 1] = {0};

	clock_write_utc(text, unix_ms);
	tap_is_text(text, wanted, wanted);
}

static void
test_clock(void)
{
	int64_t before = clock_now_ms();

	check_time(0, "1970-01-01T00:00:00.000Z");
	check_time(INT64_C(1785587696789), "2026-08-01T12:34:56.789Z");
	check_time(-1, "1969-12-31T23:59:59.999Z");
	check_time(INT64_C(253402300799999), "9999-12-31T23:59:59.999Z");
	check_time(INT64_MAX, "1970-01-01T00:00:00.000Z");
	tap_ok(clock_now_ms() >= before, "the clock does not go back");
}

static void
test_secret(void)
{
	static const char *const users[] = {"", "a", "ab", "abc", "sEcret+Key"};
	static const char *const wanted[] = {"Og==", "YTo=", "YWI6", "YWJjOg==", "c0VjcmV0K0tleTo="};
	KsegSecret secret;
	char text[] = "keykey k ke key";

	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
	{
		char *credentials = secret_basic_credentials(users[i]);

		tap_is_text(credentials, wanted[i], wanted[i]);
		free(credentials);
	}
	secret_open(&secret, "key");
	secret_mask(&secret, text, strlen(text));
	tap_is_text(text, "****** k ke ***", "every place of the key is masked, and nothing else");
	secret_close(&secret);
	secret_close(&secret);
	secret_open(&secret, "");
	secret_mask(&secret, text, strlen(text));
	tap_is_text(text, "****** k ke ***", "an empty key masks nothing");
	secret_close(&secret);
}

int
main(void)
{
	test_reading();
	test_refusals();
	test_urls();
	test_clock();
	test_secret();
	return tap_end();
}
