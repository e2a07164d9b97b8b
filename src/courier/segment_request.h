/*
 * segment_request.h
 *	  One libcurl handle: how it is set up, one request at a time through it, and what came back.
 *
 * Owns: the handle, its headers and its answer. Refuses: to try again or to judge an answer. Its callbacks note and
 * return; they never leave by another way.
 *
 * What it holds to (hazards.md, libcurl): https alone, or plaintext to a loopback address, checked where the socket is
 * made; no redirects, no proxy and no netrc from the environment; TLS 1.2 or later, verified; answers, connecting,
 * stalling and the whole request are bounded; every option's return is checked.
 */
#ifndef KSEG_COURIER_SEGMENT_REQUEST_H
#define KSEG_COURIER_SEGMENT_REQUEST_H

#include <stdbool.h>

#include "courier/config.h"
#include "courier/curl_compat.h"
#include "courier/failure.h"
#include "courier/segment_answer.h"

/* Text of "[address]:port", of any family. */
#define KSEG_ADDRESS_TEXT 80

typedef struct KsegRequest
{
	CURL *easy;
	CURLM *multi; /* where it is under way, NULL: it is not */
	struct curl_slist *headers;
	bool plaintext;                          /* http: only loopback addresses may be connected to */
	char refused_address[KSEG_ADDRESS_TEXT]; /* the last one that was not allowed; "" when none was */
	char error[CURL_ERROR_SIZE];             /* libcurl's words about the last request */
	KsegAnswer answer;
	uint64_t uploaded; /* bytes of the last body that were transmitted */
} KsegRequest;

/* What the result of a transfer means, before any HTTP status counts. */
typedef enum KsegTransfer
{
	KSEG_TRANSFER_ANSWERED, /* there is an answer with a status */
	KSEG_TRANSFER_AGAIN,    /* a network error: try again */
	KSEG_TRANSFER_CONFIG,   /* TLS or the CA file: the configuration has to change */
	KSEG_TRANSFER_ADDRESS,  /* plaintext to an address that is not loopback */
	KSEG_TRANSFER_INTERNAL  /* libcurl could not do what it was asked */
} KsegTransfer;

/*
 * Is this URL one that kseg connects to: http or https, a host, no user, no query? False: problem says why. host (may be
 * NULL) gets the host's name and is freed with curl_free.
 */
extern bool request_check_url(const char *url, char *problem, size_t room, char **host);

/* Open the handle for this URL. user_agent is complete. False: report says why, and the request is closed. */
extern bool request_open(KsegRequest *request, const KsegConfig *config, const char *url,
                         KsegFailureReport *report);
extern void request_close(KsegRequest *request);

/* Send the write key with every request, as HTTP Basic user with an empty password. */
extern bool request_use_key(KsegRequest *request, const char *write_key, KsegFailureReport *report);

/*
 * Begin to POST a body, which must stay as it is until the request has ended. attempts are those made before.
 * Returns false when libcurl refuses; report says why.
 */
extern bool request_start_post(KsegRequest *request, CURLM *multi, const char *body, size_t length, bool gzip,
                               uint32_t attempts, KsegFailureReport *report);

/* Begin to GET the URL. */
extern bool request_start_get(KsegRequest *request, CURLM *multi, KsegFailureReport *report);

/* libcurl says that the transfer has ended: note its answer and let go of the multi handle. */
extern KsegTransfer request_finish(KsegRequest *request, CURLcode code);

/* libcurl's words about the last request, or what the code means. */
extern const char *request_error_words(const KsegRequest *request, CURLcode code);

#endif /* KSEG_COURIER_SEGMENT_REQUEST_H */
