/*
 * reader_bench.c
 *	  What the message reader costs: a million JSON messages of about 240 bytes, five of ten members wanted, against json-c.
 *
 * Owns: the messages and the clock. Refuses: to measure Kafka or the wire; that is bench-kafka's. Prints one line for each
 * way to read. Usage: reader_bench [messages] [rounds] [file of messages, one a line, instead of our own]
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <time.h>

#include "../unit/reader_wants.h"

/* The messages, one behind the other. */
typedef struct BenchMessages
{
	char *bytes;
	size_t *starts; /* count + 1 of them */
	size_t count;
} BenchMessages;

static const char *const bench_keys[] = {"customer_id", "iphone", "apple_watch", "amount", "created_at"};
#define BENCH_FIELDS (sizeof(bench_keys) / sizeof(bench_keys[0]))

static double
bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/* A prediction as a producer's JSON library writes it; quoted asks for escapes and characters beyond ASCII in one member. */
static void
bench_make_json(BenchMessages *messages, size_t count, bool quoted)
{
	const size_t room = 320;
	uint64_t random = 88172645463325252u;
	char *at = malloc(count * room);

	*messages = (BenchMessages){.bytes = at, .starts = malloc((count + 1) * sizeof(size_t)), .count = count};
	for (size_t i = 0; i < count; i++)
	{
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		messages->starts[i] = (size_t) (at - messages->bytes);
		at += snprintf(
		    at, room,
		    "{\"prediction_id\":%zu,\"customer_id\":\"customer-%07u\",\"model\":\"propensity-2026-08\","
		    "\"iphone\":%.6f,\"apple_watch\":%.7f,\"amount\":%u.%02u,\"country\":\"%s\","
		    "\"created_at\":\"2026-08-%02uT%02u:%02u:%02u.%03uZ\",\"active\":%s,\"segment\":%u}",
		    1000000 + i, (unsigned) (random % 5000000), (double) (random >> 40) / (1 << 24),
		    (double) (random >> 20 & 0xffffff) / (1 << 24), (unsigned) (random >> 8 & 4095),
		    (unsigned) (random % 100), quoted ? "D\\u00fcsseldorf \\\"D\\\" Zürich" : "DE",
		    (unsigned) (random % 28 + 1), (unsigned) (random >> 5 & 15), (unsigned) (random >> 9 & 31),
		    (unsigned) (random >> 14 & 31), (unsigned) (random >> 19) % 1000,
		    (random >> 30 & 1) != 0 ? "true" : "false", (unsigned) (random >> 33 & 63));
	}
	messages->starts[count] = (size_t) (at - messages->bytes);
}

/* The same rows as CSV, as many bytes as it takes. */
static void
bench_make_csv(BenchMessages *messages, const BenchMessages *json)
{
	char *at = malloc(json->starts[json->count]);

	*messages = (BenchMessages){
	    .bytes = at, .starts = malloc((json->count + 1) * sizeof(size_t)), .count = json->count};
	for (size_t i = 0; i < json->count; i++)
	{
		bool key = true;

		messages->starts[i] = (size_t) (at - messages->bytes);
		/* Of {"key":value,…} the values: none of ours has a comma or a colon but the time, which is quoted. */
		for (const char *from = json->bytes + json->starts[i] + 1; *from != '}'; from++)
		{
			if (key)
			{
				from = strchr(from, ':');
				key = false;
			}
			else if (*from == ',')
			{
				*at++ = ',';
				key = true;
			}
			else
				*at++ = *from;
		}
	}
	messages->starts[json->count] = (size_t) (at - messages->bytes);
}

static void
bench_read_file(BenchMessages *messages, const char *name)
{
	FILE *file = fopen(name, "r");
	size_t room = 0;
	size_t starts_room = 0;
	char *line = NULL;
	size_t line_room = 0;
	ssize_t length;

	*messages = (BenchMessages){0};
	if (file == NULL)
	{
		perror(name);
		exit(1);
	}
	while ((length = getline(&line, &line_room, file)) > 0)
	{
		size_t used = messages->count > 0 ? messages->starts[messages->count] : 0;

		if (used + (size_t) length > room)
			messages->bytes = realloc(messages->bytes, room = (used + (size_t) length) * 2);
		if (messages->count + 2 > starts_room)
			messages->starts =
			    realloc(messages->starts, (starts_room = (messages->count + 2) * 2) * sizeof(size_t));
		memcpy(messages->bytes + used, line, (size_t) length);
		messages->starts[messages->count++] = used;
		messages->starts[messages->count] = used + (size_t) length;
	}
	free(line);
	fclose(file);
}

/* ---------- ways to read ---------- */

/* All of them return the bytes of the fields, which must agree, and count what they refuse. */
typedef uint64_t (*BenchWay)(const BenchMessages *messages, uint64_t *refused);

static uint64_t
bench_read(KsegMessageReader *reader, uint32_t count, const BenchMessages *messages, uint64_t *refused)
{
	KsegText fields[WANTS_MAX];
	uint64_t bytes = 0;

	for (size_t i = 0; i < messages->count; i++)
	{
		size_t start = messages->starts[i];

		if (!reader_read(reader, messages->bytes + start, messages->starts[i + 1] - start, fields))
			(*refused)++;
		for (uint32_t j = 0; j < count; j++)
			bytes += fields[j].length;
	}
	reader_close(reader);
	return bytes;
}

static uint64_t
bench_kseg(const BenchMessages *messages, uint64_t *refused)
{
	static TestWants wants;

	wants.count = 0;
	for (size_t i = 0; i < BENCH_FIELDS; i++)
		wants_add(&wants, bench_keys[i]);
	return bench_read(reader_open(KSEG_FORMAT_JSON, wants.wants, wants.count, NULL), wants.count, messages,
	                  refused);
}

/* Only checks: nothing is wanted. */
static uint64_t
bench_kseg_check(const BenchMessages *messages, uint64_t *refused)
{
	return bench_read(reader_open(KSEG_FORMAT_JSON, NULL, 0, NULL), 0, messages, refused);
}

static uint64_t
bench_kseg_csv(const BenchMessages *messages, uint64_t *refused)
{
	static const char *const columns[BENCH_FIELDS] = {"#1", "#3", "#4", "#5", "#7"};
	static TestWants wants;
	const KsegCsvForm form = {.delimiter = ',', .quote = '"', .null = ""};

	wants.count = 0;
	for (size_t i = 0; i < BENCH_FIELDS; i++)
		wants_add(&wants, columns[i]);
	return bench_read(reader_open(KSEG_FORMAT_CSV, wants.wants, wants.count, &form), wants.count, messages,
	                  refused);
}

/* What most C programs do: a tree, and five look-ups in it. Strict, and UTF-8 checked, as we do. */
static uint64_t
bench_json_c(const BenchMessages *messages, uint64_t *refused)
{
	struct json_tokener *tokener = json_tokener_new_ex(KSEG_READER_DEPTH_MAX);
	uint64_t bytes = 0;

	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	for (size_t i = 0; i < messages->count; i++)
	{
		size_t start = messages->starts[i];
		struct json_object *object;
		struct json_object *member;

		json_tokener_reset(tokener);
		object =
		    json_tokener_parse_ex(tokener, messages->bytes + start, (int) (messages->starts[i + 1] - start));
		if (object == NULL)
			(*refused)++;
		for (size_t j = 0; j < BENCH_FIELDS; j++)
		{
			if (!json_object_object_get_ex(object, bench_keys[j], &member))
				continue;
			/* Numbers keep their text when they are doubles: what our reader hands over too. */
			bytes += (uint64_t) json_object_get_string_len(member);
			if (!json_object_is_type(member, json_type_string))
				bytes += strlen(json_object_get_string(member));
		}
		json_object_put(object);
	}
	json_tokener_free(tokener);
	return bytes;
}

/* The least that anything must do that looks at every byte. */
static uint64_t
bench_sum(const BenchMessages *messages, uint64_t *refused)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < messages->starts[messages->count]; i++)
		bytes += (unsigned char) messages->bytes[i];
	*refused += bytes == 0;
	return 0;
}

/* The best of some rounds: what else runs on the machine only adds. */
static void
bench_run(const char *name, BenchWay way, const BenchMessages *messages, int rounds)
{
	double best = 1e9;
	uint64_t bytes = 0;
	uint64_t refused = 0;

	for (int i = 0; i < rounds; i++)
	{
		double start = bench_now();

		refused = 0;
		bytes = way(messages, &refused);
		if (bench_now() - start < best)
			best = bench_now() - start;
	}
	printf("%-44s %7.1f ns/message %6.2f M/s %6.2f GB/s, fields %5.1f bytes of %5.1f, %" PRIu64 " refused\n",
	       name, best / (double) messages->count * 1e9, (double) messages->count / best / 1e6,
	       (double) messages->starts[messages->count] / best / 1e9, (double) bytes / (double) messages->count,
	       (double) messages->starts[messages->count] / (double) messages->count, refused);
}

static void
bench_run_json(const char *name, const BenchMessages *messages, int rounds)
{
	printf("%s\n", name);
	bench_run("  bytes summed up", bench_sum, messages, rounds);
	bench_run("  kseg, checked, nothing wanted", bench_kseg_check, messages, rounds);
	bench_run("  kseg, 5 fields", bench_kseg, messages, rounds);
	bench_run("  json-c, tree and 5 look-ups", bench_json_c, messages, rounds);
}

int
main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	int rounds = argc > 2 ? atoi(argv[2]) : 3;
	BenchMessages json;
	BenchMessages other;

	if (argc > 3)
	{
		bench_read_file(&json, argv[3]);
		bench_run_json(argv[3], &json, rounds);
		return 0;
	}
	bench_make_json(&json, count, false);
	bench_run_json("JSON, ASCII without escapes", &json, rounds);
	bench_make_json(&other, count, true);
	bench_run_json("JSON, one member with escapes and umlauts", &other, rounds);
	bench_make_csv(&other, &json);
	printf("CSV, the same rows\n");
	bench_run("  kseg, 5 fields", bench_kseg_csv, &other, rounds);
	return 0;
}
