/*
 * test_kafka_consume.c
 *	  The courier reads topics of librdkafka's own broker for tests, which is in this process: what is handed over, in which
 *	  bounds, and how a read ends that cannot go on.
 *
 * What needs a real broker (transactions, compaction, retention, times) is tested there. Each test has a topic of its own.
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <unistd.h>

#include "harness.h"
#include "wire/wire_record.h"

/* The protocol's numbers of requests. */
#define API_FETCH        1
#define API_LIST_OFFSETS 2

#define BROKERS     3
#define RECORDS_MAX 20000

/* ---------- the brokers ---------- */

static rd_kafka_t *producer; /* owns the cluster */
static rd_kafka_mock_cluster_t *cluster;

static void
brokers_start(void)
{
	char words[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	if (rd_kafka_conf_set(conf, "test.mock.num.brokers", "3", words, sizeof(words)) != RD_KAFKA_CONF_OK ||
	    rd_kafka_conf_set(conf, "log_level", "0", words, sizeof(words)) != RD_KAFKA_CONF_OK ||
	    (producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, words, sizeof(words))) == NULL)
		tap_die("no broker: %s", words);
	cluster = rd_kafka_handle_mock_cluster(producer);
}

static void
topic_create(const char *topic, int partitions)
{
	if (rd_kafka_mock_topic_create(cluster, topic, partitions, BROKERS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		tap_die("topic %s cannot be made", topic);
}

static void
produce(const char *topic, int partition, const char *key, const void *value, size_t length,
        rd_kafka_headers_t *headers)
{
	size_t key_length = key == NULL ? 0 : strlen(key);
	rd_kafka_resp_err_t error =
	    rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
	                      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key_length),
	                      RD_KAFKA_V_VALUE((void *) (uintptr_t) value, length),
	                      RD_KAFKA_V_TIMESTAMP(1785587696000), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);

	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		tap_die("a message cannot be produced: %s", rd_kafka_err2str(error));
}

static void
produce_end(void)
{
	if (rd_kafka_flush(producer, HARNESS_WAIT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		tap_die("messages are not delivered");
}

/* count messages {"n": 0}, {"n": 1} … into this partition. */
static void
produce_numbers(const char *topic, int partition, int count)
{
	for (int i = 0; i < count; i++)
	{
		char value[40];

		produce(topic, partition, NULL, value, (size_t) snprintf(value, sizeof(value), "{\"n\": %d}", i),
		        NULL);
	}
	produce_end();
}

/* ---------- CONFIG ---------- */

/* What a test may change: texts are JSON. */
typedef struct Config
{
	const char *servers; /* NULL: the test's own brokers */
	const char *topic;
	const char *wants;
	const char *partitions;
	const char *bounds;
	int64_t offset_from;
	int64_t offset_to;
	int64_t tail;
	int64_t max_records;
	int connect_timeout_ms;
	int request_timeout_ms;
} Config;

#define WANT_NUMBER "[{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"n\"]]}]"

static Config
config_of(const char *topic)
{
	return (Config){.topic = topic,
	                .wants = WANT_NUMBER,
	                .partitions = "null",
	                .bounds = "null",
	                .offset_from = -1,
	                .offset_to = -1,
	                .tail = -1,
	                .max_records = -1,
	                .connect_timeout_ms = HARNESS_WAIT_MS / 2,
	                .request_timeout_ms = HARNESS_WAIT_MS / 2};
}

static void
send_config(Harness *harness, const Config *config)
{
	char json[4096];

	snprintf(
	    json, sizeof(json),
	    "{\"job\":\"kafka_consume\",\"bootstrap_servers\":\"%s\",\"security_protocol\":\"plaintext\","
	    "\"sasl_mechanism\":\"\",\"sasl_username\":\"\",\"sasl_password\":\"\",\"ssl_ca_file\":\"\","
	    "\"ssl_certificate_file\":\"\",\"ssl_key_file\":\"\",\"ssl_key_password\":\"\",\"plaintext_"
	    "anywhere\":0,"
	    "\"client_id\":\"kseg\",\"isolation_level\":\"read_committed\",\"compression\":\"none\",\"linger_"
	    "ms\":5,"
	    "\"message_timeout_ms\":10000,\"max_message_bytes\":1000000,\"max_queue_messages\":1000,"
	    "\"max_queue_bytes\":1048576,\"connect_timeout_ms\":%d,\"request_timeout_ms\":%d,"
	    "\"transaction_timeout_ms\":10000,\"topic\":\"%s\",\"format\":\"json\",\"delimiter\":\",\",\"quote\":"
	    "\"'\","
	    "\"null\":\"\",\"wants\":%s,\"partitions\":%s,\"bounds\":%s,\"offset_from\":%lld,\"offset_to\":%lld,"
	    "\"timestamp_from_ms\":-1,\"timestamp_to_ms\":-1,\"tail\":%lld,\"max_records\":%lld}",
	    config->servers != NULL ? config->servers : rd_kafka_mock_cluster_bootstraps(cluster),
	    config->connect_timeout_ms, config->request_timeout_ms, config->topic, config->wants,
	    config->partitions, config->bounds, (long long) config->offset_from, (long long) config->offset_to,
	    (long long) config->tail, (long long) config->max_records);
	harness_send_frame(harness, KSEG_FRAME_CONFIG, 0, json, strlen(json));
}

static void
begin(Harness *harness, const Config *config)
{
	harness_start(harness);
	harness_send_hello(harness, KSEG_WIRE_VERSION, KSEG_BUILD);
	harness_expect_frame(harness, KSEG_FRAME_HELLO);
	send_config(harness, config);
}

/* ---------- what comes ---------- */

typedef struct Row
{
	KsegRecord record;
	uint32_t fields;
} Row;

typedef struct Bound
{
	uint32_t partition;
	int64_t low;
	int64_t start;
	int64_t end;
} Bound;

/* A whole read. Rows point into the harness's frames. */
typedef struct Read
{
	Bound bounds[16];
	uint32_t bound_count;
	Row rows[RECORDS_MAX];
	uint32_t row_count;
	bool done; /* else FAILED has come, and is the harness's next frame */
} Read;

static Read read_result;

static void
take_bounds(Read *read, const HarnessFrame *kept)
{
	KsegFrame frame = {.payload = kept->payload, .length = kept->length};
	KsegReader reader;

	kseg_reader_init(&reader, &frame);
	read->bound_count = kseg_read_u32(&reader);
	for (uint32_t i = 0; i < read->bound_count && i < 16; i++)
	{
		Bound *bound = &read->bounds[i];

		bound->partition = kseg_read_u32(&reader);
		bound->low = (int64_t) kseg_read_u64(&reader);
		bound->start = (int64_t) kseg_read_u64(&reader);
		bound->end = (int64_t) kseg_read_u64(&reader);
	}
	if (!kseg_reader_done(&reader))
		tap_die("BOUNDS are none");
}

static void
take_records(Read *read, const HarnessFrame *kept)
{
	KsegFrame frame = {.payload = kept->payload, .length = kept->length};
	KsegReader reader;
	uint32_t count;
	uint32_t fields;

	kseg_reader_init(&reader, &frame);
	count = kseg_read_u32(&reader);
	fields = kseg_read_u32(&reader);
	for (uint32_t i = 0; i < count; i++)
	{
		Row *row = &read->rows[read->row_count++];

		row->fields = fields;
		if (read->row_count > RECORDS_MAX || !kseg_record_read(&reader, fields, &row->record))
			tap_die("RECORDS are none");
	}
	if (!kseg_reader_done(&reader) || count == 0)
		tap_die("RECORDS do not end where they should");
}

/* The next frame, left where it is. */
static const HarnessFrame *
peek_frame(Harness *harness, const char *what)
{
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;

	while (harness->frame_next == harness->frame_count)
		harness_pump(harness, deadline, what);
	return &harness->frames[harness->frame_next];
}

/* Take frames until the read has ended one way or another. */
static Read *
take_read(Harness *harness)
{
	Read *read = &read_result;

	memset(read, 0, sizeof(*read));
	for (;;)
	{
		const HarnessFrame *frame = peek_frame(harness, "the end of a read");

		if (frame->type == KSEG_FRAME_FAILED)
			return read;
		harness->frame_next++;
		if (frame->type == KSEG_FRAME_BOUNDS && read->bound_count == 0 && read->row_count == 0)
			take_bounds(read, frame);
		else if (frame->type == KSEG_FRAME_RECORDS && read->bound_count > 0)
			take_records(read, frame);
		else if (frame->type == KSEG_FRAME_DONE)
			read->done = true;
		else
			tap_die("a frame %c that has no place there", frame->type);
		if (read->done)
			return read;
	}
}

/* The index-th field of a row as a text, "(null)" for NULL; lives until the next call. */
static const char *
field_text(const Row *row, uint32_t index)
{
	static char text[1000];
	const uint8_t *at = row->record.bytes;
	uint32_t length = kseg_record_length(&row->record, index);

	for (uint32_t i = 0; i < index; i++)
		at += kseg_record_length(&row->record, i) == KSEG_NO_BYTES ? 0 : kseg_record_length(&row->record, i);
	if (length == KSEG_NO_BYTES)
		return "(null)";
	snprintf(text, sizeof(text), "%.*s", (int) length, (const char *) at);
	return text;
}

/* Are the rows of this partition exactly the numbers first … last, in order, each at its offset? */
static bool
has_numbers(const Read *read, int32_t partition, int64_t first, int64_t last)
{
	int64_t next = first;

	for (uint32_t i = 0; i < read->row_count; i++)
	{
		const Row *row = &read->rows[i];

		if (row->record.partition != partition)
			continue;
		if (row->record.offset != next || row->fields != 1 || atoll(field_text(row, 0)) != next)
			return false;
		next++;
	}
	return next == last + 1;
}

/* One read from its beginning to its end; then the courier must go. */
static Read *
run(Harness *harness, const Config *config)
{
	Read *read;

	begin(harness, config);
	read = take_read(harness);
	return read;
}

/* ---------- reads ---------- */

static void
test_whole(void)
{
	Config config = config_of("whole");
	Harness harness;
	Read *read;

	topic_create("whole", 4);
	produce_numbers("whole", 0, 3000);
	produce_numbers("whole", 1, 1);
	produce_numbers("whole", 3, 5000);
	read = run(&harness, &config);
	tap_ok(read->done && read->row_count == 8001, "every message of a topic is handed over");
	tap_ok(has_numbers(read, 0, 0, 2999) && has_numbers(read, 1, 0, 0) && has_numbers(read, 3, 0, 4999),
	       "once, and in the order of its partition");
	tap_ok(read->bound_count == 4 && read->bounds[2].partition == 2 && read->bounds[2].start == 0 &&
	           read->bounds[2].end == 0 && read->bounds[3].start == 0 && read->bounds[3].end == 5000,
	       "bounds come first, those of an empty partition, too");
	tap_ok(read->rows[0].record.timestamp == 1785587696000 && read->rows[0].record.timestamp_type == 1,
	       "with the time of each message and its kind");
	harness_stop(&harness);
}

static void
test_limits(void)
{
	Config config = config_of("limits");
	Harness harness;
	Read *read;

	topic_create("limits", 3);
	produce_numbers("limits", 0, 100);
	produce_numbers("limits", 1, 10);
	produce_numbers("limits", 2, 100);

	config.partitions = "[2,1,7]";
	config.offset_from = 5;
	config.offset_to = 20;
	read = run(&harness, &config);
	tap_ok(read->done && read->row_count == 20 && has_numbers(read, 1, 5, 9) && has_numbers(read, 2, 5, 19),
	       "partitions and offsets limit a read; a partition that there is not has no messages");
	harness_stop(&harness);

	config = config_of("limits");
	config.tail = 3;
	read = run(&harness, &config);
	tap_ok(read->done && read->row_count == 9 && has_numbers(read, 0, 97, 99) && has_numbers(read, 1, 7, 9) &&
	           has_numbers(read, 2, 97, 99),
	       "a tail is the last messages of each partition");
	harness_stop(&harness);

	config = config_of("limits");
	config.max_records = 7;
	read = run(&harness, &config);
	tap_ok(read->done && read->row_count == 7, "so many records and no more");
	harness_stop(&harness);

	config = config_of("limits");
	config.bounds = "[{\"partition\":0,\"start\":10,\"end\":12},{\"partition\":2,\"start\":3,\"end\":3}]";
	read = run(&harness, &config);
	tap_ok(read->done && read->row_count == 2 && has_numbers(read, 0, 10, 11) && read->bound_count == 2 &&
	           read->bounds[0].start == 10 && read->bounds[0].end == 12,
	       "an earlier read's bounds are read again, and nothing else");
	harness_stop(&harness);
}

static void
test_nothing_to_read(void)
{
	Config config = config_of("empty");
	Harness harness;
	Read *read;

	topic_create("empty", 2);
	read = run(&harness, &config);
	tap_ok(read->done && read->row_count == 0 && read->bound_count == 2, "an empty topic is done at once");
	harness_stop(&harness);
	config.partitions = "[]";
	read = run(&harness, &config);
	tap_ok(read->done && read->bound_count == 0, "so is a read of no partition");
	harness_stop(&harness);
}

/*
 * A partition that is done before its log ends is stopped, and librdkafka throws away what it had of it. A broker's thread must
 * not go on waiting for those messages to be taken: one read in seven hung.
 */
static void
test_ends_within(void)
{
	Config config = config_of("within");
	static char value[1000];
	bool right = true;

	topic_create("within", 4);
	for (int i = 0; i < 4 * 3000; i++)
	{
		int length = snprintf(value, sizeof(value), "{\"n\": %d, \"rest\": \"%0*d\"}", i / 4, 700, 0);

		produce("within", i % 4, NULL, value, (size_t) length, NULL);
	}
	produce_end();
	config.bounds =
	    "[{\"partition\":0,\"start\":10,\"end\":800},{\"partition\":1,\"start\":500,\"end\":1900},"
	    "{\"partition\":2,\"start\":1000,\"end\":1010},{\"partition\":3,\"start\":0,\"end\":1500}]";
	for (int i = 0; right && i < 30; i++)
	{
		Harness harness;
		Read *read = run(&harness, &config);

		right = read->done && has_numbers(read, 0, 10, 799) && has_numbers(read, 1, 500, 1899) &&
		        has_numbers(read, 2, 1000, 1009) && has_numbers(read, 3, 0, 1499);
		harness_stop(&harness);
	}
	tap_ok(right, "reads that end within each partition end, thirty times");
}

static void
test_fields(void)
{
	Config config = config_of("fields");
	static const char whole[] = "{\"n\": \"\\u00e9\", \"o\": {\"p\": [1, 2]}}";
	rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
	Harness harness;
	Read *read;

	topic_create("fields", 1);
	rd_kafka_header_add(headers, "h", -1, "v", 1);
	rd_kafka_header_add(headers, "h", -1, NULL, 0);
	produce("fields", 0, "key", whole, sizeof(whole) - 1, headers);
	produce("fields", 0, NULL, "{\"n\": ", 6, NULL);
	produce("fields", 0, "gone", NULL, 0, NULL);
	produce_end();
	config.wants = "[{\"kind\":\"headers\"},{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"x\"],[\"n\"]]},{"
	               "\"kind\":\"key\"},"
	               "{\"kind\":\"path\",\"raw\":true,\"paths\":[[\"o\",\"p\",1]]},{\"kind\":\"value\"}]";
	read = run(&harness, &config);
	if (!read->done || read->row_count != 3)
		tap_die("three messages come to %u records", read->row_count);
	tap_is_text(field_text(&read->rows[0], 0), "[[\"h\", \"v\"], [\"h\", null]]", "headers come as JSON");
	tap_is_text(field_text(&read->rows[0], 1), "\xc3\xa9",
	            "a path's string without escapes, from the second path");
	tap_is_text(field_text(&read->rows[0], 2), "key", "the key");
	tap_is_text(field_text(&read->rows[0], 3), "2", "an element of an array in an object");
	tap_is_text(field_text(&read->rows[0], 4), whole, "and the value as it is");
	tap_ok(read->rows[0].record.error.length == 0 && read->rows[0].record.flags == 0,
	       "nothing is wrong with it");

	tap_ok(read->rows[1].record.error.length > 0, "a malformed value has an error");
	tap_ok(strcmp(field_text(&read->rows[1], 1), "(null)") == 0 &&
	           strcmp(field_text(&read->rows[1], 3), "(null)") == 0,
	       "and no fields");
	tap_ok(strcmp(field_text(&read->rows[1], 4), "{\"n\": ") == 0 &&
	           strcmp(field_text(&read->rows[1], 0), "[]") == 0 &&
	           strcmp(field_text(&read->rows[1], 2), "(null)") == 0,
	       "but the value, its headers (none) and key (NULL) are there");

	tap_ok(read->rows[2].record.flags == KSEG_RECORD_TOMBSTONE && read->rows[2].record.error.length == 0 &&
	           strcmp(field_text(&read->rows[2], 4), "(null)") == 0 &&
	           strcmp(field_text(&read->rows[2], 1), "(null)") == 0 &&
	           strcmp(field_text(&read->rows[2], 2), "gone") == 0,
	       "a tombstone has a key, and nothing wrong");
	harness_stop(&harness);

	config.wants = "[]";
	read = run(&harness, &config);
	tap_ok(read->done && read->row_count == 3 && read->rows[1].fields == 0 &&
	           read->rows[1].record.error.length == 0,
	       "who wants no field gets records without any, and no value is looked at");
	harness_stop(&harness);
}

/* A record of 60 kB does not fit into the frame of its neighbours, one of a megabyte into none of the usual size. */
static void
test_large(void)
{
	static const size_t sizes[] = {10, 60000, 10, 900000, 60000, 60000, 10};
	Config config = config_of("large");
	char *value = harness_allocate(900000);
	Harness harness;
	Read *read;
	bool right;

	topic_create("large", 1);
	memset(value, 'x', 900000);
	for (size_t i = 0; i < 7; i++)
		produce("large", 0, NULL, value, sizes[i], NULL);
	produce_end();
	config.wants = "[{\"kind\":\"value\"}]";
	read = run(&harness, &config);
	right = read->done && read->row_count == 7;
	for (size_t i = 0; right && i < 7; i++)
		right = kseg_record_length(&read->rows[i].record, 0) == sizes[i] &&
		        read->rows[i].record.offset == (int64_t) i;
	tap_ok(right, "messages of all sizes come through, more than the budget of a read together");
	harness_stop(&harness);

	/* Twenty times the same 900 kB are 18 MB. */
	config.wants = "[{\"kind\":\"value\"},{\"kind\":\"value\"},{\"kind\":\"value\"},{\"kind\":\"value\"},{"
	               "\"kind\":\"value\"},"
	               "{\"kind\":\"value\"},{\"kind\":\"value\"},{\"kind\":\"value\"},{\"kind\":\"value\"},{"
	               "\"kind\":\"value\"},"
	               "{\"kind\":\"value\"},{\"kind\":\"value\"},{\"kind\":\"value\"},{\"kind\":\"value\"},{"
	               "\"kind\":\"value\"},"
	               "{\"kind\":\"value\"},{\"kind\":\"value\"},{\"kind\":\"value\"},{\"kind\":\"value\"},{"
	               "\"kind\":\"value\"}]";
	read = run(&harness, &config);
	tap_ok(read->done && read->row_count == 7 && read->rows[3].record.error.length > 0 &&
	           kseg_record_length(&read->rows[3].record, 19) == KSEG_NO_BYTES &&
	           read->rows[4].record.error.length == 0,
	       "a record that no frame can hold has an error instead of its fields");
	harness_stop(&harness);
	free(value);
}

/* ---------- reads that cannot go on ---------- */

static void
test_no_topic(void)
{
	Config config = config_of("wohle");
	Harness harness;
	HarnessFailure failure;

	/* These brokers would make the topic when they are asked for it: they speak a Metadata that cannot forbid it. */
	rd_kafka_mock_topic_set_error(cluster, "wohle", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	begin(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_is(failure.failure, KSEG_FAILURE_REFUSED, "a topic that there is not is refused");
	tap_has(failure.message, "wohle", "by its name");
	tap_has(failure.hint, "Perhaps you meant the topic \"whole\"", "and a near one is named");
	harness_stop(&harness);
}

/* Read a topic of which a request of this kind is not allowed. */
static HarnessFailure
read_not_allowed(int16_t request)
{
	Config config = config_of("whole");
	Harness harness;
	HarnessFailure failure;

	rd_kafka_mock_push_request_errors(cluster, request, BROKERS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
	                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
	                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	begin(&harness, &config);
	take_read(&harness);
	failure = harness_expect_failed(&harness);
	harness_stop(&harness);
	rd_kafka_mock_clear_request_errors(cluster, request);
	return failure;
}

static void
test_not_allowed(void)
{
	HarnessFailure failure = read_not_allowed(API_LIST_OFFSETS);

	tap_is(failure.failure, KSEG_FAILURE_AUTH,
	       "a topic whose offsets may not be asked for is a matter of rights");
	tap_has(failure.message, "topic \"whole\"", "of this topic");
	failure = read_not_allowed(API_FETCH);
	tap_is(failure.failure, KSEG_FAILURE_AUTH, "so is one whose messages may not be read");
	tap_has(failure.hint, "Grant", "with what to do about it");
}

static void
test_gap(void)
{
	Config config = config_of("gap");
	Harness harness;
	HarnessFailure failure;
	Read *read;

	topic_create("gap", 1);
	produce_numbers("gap", 0, 10);
	config.bounds = "[{\"partition\":0,\"start\":50,\"end\":60}]";
	read = run(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_ok(read->row_count == 0 && failure.failure == KSEG_FAILURE_GAP,
	       "offsets that are not there are a gap");
	tap_has(failure.detail, "Partition 0 at offset 50", "which is named");
	harness_stop(&harness);

	config.bounds = "[{\"partition\":1,\"start\":0,\"end\":1}]";
	begin(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_is(failure.failure, KSEG_FAILURE_GAP, "so is a partition that is not there any more");
	harness_stop(&harness);

	/* The end of the log is before the end of the read: a topic that was made anew. */
	config.bounds = "[{\"partition\":0,\"start\":8,\"end\":12}]";
	config.request_timeout_ms = 1000;
	read = run(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_ok(failure.failure == KSEG_FAILURE_GAP && has_numbers(read, 0, 8, 9),
	       "a log that ends too early is one, after what there is");
	harness_stop(&harness);
}

static void
test_passing_errors(void)
{
	Config config = config_of("passing");
	Harness harness;
	Read *read;

	topic_create("passing", 2);
	produce_numbers("passing", 0, 100);
	produce_numbers("passing", 1, 100);
	rd_kafka_mock_push_request_errors(cluster, API_FETCH, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	                                  RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
	                                  RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
	read = run(&harness, &config);
	tap_ok(read->done && has_numbers(read, 0, 0, 99) && has_numbers(read, 1, 0, 99),
	       "errors that pass do not end a read");
	rd_kafka_mock_clear_request_errors(cluster, API_FETCH);
	harness_stop(&harness);
}

static void
brokers_set_down(bool down)
{
	for (int32_t i = 1; i <= BROKERS; i++)
	{
		if (down)
			rd_kafka_mock_broker_set_down(cluster, i);
		else
			rd_kafka_mock_broker_set_up(cluster, i);
	}
}

/* The bounds are found, and then no answer comes for a while. */
static void
begin_slowly(Harness *harness, const Config *config)
{
	begin(harness, config);
	if (peek_frame(harness, "BOUNDS")->type != KSEG_FRAME_BOUNDS)
		tap_die("a read does not begin with BOUNDS");
}

/* Every Fetch is refused as long as there are errors to be told, so that no message has come when the brokers go. */
static void
hold_fetches(void)
{
	for (int i = 0; i < 500; i++)
		rd_kafka_mock_push_request_errors(cluster, API_FETCH, 1, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
}

static void
test_brokers_gone(void)
{
	Config config = config_of("away");
	Harness harness;
	HarnessFailure failure;
	Read *read;

	topic_create("away", 1);
	produce_numbers("away", 0, 100);
	hold_fetches();
	config.request_timeout_ms = 1500;
	begin_slowly(&harness, &config);
	brokers_set_down(true);
	failure = (take_read(&harness), harness_expect_failed(&harness));
	tap_is(failure.failure, KSEG_FAILURE_EXHAUSTED,
	       "a read whose brokers have gone waits as long as request_timeout says");
	tap_has(failure.message, "1500 ms", "and says so");
	brokers_set_down(false);
	harness_stop(&harness);

	rd_kafka_mock_clear_request_errors(cluster, API_FETCH);
	hold_fetches();
	config.request_timeout_ms = HARNESS_WAIT_MS;
	begin_slowly(&harness, &config);
	brokers_set_down(true);
	rd_kafka_mock_clear_request_errors(cluster, API_FETCH);
	brokers_set_down(false);
	read = take_read(&harness);
	tap_ok(read->done && has_numbers(read, 0, 0, 99), "one whose brokers come back goes on");
	harness_stop(&harness);
}

static void
test_no_broker(void)
{
	Config config = config_of("whole");
	Harness harness;
	HarnessFailure failure;

	/* Nobody listens on port 1. */
	config.servers = "127.0.0.1:1";
	config.connect_timeout_ms = 500;
	begin(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_is(failure.failure, KSEG_FAILURE_EXHAUSTED, "without a broker a read gives up after connect_timeout");
	tap_has(failure.detail, "onnect", "with librdkafka's reason");
	harness_stop(&harness);
}

static void
test_config_refused(void)
{
	Config config = config_of("whole");
	Harness harness;
	HarnessFailure failure;

	config.partitions = "7";
	begin(&harness, &config);
	failure = harness_expect_failed(&harness);
	tap_is(failure.failure, KSEG_FAILURE_CONFIG, "a CONFIG that is none is refused");
	tap_has(failure.detail, "\"partitions\"", "with the key's name");
	harness_stop(&harness);
}

/* ---------- the end of the wire ---------- */

/* Hang up; a courier that was stuck would be there after all that a broker may take. */
static void
hang_up(Harness *harness, const char *name)
{
	int64_t before = harness_now_ms();

	close(harness->wire);
	harness->wire = -1;
	tap_ok(harness_wait_exit(harness, HARNESS_WAIT_MS) != -1 &&
	           harness_now_ms() - before < HARNESS_WAIT_MS / 2,
	       "%s", name);
	harness->pid = 0;
	harness_stop(harness);
}

static void
test_hang_up(void)
{
	Config config = config_of("whole");
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;
	char servers[64];
	Harness harness;

	/* The harness's own server takes the connection and says nothing. */
	harness_start(&harness);
	snprintf(servers, sizeof(servers), "127.0.0.1:%d", harness.port);
	config.servers = servers;
	harness_send_hello(&harness, KSEG_WIRE_VERSION, KSEG_BUILD);
	harness_expect_frame(&harness, KSEG_FRAME_HELLO);
	send_config(&harness, &config);
	while (harness.accepted == 0)
		harness_pump(&harness, deadline, "a connection");
	hang_up(&harness, "a courier that waits for the bounds goes when the wire ends");
}

static void
test_hang_up_reading(void)
{
	Config config = config_of("much");
	char *value = harness_allocate(900000);
	Harness harness;

	/* More than socket, frames and queue hold together, so that every thread of the courier waits for somebody. */
	topic_create("much", 1);
	memset(value, 'x', 900000);
	for (int i = 0; i < 5; i++)
		produce("much", 0, NULL, value, 900000, NULL);
	produce_end();
	free(value);
	config.wants = "[{\"kind\":\"value\"}]";
	begin_slowly(&harness, &config);
	hang_up(&harness, "so does one that has more than the wire takes");
}

static void
test_talk(void)
{
	Config config = config_of("much");
	Harness harness;

	config.wants = "[{\"kind\":\"value\"}]";
	begin(&harness, &config);
	harness_send_frame(&harness, KSEG_FRAME_WAITING, 0, NULL, 0);
	take_read(&harness);
	tap_is(harness_expect_failed(&harness).failure, KSEG_FAILURE_INTERNAL, "nothing is to be said to a read");
	harness_stop(&harness);
}

int
main(void)
{
	brokers_start();
	test_whole();
	test_limits();
	test_nothing_to_read();
	test_ends_within();
	test_fields();
	test_large();
	test_no_topic();
	test_not_allowed();
	test_gap();
	test_passing_errors();
	test_brokers_gone();
	test_no_broker();
	test_config_refused();
	test_hang_up();
	test_hang_up_reading();
	test_talk();
	rd_kafka_destroy(producer);
	return tap_end();
}
