/*
 * kafka_pull.c
 *	  Reads a topic through a courier as fast as it goes, without PostgreSQL: for looking at the courier alone.
 *
 *	  kafka_pull COURIER BOOTSTRAP TOPIC [--set KEY=JSON]… [--print] [--stall MS]
 *
 * Plays PostgreSQL: HELLO, CONFIG, then takes frames until DONE or FAILED. CONFIG holds what a server has by default and wants
 * five fields of a prediction; --set replaces a key's JSON, for instance --set 'wants=[{"kind":"value"}]'. --print writes the
 * bounds and every record; without it the rate, the courier's CPU time and its peak memory are printed. --stall leaves the
 * socket alone for so long after the first frame, and tells the courier's memory before it goes on: a cursor that nobody
 * fetches from.
 *
 * It and the courier must be of one build: make -f test/unit/unit.mk build/unit/kafka_pull build/unit/feed-courier
 *
 * Exit status: 0 DONE, 1 FAILED, 2 the courier was lost or spoke nonsense.
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wire/wire_record.h"

#define KEYS_MAX 64

typedef struct Key
{
	const char *name;
	const char *json;
} Key;

static Key keys[KEYS_MAX] = {
    {"job", "\"kafka_consume\""},
    {"security_protocol", "\"plaintext\""},
    {"sasl_mechanism", "\"\""},
    {"sasl_username", "\"\""},
    {"sasl_password", "\"\""},
    {"ssl_ca_file", "\"\""},
    {"ssl_certificate_file", "\"\""},
    {"ssl_key_file", "\"\""},
    {"ssl_key_password", "\"\""},
    {"plaintext_anywhere", "0"},
    {"client_id", "\"kafka_pull\""},
    {"isolation_level", "\"read_committed\""},
    {"compression", "\"lz4\""},
    {"linger_ms", "5"},
    {"message_timeout_ms", "300000"},
    {"max_message_bytes", "1000000"},
    {"max_queue_messages", "100000"},
    {"max_queue_bytes", "16777216"},
    {"connect_timeout_ms", "10000"},
    {"request_timeout_ms", "60000"},
    {"transaction_timeout_ms", "60000"},
    {"format", "\"json\""},
    {"delimiter", "\",\""},
    {"quote", "\"\\\"\""},
    {"null", "\"\""},
    {"wants", "[{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"customer_id\"]]},"
              "{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"product\"]]},"
              "{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"probability\"]]},"
              "{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"score\"]]},"
              "{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"scored_at\"]]}]"},
    {"partitions", "null"},
    {"offset_from", "-1"},
    {"offset_to", "-1"},
    {"timestamp_from_ms", "-1"},
    {"timestamp_to_ms", "-1"},
    {"bounds", "null"},
    {"tail", "-1"},
    {"max_records", "-1"},
};

static struct
{
	pid_t pid;
	int fd;
	bool print;
	int stall_ms;
	bool stalled;
	uint8_t *in;
	size_t length;
	uint64_t records;
	uint64_t bytes;
	uint64_t frames;
	double started;
	double first;
} pull;

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "kafka_pull: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---------- CONFIG ---------- */

static void
set_key(const char *name, size_t length, const char *json)
{
	for (int i = 0; i < KEYS_MAX; i++)
	{
		if (keys[i].name != NULL &&
		    (strlen(keys[i].name) != length || strncmp(keys[i].name, name, length) != 0))
			continue;
		keys[i].name = keys[i].name != NULL ? keys[i].name : strndup(name, length);
		keys[i].json = json;
		return;
	}
	die("too many keys");
}

static void
set_text(const char *name, const char *text)
{
	char *json;

	if (asprintf(&json, "\"%s\"", text) < 0)
		die("no memory");
	set_key(name, strlen(name), json);
}

static void
send_frame(KsegFrameType type, const void *payload, size_t length)
{
	uint8_t *frame = malloc(KSEG_FRAME_HEADER + length);

	kseg_frame_header(frame, type, 0, (uint32_t) length);
	memcpy(frame + KSEG_FRAME_HEADER, payload, length);
	if (send(pull.fd, frame, KSEG_FRAME_HEADER + length, MSG_NOSIGNAL) < 0)
		die("send");
	free(frame);
}

static void
send_hello(void)
{
	uint8_t hello[256];
	uint8_t *end = kseg_write_u32(hello, KSEG_WIRE_VERSION);

	end = kseg_write_text(end, KSEG_BUILD, strlen(KSEG_BUILD));
	end = kseg_write_text(end, "", 0);
	send_frame(KSEG_FRAME_HELLO, hello, (size_t) (end - hello));
}

static void
send_config(void)
{
	char *json = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&json, &length);

	for (int i = 0; i < KEYS_MAX && keys[i].name != NULL; i++)
		fprintf(out, "%c\"%s\":%s", i == 0 ? '{' : ',', keys[i].name, keys[i].json);
	fputc('}', out);
	fclose(out);
	send_frame(KSEG_FRAME_CONFIG, json, length);
	free(json);
}

/* ---------- frames ---------- */

static void
print_bounds(const KsegFrame *frame)
{
	KsegReader reader;

	kseg_reader_init(&reader, frame);
	for (uint32_t count = kseg_read_u32(&reader); count > 0; count--)
	{
		uint32_t partition = kseg_read_u32(&reader);
		uint64_t low = kseg_read_u64(&reader);
		uint64_t start = kseg_read_u64(&reader);

		printf("bounds partition=%u low=%llu start=%llu end=%llu\n", partition, (unsigned long long) low,
		       (unsigned long long) start, (unsigned long long) kseg_read_u64(&reader));
	}
	if (!kseg_reader_done(&reader))
		die("bad BOUNDS");
}

static void
print_record(const KsegRecord *record, uint32_t fields)
{
	const uint8_t *bytes = record->bytes;

	printf("%d %lld %lld %u %u", record->partition, (long long) record->offset, (long long) record->timestamp,
	       record->timestamp_type, record->flags);
	for (uint32_t i = 0; i < fields; i++)
	{
		uint32_t length = kseg_record_length(record, i);

		if (length == KSEG_NO_BYTES)
			printf("\t\\N");
		else
		{
			printf("\t%.*s", (int) length, (const char *) bytes);
			bytes += length;
		}
	}
	if (record->error.length > 0)
		printf("\terror: %.*s", (int) record->error.length, record->error.data);
	printf("\n");
}

static void
take_records(const KsegFrame *frame)
{
	KsegReader reader;
	KsegRecord record;
	uint32_t count;
	uint32_t fields;

	kseg_reader_init(&reader, frame);
	count = kseg_read_u32(&reader);
	fields = kseg_read_u32(&reader);
	if (pull.records == 0)
		pull.first = now();
	pull.records += count;
	pull.frames++;
	for (; count > 0; count--)
	{
		if (!kseg_record_read(&reader, fields, &record))
			die("bad RECORDS");
		if (pull.print)
			print_record(&record, fields);
	}
	if (!kseg_reader_done(&reader))
		die("bad end of RECORDS");
}

static void
print_failed(const KsegFrame *frame)
{
	KsegReader reader;
	uint32_t failure;
	uint32_t status;

	kseg_reader_init(&reader, frame);
	failure = kseg_read_u32(&reader);
	status = kseg_read_u32(&reader);
	printf("FAILED %u (%d)\n", failure, (int) status);
	for (int i = 0; i < 3; i++)
	{
		KsegText text = kseg_read_text(&reader);

		printf("  %.*s\n", (int) text.length, text.data);
	}
}

/* ---------- the courier ---------- */

static void
start(const char *courier)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		die("socketpair");
	pull.started = now();
	pull.pid = fork();
	if (pull.pid == 0)
	{
		dup2(sockets[1], KSEG_WIRE_FD);
		execl(courier, "kseg-courier", (char *) NULL);
		_exit(127);
	}
	close(sockets[1]);
	pull.fd = sockets[0];
	pull.in = malloc(2 * KSEG_FRAME_MAX);
}

/* A line of the courier's /proc/PID/status. */
static void
print_memory(const char *when)
{
	char path[64];
	char line[200];
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", (int) pull.pid);
	status = fopen(path, "r");
	while (status != NULL && fgets(line, sizeof(line), status) != NULL)
	{
		if (strncmp(line, "VmRSS", 5) == 0 || strncmp(line, "VmHWM", 5) == 0)
			printf("%s: %s", when, line);
	}
	if (status != NULL)
		fclose(status);
}

static void
end(int status)
{
	double elapsed = now() - pull.started;
	struct rusage usage;
	double cpu;

	close(pull.fd);
	if (wait4(pull.pid, NULL, 0, &usage) != pull.pid)
		die("wait4");
	cpu = (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	      (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	if (!pull.print)
		printf(
		    "%llu records, %llu MB, %llu frames in %.1f ms (first after %.1f ms), %.0f records/s after the "
		    "first; courier: %.3f s CPU, %.3f s per million, %ld kB at its most\n",
		    (unsigned long long) pull.records, (unsigned long long) pull.bytes / 1000000,
		    (unsigned long long) pull.frames, elapsed * 1e3,
		    pull.records > 0 ? (pull.first - pull.started) * 1e3 : 0,
		    pull.records > 0 ? (double) pull.records / (pull.started + elapsed - pull.first) : 0, cpu,
		    pull.records > 0 ? cpu / (double) pull.records * 1e6 : 0, usage.ru_maxrss);
	exit(status);
}

static void
take_frame(const KsegFrame *frame)
{
	if (frame->type == KSEG_FRAME_BOUNDS && pull.print)
		print_bounds(frame);
	else if (frame->type == KSEG_FRAME_RECORDS)
		take_records(frame);
	else if (frame->type == KSEG_FRAME_FAILED)
	{
		print_failed(frame);
		end(1);
	}
	else if (frame->type == KSEG_FRAME_DONE)
	{
		if (!pull.print)
			print_memory("at the end");
		end(0);
	}
	if (pull.stall_ms > 0 && !pull.stalled && frame->type == KSEG_FRAME_RECORDS)
	{
		pull.stalled = true;
		poll(NULL, 0, pull.stall_ms);
		print_memory("stalled");
	}
}

static void
run(void)
{
	for (;;)
	{
		size_t at = 0;
		KsegFrame frame;
		int taken;
		ssize_t got = recv(pull.fd, pull.in + pull.length, 2 * KSEG_FRAME_MAX - pull.length, 0);

		if (got <= 0)
			die("the courier has gone");
		pull.length += (size_t) got;
		pull.bytes += (uint64_t) got;
		while ((taken = kseg_frame_parse(pull.in + at, pull.length - at, &frame)) > 0)
		{
			take_frame(&frame);
			at += (size_t) taken;
		}
		if (taken < 0)
			die("a frame that is none");
		memmove(pull.in, pull.in + at, pull.length - at);
		pull.length -= at;
	}
}

int
main(int argc, char **argv)
{
	if (argc < 4)
	{
		fprintf(stderr,
		        "usage: kafka_pull COURIER BOOTSTRAP TOPIC [--set KEY=JSON]... [--print] [--stall MS]\n");
		return 2;
	}
	set_text("bootstrap_servers", argv[2]);
	set_text("topic", argv[3]);
	for (int i = 4; i < argc; i++)
	{
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		const char *equals = strchr(value, '=');

		if (strcmp(argv[i], "--print") == 0)
			pull.print = true;
		else if (strcmp(argv[i], "--stall") == 0)
			pull.stall_ms = atoi(argv[++i]);
		else if (strcmp(argv[i], "--set") == 0 && equals != NULL)
			set_key(argv[++i], (size_t) (equals - value), equals + 1);
		else
			die("unknown argument");
	}
	setvbuf(stdout, NULL, pull.print ? _IOFBF : _IOLBF, 1 << 16);
	start(argv[1]);
	send_hello();
	send_config();
	run();
}
