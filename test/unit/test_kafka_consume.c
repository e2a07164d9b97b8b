/*
 * test_kafka_consume.c
 *	  The courier reads topics of librdkafka's own broker for tests, which is in this process: what is handed over, and in which
 *	  bounds. How a read ends that cannot go on: test_kafka_consume_ends.c.
 *
 * What needs a real broker (transactions, compaction, retention, times) is tested there. Each test has a topic of its own.
 */
#include "harness_consume.h"

static HarnessKafka kafka;

static void
test_whole(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "whole");
	Harness harness;
	const HarnessRead *read;

	harness_kafka_topic(&kafka, "whole", 4);
	harness_kafka_fill(&kafka, "whole", 0, 3000);
	harness_kafka_fill(&kafka, "whole", 1, 1);
	harness_kafka_fill(&kafka, "whole", 3, 5000);
	read = harness_consume_run(&harness, &config);
	tap_ok(read->done && read->row_count == 8001, "every message of a topic is handed over");
	tap_ok(harness_read_has(read, 0, 0, 2999) && harness_read_has(read, 1, 0, 0) &&
	           harness_read_has(read, 3, 0, 4999),
	       "once, and in the order of its partition");
	tap_ok(read->bound_count == 4 && read->bounds[2].partition == 2 && read->bounds[2].start == 0 &&
	           read->bounds[2].end == 0 && read->bounds[3].start == 0 && read->bounds[3].end == 5000,
	       "bounds come first, those of an empty partition, too");
	tap_ok(read->rows[0].record.timestamp == HARNESS_MESSAGE_MS && read->rows[0].record.timestamp_type == 1,
	       "with the time of each message and its kind");
	harness_stop(&harness);
}

static void
test_limits(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "limits");
	Harness harness;
	const HarnessRead *read;

	harness_kafka_topic(&kafka, "limits", 3);
	harness_kafka_fill(&kafka, "limits", 0, 100);
	harness_kafka_fill(&kafka, "limits", 1, 10);
	harness_kafka_fill(&kafka, "limits", 2, 100);

	config.partitions = "[2,1,7]";
	config.offset_from = 5;
	config.offset_to = 20;
	read = harness_consume_run(&harness, &config);
	tap_ok(read->done && read->row_count == 20 && harness_read_has(read, 1, 5, 9) &&
	           harness_read_has(read, 2, 5, 19),
	       "partitions and offsets limit a read; a partition that there is not has no messages");
	harness_stop(&harness);

	config = harness_consume_defaults(&kafka, "limits");
	config.tail = 3;
	read = harness_consume_run(&harness, &config);
	tap_ok(read->done && read->row_count == 9 && harness_read_has(read, 0, 97, 99) &&
	           harness_read_has(read, 1, 7, 9) && harness_read_has(read, 2, 97, 99),
	       "a tail is the last messages of each partition");
	harness_stop(&harness);

	config = harness_consume_defaults(&kafka, "limits");
	config.max_records = 7;
	read = harness_consume_run(&harness, &config);
	tap_ok(read->done && read->row_count == 7, "so many records and no more");
	harness_stop(&harness);

	config = harness_consume_defaults(&kafka, "limits");
	config.bounds = "[{\"partition\":0,\"start\":10,\"end\":12},{\"partition\":2,\"start\":3,\"end\":3}]";
	read = harness_consume_run(&harness, &config);
	tap_ok(read->done && read->row_count == 2 && harness_read_has(read, 0, 10, 11) &&
	           read->bound_count == 2 && read->bounds[0].start == 10 && read->bounds[0].end == 12,
	       "an earlier read's bounds are read again, and nothing else");
	harness_stop(&harness);
}

static void
test_nothing_to_read(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "empty");
	Harness harness;
	const HarnessRead *read;

	harness_kafka_topic(&kafka, "empty", 2);
	read = harness_consume_run(&harness, &config);
	tap_ok(read->done && read->row_count == 0 && read->bound_count == 2, "an empty topic is done at once");
	harness_stop(&harness);
	config.partitions = "[]";
	read = harness_consume_run(&harness, &config);
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
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "within");
	static char value[1000];
	bool right = true;

	harness_kafka_topic(&kafka, "within", 4);
	for (int i = 0; i < 4 * 3000; i++)
	{
		int length = snprintf(value, sizeof(value), "{\"n\": %d, \"rest\": \"%0*d\"}", i / 4, 700, 0);

		harness_kafka_put(&kafka, "within", i % 4, NULL, value, (size_t) length, NULL);
	}
	harness_kafka_flush(&kafka);
	config.bounds =
	    "[{\"partition\":0,\"start\":10,\"end\":800},{\"partition\":1,\"start\":500,\"end\":1900},"
	    "{\"partition\":2,\"start\":1000,\"end\":1010},{\"partition\":3,\"start\":0,\"end\":1500}]";
	for (int i = 0; right && i < 30; i++)
	{
		Harness harness;
		const HarnessRead *read = harness_consume_run(&harness, &config);

		right = read->done && harness_read_has(read, 0, 10, 799) && harness_read_has(read, 1, 500, 1899) &&
		        harness_read_has(read, 2, 1000, 1009) && harness_read_has(read, 3, 0, 1499);
		harness_stop(&harness);
	}
	tap_ok(right, "reads that end within each partition end, thirty times");
}

static void
test_fields(void)
{
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "fields");
	static const char whole[] = "{\"n\": \"\\u00e9\", \"o\": {\"p\": [1, 2]}}";
	rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
	Harness harness;
	const HarnessRead *read;

	harness_kafka_topic(&kafka, "fields", 1);
	rd_kafka_header_add(headers, "h", -1, "v", 1);
	rd_kafka_header_add(headers, "h", -1, NULL, 0);
	harness_kafka_put(&kafka, "fields", 0, "key", whole, sizeof(whole) - 1, headers);
	harness_kafka_put(&kafka, "fields", 0, NULL, "{\"n\": ", 6, NULL);
	harness_kafka_put(&kafka, "fields", 0, "gone", NULL, 0, NULL);
	harness_kafka_flush(&kafka);
	config.wants = "[{\"kind\":\"headers\"},{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"x\"],[\"n\"]]},{"
	               "\"kind\":\"key\"},"
	               "{\"kind\":\"path\",\"raw\":true,\"paths\":[[\"o\",\"p\",1]]},{\"kind\":\"value\"}]";
	read = harness_consume_run(&harness, &config);
	if (!read->done || read->row_count != 3)
		tap_die("three messages come to %u records", read->row_count);
	tap_is_text(harness_row_text(&read->rows[0], 0), "[[\"h\", \"v\"], [\"h\", null]]",
	            "headers come as JSON");
	tap_is_text(harness_row_text(&read->rows[0], 1), "\xc3\xa9",
	            "a path's string without escapes, from the second path");
	tap_is_text(harness_row_text(&read->rows[0], 2), "key", "the key");
	tap_is_text(harness_row_text(&read->rows[0], 3), "2", "an element of an array in an object");
	tap_is_text(harness_row_text(&read->rows[0], 4), whole, "and the value as it is");
	tap_ok(read->rows[0].record.error.length == 0 && read->rows[0].record.flags == 0,
	       "nothing is wrong with it");

	tap_ok(read->rows[1].record.error.length > 0, "a malformed value has an error");
	tap_ok(strcmp(harness_row_text(&read->rows[1], 1), "(null)") == 0 &&
	           strcmp(harness_row_text(&read->rows[1], 3), "(null)") == 0,
	       "and no fields");
	tap_ok(strcmp(harness_row_text(&read->rows[1], 4), "{\"n\": ") == 0 &&
	           strcmp(harness_row_text(&read->rows[1], 0), "[]") == 0 &&
	           strcmp(harness_row_text(&read->rows[1], 2), "(null)") == 0,
	       "but the value, its headers (none) and key (NULL) are there");

	tap_ok(read->rows[2].record.flags == KSEG_RECORD_TOMBSTONE && read->rows[2].record.error.length == 0 &&
	           strcmp(harness_row_text(&read->rows[2], 4), "(null)") == 0 &&
	           strcmp(harness_row_text(&read->rows[2], 1), "(null)") == 0 &&
	           strcmp(harness_row_text(&read->rows[2], 2), "gone") == 0,
	       "a tombstone has a key, and nothing wrong");
	harness_stop(&harness);

	config.wants = "[]";
	read = harness_consume_run(&harness, &config);
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
	HarnessConsumeConfig config = harness_consume_defaults(&kafka, "large");
	char *value = harness_allocate(900000);
	Harness harness;
	const HarnessRead *read;
	bool right;

	harness_kafka_topic(&kafka, "large", 1);
	memset(value, 'x', 900000);
	for (size_t i = 0; i < 7; i++)
		harness_kafka_put(&kafka, "large", 0, NULL, value, sizes[i], NULL);
	harness_kafka_flush(&kafka);
	config.wants = "[{\"kind\":\"value\"}]";
	read = harness_consume_run(&harness, &config);
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
	read = harness_consume_run(&harness, &config);
	tap_ok(read->done && read->row_count == 7 && read->rows[3].record.error.length > 0 &&
	           kseg_record_length(&read->rows[3].record, 19) == KSEG_NO_BYTES &&
	           read->rows[4].record.error.length == 0,
	       "a record that no frame can hold has an error instead of its fields");
	harness_stop(&harness);
	free(value);
}

int
main(void)
{
	harness_kafka_start(&kafka, 3, 1);
	test_whole();
	test_limits();
	test_nothing_to_read();
	test_ends_within();
	test_fields();
	test_large();
	harness_kafka_stop(&kafka);
	return tap_end();
}
