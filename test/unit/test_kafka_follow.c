/*
 * test_kafka_follow.c
 *	  The courier follows topics of librdkafka's own brokers for tests: what is handed over and in which order, what is said of
 *	  partitions and troubles, and what ends it.
 *
 * What needs a real broker (transactions, retention, topics made anew, brokers that are stopped) is tested there.
 */
#include "harness_follow.h"

static HarnessKafka kafka;
static HarnessFollow follow;

/* ---------- following ---------- */

static void
test_following(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"t\"]");

	harness_kafka_fill(&kafka, "t", 0, 500);
	harness_kafka_fill(&kafka, "t", 2, 3);
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, harness_follow_records(&follow) == 503);
	tap_ok(follow.told == 1 && follow.count == 4 && follow.partitions[2].partition == 2 &&
	           follow.partitions[2].low == 0 && follow.partitions[2].start == 0 &&
	           follow.partitions[2].end == 3,
	       "PARTITIONS tells of every partition, empty ones too, before their records");
	harness_kafka_fill(&kafka, "t", 3, 2);
	harness_follow_wait(&follow, harness_follow_records(&follow) == 505 && follow.end[3] == 2);
	harness_kafka_fill(&kafka, "t", 0, 100);
	harness_follow_wait(&follow, follow.records[0] == 600 && follow.end[0] == 600);
	tap_ok(follow.ordered, "records come as they are produced, each once and in its partition's order");
	tap_ok(follow.next[0] == 600 && follow.next[3] == 2, "PROGRESS says that there are no more");
	tap_is(follow.troubles, 0, "no trouble is told where there is none");
	harness_stop(&follow.harness);
}

static void
test_latest(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"latest\"]");

	harness_kafka_topic(&kafka, "latest", 1);
	harness_kafka_fill(&kafka, "latest", 0, 10);
	config.start = "latest";
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, follow.told == 1);
	harness_kafka_fill(&kafka, "latest", 0, 5);
	harness_follow_wait(&follow, follow.records[0] == 5);
	tap_ok(follow.ordered && follow.partitions[0].start == 10, "latest begins behind what there is");
	harness_stop(&follow.harness);

	config.begun = 1;
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, follow.records[0] == 15);
	tap_ok(follow.ordered,
	       "of a stream that has begun, a partition without a position is read from its first message");
	harness_stop(&follow.harness);
}

static void
test_workers(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"t\"]");
	bool right = true;
	uint32_t sum = 0;

	config.workers = 3;
	for (config.worker = 0; config.worker < 3; config.worker++)
	{
		harness_follow_begin(&follow, &config);
		harness_follow_wait(&follow, follow.told == 1);
		for (uint32_t i = 0; i < follow.count; i++)
			right = right &&
			        kseg_follow_worker("t", 1, follow.partitions[i].partition, 3) == (uint32_t) config.worker;
		sum += follow.count;
		harness_stop(&follow.harness);
	}
	tap_ok(right && sum == 4, "each partition is one worker's");
}

static void
test_discovery(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"named\",\"^new-.*\"]");

	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, follow.troubles == 1);
	tap_ok(follow.told == 1 && follow.count == 0, "where there is no topic yet, PARTITIONS is empty");
	tap_is_text(follow.trouble, "topic \"named\" does not exist", "a missing name is a trouble");
	harness_kafka_topic(&kafka, "new-one", 2);
	harness_follow_wait(&follow, follow.count == 2);
	harness_kafka_fill(&kafka, "new-one", 1, 4);
	harness_kafka_topic(&kafka, "named", 1);
	harness_kafka_topic(&kafka, "other-new-one", 1);
	harness_follow_wait(&follow, follow.count == 3 && follow.troubles == 2);
	tap_is_text(follow.trouble, "", "which is over when the topic is there");
	harness_kafka_fill(&kafka, "named", 0, 2);
	harness_follow_wait(&follow, harness_follow_records(&follow) == 6);
	tap_ok(harness_follow_index(&follow, "named", 0) == 2 &&
	           harness_follow_index(&follow, "other-new-one", 0) < 0 && follow.ordered,
	       "topics that come into being are followed, if they are asked for");
	harness_stop(&follow.harness);
}

/* ---------- positions ---------- */

static void
test_positions(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"kept\"]");
	char positions[200];
	HarnessFailure failed;

	harness_kafka_topic(&kafka, "kept", 1);
	harness_kafka_fill(&kafka, "kept", 0, 20);
	config.begun = 1;
	config.positions = positions;
	snprintf(positions, sizeof(positions),
	         "[{\"topic\":\"kept\",\"partition\":0,\"next\":12,\"seen_offset\":11,\"seen_time\":%" PRId64
	         "}]",
	         (int64_t) HARNESS_MESSAGE_MS);
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, follow.records[0] == 8);
	tap_ok(follow.ordered && follow.partitions[0].start == 12, "a position is read on from");
	harness_stop(&follow.harness);

	snprintf(positions, sizeof(positions),
	         "[{\"topic\":\"kept\",\"partition\":0,\"next\":12,\"seen_offset\":11,\"seen_time\":5}]");
	harness_follow_begin(&follow, &config);
	failed = harness_follow_expect_failed(&follow);
	tap_ok(failed.failure == KSEG_FAILURE_GAP && harness_follow_records(&follow) == 0,
	       "another message where the last one was is a gap, and nothing is handed over");
	tap_has(failed.detail, "Partition 0 was to be read at offset 12", "with the offset");
	tap_has(failed.detail, "made anew", "and why");
	harness_stop(&follow.harness);
}

static void
test_gap(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"kept\"]");
	HarnessFailure failed;

	config.begun = 1;
	config.positions =
	    "[{\"topic\":\"kept\",\"partition\":0,\"next\":100,\"seen_offset\":-1,\"seen_time\":-1}]";
	harness_follow_begin(&follow, &config);
	failed = harness_follow_expect_failed(&follow);
	tap_is(failed.failure, KSEG_FAILURE_GAP, "an offset that there is not is a gap");
	tap_has(failed.message, "topic \"kept\"", "with the topic");
	tap_has(failed.detail, "Partition 0 was to be read at offset 100. The partition has the offsets 0 to 19",
	        "the offset that was wanted, and those that there are");
	tap_has(failed.hint, "reset_stream", "and what to do");
	harness_stop(&follow.harness);

	config.positions =
	    "[{\"topic\":\"kept\",\"partition\":4,\"next\":7,\"seen_offset\":-1,\"seen_time\":-1}]";
	harness_follow_begin(&follow, &config);
	failed = harness_follow_expect_failed(&follow);
	tap_ok(failed.failure == KSEG_FAILURE_GAP && strstr(failed.detail, "has only 1 partitions") != NULL,
	       "a position of a partition that there is not is a gap");
	harness_stop(&follow.harness);

	config.positions =
	    "[{\"topic\":\"other\",\"partition\":4,\"next\":7,\"seen_offset\":-1,\"seen_time\":-1}]";
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, harness_follow_records(&follow) == 20);
	tap_ok(follow.ordered, "one of a topic that is not asked for is not looked at");
	harness_stop(&follow.harness);
}

static void
test_topic_gone(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"gone\"]");
	HarnessFailure failed;

	harness_kafka_topic(&kafka, "gone", 1);
	harness_kafka_fill(&kafka, "gone", 0, 3);
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, harness_follow_records(&follow) == 3);
	rd_kafka_mock_topic_set_error(kafka.cluster, "gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	failed = harness_follow_expect_failed(&follow);
	tap_ok(failed.failure == KSEG_FAILURE_GAP && strstr(failed.detail, "no such topic any more") != NULL,
	       "a topic that is deleted while it is followed is a gap");
	harness_stop(&follow.harness);
}

static void
test_denied(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"denied\"]");
	HarnessFailure failed;

	/*
	 * The mock's answer has partitions beside the error, which no broker's has, and on which librdkafka after 2.0 and before 2.10.0 crashes
	 * ("Only update partition leaders if the topic has no errors").
	 */
	if (rd_kafka_version() > 0x020002ff && rd_kafka_version() < 0x020a0000)
	{
		tap_ok(true, "# SKIP librdkafka %s cannot be answered so", rd_kafka_version_str());
		return;
	}
	harness_kafka_topic(&kafka, "denied", 1);
	rd_kafka_mock_topic_set_error(kafka.cluster, "denied", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	harness_follow_begin(&follow, &config);
	failed = harness_follow_expect_failed(&follow);
	tap_is(failed.failure, KSEG_FAILURE_AUTH, "a topic that may not be read ends the follow");
	tap_has(failed.message, "could not read topic \"denied\"", "with its name");
	harness_stop(&follow.harness);
}

/* ---------- brokers ---------- */

static void
test_brokers_away(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"away\"]");

	harness_kafka_topic(&kafka, "away", 3);
	harness_kafka_fill(&kafka, "away", 0, 50);
	harness_kafka_set_down(&kafka, true);
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, follow.troubles == 1);
	tap_is_text(follow.trouble, "no Kafka broker can be reached",
	            "that there is no broker when it begins is a trouble, and no failure");
	harness_kafka_set_down(&kafka, false);
	harness_follow_wait(&follow, harness_follow_records(&follow) == 50 && follow.trouble[0] == '\0');
	tap_ok(follow.ordered, "it begins when there are brokers");

	harness_kafka_set_down(&kafka, true);
	harness_follow_wait(&follow, follow.trouble[0] != '\0');
	harness_kafka_set_down(&kafka, false);
	harness_kafka_fill(&kafka, "away", 0, 50);
	harness_kafka_fill(&kafka, "away", 1, 50);
	harness_follow_wait(&follow, harness_follow_records(&follow) == 150 && follow.trouble[0] == '\0');
	tap_ok(follow.ordered, "and goes on when they come back, without loss or repetition");
	harness_stop(&follow.harness);
}

static void
test_leader_moves(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"moves\"]");

	harness_kafka_topic(&kafka, "moves", 2);
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, follow.told == 1);
	for (int32_t i = 0; i < 6; i++)
	{
		rd_kafka_mock_partition_set_leader(kafka.cluster, "moves", 0, i % 3 + 1);
		harness_kafka_fill(&kafka, "moves", 0, 100);
	}
	rd_kafka_mock_push_request_errors(kafka.cluster, HARNESS_API_FETCH, 4,
	                                  RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	                                  RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
	                                  RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__TRANSPORT);
	harness_kafka_fill(&kafka, "moves", 1, 100);
	harness_follow_wait(&follow, harness_follow_records(&follow) == 700);
	tap_ok(follow.ordered && follow.records[0] == 600,
	       "leaders move, fetches fail, and every record comes once");
	harness_stop(&follow.harness);
}

/* ---------- the wire ---------- */

/* Whenever a byte is not written yet, nothing more is taken: the courier is woken by the socket alone. */
static void
test_held(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"held\"]");

	harness_kafka_topic(&kafka, "held", 1);
	harness_kafka_fill(&kafka, "held", 0, 20000);
	config.pending_bytes = 1;
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, follow.told == 1);
	harness_follow_wait(&follow, harness_follow_records(&follow) == 20000);
	tap_ok(follow.ordered, "with next to no output held ready all records come, too");
	harness_stop(&follow.harness);
}

static void
test_alive(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"quiet\"]");

	harness_kafka_topic(&kafka, "quiet", 1);
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, follow.told == 1);
	harness_kafka_fill(&kafka, "quiet", 0, 10);
	harness_follow_wait(&follow, follow.records[0] == 10 && follow.end[0] == 10);
	tap_is(follow.alive, 0, "before the time nothing is said for its own sake");
	harness_stop(&follow.harness);

	config.alive_ms = 20;
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, follow.records[0] == 10);
	harness_follow_wait(&follow, follow.alive >= 3);
	tap_ok(follow.ordered && follow.next[0] == 10 && follow.troubles == 0,
	       "a courier that has nothing to say says that it lives, and nothing besides");
	harness_stop(&follow.harness);
}

static int64_t
committed_of(const char *group, const char *topic)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	char words[512];
	rd_kafka_t *rk;
	int64_t offset;

	if (rd_kafka_conf_set(conf, "bootstrap.servers", kafka.bootstrap, words, sizeof(words)) !=
	        RD_KAFKA_CONF_OK ||
	    rd_kafka_conf_set(conf, "group.id", group, words, sizeof(words)) != RD_KAFKA_CONF_OK ||
	    (rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, words, sizeof(words))) == NULL)
		tap_die("no consumer: %s", words);
	rd_kafka_topic_partition_list_add(list, topic, 0);
	if (rd_kafka_committed(rk, list, HARNESS_WAIT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		tap_die("the group's offsets cannot be asked for");
	offset = list->elems[0].offset;
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(rk);
	return offset;
}

static void
send_committed(Harness *harness, uint32_t index, int64_t next)
{
	uint8_t payload[4 + KSEG_WIRE_STEP_SIZE];
	KsegWireStep step = {.index = index, .next = next};

	kseg_step_write(kseg_write_u32(payload, 1), &step);
	harness_send_frame(harness, KSEG_FRAME_COMMITTED, 0, payload, sizeof(payload));
}

static void
test_group(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"kept\"]");
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;

	config.group = "lag";
	harness_follow_begin(&follow, &config);
	harness_follow_wait(&follow, harness_follow_records(&follow) == 20);
	send_committed(&follow.harness, 0, 5);
	send_committed(&follow.harness, 0, 20);
	while (committed_of("lag", "kept") != 20)
	{
		if (harness_now_ms() > deadline)
			tap_die("waited in vain for offset 20 of the group");
	}
	tap_ok(true, "a position that is stored is committed to the group");
	send_committed(&follow.harness, 1, 20);
	tap_is(harness_follow_expect_failed(&follow).failure, KSEG_FAILURE_INTERNAL,
	       "one of a partition that nobody has told of is refused");
	harness_stop(&follow.harness);
}

static void
refuses(const HarnessFollowConfig *config, const char *word, const char *name)
{
	HarnessFailure failed;

	harness_follow_begin(&follow, config);
	failed = harness_follow_expect_failed(&follow);
	tap_ok(failed.failure == KSEG_FAILURE_CONFIG && strstr(failed.detail, word) != NULL, "%s", name);
	harness_stop(&follow.harness);
}

static void
test_refused(void)
{
	HarnessFollowConfig config = harness_follow_defaults(&kafka, "[\"^(\"]");

	refuses(&config, "^(", "a regular expression that is none is refused");
	config = harness_follow_defaults(&kafka, "[]");
	refuses(&config, "topics", "no topic at all, too");
	config = harness_follow_defaults(&kafka, "[\"t\"]");
	config.worker = 1;
	refuses(&config, "worker", "a worker beyond the last, too");
	config.worker = 0;
	config.start = "soon";
	refuses(&config, "start", "an unknown start, too");
	config.start = "latest";
	config.positions = "[{\"topic\":\"t\",\"partition\":-1,\"next\":0,\"seen_offset\":-1,\"seen_time\":0}]";
	refuses(&config, "positions", "a position that is none, too");
}

int
main(void)
{
	harness_kafka_start(&kafka, 3, 4);
	test_following();
	test_latest();
	test_workers();
	test_discovery();
	test_positions();
	test_gap();
	test_topic_gone();
	test_denied();
	test_brokers_away();
	test_leader_moves();
	test_held();
	test_alive();
	test_group();
	test_refused();
	harness_kafka_stop(&kafka);
	return tap_end();
}
