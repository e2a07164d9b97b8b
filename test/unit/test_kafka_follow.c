/*
 * test_kafka_follow.c
 *	  The courier follows topics of librdkafka's own brokers for tests: what is handed over and in which order, what is said of
 *	  partitions and troubles, and what ends it.
 *
 * What needs a real broker (transactions, retention, topics made anew, brokers that are stopped) is tested there.
 */
#include "harness_kafka.h"
#include "wire/wire_follow.h"
#include "wire/wire_record.h"

#define API_FETCH 1

#define PARTITIONS_MAX 64

/* The time of every message. */
#define MESSAGE_MS 1785587696000

/* ---------- the brokers ---------- */

static HarnessKafka kafka;
static rd_kafka_t *producer;

static void
brokers_start(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char words[512];

	harness_kafka_start(&kafka, 3, 4);
	if (rd_kafka_conf_set(conf, "bootstrap.servers", kafka.bootstrap, words, sizeof(words)) !=
	        RD_KAFKA_CONF_OK ||
	    rd_kafka_conf_set(conf, "log_level", "0", words, sizeof(words)) != RD_KAFKA_CONF_OK ||
	    (producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, words, sizeof(words))) == NULL)
		tap_die("no producer: %s", words);
}

static void
topic_create(const char *topic, int partitions)
{
	if (rd_kafka_mock_topic_create(kafka.cluster, topic, partitions, 3) != RD_KAFKA_RESP_ERR_NO_ERROR)
		tap_die("topic %s cannot be made", topic);
}

static void
produce(const char *topic, int32_t partition, int count)
{
	for (int i = 0; i < count; i++)
	{
		rd_kafka_resp_err_t error = rd_kafka_producev(
		    producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_VALUE("x", 1),
		    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_TIMESTAMP(MESSAGE_MS), RD_KAFKA_V_END);

		if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
			tap_die("a message cannot be produced: %s", rd_kafka_err2str(error));
	}
	if (rd_kafka_flush(producer, HARNESS_WAIT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		tap_die("messages are not delivered");
}

/* ---------- CONFIG ---------- */

/* What a test may change; texts are JSON. */
typedef struct Config
{
	const char *topics;
	const char *positions;
	const char *start;
	const char *group;
	int begun;
	int workers;
	int worker;
	int pending_bytes;
} Config;

static Config
config_of(const char *topics)
{
	return (Config){.topics = topics,
	                .positions = "[]",
	                .start = "earliest",
	                .group = "",
	                .workers = 1,
	                .pending_bytes = 1024 * 1024};
}

/* What a follow has said so far. */
typedef struct Follow
{
	Harness harness;
	KsegWirePartition partitions[PARTITIONS_MAX]; /* topics point into the harness's frames */
	uint32_t count;
	int told;                     /* PARTITIONS frames */
	int64_t next[PARTITIONS_MAX]; /* behind the last record, or as PROGRESS says */
	int64_t end[PARTITIONS_MAX];  /* as PARTITIONS and PROGRESS say */
	int64_t records[PARTITIONS_MAX];
	bool ordered; /* every record is the one behind the last of its partition */
	int troubles; /* TROUBLE frames */
	char trouble[400];
	bool failed;
} Follow;

static void
follow_begin(Follow *follow, const Config *config)
{
	HarnessKafkaConfig common = harness_kafka_defaults(&kafka);
	char more[2048];

	snprintf(more, sizeof(more),
	         ",\"format\":\"json\",\"delimiter\":\",\",\"quote\":\"'\",\"null\":\"\",\"wants\":[{\"kind\":"
	         "\"value\"}],\"topics\":%s,\"positions\":%s,\"begun\":%d,\"start\":\"%s\",\"start_ms\":0,"
	         "\"workers\":%d,\"worker\":%d,\"commit_group\":\"%s\",\"pending_bytes\":%d,\"discovery_ms\":200",
	         config->topics, config->positions, config->begun, config->start, config->workers, config->worker,
	         config->group, config->pending_bytes);
	common.job = "kafka_follow";
	common.more = more;
	memset(follow, 0, sizeof(*follow));
	follow->ordered = true;
	harness_kafka_begin(&follow->harness, &common);
}

/* ---------- what comes ---------- */

static void
take_partitions(Follow *follow, KsegReader *reader)
{
	uint32_t count = kseg_read_u32(reader);

	follow->told++;
	for (uint32_t i = 0; i < count; i++)
	{
		KsegWirePartition *partition = &follow->partitions[follow->count];

		if (follow->count == PARTITIONS_MAX || !kseg_partition_read(reader, partition) ||
		    partition->index != follow->count)
			tap_die("PARTITIONS are none");
		follow->next[follow->count] = partition->start;
		follow->end[follow->count++] = partition->end;
	}
}

static void
take_records(Follow *follow, KsegReader *reader)
{
	uint32_t count = kseg_read_u32(reader);
	uint32_t fields = kseg_read_u32(reader);

	for (uint32_t i = 0; i < count; i++)
	{
		KsegRecord record;

		if (!kseg_record_read(reader, fields, &record) || (uint32_t) record.partition >= follow->count)
			tap_die("RECORDS are none, or of a partition that nobody has told of");
		follow->ordered = follow->ordered && record.offset == follow->next[record.partition];
		follow->next[record.partition] = record.offset + 1;
		follow->records[record.partition]++;
	}
}

static void
take_progress(Follow *follow, KsegReader *reader)
{
	uint32_t count = kseg_read_u32(reader);

	for (uint32_t i = 0; i < count; i++)
	{
		KsegWireStep step;

		if (!kseg_step_read(reader, &step) || step.index >= follow->count ||
		    step.next < follow->next[step.index])
			tap_die("PROGRESS is none, or goes back");
		follow->next[step.index] = step.next;
		follow->end[step.index] = step.end;
	}
}

static void
take_trouble(Follow *follow, KsegReader *reader)
{
	KsegText message = kseg_read_text(reader);

	kseg_read_text(reader);
	kseg_read_text(reader);
	snprintf(follow->trouble, sizeof(follow->trouble), "%.*s", (int) message.length, message.data);
	follow->troubles++;
}

/* Take the next frame; FAILED is left for harness_expect_failed. Past deadline the program ends. */
static void
take_frame(Follow *follow, int64_t deadline, const char *what)
{
	Harness *harness = &follow->harness;
	const HarnessFrame *kept;
	KsegFrame frame;
	KsegReader reader;

	while (harness->frame_next == harness->frame_count)
		harness_pump(harness, deadline, what);
	kept = &harness->frames[harness->frame_next];
	frame = (KsegFrame){.payload = kept->payload, .length = kept->length};
	kseg_reader_init(&reader, &frame);
	follow->failed = kept->type == KSEG_FRAME_FAILED;
	if (follow->failed)
		return;
	harness->frame_next++;
	if (kept->type == KSEG_FRAME_PARTITIONS)
		take_partitions(follow, &reader);
	else if (kept->type == KSEG_FRAME_RECORDS)
		take_records(follow, &reader);
	else if (kept->type == KSEG_FRAME_PROGRESS)
		take_progress(follow, &reader);
	else if (kept->type == KSEG_FRAME_TROUBLE)
		take_trouble(follow, &reader);
	else
		tap_die("a frame %c that has no place there", kept->type);
	if (!kseg_reader_done(&reader))
		tap_die("a frame %c that does not end where it should", kept->type);
}

/* Take frames until a condition holds, which is also its name in a failure. */
#define follow_wait(follow, condition)                                                                       \
	do                                                                                                       \
	{                                                                                                        \
		int64_t deadline_ = harness_now_ms() + HARNESS_WAIT_MS;                                              \
		while (!(condition))                                                                                 \
		{                                                                                                    \
			take_frame(follow, deadline_, #condition);                                                       \
			if ((follow)->failed && !(condition))                                                            \
				tap_die("FAILED instead of " #condition ": %s",                                              \
				        harness_expect_failed(&(follow)->harness).detail);                                   \
		}                                                                                                    \
	} while (0)

static HarnessFailure
follow_expect_failed(Follow *follow)
{
	follow_wait(follow, follow->failed);
	return harness_expect_failed(&follow->harness);
}

/* The index of a partition, or -1. */
static int
index_of(const Follow *follow, const char *topic, int32_t partition)
{
	for (uint32_t i = 0; i < follow->count; i++)
	{
		const KsegWirePartition *entry = &follow->partitions[i];

		if (entry->partition == partition && entry->topic.length == strlen(topic) &&
		    memcmp(entry->topic.data, topic, entry->topic.length) == 0)
			return (int) i;
	}
	return -1;
}

static int64_t
records_of(const Follow *follow)
{
	int64_t sum = 0;

	for (uint32_t i = 0; i < follow->count; i++)
		sum += follow->records[i];
	return sum;
}

/* ---------- following ---------- */

static Follow follow;

static void
test_following(void)
{
	Config config = config_of("[\"t\"]");

	produce("t", 0, 500);
	produce("t", 2, 3);
	follow_begin(&follow, &config);
	follow_wait(&follow, records_of(&follow) == 503);
	tap_ok(follow.told == 1 && follow.count == 4 && follow.partitions[2].partition == 2 &&
	           follow.partitions[2].low == 0 && follow.partitions[2].start == 0 &&
	           follow.partitions[2].end == 3,
	       "PARTITIONS tells of every partition, empty ones too, before their records");
	produce("t", 3, 2);
	follow_wait(&follow, records_of(&follow) == 505 && follow.end[3] == 2);
	produce("t", 0, 100);
	follow_wait(&follow, follow.records[0] == 600 && follow.end[0] == 600);
	tap_ok(follow.ordered, "records come as they are produced, each once and in its partition's order");
	tap_ok(follow.next[0] == 600 && follow.next[3] == 2, "PROGRESS says that there are no more");
	tap_is(follow.troubles, 0, "no trouble is told where there is none");
	harness_stop(&follow.harness);
}

static void
test_latest(void)
{
	Config config = config_of("[\"latest\"]");

	topic_create("latest", 1);
	produce("latest", 0, 10);
	config.start = "latest";
	follow_begin(&follow, &config);
	follow_wait(&follow, follow.told == 1);
	produce("latest", 0, 5);
	follow_wait(&follow, follow.records[0] == 5);
	tap_ok(follow.ordered && follow.partitions[0].start == 10, "latest begins behind what there is");
	harness_stop(&follow.harness);

	config.begun = 1;
	follow_begin(&follow, &config);
	follow_wait(&follow, follow.records[0] == 15);
	tap_ok(follow.ordered,
	       "of a stream that has begun, a partition without a position is read from its first message");
	harness_stop(&follow.harness);
}

static void
test_workers(void)
{
	Config config = config_of("[\"t\"]");
	bool right = true;
	uint32_t sum = 0;

	config.workers = 3;
	for (config.worker = 0; config.worker < 3; config.worker++)
	{
		follow_begin(&follow, &config);
		follow_wait(&follow, follow.told == 1);
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
	Config config = config_of("[\"named\",\"^new-.*\"]");

	follow_begin(&follow, &config);
	follow_wait(&follow, follow.troubles == 1);
	tap_ok(follow.told == 1 && follow.count == 0, "where there is no topic yet, PARTITIONS is empty");
	tap_is_text(follow.trouble, "topic \"named\" does not exist", "a missing name is a trouble");
	topic_create("new-one", 2);
	follow_wait(&follow, follow.count == 2);
	produce("new-one", 1, 4);
	topic_create("named", 1);
	topic_create("other-new-one", 1);
	follow_wait(&follow, follow.count == 3 && follow.troubles == 2);
	tap_is_text(follow.trouble, "", "which is over when the topic is there");
	produce("named", 0, 2);
	follow_wait(&follow, records_of(&follow) == 6);
	tap_ok(index_of(&follow, "named", 0) == 2 && index_of(&follow, "other-new-one", 0) < 0 && follow.ordered,
	       "topics that come into being are followed, if they are asked for");
	harness_stop(&follow.harness);
}

/* ---------- positions ---------- */

static void
test_positions(void)
{
	Config config = config_of("[\"kept\"]");
	char positions[200];
	HarnessFailure failed;

	topic_create("kept", 1);
	produce("kept", 0, 20);
	config.begun = 1;
	config.positions = positions;
	snprintf(positions, sizeof(positions),
	         "[{\"topic\":\"kept\",\"partition\":0,\"next\":12,\"seen_offset\":11,\"seen_time\":%" PRId64
	         "}]",
	         (int64_t) MESSAGE_MS);
	follow_begin(&follow, &config);
	follow_wait(&follow, follow.records[0] == 8);
	tap_ok(follow.ordered && follow.partitions[0].start == 12, "a position is read on from");
	harness_stop(&follow.harness);

	snprintf(positions, sizeof(positions),
	         "[{\"topic\":\"kept\",\"partition\":0,\"next\":12,\"seen_offset\":11,\"seen_time\":5}]");
	follow_begin(&follow, &config);
	failed = follow_expect_failed(&follow);
	tap_ok(failed.failure == KSEG_FAILURE_GAP && records_of(&follow) == 0,
	       "another message where the last one was is a gap, and nothing is handed over");
	tap_has(failed.detail, "Partition 0 was to be read at offset 12", "with the offset");
	tap_has(failed.detail, "made anew", "and why");
	harness_stop(&follow.harness);
}

static void
test_gap(void)
{
	Config config = config_of("[\"kept\"]");
	HarnessFailure failed;

	config.begun = 1;
	config.positions =
	    "[{\"topic\":\"kept\",\"partition\":0,\"next\":100,\"seen_offset\":-1,\"seen_time\":-1}]";
	follow_begin(&follow, &config);
	failed = follow_expect_failed(&follow);
	tap_is(failed.failure, KSEG_FAILURE_GAP, "an offset that there is not is a gap");
	tap_has(failed.message, "topic \"kept\"", "with the topic");
	tap_has(failed.detail, "Partition 0 was to be read at offset 100. The partition has the offsets 0 to 19",
	        "the offset that was wanted, and those that there are");
	tap_has(failed.hint, "reset_stream", "and what to do");
	harness_stop(&follow.harness);

	config.positions =
	    "[{\"topic\":\"kept\",\"partition\":4,\"next\":7,\"seen_offset\":-1,\"seen_time\":-1}]";
	follow_begin(&follow, &config);
	failed = follow_expect_failed(&follow);
	tap_ok(failed.failure == KSEG_FAILURE_GAP && strstr(failed.detail, "has only 1 partitions") != NULL,
	       "a position of a partition that there is not is a gap");
	harness_stop(&follow.harness);

	config.positions =
	    "[{\"topic\":\"other\",\"partition\":4,\"next\":7,\"seen_offset\":-1,\"seen_time\":-1}]";
	follow_begin(&follow, &config);
	follow_wait(&follow, records_of(&follow) == 20);
	tap_ok(follow.ordered, "one of a topic that is not asked for is not looked at");
	harness_stop(&follow.harness);
}

static void
test_topic_gone(void)
{
	Config config = config_of("[\"gone\"]");
	HarnessFailure failed;

	topic_create("gone", 1);
	produce("gone", 0, 3);
	follow_begin(&follow, &config);
	follow_wait(&follow, records_of(&follow) == 3);
	rd_kafka_mock_topic_set_error(kafka.cluster, "gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	failed = follow_expect_failed(&follow);
	tap_ok(failed.failure == KSEG_FAILURE_GAP && strstr(failed.detail, "no such topic any more") != NULL,
	       "a topic that is deleted while it is followed is a gap");
	harness_stop(&follow.harness);
}

static void
test_denied(void)
{
	Config config = config_of("[\"denied\"]");
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
	topic_create("denied", 1);
	rd_kafka_mock_topic_set_error(kafka.cluster, "denied", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	follow_begin(&follow, &config);
	failed = follow_expect_failed(&follow);
	tap_is(failed.failure, KSEG_FAILURE_AUTH, "a topic that may not be read ends the follow");
	tap_has(failed.message, "could not read topic \"denied\"", "with its name");
	harness_stop(&follow.harness);
}

/* ---------- brokers ---------- */

static void
brokers_set_down(bool down)
{
	for (int32_t i = 1; i <= 3; i++)
	{
		if (down)
			rd_kafka_mock_broker_set_down(kafka.cluster, i);
		else
			rd_kafka_mock_broker_set_up(kafka.cluster, i);
	}
}

static void
test_brokers_away(void)
{
	Config config = config_of("[\"away\"]");

	topic_create("away", 3);
	produce("away", 0, 50);
	brokers_set_down(true);
	follow_begin(&follow, &config);
	follow_wait(&follow, follow.troubles == 1);
	tap_is_text(follow.trouble, "no Kafka broker can be reached",
	            "that there is no broker when it begins is a trouble, and no failure");
	brokers_set_down(false);
	follow_wait(&follow, records_of(&follow) == 50 && follow.trouble[0] == '\0');
	tap_ok(follow.ordered, "it begins when there are brokers");

	brokers_set_down(true);
	follow_wait(&follow, follow.trouble[0] != '\0');
	brokers_set_down(false);
	produce("away", 0, 50);
	produce("away", 1, 50);
	follow_wait(&follow, records_of(&follow) == 150 && follow.trouble[0] == '\0');
	tap_ok(follow.ordered, "and goes on when they come back, without loss or repetition");
	harness_stop(&follow.harness);
}

static void
test_leader_moves(void)
{
	Config config = config_of("[\"moves\"]");

	topic_create("moves", 2);
	follow_begin(&follow, &config);
	follow_wait(&follow, follow.told == 1);
	for (int32_t i = 0; i < 6; i++)
	{
		rd_kafka_mock_partition_set_leader(kafka.cluster, "moves", 0, i % 3 + 1);
		produce("moves", 0, 100);
	}
	rd_kafka_mock_push_request_errors(kafka.cluster, API_FETCH, 4, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	                                  RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
	                                  RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__TRANSPORT);
	produce("moves", 1, 100);
	follow_wait(&follow, records_of(&follow) == 700);
	tap_ok(follow.ordered && follow.records[0] == 600,
	       "leaders move, fetches fail, and every record comes once");
	harness_stop(&follow.harness);
}

/* ---------- the wire ---------- */

/* Whenever a byte is not written yet, nothing more is taken: the courier is woken by the socket alone. */
static void
test_held(void)
{
	Config config = config_of("[\"held\"]");

	topic_create("held", 1);
	produce("held", 0, 20000);
	config.pending_bytes = 1;
	follow_begin(&follow, &config);
	follow_wait(&follow, follow.told == 1);
	follow_wait(&follow, records_of(&follow) == 20000);
	tap_ok(follow.ordered, "with next to no output held ready all records come, too");
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
	Config config = config_of("[\"kept\"]");
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;

	config.group = "lag";
	follow_begin(&follow, &config);
	follow_wait(&follow, records_of(&follow) == 20);
	send_committed(&follow.harness, 0, 5);
	send_committed(&follow.harness, 0, 20);
	while (committed_of("lag", "kept") != 20)
	{
		if (harness_now_ms() > deadline)
			tap_die("waited in vain for offset 20 of the group");
	}
	tap_ok(true, "a position that is stored is committed to the group");
	send_committed(&follow.harness, 1, 20);
	tap_is(follow_expect_failed(&follow).failure, KSEG_FAILURE_INTERNAL,
	       "one of a partition that nobody has told of is refused");
	harness_stop(&follow.harness);
}

static void
refuses(const Config *config, const char *word, const char *name)
{
	HarnessFailure failed;

	follow_begin(&follow, config);
	failed = follow_expect_failed(&follow);
	tap_ok(failed.failure == KSEG_FAILURE_CONFIG && strstr(failed.detail, word) != NULL, "%s", name);
	harness_stop(&follow.harness);
}

static void
test_refused(void)
{
	Config config = config_of("[\"^(\"]");

	refuses(&config, "^(", "a regular expression that is none is refused");
	config = config_of("[]");
	refuses(&config, "topics", "no topic at all, too");
	config = config_of("[\"t\"]");
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
	brokers_start();
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
	test_group();
	test_refused();
	rd_kafka_destroy(producer);
	harness_kafka_stop(&kafka);
	return tap_end();
}
