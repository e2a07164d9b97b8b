/*
 * test_check.c
 *	  The job segment_test: five checks in order, whatever the endpoint does; and TLS, against OpenSSL's own server.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Check
{
	char name[64];
	uint32_t ok;
	char detail[1024];
	char hint[1024];
} Check;

static const char *const names[] = {"name resolution", "connection", "TLS", "answer", "write key"};

static void
copy_text(char *out, size_t room, KsegText text)
{
	snprintf(out, room, "%.*s", (int) text.length, text.data);
}

static void
read_checks(Harness *h, Check *checks)
{
	for (int i = 0; i < 5; i++)
	{
		const HarnessFrame *kept = harness_expect_frame(h, KSEG_FRAME_CHECK);
		KsegFrame frame = {.payload = kept->payload, .length = kept->length};
		KsegReader reader;

		kseg_reader_init(&reader, &frame);
		copy_text(checks[i].name, sizeof(checks[i].name), kseg_read_text(&reader));
		checks[i].ok = kseg_read_u32(&reader);
		copy_text(checks[i].detail, sizeof(checks[i].detail), kseg_read_text(&reader));
		copy_text(checks[i].hint, sizeof(checks[i].hint), kseg_read_text(&reader));
		if (!kseg_reader_done(&reader) || strcmp(checks[i].name, names[i]) != 0)
			tap_die("check %d is not \"%s\" but \"%s\"", i, names[i], checks[i].name);
		printf("# %s: %u, %s%s%s\n", checks[i].name, checks[i].ok, checks[i].detail,
		       checks[i].hint[0] != '\0' ? " / " : "", checks[i].hint);
	}
	harness_expect_frame(h, KSEG_FRAME_DONE);
}

/* wanted: a digit for each check, as 0 no, 1 yes, 2 cannot tell; a "no" has a hint, and only a "no". */
static void
check_results(const Check *checks, const char *wanted, const char *name)
{
	char got[6] = "";
	bool hinted = true;
	bool leaked = false;

	for (int i = 0; i < 5; i++)
	{
		got[i] = (char) ('0' + checks[i].ok);
		hinted = hinted && (checks[i].ok == 0) == (checks[i].hint[0] != '\0');
		leaked =
		    leaked || strstr(checks[i].detail, "sEcret") != NULL || strstr(checks[i].hint, "sEcret") != NULL;
	}
	tap_is_text(got, wanted, name);
	tap_ok(hinted && !leaked, "each \"no\" has a hint, and nothing shows the write key");
}

static HarnessConfig
test_defaults(void)
{
	HarnessConfig config = harness_defaults();

	config.job = "segment_test";
	return config;
}

/* One request, one answer. */
static void
check_answer(const char *status, const char *body, const char *wanted, const char *name)
{
	Harness h;
	HarnessConfig config = test_defaults();
	const HarnessRequest *request;
	Check checks[5];

	harness_begin(&h, &config);
	request = harness_expect_request(&h);
	if (strncmp(request->body, "{\"batch\":[],\"sentAt\":", 21) != 0 ||
	    strstr(request->head, "POST /v1/batch ") == NULL)
		tap_die("the probe is no empty batch: %s", request->body);
	harness_answer(&h, request, status, "", body);
	read_checks(&h, checks);
	check_results(checks, wanted, name);
	harness_stop(&h);
}

static void
test_answers(void)
{
	check_answer("200 OK", "{\"success\":true}", "11212",
	             "an endpoint that accepts is reached; of the key it tells nothing");
	check_answer("400 Bad Request", "{\"message\":\"empty batch\"}", "11212",
	             "one that finds the batch empty, too");
	check_answer("401 Unauthorized", "key sEcret+Key?", "11210", "401 tells of the key");
	check_answer("404 Not Found", "", "11202", "404 is not the API");
	check_answer("301 Moved", "", "11202", "nor is a redirect");
	check_answer("503 Busy", "soon", "11202", "503 takes nothing now");
	check_answer("429 Slow down", "", "11202", "nor does 429");
}

static void
test_no_answer(void)
{
	Harness h;
	HarnessConfig config = test_defaults();
	Check checks[5];

	config.request_timeout_ms = 2000;
	harness_begin(&h, &config);
	read_checks(&h, checks);
	check_results(checks, "11202", "a server that never answers");
	tap_has(checks[3].hint, "request_timeout", "the hint names request_timeout");
	harness_stop(&h);
}

static void
check_unreachable(const char *endpoint, const char *wanted, int at, const char *detail)
{
	Harness h;
	HarnessConfig config = test_defaults();
	Check checks[5];

	config.endpoint = endpoint;
	config.request_timeout_ms = 5000;
	harness_begin(&h, &config);
	read_checks(&h, checks);
	check_results(checks, wanted, endpoint);
	tap_has(checks[at].detail, detail, "and says why");
	harness_stop(&h);
}

static void
test_unreachable(void)
{
	check_unreachable("http://nobody.invalid", "02222", 0, "nobody.invalid");
	check_unreachable("http://127.0.0.1:1", "10222", 1, "127.0.0.1");
	check_unreachable("http://192.0.2.1", "10222", 1, "192.0.2.1");
}

static void
check_key_lookup(const char *status, const char *wanted, const char *name)
{
	Harness h;
	HarnessConfig config = test_defaults();
	const HarnessRequest *request;
	Check checks[5];
	char key_endpoint[64];

	harness_start(&h);
	snprintf(key_endpoint, sizeof(key_endpoint), "http://127.0.0.1:%d/cdn", h.port);
	config.key_endpoint = key_endpoint;
	harness_send_hello(&h, KSEG_WIRE_VERSION, KSEG_BUILD);
	harness_expect_frame(&h, KSEG_FRAME_HELLO);
	harness_send_config(&h, &config);
	harness_answer_ok(&h, harness_expect_request(&h));
	request = harness_expect_request(&h);
	tap_ok(strncmp(request->head, "GET /cdn/v1/projects/sEcret%2BKey/settings HTTP/1.1\r\n", 52) == 0,
	       "the key's settings are asked for");
	tap_is_text(harness_header(request, "Authorization"), "", "without the key in a header");
	harness_answer(&h, request, status, "", "sEcret%2BKey");
	read_checks(&h, checks);
	check_results(checks, wanted, name);
	harness_stop(&h);
}

static void
test_key_lookup(void)
{
	check_key_lookup("200 OK", "11211", "a key that is known");
	check_key_lookup("404 Not Found", "11210", "a key that is not");
	check_key_lookup("500 Oh", "11212", "a lookup that fails tells nothing");
}

static void
test_end_of_wire(void)
{
	Harness h;
	HarnessConfig config = test_defaults();

	harness_begin(&h, &config);
	harness_expect_request(&h);
	close(h.wire);
	h.wire = -1;
	tap_ok(harness_wait_exit(&h, HARNESS_LEAVE_MS) != -1, "the end of the wire ends a test, too");
	harness_stop(&h);
}

/* ---------- TLS ---------- */

typedef struct TlsServer
{
	char folder[64];
	char certificate[96];
	pid_t pid;
	int input;  /* what is written here goes to the client */
	int output; /* what the client sends, among words of OpenSSL's own */
	int port;
} TlsServer;

static bool
run_openssl(char *const *arguments)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
	{
		int nowhere = open("/dev/null", O_RDWR);

		dup2(nowhere, STDOUT_FILENO);
		dup2(nowhere, STDERR_FILENO);
		execvp("openssl", arguments);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Read what the server says until it holds text; returns where it begins behind it. */
static const char *
tls_wait_for(TlsServer *server, const char *text)
{
	static char said[64 * 1024];
	size_t length = 0;
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;

	said[0] = '\0';
	for (;;)
	{
		struct pollfd ready = {.fd = server->output, .events = POLLIN};
		const char *found = strstr(said, text);
		ssize_t got;

		if (found != NULL && strchr(found, '\n') != NULL)
			return found + strlen(text);
		if (poll(&ready, 1, (int) (deadline - harness_now_ms())) != 1 || length == sizeof(said) - 1)
			tap_die("OpenSSL's server does not say \"%s\": %s", text, said);
		got = read(server->output, said + length, sizeof(said) - 1 - length);
		if (got <= 0)
			tap_die("OpenSSL's server has ended: %s", said);
		length += (size_t) got;
		said[length] = '\0';
	}
}

static void
tls_spawn(TlsServer *server, char *key)
{
	char *arguments[] = {"openssl",           "s_server", "-accept", "127.0.0.1:0", "-cert",
	                     server->certificate, "-key",     key,       NULL};
	int input[2];
	int output[2];

	if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0)
		tap_die("no pipe");
	server->pid = fork();
	if (server->pid == 0)
	{
		dup2(input[0], STDIN_FILENO);
		dup2(output[1], STDOUT_FILENO);
		dup2(output[1], STDERR_FILENO);
		execvp("openssl", arguments);
		_exit(127);
	}
	close(input[0]);
	close(output[1]);
	server->input = input[1];
	server->output = output[0];
	server->port = atoi(tls_wait_for(server, "ACCEPT 127.0.0.1:"));
}

/* False: there is no openssl. */
static bool
tls_start(TlsServer *server)
{
	char key[96];
	char *make[] = {"openssl",  "req",
	                "-x509",    "-newkey",
	                "rsa:2048", "-nodes",
	                "-subj",    "/CN=t",
	                "-addext",  "subjectAltName=IP:127.0.0.1",
	                "-days",    "2",
	                "-keyout",  key,
	                "-out",     server->certificate,
	                NULL};

	snprintf(server->folder, sizeof(server->folder), "%.40s/kseg-unit-XXXXXX",
	         getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(server->folder) == NULL)
		tap_die("no folder");
	snprintf(key, sizeof(key), "%s/key.pem", server->folder);
	snprintf(server->certificate, sizeof(server->certificate), "%s/certificate.pem", server->folder);
	if (!run_openssl(make))
	{
		rmdir(server->folder);
		return false;
	}
	tls_spawn(server, key);
	unlink(key);
	return true;
}

static void
tls_stop(TlsServer *server)
{
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	close(server->input);
	close(server->output);
	unlink(server->certificate);
	rmdir(server->folder);
}

static void
test_tls_untrusted(TlsServer *server)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;
	char endpoint[64];

	snprintf(endpoint, sizeof(endpoint), "https://127.0.0.1:%d", server->port);
	config.endpoint = endpoint;
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	failed = harness_expect_failed(&h);
	tap_is(failed.failure, KSEG_FAILURE_CONFIG, "a certificate that nobody signed ends a run at once");
	tap_has(failed.hint, "ca_file", "and the hint names ca_file");
	harness_stop(&h);
}

static void
test_tls_no_file(TlsServer *server)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;
	char endpoint[64];

	snprintf(endpoint, sizeof(endpoint), "https://127.0.0.1:%d", server->port);
	config.endpoint = endpoint;
	config.ca_file = "/nonexistent/authorities.pem";
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	failed = harness_expect_failed(&h);
	tap_is(failed.failure, KSEG_FAILURE_CONFIG, "a ca_file that is not there ends a run at once");
	harness_stop(&h);
}

static void
test_tls_trusted(TlsServer *server)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"success\":true}";
	Harness h;
	HarnessConfig config = test_defaults();
	Check checks[5];
	char endpoint[64];

	snprintf(endpoint, sizeof(endpoint), "https://127.0.0.1:%d", server->port);
	config.endpoint = endpoint;
	config.ca_file = server->certificate;
	harness_begin(&h, &config);
	tls_wait_for(server, "POST /v1/batch");
	if (write(server->input, answer, strlen(answer)) != (ssize_t) strlen(answer))
		tap_die("OpenSSL's server is gone");
	read_checks(&h, checks);
	check_results(checks, "11112", "with ca_file it is trusted");
	tap_has(checks[2].detail, "TLS", "and the TLS version is told");
	harness_stop(&h);
}

static void
test_tls(void)
{
	TlsServer server;

	if (!tls_start(&server))
	{
		tap_ok(true, "TLS # SKIP there is no openssl");
		return;
	}
	test_tls_untrusted(&server);
	test_tls_no_file(&server);
	test_tls_trusted(&server);
	tls_stop(&server);
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_answers();
	test_no_answer();
	test_unreachable();
	test_key_lookup();
	test_end_of_wire();
	test_tls();
	return tap_end();
}
