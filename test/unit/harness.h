/*
 * harness.h
 *	  A courier between two ends that a test holds: the wire, as kseg.so would, and an HTTP server on loopback.
 *
 * Owns: the courier's process, the wire's other end, a listening socket and its connections. One thread: a test is a
 * sequence of steps, each of which waits for what it names, moving bytes on both ends meanwhile. Nothing sleeps. A wait
 * that is over too late ends the program with the wait's name and what was seen last.
 */
#ifndef KSEG_TEST_HARNESS_H
#define KSEG_TEST_HARNESS_H

#include <sys/types.h>

#include "tap.h"
#include "wire/wire.h"

/* Long enough for a courier under sanitizers on a busy machine; a good run waits for none of it. */
#define HARNESS_WAIT_MS 30000

/* A courier whose wire has ended may use two seconds for what is open (KSEG_LEAVE_MS), and a busy machine as many for its start under sanitizers. */
#define HARNESS_LEAVE_MS 5000

#define HARNESS_CONNECTIONS 16
#define HARNESS_FRAMES      4096
#define HARNESS_REQUESTS    64

/* What CONFIG says; harness_defaults fills it. */
typedef struct HarnessConfig
{
	const char *job;
	const char *endpoint;     /* NULL: the test's own server */
	const char *key_endpoint; /* NULL: '' */
	const char *write_key;
	const char *compression;
	const char *ca_file;
	int lanes;
	int upload_size;
	int upload_interval_ms;
	int request_timeout_ms;
	int max_retries;
	int max_retry_age_ms;
} HarnessConfig;

typedef struct HarnessRequest
{
	int connection; /* index; the answer goes there */
	int64_t at_ms;  /* when it was whole */
	char *head;     /* request line and headers */
	char *body;     /* unpacked, NUL-terminated */
	size_t body_length;
	size_t wire_length; /* as it came */
} HarnessRequest;

typedef struct HarnessFrame
{
	uint8_t type;
	uint8_t *payload;
	uint32_t length;
} HarnessFrame;

typedef struct HarnessConnection
{
	int fd; /* -1: free */
	char *data;
	size_t length;
} HarnessConnection;

typedef struct Harness
{
	pid_t pid;
	int wire;        /* -1: closed */
	bool wants_room; /* a step waits until the wire takes bytes */
	uint8_t *in;
	size_t in_length;
	HarnessFrame frames[HARNESS_FRAMES]; /* all but STATUS, oldest first */
	int frame_count;
	int frame_next;
	KsegWireStatus status; /* the newest */
	KsegWireLane lanes[KSEG_LANES_MAX];
	int listener;
	int port;
	int accepted; /* connections so far */
	HarnessConnection connections[HARNESS_CONNECTIONS];
	HarnessRequest requests[HARNESS_REQUESTS];
	int request_count;
	int request_next;
} Harness;

extern int64_t harness_now_ms(void);
extern HarnessConfig harness_defaults(void);

/* Start a server and a courier, nothing said yet. */
extern void harness_start(Harness *harness);

/* harness_start, HELLO both ways and CONFIG. */
extern void harness_begin(Harness *harness, const HarnessConfig *config);

/* Let go of both ends and reap the courier. */
extern void harness_stop(Harness *harness);

/* ---------- the wire ---------- */

extern void harness_send_frame(Harness *harness, KsegFrameType type, uint16_t lane, const void *payload,
                               size_t length);
extern void harness_send_bytes(Harness *harness, const void *data, size_t length);
extern void harness_send_hello(Harness *harness, uint32_t version, const char *build);
extern void harness_send_config(Harness *harness, const HarnessConfig *config);

/* Events {"n":FIRST}, {"n":FIRST+1} …, of those rows. */
extern void harness_feed(Harness *harness, uint16_t lane, uint64_t first, uint32_t count);
extern void harness_end(Harness *harness);

/* The next frame that is no STATUS, left where it is; harness->frame_next++ takes it. It lives until harness_stop. */
extern const HarnessFrame *harness_peek_frame(Harness *harness, int64_t deadline, const char *what);

/* Take that frame, which must have this type. */
extern const HarnessFrame *harness_expect_frame(Harness *harness, KsegFrameType type);

/* What reads a frame's payload from its beginning. */
extern KsegReader harness_frame_reader(const HarnessFrame *frame);

/* Wait until the newest STATUS satisfies a condition, which is also its name in a failure. */
#define harness_wait_status(harness, condition)                                                              \
	do                                                                                                       \
	{                                                                                                        \
		int64_t deadline_ = harness_now_ms() + HARNESS_WAIT_MS;                                              \
		while (!(condition))                                                                                 \
			harness_pump(harness, deadline_, "STATUS with " #condition);                                     \
	} while (0)

/* FAILED's parts, as texts that live until the next call. */
typedef struct HarnessFailure
{
	uint32_t failure;
	uint32_t status;
	char message[512];
	char detail[2048];
	char hint[1024];
} HarnessFailure;

extern HarnessFailure harness_expect_failed(Harness *harness);

/* ---------- the server ---------- */

/* The next request, whole. It lives until harness_stop. */
extern const HarnessRequest *harness_expect_request(Harness *harness);

/* Answer: "200 OK" or the like, headers with their line ends or "", a body. */
extern void harness_answer(Harness *harness, const HarnessRequest *request, const char *status,
                           const char *headers, const char *body);
extern void harness_answer_ok(Harness *harness, const HarnessRequest *request);
extern void harness_send_raw(Harness *harness, const HarnessRequest *request, const char *data,
                             size_t length);

/* Close the request's connection, with a reset if abrupt. */
extern void harness_hang_up(Harness *harness, const HarnessRequest *request, bool abrupt);

/* A header's value, "" when there is none; lives until the next call. */
extern const char *harness_header(const HarnessRequest *request, const char *name);

/* Does the body hold exactly the events {"n":FIRST} … of this count, in order? */
extern bool harness_has_events(const HarnessRequest *request, uint64_t first, uint32_t count);

/* ---------- */

/* Move bytes on both ends until something happens; past deadline the program ends, naming what it waited for. */
extern void harness_pump(Harness *harness, int64_t deadline, const char *what);

/* Between harness.c and harness_server.c. */
extern void *harness_allocate(size_t size);
extern void harness_server_open(Harness *harness);
extern void harness_server_close(Harness *harness);
extern void harness_server_accept(Harness *harness);
extern void harness_server_read(Harness *harness, int index);

/* Wait for the courier to end by itself; returns its wait status, or -1 if it is still there after ms. */
extern int harness_wait_exit(Harness *harness, int ms);

#endif /* KSEG_TEST_HARNESS_H */
