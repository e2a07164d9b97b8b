/*
 * test_talk.c
 *	  The courier and its parent: the end of the wire at any moment, frames out of place, and what kind of process it is.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---------- the wire ---------- */

/* The courier has ended by itself, soon after the wire's end. */
static void
check_leaves(Harness *h, const char *name)
{
	close(h->wire);
	h->wire = -1;
	tap_ok(harness_wait_exit(h, HARNESS_LEAVE_MS) != -1, "%s: the courier leaves by itself", name);
}

static void
test_end_of_wire(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();

	harness_start(&h);
	check_leaves(&h, "before HELLO");
	harness_stop(&h);

	harness_begin(&h, &config);
	check_leaves(&h, "before events");
	harness_stop(&h);

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_expect_request(&h);
	check_leaves(&h, "in flight");
	harness_stop(&h);

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_answer(&h, harness_expect_request(&h), "429 Slow down", "Retry-After: 100\r\n", "");
	harness_wait_status(&h, h.status.paused_ms > 0);
	check_leaves(&h, "in a pause");
	harness_stop(&h);

	config.endpoint = "https://192.0.2.1";
	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 1);
	harness_end(&h);
	check_leaves(&h, "while connecting");
	harness_stop(&h);

	harness_begin(&h, &config);
	harness_send_frame(&h, KSEG_FRAME_END, 0, NULL, 0);
	harness_expect_frame(&h, KSEG_FRAME_DONE);
	check_leaves(&h, "after DONE");
	harness_stop(&h);
}

/* An input that is held back because the courier is full must not hide the wire's end. */
static void
test_end_of_wire_when_full(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	uint64_t row = 1;
	int buffer = 4096;

	harness_begin(&h, &config);
	setsockopt(h.wire, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	harness_feed(&h, 0, row, 1);
	harness_expect_request(&h); /* and is never answered */
	for (bool full = false; !full;)
	{
		uint8_t header[KSEG_FRAME_HEADER];
		static uint8_t payload[4 + KSEG_EVENT_ENTRY + KSEG_EVENT_MAX];

		kseg_write_u32(kseg_write_u64(kseg_write_u32(payload, 1), ++row), KSEG_EVENT_MAX);
		memset(payload + 4 + KSEG_EVENT_ENTRY, '1', KSEG_EVENT_MAX);
		kseg_frame_header(header, KSEG_FRAME_EVENTS, 0, sizeof(payload));
		/* It takes 950 kB, then stops reading, and the socket fills up: a write that finds no room for two seconds says so. */
		harness_send_bytes(&h, header, sizeof(header));
		for (size_t at = 0; at < sizeof(payload) && !full;)
		{
			struct timeval wait = {.tv_sec = 2};
			ssize_t put;

			setsockopt(h.wire, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
			put = send(h.wire, payload + at, sizeof(payload) - at, MSG_NOSIGNAL);
			full = put <= 0;
			at += put > 0 ? (size_t) put : 0;
		}
		if (row > 200)
			break;
	}
	tap_ok(row > 20 && row < 100,
	       "a courier that is fed without credit stops reading (after %" PRIu64 " events of 32 kB)", row);
	check_leaves(&h, "full");
	harness_stop(&h);
}

static HarnessFailure
fail_protocol(void (*speak)(Harness *, const HarnessConfig *))
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;

	harness_start(&h);
	speak(&h, &config);
	failed = harness_expect_failed(&h);
	harness_stop(&h);
	return failed;
}

static void
greet(Harness *h, const HarnessConfig *config)
{
	harness_send_hello(h, KSEG_WIRE_VERSION, KSEG_BUILD);
	harness_expect_frame(h, KSEG_FRAME_HELLO);
	if (config != NULL)
		harness_send_config(h, config);
}

static void
speak_other_build(Harness *h, const HarnessConfig *config)
{
	(void) config;
	harness_send_hello(h, KSEG_WIRE_VERSION, "another build");
	harness_expect_frame(h, KSEG_FRAME_HELLO);
}

static void
speak_other_version(Harness *h, const HarnessConfig *config)
{
	(void) config;
	harness_send_hello(h, KSEG_WIRE_VERSION + 1, KSEG_BUILD);
	harness_expect_frame(h, KSEG_FRAME_HELLO);
}

static void
speak_config_first(Harness *h, const HarnessConfig *config)
{
	harness_send_config(h, config);
}

static void
speak_oversize(Harness *h, const HarnessConfig *config)
{
	uint8_t header[KSEG_FRAME_HEADER];

	greet(h, config);
	kseg_frame_header(header, KSEG_FRAME_EVENTS, 0, KSEG_FRAME_MAX + 1);
	harness_send_bytes(h, header, sizeof(header));
}

static void
speak_wrong_lane(Harness *h, const HarnessConfig *config)
{
	greet(h, config);
	harness_feed(h, 1, 1, 1);
}

static void
speak_bad_events(Harness *h, const HarnessConfig *config)
{
	uint8_t payload[64];
	uint8_t *end = kseg_write_u32(kseg_write_u64(kseg_write_u32(payload, 1), 1), 30);

	greet(h, config);
	memcpy(end, "{}", 2);
	harness_send_frame(h, KSEG_FRAME_EVENTS, 0, payload, (size_t) (end + 2 - payload));
}

static void
speak_after_end(Harness *h, const HarnessConfig *config)
{
	greet(h, config);
	harness_feed(h, 0, 1, 1);
	harness_end(h);
	harness_feed(h, 0, 2, 1);
}

static void
speak_unknown_frame(Harness *h, const HarnessConfig *config)
{
	greet(h, config);
	harness_send_frame(h, (KsegFrameType) '?', 0, "x", 1);
}

static void
speak_no_json(Harness *h, const HarnessConfig *config)
{
	(void) config;
	greet(h, NULL);
	harness_send_frame(h, KSEG_FRAME_CONFIG, 0, "{\"write_key\":\"sEcret", 20);
}

static void
speak_unknown_job(Harness *h, const HarnessConfig *config)
{
	HarnessConfig other = *config;

	other.job = "bake_bread";
	greet(h, &other);
}

static void
speak_bad_endpoint(Harness *h, const HarnessConfig *config)
{
	HarnessConfig other = *config;

	other.endpoint = "https://user:sEcret+Key@host";
	greet(h, &other);
}

static void
test_protocol(void)
{
	HarnessFailure failed = fail_protocol(speak_other_build);

	tap_is(failed.failure, KSEG_FAILURE_BUILD, "another build is refused");
	tap_ok(strstr(failed.detail, "another build") != NULL && strstr(failed.detail, KSEG_BUILD) != NULL,
	       "both builds are named");
	tap_is(fail_protocol(speak_other_version).failure, KSEG_FAILURE_BUILD, "another wire version is refused");
	tap_is(fail_protocol(speak_config_first).failure, KSEG_FAILURE_INTERNAL,
	       "CONFIG before HELLO is refused");
	tap_is(fail_protocol(speak_oversize).failure, KSEG_FAILURE_INTERNAL, "a frame over its limit is refused");
	tap_is(fail_protocol(speak_wrong_lane).failure, KSEG_FAILURE_INTERNAL,
	       "a lane that there is not is refused");
	tap_is(fail_protocol(speak_bad_events).failure, KSEG_FAILURE_INTERNAL,
	       "lengths that do not add up are refused");
	tap_is(fail_protocol(speak_after_end).failure, KSEG_FAILURE_INTERNAL, "events after END are refused");
	tap_is(fail_protocol(speak_unknown_frame).failure, KSEG_FAILURE_INTERNAL, "an unknown frame is refused");
	failed = fail_protocol(speak_no_json);
	tap_is(failed.failure, KSEG_FAILURE_CONFIG, "CONFIG that is no JSON is refused");
	tap_ok(strstr(failed.detail, "sEcret") == NULL, "without quoting it");
	tap_is(fail_protocol(speak_unknown_job).failure, KSEG_FAILURE_CONFIG, "an unknown job is refused");
	failed = fail_protocol(speak_bad_endpoint);
	tap_is(failed.failure, KSEG_FAILURE_CONFIG, "an endpoint with a user in it is refused");
	tap_ok(strstr(failed.detail, "sEcret") == NULL && strstr(failed.hint, "\"endpoint\"") != NULL,
	       "without quoting it, naming the option");
}

/* What kseg.so writes while the courier fails must not hide why. */
static void
test_failed_while_fed(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	HarnessFailure failed;

	harness_begin(&h, &config);
	harness_feed(&h, 0, 1, 100);
	harness_answer(&h, harness_expect_request(&h), "401 No", "", "");
	for (int i = 0; i < 200; i++)
		harness_feed(&h, 0, 1000, 1000);
	failed = harness_expect_failed(&h);
	tap_is(failed.failure, KSEG_FAILURE_AUTH,
	       "a courier that has failed takes what still comes, and drops it");
	harness_stop(&h);
}

/* ---------- the process ---------- */

static void
read_proc(Harness *h, const char *file, char *out, size_t room)
{
	char path[64];
	FILE *stream;
	size_t length = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int) h->pid, file);
	stream = fopen(path, "r");
	if (stream != NULL)
	{
		length = fread(out, 1, room - 1, stream);
		fclose(stream);
	}
	for (size_t i = 0; i < length; i++)
		out[i] = out[i] == '\0' ? ' ' : out[i];
	out[length] = '\0';
}

/* What a parent of a courier may have: signals blocked, and descriptors (0 and 200) that lead to one pipe. */
static int
begin_with_inheritance(Harness *h, const HarnessConfig *config)
{
	int leak[2];
	int input = dup(STDIN_FILENO);
	sigset_t all;
	sigset_t before;

	if (pipe(leak) != 0 || dup2(leak[1], STDIN_FILENO) < 0 || dup2(leak[1], 200) < 0)
		tap_die("no pipe");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	harness_begin(h, config);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (input >= 0)
		dup2(input, STDIN_FILENO);
	else
		close(STDIN_FILENO);
	close(input);
	close(leak[1]);
	close(200);
	return leak[0];
}

static void
test_process(void)
{
	Harness h;
	HarnessConfig config = harness_defaults();
	int leak = begin_with_inheritance(&h, &config);
	struct pollfd closed = {.fd = leak, .events = POLLIN};
	char text[4096];
	struct stat owner;

	tap_ok(poll(&closed, 1, HARNESS_WAIT_MS) == 1 && read(leak, text, 1) == 0,
	       "the courier has closed what it inherited, standard input too");
	read_proc(&h, "oom_score_adj", text, sizeof(text));
	tap_is(atoi(text), 1000, "it is the first for the kernel to kill");
	read_proc(&h, "cmdline", text, sizeof(text));
	tap_is_text(text, "kseg-courier ", "its command line says nothing but its name");
	read_proc(&h, "status", text, sizeof(text));
	tap_has(text, "SigBlk:\t0000000000000000", "it blocks no signal, though its parent did");
	if (geteuid() != 0)
	{
		/* For root this looks the same either way. */
		snprintf(text, sizeof(text), "/proc/%d/mem", (int) h.pid);
		tap_ok(stat(text, &owner) == 0 && owner.st_uid == 0, "its memory is not for others of its user");
	}
	close(leak);
	harness_stop(&h);
}

static void
test_by_hand(void)
{
	int output[2];
	char text[512];
	ssize_t length;
	int status;
	pid_t pid;

	if (pipe(output) != 0)
		tap_die("no pipe");
	pid = fork();
	if (pid == 0)
	{
		dup2(output[1], STDERR_FILENO);
		close(KSEG_WIRE_FD);
		execl(getenv("KSEG_COURIER"), "kseg-courier", (char *) NULL);
		_exit(127);
	}
	close(output[1]);
	length = read(output[0], text, sizeof(text) - 1);
	text[length > 0 ? length : 0] = '\0';
	close(output[0]);
	waitpid(pid, &status, 0);
	tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 2 && strstr(text, "kseg") != NULL,
	       "started by hand it says what it is");
}

/* Dead, or dead and not reaped (in a container without an init nobody reaps it), or just being reaped. */
static bool
is_dead(pid_t pid)
{
	char path[64];
	char text[512] = "";
	FILE *stream;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	stream = fopen(path, "r");
	if (stream == NULL)
		return true;
	if (fgets(text, sizeof(text), stream) == NULL)
		text[0] = '\0';
	fclose(stream);
	return text[0] == '\0' || strstr(text, ") Z ") != NULL || strstr(text, ") X ") != NULL;
}

/* Start a courier, say its pid, leave the wire's end with a process that lives as long as the pipe hold, and be killed. */
static void
be_a_parent_that_dies(int say, const int *hold)
{
	Harness h;
	HarnessConfig config = harness_defaults();

	harness_begin(&h, &config);
	if (write(say, &h.pid, sizeof(h.pid)) != sizeof(h.pid))
		_exit(1);
	if (fork() == 0)
	{
		char byte;

		close(hold[1]);
		while (read(hold[0], &byte, 1) > 0)
			;
		_exit(0);
	}
	raise(SIGKILL);
}

/* A parent that dies takes its courier along, though something else still holds the wire open. */
static void
test_parent_dies(void)
{
	int say[2];
	int hold[2];
	pid_t parent;
	pid_t courier = 0;
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;

	if (pipe(say) != 0 || pipe(hold) != 0)
		tap_die("no pipe");
	parent = fork();
	if (parent == 0)
		be_a_parent_that_dies(say[1], hold);
	close(say[1]);
	close(hold[0]);
	waitpid(parent, NULL, 0);
	if (read(say[0], &courier, sizeof(courier)) != sizeof(courier))
		tap_die("the parent said nothing");
	while (!is_dead(courier) && harness_now_ms() < deadline)
		;
	tap_ok(is_dead(courier), "a parent that is killed takes its courier along");
	close(say[0]);
	close(hold[1]);
}

int
main(void)
{
	test_by_hand();
	test_process();
	test_parent_dies();
	test_end_of_wire();
	test_end_of_wire_when_full();
	test_protocol();
	test_failed_while_fed();
	return tap_end();
}
