/*
 * segment_multi.c
 *	  The multi handle. See segment_multi.h.
 */
#include "courier/segment_multi.h"

#include <poll.h>

static void
multi_fail(KsegFailureReport *report, const char *words)
{
	if (failure_set(report, KSEG_FAILURE_INTERNAL, 0, "could not drive the requests to the endpoint"))
		failure_set_detail(report, "libcurl says: %s.", words);
}

CURLM *
multi_open(long connections, KsegFailureReport *report)
{
	CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
	CURLM *multi = code == CURLE_OK ? curl_multi_init() : NULL;

	if (multi == NULL)
	{
		multi_fail(report, code == CURLE_OK ? "out of memory or descriptors" : curl_easy_strerror(code));
		return NULL;
	}
	if (curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, connections) != CURLM_OK ||
	    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING) != CURLM_OK)
	{
		curl_multi_cleanup(multi);
		multi_fail(report, "it does not know an option of connections");
		return NULL;
	}
	return multi;
}

void
multi_perform(CURLM *multi, KsegFailureReport *report)
{
	int running;
	CURLMcode code = curl_multi_perform(multi, &running);

	if (code != CURLM_OK)
		multi_fail(report, curl_multi_strerror(code));
}

/*
 * How a transfer ended. libcurl is content with a status line alone when the connection ends in order after it; but an
 * answer whose headers broke off says nothing of what became of the events, whatever its status.
 */
static CURLcode
multi_read_code(const CURLMsg *message, const KsegRequest *request)
{
	CURLcode code = message->data.result;

	return code == CURLE_OK && !request->answer.head_ended ? CURLE_PARTIAL_FILE : code;
}

KsegRequest *
multi_next_ended(CURLM *multi, CURLcode *code)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		char *request = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request) == CURLE_OK &&
		    request != NULL)
		{
			*code = multi_read_code(message, (KsegRequest *) (void *) request);
			return (KsegRequest *) (void *) request;
		}
	}
	return NULL;
}

void
multi_wait(CURLM *multi, int wire_fd, short wire_events, int wait_ms, KsegFailureReport *report)
{
	struct curl_waitfd wire = {.fd = wire_fd};
	CURLMcode code;

	if (wire_events & POLLIN)
		wire.events |= CURL_WAIT_POLLIN;
	if (wire_events & POLLOUT)
		wire.events |= CURL_WAIT_POLLOUT;
	code = curl_multi_poll(multi, &wire, 1, wait_ms, NULL);
	if (code != CURLM_OK)
		multi_fail(report, curl_multi_strerror(code));
}
