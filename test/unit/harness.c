/*
 * harness.c
 *	  A courier between two ends. See harness.h.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A frame that is not whole yet, and one more. */
#define IN_ROOM (2 * KSEG_FRAME_MAX)

int64_t
harness_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void *
harness_allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		tap_die("out of memory");
	return memory;
}

static void
harness_spawn(Harness *harness)
{
	const char *program = getenv("KSEG_COURIER");
	int sockets[2];

	if (program == NULL)
		tap_die("the environment's KSEG_COURIER does not name the courier");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		tap_die("no socket pair: %s", strerror(errno));
	harness->pid = fork();
	if (harness->pid == 0)
	{
		dup2(sockets[1], KSEG_WIRE_FD);
		/* dup2 of a descriptor to itself keeps it close-on-exec. */
		fcntl(KSEG_WIRE_FD, F_SETFD, 0);
		execl(program, "kseg-courier", (char *) NULL);
		_exit(127);
	}
	close(sockets[1]);
	harness->wire = sockets[0];
}

void
harness_start(Harness *harness)
{
	*harness = (Harness){.in = harness_allocate(IN_ROOM)};
	for (int i = 0; i < HARNESS_CONNECTIONS; i++)
		harness->connections[i].fd = -1;
	harness_server_open(harness);
	harness_spawn(harness);
}

void
harness_begin(Harness *harness, const HarnessConfig *config)
{
	harness_start(harness);
	harness_send_hello(harness, KSEG_WIRE_VERSION, KSEG_BUILD);
	harness_expect_frame(harness, KSEG_FRAME_HELLO);
	harness_send_config(harness, config);
}

void
harness_stop(Harness *harness)
{
	if (harness->wire >= 0)
		close(harness->wire);
	if (harness->pid > 0)
	{
		harness->wire = -1;
		if (harness_wait_exit(harness, HARNESS_WAIT_MS) == -1)
			tap_die("the courier does not end");
	}
	harness_server_close(harness);
	for (int i = 0; i < harness->frame_count; i++)
		free(harness->frames[i].payload);
	free(harness->in);
}

int
harness_wait_exit(Harness *harness, int ms)
{
	int handle = (int) syscall(SYS_pidfd_open, harness->pid, 0);
	struct pollfd ended = {.fd = handle, .events = POLLIN};
	int status = -1;

	if (handle < 0)
		tap_die("pidfd_open: %s", strerror(errno));
	if (poll(&ended, 1, ms) == 1 && waitpid(harness->pid, &status, 0) == harness->pid)
		harness->pid = 0;
	close(handle);
	return status;
}

/* ---------- sending over the wire ---------- */

void
harness_send_bytes(Harness *harness, const void *data, size_t length)
{
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;
	const char *at = data;

	while (length > 0)
	{
		ssize_t put = send(harness->wire, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (put > 0)
		{
			at += put;
			length -= (size_t) put;
		}
		else if (errno == EAGAIN)
		{
			harness->wants_room = true;
			harness_pump(harness, deadline, "room in the wire");
			harness->wants_room = false;
		}
		else
			tap_die("could not write to the wire: %s", strerror(errno));
	}
}

void
harness_send_frame(Harness *harness, KsegFrameType type, uint16_t lane, const void *payload, size_t length)
{
	uint8_t header[KSEG_FRAME_HEADER];

	kseg_frame_header(header, type, lane, (uint32_t) length);
	harness_send_bytes(harness, header, sizeof(header));
	harness_send_bytes(harness, payload, length);
}

void
harness_send_hello(Harness *harness, uint32_t version, const char *build)
{
	uint8_t hello[512];
	uint8_t *end = kseg_write_u32(hello, version);

	end = kseg_write_text(end, build, strlen(build));
	end = kseg_write_text(end, "", 0);
	harness_send_frame(harness, KSEG_FRAME_HELLO, 0, hello, (size_t) (end - hello));
}

HarnessConfig
harness_defaults(void)
{
	return (HarnessConfig){.job = "segment_deliver",
	                       .write_key = "sEcret+Key",
	                       .compression = "none",
	                       .ca_file = "",
	                       .lanes = 1,
	                       .upload_size = 100,
	                       .upload_interval_ms = 10,
	                       .request_timeout_ms = 20000,
	                       .max_retries = 10,
	                       .max_retry_age_ms = 600000};
}

void
harness_send_config(Harness *harness, const HarnessConfig *config)
{
	char own[64];
	char json[4096];

	snprintf(own, sizeof(own), "http://127.0.0.1:%d", harness->port);
	snprintf(
	    json, sizeof(json),
	    "{\"job\":\"%s\",\"endpoint\":\"%s\",\"key_endpoint\":\"%s\",\"write_key\":\"%s\",\"compression\":\"%"
	    "s\","
	    "\"ca_file\":\"%s\",\"library_name\":\"kseg\",\"library_version\":\"0.1\",\"lanes\":%d,\"upload_"
	    "size\":%d,"
	    "\"upload_interval_ms\":%d,\"request_timeout_ms\":%d,\"max_retries\":%d,\"max_retry_age_ms\":%d}",
	    config->job, config->endpoint != NULL ? config->endpoint : own,
	    config->key_endpoint != NULL ? config->key_endpoint : "", config->write_key, config->compression,
	    config->ca_file, config->lanes, config->upload_size, config->upload_interval_ms,
	    config->request_timeout_ms, config->max_retries, config->max_retry_age_ms);
	harness_send_frame(harness, KSEG_FRAME_CONFIG, 0, json, strlen(json));
}

void
harness_feed(Harness *harness, uint16_t lane, uint64_t first, uint32_t count)
{
	uint8_t *payload = harness_allocate(4 + (size_t) count * (KSEG_EVENT_ENTRY + 32));
	uint8_t *entry = kseg_write_u32(payload, count);
	char *json = (char *) entry + (size_t) count * KSEG_EVENT_ENTRY;

	for (uint32_t i = 0; i < count; i++)
	{
		int length;

		if (i > 0)
			*json++ = ',';
		length = sprintf(json, "{\"n\":%llu}", (unsigned long long) (first + i));
		entry = kseg_write_u32(kseg_write_u64(entry, first + i), (uint32_t) length);
		json += length;
	}
	harness_send_frame(harness, KSEG_FRAME_EVENTS, lane, payload, (size_t) (json - (char *) payload));
	free(payload);
}

void
harness_end(Harness *harness)
{
	harness_send_frame(harness, KSEG_FRAME_END, 0, NULL, 0);
}

/* ---------- taking in ---------- */

static void
harness_take_frame(Harness *harness, const KsegFrame *frame)
{
	HarnessFrame *kept = &harness->frames[harness->frame_count];

	if (frame->type == KSEG_FRAME_STATUS)
	{
		if (!kseg_status_read(frame, &harness->status, harness->lanes, KSEG_LANES_MAX))
			tap_die("the courier sent a STATUS that is none");
		return;
	}
	if (++harness->frame_count == HARNESS_FRAMES)
		tap_die("the courier sent too many frames");
	*kept = (HarnessFrame){frame->type, harness_allocate(frame->length + 1), frame->length};
	memcpy(kept->payload, frame->payload, frame->length);
}

static void
harness_read_wire(Harness *harness)
{
	ssize_t got =
	    recv(harness->wire, harness->in + harness->in_length, IN_ROOM - harness->in_length, MSG_DONTWAIT);
	size_t at = 0;
	KsegFrame frame;
	int taken;

	if (got == 0 || (got < 0 && errno != EAGAIN))
	{
		close(harness->wire);
		harness->wire = -1;
		return;
	}
	harness->in_length += got > 0 ? (size_t) got : 0;
	while ((taken = kseg_frame_parse(harness->in + at, harness->in_length - at, &frame)) > 0)
	{
		harness_take_frame(harness, &frame);
		at += (size_t) taken;
	}
	if (taken < 0)
		tap_die("the courier sent a frame that is too long");
	memmove(harness->in, harness->in + at, harness->in_length - at);
	harness->in_length -= at;
}

void
harness_pump(Harness *harness, int64_t deadline, const char *what)
{
	struct pollfd fds[2 + HARNESS_CONNECTIONS] = {
	    {.fd = harness->wire, .events = (short) (POLLIN | (harness->wants_room ? POLLOUT : 0))},
	    {.fd = harness->listener, .events = POLLIN}};
	int64_t left = deadline - harness_now_ms();

	for (int i = 0; i < HARNESS_CONNECTIONS; i++)
		fds[2 + i] = (struct pollfd){.fd = harness->connections[i].fd, .events = POLLIN};
	if (left <= 0 || poll(fds, 2 + HARNESS_CONNECTIONS, (int) left) == 0)
		tap_die("waited in vain for %s (%d frames and %d requests came, last STATUS: sent %" PRIu64
		        ", HTTP %u, error %u)",
		        what, harness->frame_count, harness->request_count, harness->status.sent,
		        harness->status.last_status, harness->status.last_error);
	if (fds[0].revents != 0)
		harness_read_wire(harness);
	if (fds[1].revents != 0)
		harness_server_accept(harness);
	for (int i = 0; i < HARNESS_CONNECTIONS; i++)
	{
		if (fds[2 + i].fd >= 0 && fds[2 + i].revents != 0)
			harness_server_read(harness, i);
	}
}

/* ---------- expecting ---------- */

const HarnessFrame *
harness_peek_frame(Harness *harness, int64_t deadline, const char *what)
{
	while (harness->frame_next == harness->frame_count)
	{
		if (harness->wire < 0)
			tap_die("the courier is gone before %s", what);
		harness_pump(harness, deadline, what);
	}
	return &harness->frames[harness->frame_next];
}

const HarnessFrame *
harness_expect_frame(Harness *harness, KsegFrameType type)
{
	char what[64];
	const HarnessFrame *frame;

	snprintf(what, sizeof(what), "a frame of type %c", type);
	frame = harness_peek_frame(harness, harness_now_ms() + HARNESS_WAIT_MS, what);
	harness->frame_next++;
	if (frame->type != type)
		tap_die("got a frame of type %c (%.*s), wanted %s", frame->type, (int) frame->length, frame->payload,
		        what);
	return frame;
}

KsegReader
harness_frame_reader(const HarnessFrame *kept)
{
	KsegFrame frame = {.payload = kept->payload, .length = kept->length};
	KsegReader reader;

	kseg_reader_init(&reader, &frame);
	return reader;
}

static void
harness_copy_text(char *out, size_t room, KsegText text)
{
	snprintf(out, room, "%.*s", (int) text.length, text.data);
}

HarnessFailure
harness_expect_failed(Harness *harness)
{
	KsegReader reader = harness_frame_reader(harness_expect_frame(harness, KSEG_FRAME_FAILED));
	HarnessFailure failure;

	failure.failure = kseg_read_u32(&reader);
	failure.status = kseg_read_u32(&reader);
	harness_copy_text(failure.message, sizeof(failure.message), kseg_read_text(&reader));
	harness_copy_text(failure.detail, sizeof(failure.detail), kseg_read_text(&reader));
	harness_copy_text(failure.hint, sizeof(failure.hint), kseg_read_text(&reader));
	if (!kseg_reader_done(&reader))
		tap_die("the courier sent a FAILED that is none");
	return failure;
}
