/*
 * receiver.c
 *	  The least that a Segment endpoint can be: reads requests, counts them, answers 200. For benchmarks.
 *
 * Owns: one listening socket on loopback and what connects to it, in one thread around epoll. Refuses: to check anything;
 * the sandbox does that. It reads HTTP/1.1 with Content-Length and keep-alive, no chunked bodies.
 *
 *	  receiver [--port N] [--port-file FILE] [--events] [--delay-ms N]
 *
 * --port 0 (the default) takes a free port; --port-file gets its number, written whole before it appears under its name.
 * --events looks into the bodies, unpacked, and counts "messageId": as a check, not while measuring. --delay-ms answers
 * that much later, as a distant server would. On SIGTERM or SIGINT it prints one line and leaves:
 *	  requests=N bytes=N events=N connections=N cpu_s=S user_s=S sys_s=S
 * bytes are those of the bodies as they came; events is 0 without --events.
 */
#define _GNU_SOURCE /* memmem, accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <libdeflate.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* A request's head: a dozen short lines. */
#define HEAD_MAX (16 * 1024)
/* Bytes read at once: half of a request body. */
#define CHUNK (256 * 1024)
/* Bodies that --events looks into: Segment's limit is 500 kB. */
#define BODY_MAX (1024 * 1024)
/* What a body may unpack to. */
#define PLAIN_MAX (4 * 1024 * 1024)

typedef struct Connection
{
	int fd;
	int timer; /* --delay-ms: fires when the answer is due; -1: none */
	char head[HEAD_MAX];
	size_t head_length;
	bool in_body;
	bool packed;
	size_t body_left;
	char *body; /* --events only */
	size_t body_length;
} Connection;

/* epoll's data: which connection, and whether its socket or its timer. */
typedef struct Source
{
	Connection *connection;
	bool timer;
} Source;

static struct
{
	int epoll;
	int listener;
	int signals;
	bool count_events;
	long delay_ms;
	uint64_t requests;
	uint64_t bytes;
	uint64_t events;
	uint64_t connections;
	struct libdeflate_decompressor *decompressor;
	char *chunk;
	char *plain;
} receiver;

static void
die(const char *what)
{
	fprintf(stderr, "receiver: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *
allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		die("out of memory");
	return memory;
}

static void
watch(int fd, Connection *connection, bool timer)
{
	Source *source = allocate(sizeof(Source));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};

	*source = (Source){connection, timer};
	if (epoll_ctl(receiver.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl");
}

/* ---------- a request ---------- */

static void
count_events(const Connection *connection)
{
	static const char needle[] = "\"messageId\":";
	const char *at = connection->body;
	size_t length = connection->body_length;
	const char *end;

	if (connection->packed)
	{
		if (libdeflate_gzip_decompress(receiver.decompressor, at, length, receiver.plain, PLAIN_MAX,
		                               &length) != LIBDEFLATE_SUCCESS)
			return;
		at = receiver.plain;
	}
	end = at + length;
	while ((at = memmem(at, (size_t) (end - at), needle, strlen(needle))) != NULL)
	{
		receiver.events++;
		at += strlen(needle);
	}
}

static bool
answer(Connection *connection)
{
	static const char text[] =
	    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"
	    "{\"success\":true}";

	return send(connection->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t) strlen(text);
}

static bool
end_request(Connection *connection)
{
	struct itimerspec due = {.it_value = {receiver.delay_ms / 1000, receiver.delay_ms % 1000 * 1000000}};

	receiver.requests++;
	if (receiver.count_events)
		count_events(connection);
	connection->in_body = false;
	connection->head_length = 0;
	if (receiver.delay_ms == 0)
		return answer(connection);
	return timerfd_settime(connection->timer, 0, &due, NULL) == 0;
}

static bool
begin_body(Connection *connection)
{
	const char *length = strcasestr(connection->head, "\r\nContent-Length:");

	if (length == NULL)
		return false;
	connection->body_left = strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
	connection->packed = strcasestr(connection->head, "\r\nContent-Encoding: gzip") != NULL;
	connection->in_body = true;
	connection->body_length = 0;
	return connection->body_left > 0 || end_request(connection);
}

/* Take bytes of the head up to its empty line. Returns how many, or -1. */
static ssize_t
take_head(Connection *connection, const char *data, size_t length)
{
	size_t room = HEAD_MAX - 1 - connection->head_length;
	size_t before = connection->head_length;
	size_t taken = length < room ? length : room;
	char *end;

	memcpy(connection->head + before, data, taken);
	connection->head_length += taken;
	connection->head[connection->head_length] = '\0';
	end = strstr(connection->head, "\r\n\r\n");
	if (end == NULL)
		return taken == length ? (ssize_t) taken : -1;
	taken = (size_t) (end + 4 - connection->head) - before;
	end[2] = '\0';
	return begin_body(connection) ? (ssize_t) taken : -1;
}

static ssize_t
take_body(Connection *connection, const char *data, size_t length)
{
	size_t taken = length < connection->body_left ? length : connection->body_left;

	if (receiver.count_events && connection->body_length + taken <= BODY_MAX)
	{
		memcpy(connection->body + connection->body_length, data, taken);
		connection->body_length += taken;
	}
	receiver.bytes += taken;
	connection->body_left -= taken;
	if (connection->body_left == 0 && !end_request(connection))
		return -1;
	return (ssize_t) taken;
}

/* False: the connection is over. */
static bool
take(Connection *connection, const char *data, size_t length)
{
	while (length > 0)
	{
		ssize_t taken =
		    connection->in_body ? take_body(connection, data, length) : take_head(connection, data, length);

		if (taken < 0)
			return false;
		data += taken;
		length -= (size_t) taken;
	}
	return true;
}

/* ---------- connections ---------- */

static void
open_connection(void)
{
	Connection *connection;
	int one = 1;
	int fd = accept4(receiver.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connection = allocate(sizeof(Connection));
	connection->fd = fd;
	connection->timer = -1;
	if (receiver.count_events)
		connection->body = allocate(BODY_MAX);
	if (receiver.delay_ms > 0)
	{
		connection->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		watch(connection->timer, connection, true);
	}
	watch(fd, connection, false);
	receiver.connections++;
}

/* Closing takes it out of epoll. Its few bytes stay: another of its events may be in the list that is being walked. */
static void
close_connection(Connection *connection)
{
	close(connection->fd);
	if (connection->timer >= 0)
		close(connection->timer);
	connection->fd = -1;
}

static void
serve(const Source *source)
{
	Connection *connection = source->connection;
	uint64_t expired;
	ssize_t got;

	if (connection->fd < 0)
		return;
	if (source->timer)
	{
		if (read(connection->timer, &expired, sizeof(expired)) == sizeof(expired) && !answer(connection))
			close_connection(connection);
		return;
	}
	got = recv(connection->fd, receiver.chunk, CHUNK, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0 || !take(connection, receiver.chunk, (size_t) got))
		close_connection(connection);
}

/* ---------- the program ---------- */

static void
write_port(const char *path, int port)
{
	char new_path[4096];
	FILE *file;

	snprintf(new_path, sizeof(new_path), "%s.new", path);
	file = fopen(new_path, "w");
	if (file == NULL || fprintf(file, "%d\n", port) < 0 || fclose(file) != 0 || rename(new_path, path) != 0)
		die(path);
}

static void
listen_on(int port, const char *port_file)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	socklen_t length = sizeof(address);
	int one = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	receiver.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(receiver.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (receiver.listener < 0 ||
	    bind(receiver.listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
	    listen(receiver.listener, 64) != 0 ||
	    getsockname(receiver.listener, (struct sockaddr *) &address, &length) != 0)
		die("could not listen");
	if (port_file != NULL)
		write_port(port_file, ntohs(address.sin_port));
	else
		printf("port %d\n", ntohs(address.sin_port));
	fflush(stdout);
}

static double
seconds(struct timeval time)
{
	return (double) time.tv_sec + (double) time.tv_usec / 1e6;
}

static void
print_result(void)
{
	struct rusage usage;
	double user;
	double sys;

	getrusage(RUSAGE_SELF, &usage);
	user = seconds(usage.ru_utime);
	sys = seconds(usage.ru_stime);
	printf("requests=%llu bytes=%llu events=%llu connections=%llu cpu_s=%.3f user_s=%.3f sys_s=%.3f\n",
	       (unsigned long long) receiver.requests, (unsigned long long) receiver.bytes,
	       (unsigned long long) receiver.events, (unsigned long long) receiver.connections, user + sys, user,
	       sys);
}

static void
prepare(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	receiver.signals = signalfd(-1, &signals, SFD_CLOEXEC);
	receiver.epoll = epoll_create1(EPOLL_CLOEXEC);
	receiver.chunk = allocate(CHUNK);
	receiver.plain = allocate(PLAIN_MAX);
	receiver.decompressor = libdeflate_alloc_decompressor();
	if (receiver.signals < 0 || receiver.epoll < 0 || receiver.decompressor == NULL)
		die("could not start");
}

static void
run(void)
{
	struct epoll_event events[64];
	Connection listener = {.fd = receiver.listener};
	Connection ending = {.fd = receiver.signals};

	watch(receiver.listener, &listener, false);
	watch(receiver.signals, &ending, false);
	for (;;)
	{
		int count = epoll_wait(receiver.epoll, events, 64, -1);

		for (int i = 0; i < count; i++)
		{
			const Source *source = events[i].data.ptr;

			if (source->connection == &ending)
				return;
			if (source->connection == &listener)
				open_connection();
			else
				serve(source);
		}
	}
}

int
main(int argc, char **argv)
{
	int port = 0;
	const char *port_file = NULL;

	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--events") == 0)
			receiver.count_events = true;
		else if (strcmp(argv[i], "--port") == 0 && i + 1 < argc)
			port = atoi(argv[++i]);
		else if (strcmp(argv[i], "--port-file") == 0 && i + 1 < argc)
			port_file = argv[++i];
		else if (strcmp(argv[i], "--delay-ms") == 0 && i + 1 < argc)
			receiver.delay_ms = atol(argv[++i]);
		else
		{
			fprintf(stderr, "usage: receiver [--port N] [--port-file FILE] [--events] [--delay-ms N]\n");
			return 2;
		}
	}
	prepare();
	listen_on(port, port_file);
	run();
	print_result();
	return 0;
}
