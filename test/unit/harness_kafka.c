/*
 * harness_kafka.c
 *	  Mock brokers beside a courier. See harness_kafka.h.
 */
#include "harness_kafka.h"

/* ---------- the cluster ---------- */

static rd_kafka_conf_t *
kafka_conf(const char *const *settings)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char words[256];

	for (; settings[0] != NULL; settings += 2)
	{
		if (rd_kafka_conf_set(conf, settings[0], settings[1], words, sizeof(words)) != RD_KAFKA_CONF_OK)
			tap_die("librdkafka: %s", words);
	}
	return conf;
}

static rd_kafka_t *
kafka_new(rd_kafka_type_t type, const char *const *settings)
{
	char words[256];
	rd_kafka_t *rk = rd_kafka_new(type, kafka_conf(settings), words, sizeof(words));

	if (rk == NULL)
		tap_die("librdkafka: %s", words);
	return rk;
}

void
harness_kafka_start(HarnessKafka *kafka, int brokers, int partitions)
{
	static const char *const settings[] = {"client.id", "harness", "log_level", "0", NULL};

	*kafka = (HarnessKafka){.rk = kafka_new(RD_KAFKA_PRODUCER, settings), .brokers = brokers};
	kafka->cluster = rd_kafka_mock_cluster_new(kafka->rk, brokers);
	if (kafka->cluster == NULL)
		tap_die("there is no mock cluster to be had");
	kafka->bootstrap = rd_kafka_mock_cluster_bootstraps(kafka->cluster);
	harness_kafka_topic(kafka, "t", partitions);
}

void
harness_kafka_stop(HarnessKafka *kafka)
{
	if (kafka->consumer != NULL)
		rd_kafka_destroy(kafka->consumer);
	if (kafka->producer != NULL)
		rd_kafka_destroy(kafka->producer);
	rd_kafka_mock_cluster_destroy(kafka->cluster);
	rd_kafka_destroy(kafka->rk);
}

void
harness_kafka_topic(const HarnessKafka *kafka, const char *topic, int partitions)
{
	if (rd_kafka_mock_topic_create(kafka->cluster, topic, partitions, kafka->brokers) !=
	    RD_KAFKA_RESP_ERR_NO_ERROR)
		tap_die("topic %s cannot be made", topic);
}

void
harness_kafka_set_down(const HarnessKafka *kafka, bool down)
{
	for (int32_t i = 1; i <= kafka->brokers; i++)
	{
		if (down)
			rd_kafka_mock_broker_set_down(kafka->cluster, i);
		else
			rd_kafka_mock_broker_set_up(kafka->cluster, i);
	}
}

/* ---------- messages put into topics ---------- */

/* The cluster's own rk knows no brokers: it only holds them. */
static rd_kafka_t *
kafka_producer(HarnessKafka *kafka)
{
	const char *const settings[] = {"bootstrap.servers", kafka->bootstrap, "log_level", "0", NULL};

	if (kafka->producer == NULL)
		kafka->producer = kafka_new(RD_KAFKA_PRODUCER, settings);
	return kafka->producer;
}

void
harness_kafka_put(HarnessKafka *kafka, const char *topic, int32_t partition, const char *key,
                  const void *value, size_t length, rd_kafka_headers_t *headers)
{
	size_t key_length = key == NULL ? 0 : strlen(key);
	rd_kafka_resp_err_t error = rd_kafka_producev(
	    kafka_producer(kafka), RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
	    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key_length),
	    RD_KAFKA_V_VALUE((void *) (uintptr_t) value, length), RD_KAFKA_V_TIMESTAMP(HARNESS_MESSAGE_MS),
	    RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);

	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		tap_die("a message cannot be produced: %s", rd_kafka_err2str(error));
}

void
harness_kafka_flush(HarnessKafka *kafka)
{
	if (rd_kafka_flush(kafka_producer(kafka), HARNESS_WAIT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		tap_die("messages are not delivered");
}

void
harness_kafka_fill(HarnessKafka *kafka, const char *topic, int32_t partition, int count)
{
	for (int i = 0; i < count; i++)
	{
		char value[40];
		int length = snprintf(value, sizeof(value), "{\"n\": %d}", i);

		harness_kafka_put(kafka, topic, partition, NULL, value, (size_t) length, NULL);
	}
	harness_kafka_flush(kafka);
}

/* ---------- reading topics back ---------- */

static int
kafka_compare(const void *a, const void *b)
{
	const rd_kafka_message_t *one = *(rd_kafka_message_t *const *) a;
	const rd_kafka_message_t *other = *(rd_kafka_message_t *const *) b;

	if (one->partition != other->partition)
		return one->partition < other->partition ? -1 : 1;
	return one->offset < other->offset ? -1 : one->offset > other->offset;
}

void
harness_kafka_read(HarnessKafka *kafka, const char *topic, int partitions, rd_kafka_message_t **messages,
                   int count)
{
	const char *const settings[] = {"bootstrap.servers", kafka->bootstrap, "group.id", "harness", NULL};
	rd_kafka_t *rk = kafka->consumer = kafka_new(RD_KAFKA_CONSUMER, settings);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
	int64_t deadline = harness_now_ms() + HARNESS_WAIT_MS;
	int got = 0;

	for (int i = 0; i < partitions; i++)
		rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
	rd_kafka_assign(rk, list);
	while (got < count)
	{
		rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 1000);

		if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			messages[got++] = message;
		else if (message != NULL)
			rd_kafka_message_destroy(message);
		if (harness_now_ms() > deadline)
			tap_die("waited in vain for %d messages of topic %s, got %d", count, topic, got);
	}
	qsort(messages, (size_t) count, sizeof(messages[0]), kafka_compare);
	rd_kafka_topic_partition_list_destroy(list);
}

void
harness_kafka_free(rd_kafka_message_t **messages, int count)
{
	for (int i = 0; i < count; i++)
		rd_kafka_message_destroy(messages[i]);
}

bool
harness_kafka_is_in_order(rd_kafka_message_t **messages, int count)
{
	for (int i = 0; i < count; i++)
	{
		char wanted[24];
		size_t length = (size_t) snprintf(wanted, sizeof(wanted), "%d", i + 1);

		if (messages[i]->len != length || memcmp(messages[i]->payload, wanted, length) != 0)
		{
			printf("# message %d is %.*s\n", i + 1, (int) messages[i]->len, (char *) messages[i]->payload);
			return false;
		}
	}
	return true;
}

/* ---------- CONFIG ---------- */

HarnessKafkaConfig
harness_kafka_defaults(const HarnessKafka *kafka)
{
	return (HarnessKafkaConfig){.job = "kafka_produce",
	                            .bootstrap = kafka != NULL ? kafka->bootstrap : "127.0.0.1:1",
	                            .security_protocol = "plaintext",
	                            .sasl_mechanism = "",
	                            .sasl_password = "",
	                            .ssl_ca_file = "",
	                            .topic = "t",
	                            .more = "",
	                            .linger_ms = 5,
	                            .message_timeout_ms = 60000,
	                            .max_message_bytes = 1000000,
	                            .max_queue_messages = 100000,
	                            .max_queue_bytes = 16 * 1024 * 1024,
	                            .connect_timeout_ms = 20000,
	                            .request_timeout_ms = 20000};
}

void
harness_kafka_send_config(Harness *harness, const HarnessKafkaConfig *config)
{
	char json[8192];

	snprintf(
	    json, sizeof(json),
	    "{\"job\":\"%s\",\"bootstrap_servers\":\"%s\",\"security_protocol\":\"%s\",\"sasl_mechanism\":\"%s\","
	    "\"sasl_username\":\"kseg\",\"sasl_password\":\"%s\",\"ssl_ca_file\":\"%s\",\"ssl_certificate_file\":"
	    "\"\","
	    "\"ssl_key_file\":\"\",\"ssl_key_password\":\"\",\"plaintext_anywhere\":%d,\"client_id\":\"kseg\","
	    "\"isolation_level\":\"read_committed\",\"compression\":\"none\",\"linger_ms\":%d,"
	    "\"message_timeout_ms\":%d,\"max_message_bytes\":%d,\"max_queue_messages\":%d,\"max_queue_bytes\":%d,"
	    "\"connect_timeout_ms\":%d,\"request_timeout_ms\":%d,\"transaction_timeout_ms\":60000,"
	    "\"topic\":\"%s\",\"transactional\":%d,\"transactional_id\":\"%s\"%s}",
	    config->job, config->bootstrap, config->security_protocol, config->sasl_mechanism,
	    config->sasl_password, config->ssl_ca_file, config->plaintext_anywhere, config->linger_ms,
	    config->message_timeout_ms, config->max_message_bytes, config->max_queue_messages,
	    config->max_queue_bytes, config->connect_timeout_ms, config->request_timeout_ms, config->topic,
	    config->transactional, config->transactional ? "kseg-test" : "", config->more);
	harness_send_frame(harness, KSEG_FRAME_CONFIG, 0, json, strlen(json));
}

void
harness_kafka_begin(Harness *harness, const HarnessKafkaConfig *config)
{
	harness_start(harness);
	harness_send_hello(harness, KSEG_WIRE_VERSION, KSEG_BUILD);
	harness_expect_frame(harness, KSEG_FRAME_HELLO);
	harness_kafka_send_config(harness, config);
}

/* ---------- messages to the courier ---------- */

static KsegText
message_text(const char *text)
{
	return (KsegText){text, text != NULL ? (uint32_t) strlen(text) : 0};
}

KsegMessage
harness_message(uint64_t row, const char *key, const char *value)
{
	return (KsegMessage){.row = row,
	                     .timestamp = KSEG_NO_TIMESTAMP,
	                     .partition = KSEG_PARTITION_BY_KEY,
	                     .key = message_text(key),
	                     .value = message_text(value)};
}

static uint8_t *
message_put_text(uint8_t *out, KsegText text)
{
	if (text.length > 0)
		memcpy(out, text.data, text.length);
	return out + text.length;
}

static size_t
message_size(const KsegMessage *message)
{
	return KSEG_MESSAGE_HEAD + message->topic.length + message->key.length + message->value.length +
	       message->headers.length;
}

void
harness_feed_messages(Harness *harness, const KsegMessage *messages, uint32_t count)
{
	size_t length = sizeof(count);
	uint8_t *payload;
	uint8_t *out;

	for (uint32_t i = 0; i < count; i++)
		length += message_size(&messages[i]);
	payload = harness_allocate(length);
	out = kseg_write_u32(payload, count);
	for (uint32_t i = 0; i < count; i++)
	{
		kseg_message_head(out, &messages[i]);
		out = message_put_text(out + KSEG_MESSAGE_HEAD, messages[i].topic);
		out = message_put_text(out, messages[i].key);
		out = message_put_text(out, messages[i].value);
		out = message_put_text(out, messages[i].headers);
	}
	harness_send_frame(harness, KSEG_FRAME_MESSAGES, 0, payload, length);
	free(payload);
}

void
harness_feed_numbers(Harness *harness, uint64_t first, uint32_t count, int32_t partition)
{
	static char values[1000][24];
	static KsegMessage messages[1000];

	while (count > 0)
	{
		uint32_t some = count < 1000 ? count : 1000;

		for (uint32_t i = 0; i < some; i++)
		{
			snprintf(values[i], sizeof(values[i]), "%" PRIu64, first + i);
			messages[i] = harness_message(first + i, NULL, values[i]);
			messages[i].partition = partition;
		}
		harness_feed_messages(harness, messages, some);
		first += some;
		count -= some;
	}
}

HarnessRejected
harness_expect_rejected(Harness *harness)
{
	KsegReader reader = harness_frame_reader(harness_expect_frame(harness, KSEG_FRAME_REJECTED));
	HarnessRejected rejected;
	KsegText words;
	KsegText message;

	rejected.row = kseg_read_u64(&reader);
	rejected.status = (int32_t) kseg_read_u32(&reader);
	words = kseg_read_text(&reader);
	message = kseg_read_text(&reader);
	if (!kseg_reader_done(&reader))
		tap_die("the courier sent a REJECTED that is none");
	snprintf(rejected.words, sizeof(rejected.words), "%.*s", (int) words.length, words.data);
	reader = (KsegReader){.at = (const uint8_t *) message.data,
	                      .end = (const uint8_t *) message.data + message.length};
	if (!kseg_message_read(&reader, &rejected.message) || !kseg_reader_done(&reader))
		tap_die("the message in a REJECTED is none");
	return rejected;
}

/* ---------- records from the courier ---------- */

HarnessRecords
harness_records_of(const HarnessFrame *frame)
{
	HarnessRecords records = {.reader = harness_frame_reader(frame)};

	records.left = kseg_read_u32(&records.reader);
	records.fields = kseg_read_u32(&records.reader);
	if (records.left == 0)
		tap_die("RECORDS without any record");
	return records;
}

bool
harness_records_next(HarnessRecords *records, KsegRecord *record)
{
	if (records->left == 0)
	{
		if (!kseg_reader_done(&records->reader))
			tap_die("RECORDS do not end where they should");
		return false;
	}
	records->left--;
	if (!kseg_record_read(&records->reader, records->fields, record))
		tap_die("RECORDS are none");
	return true;
}
