/*
 * segment_failure.h
 *	  Why Segment's side ends a run, in words a user can act on.
 */
#ifndef KSEG_COURIER_SEGMENT_FAILURE_H
#define KSEG_COURIER_SEGMENT_FAILURE_H

#include "courier/courier.h"
#include "courier/segment_request.h"

/* Bytes of segment_describe_result's text: the words and some more. */
#define KSEG_RESULT_MAX (KSEG_WORDS_MAX + 200)

/*
 * What came of a request, as a sentence without its period: "The endpoint answered HTTP status 503: words" or "libcurl
 * says: words". out has KSEG_RESULT_MAX bytes; the secret is masked.
 */
extern void segment_describe_result(char *out, const KsegRequest *request, CURLcode code,
                                    const KsegSecret *secret);

/*
 * Are endpoint and key_endpoint URLs that kseg connects to? False: the courier's failure says why not. host (may be NULL)
 * gets the endpoint's host, for curl_free.
 */
extern bool segment_check_config(KsegCourier *courier, char **host);

/* The answer, sorted as AUTH or REFUSED, ends the run. */
extern void segment_fail_answer(KsegCourier *courier, const KsegRequest *request, KsegVerdict verdict);

/* The transfer, sorted as CONFIG, ADDRESS or INTERNAL, ends the run. */
extern void segment_fail_transfer(KsegCourier *courier, const KsegRequest *request, KsegTransfer transfer,
                                  CURLcode code);

/* The last of attempts requests failed, too, and there is no further one: by count (else by age). */
extern void segment_fail_exhausted(KsegCourier *courier, const KsegRequest *request, CURLcode code,
                                   uint32_t attempts, bool by_count);

#endif /* KSEG_COURIER_SEGMENT_FAILURE_H */
