/*
 * feed.c
 *	  Drives a courier as fast as it goes, without PostgreSQL: for profiling the courier alone.
 *
 *	  feed COURIER PORT [--events N] [--bytes N] [--lanes N] [--gzip] [--queue N]
 *
 * Sends N events (1 M) of about N bytes (300) over N lanes (4), in frames as kseg.so makes them, holding to a credit of N
 * events (10,000) and two bodies a lane, to 127.0.0.1:PORT; prints events/s and the courier's CPU time and peak memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wire/wire.h"

#define LANES 32

typedef struct Frame
{
	uint8_t head[KSEG_FRAME_HEADER + 4 + 4096 * KSEG_EVENT_ENTRY];
	size_t head_length;
	char json[KSEG_EVENTS_FRAME + KSEG_EVENT_MAX];
	size_t json_length;
	uint32_t count;
} Frame;

static struct
{
	const char *courier;
	int port;
	uint64_t events;
	size_t bytes;
	uint32_t lanes;
	uint64_t queue;
	const char *compression;
	int fd;
	pid_t pid;
	uint64_t fed_bytes;
	KsegWireStatus status;
	KsegWireLane credits[LANES];
	bool over;
	size_t in_length;
} feed = {.events = 1000000, .bytes = 300, .lanes = 4, .queue = 10000, .compression = "none"};

/* Beside the struct: within it, its initializer would make the program's file as large. */
static uint8_t feed_in[2 * KSEG_FRAME_MAX];

static void
die(const char *what)
{
	fprintf(stderr, "feed: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---------- the wire ---------- */

static void
take_frame(const KsegFrame *frame)
{
	KsegReader reader;

	kseg_reader_init(&reader, frame);
	if (frame->type == KSEG_FRAME_STATUS && !kseg_status_read(frame, &feed.status, feed.credits, LANES))
		die("bad STATUS");
	if (frame->type == KSEG_FRAME_FAILED)
	{
		uint32_t failure = kseg_read_u32(&reader);
		uint32_t http = kseg_read_u32(&reader);
		KsegText message = kseg_read_text(&reader);
		KsegText detail = kseg_read_text(&reader);

		fprintf(stderr, "feed: FAILED %u (HTTP %u): %.*s: %.*s\n", failure, http, (int) message.length,
		        message.data, (int) detail.length, detail.data);
		exit(1);
	}
	feed.over = feed.over || frame->type == KSEG_FRAME_DONE;
}

static void
receive(int flags)
{
	ssize_t got = recv(feed.fd, feed_in + feed.in_length, sizeof(feed_in) - feed.in_length, flags);
	size_t at = 0;
	KsegFrame frame;
	int taken;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
		die("the courier is gone");
	feed.in_length += (size_t) got;
	while ((taken = kseg_frame_parse(feed_in + at, feed.in_length - at, &frame)) > 0)
	{
		take_frame(&frame);
		at += (size_t) taken;
	}
	memmove(feed_in, feed_in + at, feed.in_length - at);
	feed.in_length -= at;
}

static void
transmit(const void *data, size_t length)
{
	while (length > 0)
	{
		ssize_t put = send(feed.fd, data, length, MSG_NOSIGNAL);

		if (put < 0 && errno != EINTR)
			die("send");
		if (put > 0)
		{
			data = (const char *) data + put;
			length -= (size_t) put;
		}
	}
}

static void
transmit_frame(KsegFrameType type, const void *payload, size_t length)
{
	uint8_t header[KSEG_FRAME_HEADER];

	kseg_frame_header(header, type, 0, (uint32_t) length);
	transmit(header, sizeof(header));
	transmit(payload, length);
}

static void
start_courier(void)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		die("socketpair");
	feed.pid = fork();
	if (feed.pid == 0)
	{
		dup2(sockets[1], KSEG_WIRE_FD);
		execl(feed.courier, "kseg-courier", (char *) NULL);
		_exit(127);
	}
	close(sockets[1]);
	feed.fd = sockets[0];
}

static void
greet(void)
{
	uint8_t hello[256];
	uint8_t *end = kseg_write_u32(hello, KSEG_WIRE_VERSION);
	char config[1024];

	end = kseg_write_text(end, KSEG_BUILD, strlen(KSEG_BUILD));
	end = kseg_write_text(end, "", 0);
	transmit_frame(KSEG_FRAME_HELLO, hello, (size_t) (end - hello));
	snprintf(config, sizeof(config),
	         "{\"job\":\"segment_deliver\",\"endpoint\":\"http://127.0.0.1:%d\",\"key_endpoint\":\"\","
	         "\"write_key\":\"feed\",\"compression\":\"%s\",\"ca_file\":\"\",\"library_name\":\"kseg\","
	         "\"library_version\":\"0\",\"lanes\":%u,\"upload_size\":2500,\"upload_interval_ms\":500,"
	         "\"request_timeout_ms\":15000,\"max_retries\":10,\"max_retry_age_ms\":600000}",
	         feed.port, feed.compression, feed.lanes);
	transmit_frame(KSEG_FRAME_CONFIG, config, strlen(config));
}

/* ---------- events ---------- */

static void
add_event(Frame *frame, uint64_t row)
{
	char *at = frame->json + frame->json_length + (frame->count > 0 ? 1 : 0);
	int length = snprintf(
	    at, KSEG_EVENT_MAX,
	    "{\"type\":\"track\",\"userId\":\"%llu\",\"event\":\"Sales Prediction\",\"properties\":"
	    "{\"iphone\":%.6f,\"apple_watch\":%.6f,\"price\":%llu.99,\"segment\":\"loyal\"},\"messageId\":"
	    "\"kseg-%032llx\",\"timestamp\":\"2026-08-01T12:34:%02llu.000Z\"",
	    (unsigned long long) (row * 7919 % 1000003), (double) (row % 9973) / 9973,
	    (double) (row * 31 % 8191) / 8191, (unsigned long long) (row % 1000),
	    (unsigned long long) (row * 0x9e3779b97f4a7c15ull), (unsigned long long) (row % 60));

	if ((size_t) length + 12 < feed.bytes)
		length += sprintf(at + length, ",\"x\":\"%0*llu\"", (int) (feed.bytes - (size_t) length - 7),
		                  (unsigned long long) row);
	at[length++] = '}';
	if (frame->count > 0)
		at[-1] = ',';
	frame->json_length = (size_t) (at + length - frame->json);
	kseg_write_u32(kseg_write_u64(frame->head + frame->head_length, row), (uint32_t) length);
	frame->head_length += KSEG_EVENT_ENTRY;
	frame->count++;
}

static void
fill_frame(Frame *frame, uint64_t *row)
{
	frame->head_length = KSEG_FRAME_HEADER + 4;
	frame->json_length = 0;
	frame->count = 0;
	while (frame->json_length < KSEG_EVENTS_FRAME && frame->count < 1000 && *row < feed.events)
		add_event(frame, ++*row);
	kseg_write_u32(frame->head + KSEG_FRAME_HEADER, frame->count);
}

static bool
has_credit(uint64_t fed, const Frame *frame)
{
	uint64_t events = 0;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < feed.lanes; i++)
	{
		events += feed.credits[i].events;
		bytes += feed.credits[i].bytes;
	}
	return fed == events ||
	       (fed + frame->count - events <= feed.queue &&
	        feed.fed_bytes + frame->json_length - bytes <= (uint64_t) feed.lanes * 2 * KSEG_UPLOAD_MAX);
}

/*
 * Frames are made before the clock starts, one for each lane and size, and sent again and again: what is measured is the
 * courier, not snprintf.
 */
static void
feed_events(void)
{
	static Frame frames[LANES];
	uint64_t row = 0;
	uint64_t fed = 0;
	uint32_t lane = 0;

	for (uint32_t i = 0; i < feed.lanes; i++)
		fill_frame(&frames[i], &row);
	while (fed < feed.events)
	{
		Frame *frame = &frames[lane];

		receive(MSG_DONTWAIT);
		if (!has_credit(fed, frame))
			transmit_frame(KSEG_FRAME_WAITING, NULL, 0);
		while (!has_credit(fed, frame))
			receive(0);
		kseg_frame_header(frame->head, KSEG_FRAME_EVENTS, (uint16_t) lane,
		                  (uint32_t) (frame->head_length - KSEG_FRAME_HEADER + frame->json_length));
		transmit(frame->head, frame->head_length);
		transmit(frame->json, frame->json_length);
		fed += frame->count;
		feed.fed_bytes += frame->json_length - (frame->count - 1);
		lane = (lane + 1) % feed.lanes;
	}
	transmit_frame(KSEG_FRAME_END, NULL, 0);
	while (!feed.over)
		receive(0);
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static void
print_result(double elapsed)
{
	struct rusage usage;
	double user;
	double sys;

	close(feed.fd);
	waitpid(feed.pid, NULL, 0);
	getrusage(RUSAGE_CHILDREN, &usage);
	user = (double) usage.ru_utime.tv_sec + (double) usage.ru_utime.tv_usec / 1e6;
	sys = (double) usage.ru_stime.tv_sec + (double) usage.ru_stime.tv_usec / 1e6;
	printf(
	    "events=%llu batches=%llu elapsed_s=%.3f events_per_s=%.0f courier_cpu_s=%.3f user_s=%.3f sys_s=%.3f "
	    "rss_kb=%ld bytes=%llu on_wire=%llu\n",
	    (unsigned long long) feed.status.sent, (unsigned long long) feed.status.batches, elapsed,
	    (double) feed.status.sent / elapsed, user + sys, user, sys, usage.ru_maxrss,
	    (unsigned long long) feed.status.bytes, (unsigned long long) feed.status.bytes_on_wire);
}

int
main(int argc, char **argv)
{
	double start;

	if (argc < 3)
	{
		fprintf(stderr,
		        "usage: feed COURIER PORT [--events N] [--bytes N] [--lanes N] [--gzip] [--queue N]\n");
		return 2;
	}
	feed.courier = argv[1];
	feed.port = atoi(argv[2]);
	for (int i = 3; i < argc; i++)
	{
		if (strcmp(argv[i], "--gzip") == 0)
			feed.compression = "gzip";
		else if (i + 1 < argc && strcmp(argv[i], "--events") == 0)
			feed.events = strtoull(argv[++i], NULL, 10);
		else if (i + 1 < argc && strcmp(argv[i], "--bytes") == 0)
			feed.bytes = strtoul(argv[++i], NULL, 10);
		else if (i + 1 < argc && strcmp(argv[i], "--lanes") == 0)
			feed.lanes = (uint32_t) strtoul(argv[++i], NULL, 10);
		else if (i + 1 < argc && strcmp(argv[i], "--queue") == 0)
			feed.queue = strtoull(argv[++i], NULL, 10);
	}
	start_courier();
	start = now();
	greet();
	feed_events();
	print_result(now() - start);
	return 0;
}
