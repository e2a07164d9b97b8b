/*
 * test_kafka_follow_parts.c
 *	  Following topics without a broker: frames of partitions and steps, which worker follows what, which topics are asked for, which
 *	  brokers are spare, and the output that holds megabytes.
 */
#include <json-c/json.h>
#include <sys/socket.h>
#include <unistd.h>

#include "courier/kafka_follow_plan.h"
#include "courier/kafka_follow_spare.h"
#include "courier/wire_io.h"
#include "tap.h"
#include "wire/wire_follow.h"
#include "wire/wire_record.h"

/* ---------- the wire ---------- */

static void
test_partition(void)
{
	KsegWirePartition in = {
	    .index = 7, .partition = 3, .low = 5, .start = INT64_MAX - 1, .end = -1, .topic = {"a.topic", 7}};
	KsegWirePartition out;
	size_t size = kseg_partition_size(&in);
	uint8_t *bytes = malloc(size);
	KsegReader reader = {.at = bytes, .end = bytes + size};
	bool refused = true;

	tap_ok(kseg_partition_write(bytes, &in) == bytes + size, "a partition takes as many bytes as it says");
	tap_ok(kseg_partition_read(&reader, &out) && kseg_reader_done(&reader) && out.index == 7 &&
	           out.partition == 3 && out.low == 5 && out.start == INT64_MAX - 1 && out.end == -1 &&
	           out.topic.length == 7 && memcmp(out.topic.data, "a.topic", 7) == 0,
	       "and is read as it was written");
	for (size_t length = 0; length < size; length++)
	{
		reader = (KsegReader){.at = bytes, .end = bytes + length};
		refused = refused && !kseg_partition_read(&reader, &out);
	}
	tap_ok(refused, "one that is cut off is none");
	free(bytes);
}

static void
test_step(void)
{
	KsegWireStep in = {.index = UINT32_MAX, .next = INT64_MAX, .end = -1};
	KsegWireStep out;
	uint8_t bytes[KSEG_WIRE_STEP_SIZE];
	KsegReader reader = {.at = bytes, .end = bytes + sizeof(bytes)};

	tap_ok(kseg_step_write(bytes, &in) == bytes + sizeof(bytes) && kseg_step_read(&reader, &out) &&
	           kseg_reader_done(&reader) && out.index == UINT32_MAX && out.next == INT64_MAX && out.end == -1,
	       "a step is read as it was written");
	reader = (KsegReader){.at = bytes, .end = bytes + sizeof(bytes) - 1};
	tap_ok(!kseg_step_read(&reader, &out), "one that is cut off is none");
}

/* No worker may be left with little: of 1,000 topics with one partition each of 8 would have 125. */
static void
test_workers(void)
{
	uint32_t topics[8] = {0};
	uint32_t partitions[8] = {0};
	bool even = true;

	for (int i = 0; i < 1000; i++)
	{
		char name[32];
		int length = snprintf(name, sizeof(name), "orders-%d", i);

		topics[kseg_follow_worker(name, (size_t) length, 0, 8)]++;
	}
	for (int i = 0; i < 16; i++)
		partitions[kseg_follow_worker("orders", 6, i, 8)]++;
	for (int i = 0; i < 8; i++)
		even = even && topics[i] > 60 && topics[i] < 250 && partitions[i] == 2;
	tap_ok(even, "topics of one partition are spread over the workers, and partitions of a topic evenly");
	tap_is(kseg_follow_worker("orders", 6, INT32_MAX, 1), 0, "a single worker follows everything");
}

/* ---------- the plan ---------- */

static struct json_object *plan_object;

/* A plan of these topics and positions, which are JSON. */
static bool
read_plan(KsegFollowPlan *plan, const char *topics, const char *positions)
{
	char problem[200];
	char json[1000];

	json_object_put(plan_object);
	snprintf(
	    json, sizeof(json),
	    "{\"format\":\"json\",\"wants\":[{\"kind\":\"value\"}],\"topics\":%s,\"positions\":%s,\"begun\":1,"
	    "\"start\":\"latest\",\"start_ms\":-5,\"workers\":2,\"worker\":1,\"commit_group\":\"g\","
	    "\"pending_bytes\":1000,\"discovery_ms\":5000,\"alive_ms\":700}",
	    topics, positions);
	plan_object = json_tokener_parse(json);
	if (plan_object == NULL)
		tap_die("the test's JSON is none: %s", json);
	return follow_plan_read(plan, plan_object, problem, sizeof(problem));
}

static void
test_topics(void)
{
	KsegFollowPlan plan;

	if (!read_plan(&plan, "[\"a.b\",\"^orders[.-][0-9]+$\"]", "[]"))
		tap_die("a plan cannot be read");
	tap_ok(follow_plan_has_topic(&plan, "a.b") && !follow_plan_has_topic(&plan, "a-b"),
	       "a name is a name, and no expression");
	tap_ok(follow_plan_has_topic(&plan, "orders-12") && !follow_plan_has_topic(&plan, "orders-x") &&
	           !follow_plan_has_topic(&plan, "my-orders-1"),
	       "what begins with ^ is a regular expression");
	tap_ok(plan.begun && plan.start == KSEG_FOLLOW_LATEST && plan.start_ms == -5 && plan.workers == 2 &&
	           plan.worker == 1 && strcmp(plan.commit_group, "g") == 0 && plan.pending_bytes == 1000 &&
	           plan.discovery_ms == 5000 && plan.alive_ms == 700,
	       "the other keys are taken as they are");
	follow_plan_close(&plan);

	if (!read_plan(&plan, "[\"^.*\"]", "[]"))
		tap_die("a plan cannot be read");
	tap_ok(follow_plan_has_topic(&plan, "any") && !follow_plan_has_topic(&plan, "__consumer_offsets"),
	       "^.* are the user's topics, not Kafka's own");
	follow_plan_close(&plan);
	if (!read_plan(&plan, "[\"^__c\"]", "[]"))
		tap_die("a plan cannot be read");
	tap_ok(follow_plan_has_topic(&plan, "__consumer_offsets"),
	       "which can be asked for by what they begin with");
	follow_plan_close(&plan);
	follow_plan_close(&plan);
}

static void
test_plan_positions(void)
{
	KsegFollowPlan plan;
	const KsegFollowPosition *position;

	if (!read_plan(&plan, "[\"a\"]",
	               "[{\"topic\":\"b\",\"partition\":1,\"next\":9,\"seen_offset\":-1,\"seen_time\":-1},"
	               "{\"topic\":\"a\",\"partition\":10,\"next\":5,\"seen_offset\":4,\"seen_time\":77},"
	               "{\"topic\":\"a\",\"partition\":2,\"next\":6,\"seen_offset\":5,\"seen_time\":78}]"))
		tap_die("a plan cannot be read");
	position = follow_plan_position(&plan, "a", 10);
	tap_ok(position != NULL && position->next == 5 && position->seen_offset == 4 && position->seen_time == 77,
	       "a position is found by topic and partition");
	tap_ok(follow_plan_position(&plan, "b", 1) != NULL && follow_plan_position(&plan, "b", 2) == NULL &&
	           follow_plan_position(&plan, "c", 1) == NULL,
	       "and what there is not is not found");
	follow_plan_close(&plan);
	tap_ok(!read_plan(&plan, "[\"a\"]", "[{\"topic\":\"a\",\"partition\":0,\"next\":-1}]") &&
	           !read_plan(&plan, "[\"a\"]", "[5]") && !read_plan(&plan, "[\"a\"]", "{}") &&
	           plan.selectors == NULL && plan.positions == NULL,
	       "positions that are none are refused, and nothing is left of the plan");
}

/* ---------- the output ---------- */

/* Take all that has been written; each byte must be one more than the one before. */
static size_t
receive_counting(int fd, uint8_t *next, bool *right)
{
	static uint8_t in[65536];
	size_t length = 0;
	ssize_t got;

	while ((got = recv(fd, in, sizeof(in), MSG_DONTWAIT)) > 0)
	{
		for (ssize_t i = 0; i < got; i++)
			*right = *right && in[i] == (*next)++;
		length += (size_t) got;
	}
	return length;
}

static void
count_into(uint8_t *bytes, size_t length, uint8_t *next)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (*next)++;
}

/* Pieces of many sizes, some kept in one piece with those before them, and written in between. */
static void
test_output(void)
{
	KsegWireOut out = {0};
	uint8_t put = 0;
	uint8_t got = 0;
	size_t sum = 0;
	size_t received = 0;
	bool right = true;
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
		tap_die("no socket pair");
	for (size_t i = 0; i < 400; i++)
	{
		size_t keep = 0;

		wire_out_begin(&out, 1000 * (i % 70));
		for (size_t j = 0; j < i % 5 + 1; j++)
		{
			size_t length = (i * 7919 + j * 104729) % 60000;

			count_into(wire_out_grow(&out, keep, length), length, &put);
			keep += length;
			sum += length;
			right = right && wire_out_write(&out, keep, sockets[0]);
			if (i % 3 == 0)
				received += receive_counting(sockets[1], &got, &right);
		}
	}
	while (out.length > 0)
	{
		right = right && wire_out_write(&out, 0, sockets[0]);
		received += receive_counting(sockets[1], &got, &right);
	}
	tap_ok(right && received == sum, "%zu bytes in pieces of all sizes leave as they were put", sum);
	wire_out_free(&out);
	close(sockets[0]);
	close(sockets[1]);
}

/* What is held ready takes as many blocks as it has bytes, and when it has left, they are used again. */
static void
test_output_blocks(void)
{
	KsegWireIo io;
	size_t blocks = 0;
	int sockets[2];
	uint8_t next = 0;
	bool right = true;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
		tap_die("no socket pair");
	wire_io_open(&io, sockets[0]);
	for (int round = 0; round < 3; round++)
	{
		while (wire_io_pending(&io) < 8 * 1024 * 1024)
		{
			wire_io_begin_frame(&io, KSEG_FRAME_RECORDS);
			memset(wire_io_extend_frame(&io, KSEG_RECORDS_FRAME), 'x', KSEG_RECORDS_FRAME);
			wire_io_end_frame(&io);
		}
		while (wire_io_pending(&io) > 0)
		{
			wire_io_flush(&io);
			receive_counting(sockets[1], &next, &right);
		}
	}
	for (const KsegWireBlock *block = io.out.spare; block != NULL; block = block->next)
		blocks++;
	tap_ok(blocks >= 32 && blocks <= 45, "8 MB that are held three times take 8 MB (%zu blocks of 256 kB)",
	       blocks);
	wire_out_free(&io.out);
	close(sockets[0]);
	close(sockets[1]);
}

/* ---------- brokers that are spare ---------- */

static void
test_spare(void)
{
	struct rd_kafka_metadata_broker brokers[] = {{.id = 0}, {.id = 11}, {.id = 2}, {.id = 7}, {.id = 5}};
	struct rd_kafka_metadata metadata = {.brokers = brokers, .broker_cnt = 5};
	KsegFollowSpare spare = {.spare_count = 0};

	tap_ok(!follow_spare_reach(&spare, NULL), "before any answer nobody is spare");
	follow_spare_take(&spare, &metadata);
	follow_spare_lead(&spare, 11);
	follow_spare_lead(&spare, 11);
	follow_spare_lead(&spare, -1); /* a partition without a leader */
	follow_spare_lead(&spare, 99); /* one that the answer did not name */
	follow_spare_choose(&spare);
	tap_ok(spare.spare_count == KSEG_FOLLOW_SPARES_MOST && spare.spares[0] == 0 && spare.spares[1] == 2 &&
	           spare.spares[2] == 7,
	       "the first ones that lead nothing");
	/* Another answer: one of five is left. */
	follow_spare_take(&spare, &metadata);
	for (int i = 0; i < 5; i++)
	{
		if (brokers[i].id != 5)
			follow_spare_lead(&spare, brokers[i].id);
	}
	follow_spare_choose(&spare);
	tap_ok(spare.spare_count == 1 && spare.spares[0] == 5, "the one that leads nothing");
	metadata.broker_cnt = 0;
	follow_spare_take(&spare, &metadata);
	follow_spare_choose(&spare);
	tap_ok(spare.spare_count == 0 && !follow_spare_reach(&spare, NULL), "of no broker none");
	free(spare.brokers);
}

int
main(void)
{
	test_partition();
	test_step();
	test_workers();
	test_topics();
	test_plan_positions();
	test_output();
	test_output_blocks();
	test_spare();
	json_object_put(plan_object);
	return tap_end();
}
