/*
 * segment_multi.h
 *	  libcurl's multi handle: all requests of a job at once, and the one place where the courier sleeps in a job.
 */
#ifndef KSEG_COURIER_SEGMENT_MULTI_H
#define KSEG_COURIER_SEGMENT_MULTI_H

#include "courier/segment_request.h"

/* Set libcurl up and open a multi handle that keeps connections open. NULL: report says why. _exit closes it. */
extern CURLM *multi_open(long connections, KsegFailureReport *report);

/* Let every transfer do what it can without waiting. */
extern void multi_perform(CURLM *multi, KsegFailureReport *report);

/* The next request that has ended, and how; NULL: none. The caller ends it with request_finish before asking again. */
extern KsegRequest *multi_next_ended(CURLM *multi, CURLcode *code);

/* Wait for a transfer, for the wire (events as for poll; its end is always waited for), or for wait_ms. */
extern void multi_wait(CURLM *multi, int wire_fd, short wire_events, int wait_ms, KsegFailureReport *report);

#endif /* KSEG_COURIER_SEGMENT_MULTI_H */
