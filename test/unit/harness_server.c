/*
 * harness_server.c
 *	  The harness's HTTP server: connections, requests, answers. See harness.h.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libdeflate.h>
#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of one connection: a request of 475,000 bytes and its head. */
#define DATA_ROOM (1024 * 1024)

/* ---------- starting and stopping ---------- */

void
harness_server_open(Harness *harness)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	harness->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (harness->listener < 0 ||
	    bind(harness->listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
	    listen(harness->listener, 16) != 0 ||
	    getsockname(harness->listener, (struct sockaddr *) &address, &length) != 0)
		tap_die("could not listen: %s", strerror(errno));
	harness->port = ntohs(address.sin_port);
}

static void
harness_close_connection(HarnessConnection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd);
	free(connection->data);
	*connection = (HarnessConnection){.fd = -1};
}

void
harness_server_accept(Harness *harness)
{
	int fd = accept4(harness->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	harness->accepted++;
	for (int i = 0; i < HARNESS_CONNECTIONS; i++)
	{
		if (harness->connections[i].fd < 0)
		{
			harness->connections[i] = (HarnessConnection){.fd = fd, .data = harness_allocate(DATA_ROOM + 1)};
			return;
		}
	}
	tap_die("the courier opened too many connections");
}

static void
harness_unpack(HarnessRequest *request)
{
	struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
	char *plain = harness_allocate(DATA_ROOM + 1);

	if (libdeflate_gzip_decompress(decompressor, request->body, request->body_length, plain, DATA_ROOM,
	                               &request->body_length) != LIBDEFLATE_SUCCESS)
		tap_die("a body cannot be unpacked");
	libdeflate_free_decompressor(decompressor);
	free(request->body);
	request->body = plain;
}

/* Take a whole request from the head of a connection's data. False: there is none yet. */
static bool
harness_take_request(Harness *harness, int index)
{
	HarnessConnection *connection = &harness->connections[index];
	HarnessRequest *request = &harness->requests[harness->request_count];
	char *end;
	size_t head;
	size_t body;

	connection->data[connection->length] = '\0';
	end = strstr(connection->data, "\r\n\r\n");
	if (end == NULL)
		return false;
	head = (size_t) (end + 4 - connection->data);
	*request = (HarnessRequest){
	    .connection = index, .at_ms = harness_now_ms(), .head = strndup(connection->data, head)};
	body = strtoul(harness_header(request, "Content-Length"), NULL, 10);
	if (connection->length < head + body)
	{
		free(request->head);
		return false;
	}
	request->body = harness_allocate(body + 1);
	memcpy(request->body, connection->data + head, body);
	request->body_length = request->wire_length = body;
	if (strcmp(harness_header(request, "Content-Encoding"), "gzip") == 0)
		harness_unpack(request);
	connection->length -= head + body;
	memmove(connection->data, connection->data + head + body, connection->length);
	if (++harness->request_count == HARNESS_REQUESTS)
		tap_die("the courier sent too many requests");
	return true;
}

void
harness_server_read(Harness *harness, int index)
{
	HarnessConnection *connection = &harness->connections[index];
	ssize_t got =
	    recv(connection->fd, connection->data + connection->length, DATA_ROOM - connection->length, 0);

	if (got == 0 || (got < 0 && errno != EAGAIN))
	{
		harness_close_connection(connection);
		return;
	}
	connection->length += got > 0 ? (size_t) got : 0;
	while (harness_take_request(harness, index))
		;
}

const HarnessRequest *
harness_expect_request(Harness *harness)
{
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;

	while (harness->request_next == harness->request_count)
	{
		if (harness->frame_count > 0 && harness->frames[harness->frame_count - 1].type == KSEG_FRAME_FAILED)
			tap_die("got FAILED (%.*s), wanted a request",
			        (int) harness->frames[harness->frame_count - 1].length,
			        harness->frames[harness->frame_count - 1].payload);
		harness_pump(harness, deadline, "a request");
	}
	return &harness->requests[harness->request_next++];
}

/* ---------- the server's side ---------- */

void
harness_send_raw(Harness *harness, const HarnessRequest *request, const char *data, size_t length)
{
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;

	while (length > 0 && harness->connections[request->connection].fd >= 0)
	{
		ssize_t put = send(harness->connections[request->connection].fd, data, length, MSG_NOSIGNAL);
		struct pollfd room = {.fd = harness->connections[request->connection].fd, .events = POLLOUT};

		if (put > 0)
		{
			data += put;
			length -= (size_t) put;
		}
		else if (errno != EAGAIN)
			return; /* the courier has hung up, as it may */
		else if (poll(&room, 1, (int) (deadline - harness_now_ms())) != 1)
			tap_die("the courier does not read an answer");
	}
}

void
harness_answer(Harness *harness, const HarnessRequest *request, const char *status, const char *headers,
               const char *body)
{
	char head[2048];

	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, strlen(body),
	         headers);
	harness_send_raw(harness, request, head, strlen(head));
	harness_send_raw(harness, request, body, strlen(body));
}

void
harness_answer_ok(Harness *harness, const HarnessRequest *request)
{
	harness_answer(harness, request, "200 OK", "Content-Type: application/json\r\n", "{\"success\":true}");
}

void
harness_hang_up(Harness *harness, const HarnessRequest *request, bool abrupt)
{
	HarnessConnection *connection = &harness->connections[request->connection];
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (abrupt)
		setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	harness_close_connection(connection);
}

const char *
harness_header(const HarnessRequest *request, const char *name)
{
	static char value[1024];
	char start[128];
	const char *at;
	const char *end;

	snprintf(start, sizeof(start), "\r\n%s:", name);
	at = strcasestr(request->head, start);
	if (at == NULL)
		return "";
	at += strlen(start);
	at += strspn(at, " ");
	end = strstr(at, "\r\n");
	snprintf(value, sizeof(value), "%.*s", (int) (end - at), at);
	return value;
}

bool
harness_has_events(const HarnessRequest *request, uint64_t first, uint32_t count)
{
	size_t room = 64 + (size_t) count * 32;
	char *wanted = harness_allocate(room);
	size_t length = (size_t) snprintf(wanted, room, "{\"batch\":[");
	bool has;

	for (uint32_t i = 0; i < count; i++)
		length += (size_t) snprintf(wanted + length, room - length, "%s{\"n\":%llu}", i > 0 ? "," : "",
		                            (unsigned long long) (first + i));
	length += (size_t) snprintf(wanted + length, room - length, "],");
	has = strncmp(request->body, wanted, length) == 0;
	if (!has)
		printf("# got %.300s\n# wanted %.300s\n", request->body, wanted);
	free(wanted);
	return has;
}

void
harness_server_close(Harness *harness)
{
	close(harness->listener);
	for (int i = 0; i < HARNESS_CONNECTIONS; i++)
		harness_close_connection(&harness->connections[i]);
	for (int i = 0; i < harness->request_count; i++)
	{
		free(harness->requests[i].head);
		free(harness->requests[i].body);
	}
}
