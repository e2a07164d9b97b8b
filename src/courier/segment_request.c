/*
 * segment_request.c
 *	  The libcurl handle of a lane. See segment_request.h.
 */
#include "courier/segment_request.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "courier/address.h"
#include "courier/clock.h"

/* Connecting takes three round trips; 10 s are more than any line needs (Segment's own libraries: 10 to 15 s in all). */
#define REQUEST_CONNECT_MS (10 * 1000)
/* Silence for this long is a dead peer, unless the whole request may take more than twice as long. */
#define REQUEST_STALL_MS (30 * 1000)
/* "Do not pin addresses; resolve again at least daily" (segment.md): hourly, as a handshake an hour costs nothing. */
#define REQUEST_CONNECTION_AGE_S 3600
/* An idle connection is not used again after this long: servers close theirs after one to five minutes. */
#define REQUEST_CONNECTION_IDLE_S 60
#define REQUEST_DNS_CACHE_S       60
/* Bytes handed to the socket at once: a body is under half a megabyte, so it takes two calls. */
#define REQUEST_UPLOAD_BUFFER (256 * 1024)

/* ---------- callbacks ---------- */

/* The address is the one that the socket will really connect to: a name may resolve to anything. */
static curl_socket_t
request_open_socket(void *argument, curlsocktype purpose, struct curl_sockaddr *address)
{
	KsegRequest *request = argument;

	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	if (request->plaintext && !address_is_loopback(&address->addr))
	{
		address_write(request->refused_address, &address->addr);
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t
request_take_header(char *line, size_t size, size_t length, void *argument)
{
	KsegRequest *request = argument;

	answer_take_header(&request->answer, line, size * length, clock_unix_ms());
	return size * length;
}

static size_t
request_take_body(char *data, size_t size, size_t length, void *argument)
{
	KsegRequest *request = argument;

	/* 0 bytes taken: libcurl ends the transfer with CURLE_WRITE_ERROR, which request_finish knows. */
	return answer_take_body(&request->answer, data, size * length) ? size * length : 0;
}

/* ---------- options ---------- */

typedef struct RequestOption
{
	CURLoption option;
	long value;
} RequestOption;

/* Options that are the same for every request. */
static const RequestOption request_options[] = {
    {CURLOPT_NOSIGNAL, 1},
#ifdef KSEG_CURL_HAS_QUICK_EXIT
    {CURLOPT_QUICK_EXIT, 1},
#endif
#ifdef KSEG_CURL_HAS_MAXLIFETIME_CONN
    {CURLOPT_MAXLIFETIME_CONN, REQUEST_CONNECTION_AGE_S},
#endif
    {CURLOPT_MAXAGE_CONN, REQUEST_CONNECTION_IDLE_S},
    {CURLOPT_DNS_CACHE_TIMEOUT, REQUEST_DNS_CACHE_S},
    {CURLOPT_FOLLOWLOCATION, 0},
    {CURLOPT_NETRC, (long) CURL_NETRC_IGNORED},
    {CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1},
    {CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2},
    {CURLOPT_SSL_VERIFYPEER, 1},
    {CURLOPT_SSL_VERIFYHOST, 2},
    {CURLOPT_TCP_NODELAY, 1},
    {CURLOPT_TCP_KEEPALIVE, 1},
    {CURLOPT_TCP_KEEPIDLE, 30},
    {CURLOPT_TCP_KEEPINTVL, 15},
    {CURLOPT_LOW_SPEED_LIMIT, 1},
    {CURLOPT_UPLOAD_BUFFERSIZE, REQUEST_UPLOAD_BUFFER},
};

static long
request_stall_seconds(const KsegConfig *config)
{
	int64_t stall =
	    config->request_timeout_ms / 2 > REQUEST_STALL_MS ? config->request_timeout_ms / 2 : REQUEST_STALL_MS;

	return (long) (stall / 1000);
}

static CURLcode
request_set_table(CURL *easy)
{
	CURLcode code = CURLE_OK;

	for (size_t i = 0; code == CURLE_OK && i < sizeof(request_options) / sizeof(request_options[0]); i++)
		code = curl_easy_setopt(easy, request_options[i].option, request_options[i].value);
	return code;
}

static CURLcode
request_set_times(CURL *easy, const KsegConfig *config)
{
	long whole = (long) config->request_timeout_ms;
	CURLcode code = curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, whole);

	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
		                        whole < REQUEST_CONNECT_MS ? whole : REQUEST_CONNECT_MS);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, request_stall_seconds(config));
	return code;
}

static CURLcode
request_set_target(KsegRequest *request, const KsegConfig *config, const char *url)
{
	char agent[256];
	CURLcode code = curl_easy_setopt(request->easy, CURLOPT_URL, url);

	snprintf(agent, sizeof(agent), "%s/%s", config->library_name, config->library_version);
	if (code == CURLE_OK)
		code = curl_easy_setopt(request->easy, KSEG_CURL_PROTOCOLS,
		                        request->plaintext ? KSEG_CURL_PROTOCOL_HTTP : KSEG_CURL_PROTOCOL_HTTPS);
	if (code == CURLE_OK)
		code = curl_easy_setopt(request->easy, CURLOPT_PROXY, ""); /* none, whatever the environment says */
	if (code == CURLE_OK)
		code = curl_easy_setopt(request->easy, CURLOPT_USERAGENT, agent);
	if (code == CURLE_OK && config->ca_file[0] != '\0')
		code = curl_easy_setopt(request->easy, CURLOPT_CAINFO, config->ca_file);
	/* Only these authorities, then: not the system's folder of them besides. */
	if (code == CURLE_OK && config->ca_file[0] != '\0')
		code = curl_easy_setopt(request->easy, CURLOPT_CAPATH, NULL);
	return code;
}

static CURLcode
request_set_callbacks(KsegRequest *request)
{
	CURL *easy = request->easy;
	CURLcode code = curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error);

	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, request_open_socket);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, request);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, request_take_header);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, request_take_body);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	return code;
}

static bool
request_report_setup(KsegFailureReport *report, const char *words)
{
	if (failure_set(report, KSEG_FAILURE_INTERNAL, 0, "could not set up a request to the endpoint"))
		failure_set_detail(report, "libcurl says: %s.", words);
	return false;
}

/* ---------- opening and closing ---------- */

/* A part of a parsed URL is there. */
static bool
request_url_has(CURLU *url, CURLUPart part)
{
	char *text = NULL;
	bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;

	curl_free(text);
	return has;
}

static const char *
request_url_problem(CURLU *parsed, const char *url)
{
	if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
		return "it begins neither with https:// nor with http://";
	if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK)
		return "it is not a URL";
	if (request_url_has(parsed, CURLUPART_USER) || request_url_has(parsed, CURLUPART_PASSWORD))
		return "it names a user or a password";
	if (request_url_has(parsed, CURLUPART_QUERY) || request_url_has(parsed, CURLUPART_FRAGMENT))
		return "it has a query or a fragment";
	return NULL;
}

bool
request_check_url(const char *url, char *problem, size_t room, char **host)
{
	CURLU *parsed = curl_url();
	const char *words = parsed == NULL ? "out of memory" : request_url_problem(parsed, url);

	if (words == NULL && host != NULL && curl_url_get(parsed, CURLUPART_HOST, host, 0) != CURLUE_OK)
		words = "it names no host";
	curl_url_cleanup(parsed);
	if (words != NULL)
		snprintf(problem, room, "%s", words);
	return words == NULL;
}

bool
request_open(KsegRequest *request, const KsegConfig *config, const char *url, KsegFailureReport *report)
{
	CURLcode code;

	*request = (KsegRequest){.plaintext = strncmp(url, "http://", 7) == 0};
	answer_reset(&request->answer);
	request->easy = curl_easy_init();
	if (request->easy == NULL)
		return request_report_setup(report, "out of memory");
	code = request_set_table(request->easy);
	if (code == CURLE_OK)
		code = request_set_times(request->easy, config);
	if (code == CURLE_OK)
		code = request_set_target(request, config, url);
	if (code == CURLE_OK)
		code = request_set_callbacks(request);
	if (code == CURLE_OK)
		return true;
	request_close(request);
	return request_report_setup(report, curl_easy_strerror(code));
}

void
request_close(KsegRequest *request)
{
	if (request->multi != NULL)
		curl_multi_remove_handle(request->multi, request->easy);
	curl_easy_cleanup(request->easy);
	curl_slist_free_all(request->headers);
	buffer_free(&request->answer.body);
	*request = (KsegRequest){0};
}

bool
request_use_key(KsegRequest *request, const char *write_key, KsegFailureReport *report)
{
	CURLcode code = curl_easy_setopt(request->easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);

	if (code == CURLE_OK)
		code = curl_easy_setopt(request->easy, CURLOPT_USERNAME, write_key);
	if (code == CURLE_OK)
		code = curl_easy_setopt(request->easy, CURLOPT_PASSWORD, "");
	return code == CURLE_OK || request_report_setup(report, curl_easy_strerror(code));
}

/* ---------- a request ---------- */

static bool
request_add_header(KsegRequest *request, const char *header)
{
	struct curl_slist *longer = curl_slist_append(request->headers, header);

	if (longer != NULL)
		request->headers = longer;
	return longer != NULL;
}

/* Expect is taken out: it would cost a round trip for every body. */
static bool
request_make_headers(KsegRequest *request, bool gzip, uint32_t attempts)
{
	char retry[64];

	curl_slist_free_all(request->headers);
	request->headers = NULL;
	snprintf(retry, sizeof(retry), "X-Retry-Count: %u", attempts);
	return request_add_header(request, "Content-Type: application/json") &&
	       request_add_header(request, "Expect:") &&
	       (!gzip || request_add_header(request, "Content-Encoding: gzip")) &&
	       (attempts == 0 || request_add_header(request, retry));
}

static bool
request_start(KsegRequest *request, CURLM *multi, KsegFailureReport *report)
{
	CURLMcode code;

	answer_reset(&request->answer);
	request->refused_address[0] = '\0';
	request->error[0] = '\0';
	code = curl_multi_add_handle(multi, request->easy);
	if (code != CURLM_OK)
		return request_report_setup(report, curl_multi_strerror(code));
	request->multi = multi;
	return true;
}

bool
request_start_post(KsegRequest *request, CURLM *multi, const char *body, size_t length, bool gzip,
                   uint32_t attempts, KsegFailureReport *report)
{
	CURLcode code = CURLE_OUT_OF_MEMORY;

	if (request_make_headers(request, gzip, attempts))
		code = curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, request->headers);
	if (code == CURLE_OK)
		code = curl_easy_setopt(request->easy, CURLOPT_POST, 1L);
	if (code == CURLE_OK)
		code = curl_easy_setopt(request->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) length);
	if (code == CURLE_OK)
		code = curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, body);
	if (code != CURLE_OK)
		return request_report_setup(report, curl_easy_strerror(code));
	return request_start(request, multi, report);
}

bool
request_start_get(KsegRequest *request, CURLM *multi, KsegFailureReport *report)
{
	CURLcode code = curl_easy_setopt(request->easy, CURLOPT_HTTPGET, 1L);

	if (code != CURLE_OK)
		return request_report_setup(report, curl_easy_strerror(code));
	return request_start(request, multi, report);
}

/* ---------- its end ---------- */

typedef struct RequestCode
{
	CURLcode code;
	KsegTransfer transfer;
} RequestCode;

/* Everything that is not named is the network's, and is tried again. */
static const RequestCode request_codes[] = {
    {CURLE_OK, KSEG_TRANSFER_ANSWERED},
    {CURLE_PEER_FAILED_VERIFICATION, KSEG_TRANSFER_CONFIG},
    {CURLE_SSL_CACERT_BADFILE, KSEG_TRANSFER_CONFIG},
    {CURLE_SSL_CIPHER, KSEG_TRANSFER_CONFIG},
    {CURLE_SSL_ISSUER_ERROR, KSEG_TRANSFER_CONFIG},
    {CURLE_URL_MALFORMAT, KSEG_TRANSFER_CONFIG},
    {CURLE_FAILED_INIT, KSEG_TRANSFER_INTERNAL},
    {CURLE_NOT_BUILT_IN, KSEG_TRANSFER_INTERNAL},
    {CURLE_BAD_FUNCTION_ARGUMENT, KSEG_TRANSFER_INTERNAL},
    {CURLE_UNKNOWN_OPTION, KSEG_TRANSFER_INTERNAL},
    {CURLE_OUT_OF_MEMORY, KSEG_TRANSFER_INTERNAL},
};

static KsegTransfer
request_sort_code(const KsegRequest *request, CURLcode code)
{
	/* A good answer's status stands even if its body was too long to read. */
	if (code == CURLE_WRITE_ERROR && request->answer.body_length > KSEG_ANSWER_MAX)
		return KSEG_TRANSFER_ANSWERED;
	if (code != CURLE_OK && request->refused_address[0] != '\0' && request->answer.status == 0)
		return KSEG_TRANSFER_ADDRESS;
	for (size_t i = 0; i < sizeof(request_codes) / sizeof(request_codes[0]); i++)
	{
		if (request_codes[i].code == code)
			return request_codes[i].transfer;
	}
	return KSEG_TRANSFER_AGAIN;
}

KsegTransfer
request_finish(KsegRequest *request, CURLcode code)
{
	long status = 0;
	curl_off_t uploaded = 0;

	if (curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status > 0)
		request->answer.status = (uint32_t) status;
	if (curl_easy_getinfo(request->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded) == CURLE_OK && uploaded > 0)
		request->uploaded = (uint64_t) uploaded;
	else
		request->uploaded = 0;
	curl_multi_remove_handle(request->multi, request->easy);
	request->multi = NULL;
	return request_sort_code(request, code);
}

const char *
request_error_words(const KsegRequest *request, CURLcode code)
{
	return request->error[0] != '\0' ? request->error : curl_easy_strerror(code);
}
