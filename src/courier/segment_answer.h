/*
 * segment_answer.h
 *	  What an HTTP answer means (segment.md, "Answers and retries").
 *
 * Owns: the table of statuses, the waits that an answer asks for, the backoff, and the words that an answer holds.
 * Refuses: to do anything. All of it is a function of its arguments, the time included.
 */
#ifndef KSEG_COURIER_SEGMENT_ANSWER_H
#define KSEG_COURIER_SEGMENT_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "courier/memory.h"
#include "courier/secret.h"

/* Bytes of an answer that are kept: Segment's have under 200, an error page of a proxy some thousand. */
#define KSEG_ANSWER_KEPT (64 * 1024)
/* An answer that is longer is read no further: its status stands, and the connection is closed. */
#define KSEG_ANSWER_MAX (1024 * 1024)
/* Bytes of an answer's words: a sentence or two, in an error's detail and beside every rejected event. */
#define KSEG_WORDS_MAX 400

/* Longest wait that an answer may ask for (segment.md). */
#define KSEG_WAIT_MAX_MS (300 * 1000)
/* Backoff: 0.5 s · 2^n with full jitter, at most 60 s (segment.md). */
#define KSEG_BACKOFF_FIRST_MS 500
#define KSEG_BACKOFF_MAX_MS   (60 * 1000)

typedef struct KsegAnswer
{
	uint32_t status; /* 0: none came */
	bool
	    head_ended; /* the empty line after the headers came: without it the connection ended in mid-answer */
	int64_t retry_after_ms;      /* -1: not said */
	int64_t rate_limit_reset_ms; /* -1: not said */
	KsegBuffer body;             /* the first KSEG_ANSWER_KEPT bytes */
	size_t body_length;          /* of all that came */
} KsegAnswer;

typedef enum KsegVerdict
{
	KSEG_VERDICT_ACCEPTED, /* every event of the request is Segment's now */
	KSEG_VERDICT_AGAIN,    /* try again after a backoff; counts as a retry */
	KSEG_VERDICT_WAIT,     /* 429: all lanes wait, then again; no retry is counted */
	KSEG_VERDICT_HALVE,    /* refused for one event, or for its size */
	KSEG_VERDICT_AUTH,     /* the write key is not good */
	KSEG_VERDICT_REFUSED   /* trying again cannot change it */
} KsegVerdict;

/* Forget the last answer, keep its memory. */
extern void answer_reset(KsegAnswer *answer);

/* Take in one header line, status lines included (each begins a new answer: 100 Continue, then the real one). */
extern void answer_take_header(KsegAnswer *answer, const char *line, size_t length, int64_t unix_ms);

/* Take in a piece of the body. False: the answer is too long, stop reading it. */
extern bool answer_take_body(KsegAnswer *answer, const char *data, size_t length);

/* What a status means by itself, for any number. */
extern KsegVerdict answer_sort_status(uint32_t status);

/* The same with the body: a 2xx that says "success": false is a refusal like 400. */
extern KsegVerdict answer_sort(const KsegAnswer *answer);

/* The wait that a 429 asks for in ms, 1 … KSEG_WAIT_MAX_MS; 0 when it asks for none. */
extern int64_t answer_wait_ms(const KsegAnswer *answer);

/* Parse a Retry-After value: seconds or an HTTP date. ms from unix_ms (0: the date is past), or -1. */
extern int64_t answer_parse_retry_after(const char *value, size_t length, int64_t unix_ms);

/* The pause before a retry: 0 … 0.5 s · 2^failures, at most 60 s; random is spread evenly over it. */
extern int64_t answer_backoff_ms(uint32_t failures, uint32_t random);

/*
 * The answer's own words into out (room at least 8, NUL-terminated): the message of a JSON body, else the body as it is;
 * the secret masked, control characters and invalid UTF-8 made harmless, cut between characters. "" when it has none.
 */
extern void answer_read_words(const KsegAnswer *answer, const KsegSecret *secret, char *out, size_t room);

#endif /* KSEG_COURIER_SEGMENT_ANSWER_H */
