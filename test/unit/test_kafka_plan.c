/*
 * test_kafka_plan.c
 *	  A read of a topic without a broker: what CONFIG asks for, which offsets that comes to, when a partition is done, headers as
 *	  JSON, and names that were perhaps meant.
 */
#include <json-c/json.h>

#include "courier/kafka_consume_fetch.h"
#include "courier/kafka_consume_near.h"
#include "courier/kafka_consume_same.h"
#include "tap.h"

static const char plan_start[] =
    "{\"format\":\"json\",\"partitions\":null,\"bounds\":null,\"offset_from\":-1,\"offset_to\":-1,"
    "\"timestamp_from_ms\":-1,\"timestamp_to_ms\":-1,\"tail\":-1,\"max_records\":-1,"
    "\"wants\":[]";
static struct json_object *plan_object;
static char plan_problem[200];

/* Read a plan in which keys of more (JSON members with a comma in front) replace those of plan_start. */
static bool
read_plan(KsegConsumePlan *plan, const char *more)
{
	char json[4096];

	json_object_put(plan_object);
	snprintf(json, sizeof(json), "%s%s}", plan_start, more);
	plan_object = json_tokener_parse(json);
	if (plan_object == NULL)
		tap_die("the test's JSON is none: %s", json);
	plan_problem[0] = '\0';
	return consume_plan_read(plan, plan_object, plan_problem, sizeof(plan_problem));
}

/* It is refused, and the problem names the key. */
static void
refuses(const char *more, const char *key, const char *name)
{
	KsegConsumePlan plan;

	tap_ok(!read_plan(&plan, more) && strstr(plan_problem, key) != NULL && plan.fields == NULL, "%s", name);
	consume_plan_close(&plan);
}

static void
test_plan(void)
{
	KsegConsumePlan plan;

	tap_ok(read_plan(&plan, "") && plan.field_count == 0 && plan.all_partitions && !plan.has_ranges &&
	           plan.offset_from == KSEG_CONSUME_NONE && plan.max_records == KSEG_CONSUME_NONE,
	       "a plan that wants nothing and limits nothing is read");
	consume_plan_close(&plan);

	tap_ok(read_plan(&plan,
	                 ",\"partitions\":[2,0],\"offset_from\":5,\"offset_to\":9223372036854775807,\"tail\":0,"
	                 "\"bounds\":[{\"partition\":1,\"start\":3,\"end\":3}]"),
	       "limits, partitions and bounds are read");
	tap_ok(consume_plan_has_partition(&plan, 2) && consume_plan_has_partition(&plan, 0) &&
	           !consume_plan_has_partition(&plan, 1) && plan.offset_from == 5 &&
	           plan.offset_to == INT64_MAX && plan.tail == 0 && plan.has_ranges && plan.range_count == 1 &&
	           plan.ranges[0].start == 3,
	       "and are what they were");
	consume_plan_close(&plan);
	consume_plan_close(&plan);

	tap_ok(read_plan(&plan, ",\"partitions\":[]") && !consume_plan_has_partition(&plan, 0),
	       "no partition is none, not all");
	consume_plan_close(&plan);
}

static void
test_plan_wants(void)
{
	KsegConsumePlan plan;
	const KsegPath *path;

	if (!tap_ok(
	        read_plan(&plan,
	                  ",\"wants\":[{\"kind\":\"key\"},{\"kind\":\"path\",\"raw\":true,\"paths\":[[\"a\",7,"
	                  "\"\\u00e9\"],[]]},{\"kind\":\"headers\"},{\"kind\":\"value\"},{\"kind\":\"path\","
	                  "\"raw\":false,\"paths\":[[\"z\"]]}]"),
	        "wants of all kinds are read"))
		tap_die("%s", plan_problem);
	path = &plan.wants[0].paths[0];
	tap_ok(plan.field_count == 5 && plan.fields[0] == KSEG_FIELD_KEY && plan.fields[1] == KSEG_FIELD_READ &&
	           plan.fields[2] == KSEG_FIELD_HEADERS && plan.fields[3] == KSEG_FIELD_VALUE &&
	           plan.fields[4] == KSEG_FIELD_READ && plan.want_count == 2,
	       "in their order");
	tap_ok(plan.wants[0].raw && !plan.wants[1].raw && plan.wants[0].path_count == 2 &&
	           plan.wants[0].paths[1].count == 0 && path->count == 3 && path->steps[1].key.data == NULL &&
	           path->steps[1].index == 7 && path->steps[2].key.length == 2,
	       "with their paths, of keys and indexes");
	consume_plan_close(&plan);

	tap_ok(
	    read_plan(
	        &plan,
	        ",\"format\":\"csv\",\"delimiter\":\";\",\"quote\":\"'\",\"null\":\"NULL\",\"wants\":[{\"kind\":"
	        "\"column\",\"column\":3}]") &&
	        plan.format == KSEG_FORMAT_CSV && plan.csv.delimiter == ';' && plan.csv.quote == '\'' &&
	        strcmp(plan.csv.null, "NULL") == 0 && plan.wants[0].column == 3,
	    "CSV's form and columns are read");
	consume_plan_close(&plan);
}

static void
test_plan_refused(void)
{
	refuses(",\"format\":\"xml\"", "format", "another format is refused");
	refuses(",\"format\":\"csv\",\"delimiter\":\"::\",\"quote\":\"'\",\"null\":\"\"", "delimiter",
	        "so is a delimiter of two bytes");
	refuses(",\"tail\":-2", "tail", "a limit below none is refused");
	refuses(",\"tail\":\"5\"", "tail", "so is one that is a text");
	refuses(",\"max_records\":null", "max_records", "or null");
	refuses(",\"partitions\":[1,-1]", "partitions", "a partition below 0 is refused");
	refuses(",\"partitions\":7", "partitions", "so is one that is not in an array");
	refuses(",\"bounds\":[{\"partition\":0,\"start\":5,\"end\":4}]", "bounds",
	        "an end before its start is refused");
	refuses(",\"bounds\":[{\"partition\":0,\"end\":4}]", "bounds", "so are bounds without a start");
	refuses(",\"wants\":{}", "wants", "wants that are no array are refused");
	refuses(",\"wants\":[{\"kind\":\"topic\"}]", "wants", "so is a want of another kind");
	refuses(",\"wants\":[{\"kind\":\"path\",\"raw\":false,\"paths\":[]}]", "wants", "one without a path");
	refuses(",\"wants\":[{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"a\"],[-1]]}]", "wants",
	        "one with an index below 0");
	refuses(",\"wants\":[{\"kind\":\"path\",\"paths\":[[\"a\"]]}]", "wants", "one that does not say raw");
	refuses(",\"wants\":[{\"kind\":\"column\",\"column\":0}]", "wants", "a column of JSON");
	refuses(",\"wants\":[{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
	        "\"a\",\"a\",\"a\","
	        "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
	        "\"a\",\"a\",\"a\","
	        "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
	        "\"a\",\"a\",\"a\","
	        "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
	        "\"a\",\"a\"]]}]",
	        "wants", "and a path of 65 steps");
}

static void
test_plan_missing(void)
{
	static const char *const names[] = {
	    "format",          "partitions", "bounds",      "offset_from", "offset_to", "timestamp_from_ms",
	    "timestamp_to_ms", "tail",       "max_records", "wants"};
	bool refused = true;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		KsegConsumePlan plan;
		struct json_object *whole;
		char json[4096];

		snprintf(json, sizeof(json), "%s}", plan_start);
		whole = json_tokener_parse(json);
		json_object_object_del(whole, names[i]);
		refused = refused && !consume_plan_read(&plan, whole, plan_problem, sizeof(plan_problem)) &&
		          strstr(plan_problem, names[i]) != NULL;
		json_object_put(whole);
	}
	tap_ok(refused, "every key must be there, and the one that is not is named");
}

/* ---------- offsets ---------- */

/* Cut the offsets low … end, of which a time asks for those from start on. */
static void
cuts(const char *limits, int64_t start, int64_t wanted_start, int64_t wanted_end, const char *name)
{
	KsegConsumePartition partition = {.low = 100, .start = start, .end = 200};
	KsegConsumePlan plan;

	if (!read_plan(&plan, limits))
		tap_die("%s", plan_problem);
	consume_bounds_cut(&plan, &partition);
	if (!tap_ok(partition.start == wanted_start && partition.end == wanted_end, "%s", name))
		printf("# got %lld to %lld\n", (long long) partition.start, (long long) partition.end);
	consume_plan_close(&plan);
}

static void
test_cut(void)
{
	cuts("", 0, 100, 200, "without limits a partition is read from its low watermark to its end");
	cuts(",\"offset_from\":150", 0, 150, 200, "from an offset");
	cuts(",\"offset_from\":5", 0, 100, 200, "an offset that is gone is the low watermark");
	cuts(",\"offset_from\":500", 0, 200, 200, "one beyond the end leaves nothing");
	cuts(",\"offset_to\":120", 0, 100, 120, "up to an offset");
	cuts(",\"offset_to\":50", 0, 100, 100, "one below the low watermark leaves nothing");
	cuts(",\"offset_from\":130,\"offset_to\":120", 0, 120, 120, "nor does a start behind the end");
	cuts(",\"tail\":10", 0, 190, 200, "a tail");
	cuts(",\"tail\":1000", 0, 100, 200, "longer than the partition");
	cuts(",\"tail\":0", 0, 200, 200, "of nothing");
	cuts(",\"tail\":9223372036854775807", 0, 100, 200, "of everything that can be counted");
	cuts(",\"tail\":10,\"offset_to\":150", 0, 140, 150, "before an offset");
	cuts(",\"offset_from\":195,\"tail\":10", 0, 195, 200, "the later start of two counts");
	cuts("", 180, 180, 200, "a time's start counts");
	cuts("", INT64_MAX, 200, 200, "a time that no message has leaves nothing");
}

static KsegConsumePartition
partition_from(int64_t start, int64_t end)
{
	return (KsegConsumePartition){
	    .start = start, .end = end, .next = start, .stop = INT64_MAX, .log_end = KSEG_CONSUME_NONE};
}

static void
test_judge(void)
{
	KsegConsumePartition partition = partition_from(10, 13);

	tap_ok(consume_fetch_judge(&partition, 9, false) == KSEG_FETCH_DROP,
	       "a message before the start is dropped");
	tap_ok(consume_fetch_judge(&partition, 10, false) == KSEG_FETCH_HAND_OVER && !partition.done,
	       "the first one is handed over");
	tap_ok(consume_fetch_judge(&partition, 10, false) == KSEG_FETCH_DROP, "once");
	tap_ok(consume_fetch_judge(&partition, 12, false) == KSEG_FETCH_HAND_OVER && partition.done,
	       "over a gap; with the last one the partition is done");
	tap_ok(consume_fetch_judge(&partition, 11, false) == KSEG_FETCH_DROP &&
	           consume_fetch_judge(&partition, 13, false) == KSEG_FETCH_BEYOND,
	       "then nothing is handed over");

	partition = partition_from(10, 13);
	tap_ok(consume_fetch_judge(&partition, 20, false) == KSEG_FETCH_BEYOND && partition.done,
	       "a partition whose last offsets are compacted away is done by the next message");
}

static void
test_judge_end(void)
{
	KsegConsumePartition partition = partition_from(10, 13);

	consume_fetch_note_end(&partition, 12);
	tap_ok(!partition.done && partition.log_end == 12, "an end of the log before the read's does not end it");
	consume_fetch_note_end(&partition, 13);
	tap_ok(partition.done, "the read's own does");
}

static void
test_judge_stop(void)
{
	KsegConsumePartition partition = partition_from(0, 100);

	partition.stop = 50;
	tap_ok(consume_fetch_judge(&partition, 49, true) == KSEG_FETCH_HAND_OVER && !partition.done,
	       "before the first message that is too late messages are handed over");
	tap_ok(consume_fetch_judge(&partition, 51, true) == KSEG_FETCH_BEYOND && partition.done,
	       "one of LogAppendTime there or behind it ends the partition");

	partition = partition_from(0, 100);
	partition.stop = 50;
	tap_ok(consume_fetch_judge(&partition, 50, false) == KSEG_FETCH_HAND_OVER &&
	           consume_fetch_judge(&partition, 60, true) == KSEG_FETCH_HAND_OVER &&
	           partition.stop == INT64_MAX,
	       "one of CreateTime says that time has gone back: the read goes on to the end");
}

/* The first message of the time at which a read began, or later: asked at the beginning and again at the end (negative: none). */
static void
test_same_topic(void)
{
	tap_ok(!consume_same_is_changed(-1, consume_same_first(-1, 100)) &&
	           !consume_same_is_changed(100, consume_same_first(-1, 100)) &&
	           !consume_same_is_changed(250, consume_same_first(-1, 100)),
	       "what comes later lies behind the end of a topic that is the same");
	tap_ok(consume_same_is_changed(0, consume_same_first(-1, 100)) &&
	           consume_same_is_changed(99, consume_same_first(-1, 100)),
	       "before it only in another topic");
	tap_ok(!consume_same_is_changed(40, consume_same_first(40, 100)) &&
	           !consume_same_is_changed(70, consume_same_first(40, 100)) &&
	           !consume_same_is_changed(-1, consume_same_first(40, 100)),
	       "messages of a time to come are known from the beginning, and may go");
	tap_ok(consume_same_is_changed(39, consume_same_first(40, 100)), "what lies before them was not there");
	tap_ok(!consume_same_is_changed(150, consume_same_first(130, 100)) &&
	           consume_same_is_changed(99, consume_same_first(130, 100)),
	       "what came between the end and the question lies behind the end, too");
	tap_ok(!consume_same_is_changed(0, 0), "nothing lies before the first offset");
}

/* ---------- headers, names, sizes ---------- */

static void
test_headers(void)
{
	KsegBuffer out = {0};
	rd_kafka_headers_t *headers = rd_kafka_headers_new(4);

	consume_headers_write(&out, NULL);
	buffer_append(&out, "", 1);
	tap_is_text(out.data, "[]", "no headers are an empty array");
	rd_kafka_header_add(headers, "a", -1, "text \"\\\n\x01", 9);
	rd_kafka_header_add(headers, "a", -1, NULL, 0);
	rd_kafka_header_add(headers, "caf\xc3\xa9", -1, "", 0);
	rd_kafka_header_add(headers, "bytes", -1, "\xff", 1);
	rd_kafka_header_add(headers, "bytes", -1, "\0\xff", 2);
	rd_kafka_header_add(headers, "bytes", -1, "\xff\xfe\xfd", 3);
	rd_kafka_header_add(headers, "\xff", -1, "v", 1);
	out.length = 0;
	consume_headers_write(&out, headers);
	buffer_append(&out, "", 1);
	tap_is_text(
	    out.data,
	    "[[\"a\", \"text \\\"\\\\\\u000a\\u0001\"], [\"a\", null], [\"caf\xc3\xa9\", \"\"], [\"bytes\", "
	    "{\"base64\": \"/w==\"}], [\"bytes\", {\"base64\": \"AP8=\"}], [\"bytes\", {\"base64\": \"//79\"}], "
	    "[{\"base64\": \"/w==\"}, \"v\"]]",
	    "headers keep their order, repeated names, NULL, and any bytes");
	rd_kafka_headers_destroy(headers);
	buffer_free(&out);
}

static void
test_near(void)
{
	tap_is(consume_near_distance("orders", "orders"), 0, "equal names are no characters apart");
	tap_is(consume_near_distance("orders", "Orders"), 0, "case does not count");
	tap_is(consume_near_distance("ordres", "orders"), 2, "two characters in the wrong order are two changes");
	tap_is(consume_near_distance("order", "orders"), 1, "a missing one is one");
	tap_is(consume_near_distance("orders", "order"), 1, "so is one too many");
	tap_is(consume_near_distance("orders", "people"), KSEG_NEAR_FAR,
	       "names that have little in common are far apart");
	tap_is(consume_near_distance("", "a"), KSEG_NEAR_FAR, "an empty one means nothing");
}

static void
test_fetch_bytes(void)
{
	tap_is(consume_gate_fetch_bytes(16 * 1024 * 1024), 512 * 1024,
	       "an answer is a thirty-second part of the budget");
	tap_is(consume_gate_fetch_bytes(1), 64 * 1024, "of the smallest, 64 kB");
	tap_is(consume_gate_fetch_bytes(INT64_C(1) << 30), 8 * 1024 * 1024, "of the largest, 8 MB");
}

int
main(void)
{
	test_plan();
	test_plan_wants();
	test_plan_refused();
	test_plan_missing();
	test_cut();
	test_judge();
	test_judge_end();
	test_judge_stop();
	test_same_topic();
	test_headers();
	test_near();
	test_fetch_bytes();
	json_object_put(plan_object);
	return tap_end();
}
