/*
 * test_kafka_config.c
 *	  Kafka's CONFIG and its secrets; what a topic refuses; frames of messages.
 */
#include "courier/config.h"
#include "courier/kafka_block.h"
#include "courier/kafka_topic.h"
#include "courier/secret.h"
#include "tap.h"

#include <json-c/json.h>

#define COMMON                                                                                               \
	"\"bootstrap_servers\":\"127.0.0.1:9092\",\"security_protocol\":\"sasl_ssl\",\"sasl_mechanism\":"        \
	"\"PLAIN\","                                                                                             \
	"\"sasl_username\":\"u\",\"ssl_ca_file\":\"\",\"ssl_certificate_file\":\"\","                            \
	"\"ssl_key_file\":\"\",\"ssl_key_password\":\"k3y\",\"plaintext_anywhere\":0,\"client_id\":\"kseg\","    \
	"\"isolation_level\":\"read_committed\",\"compression\":\"lz4\",\"linger_ms\":5,"                        \
	"\"message_timeout_ms\":300000,\"max_message_bytes\":1000000,\"max_queue_messages\":100000,"             \
	"\"max_queue_bytes\":16777216,\"connect_timeout_ms\":10000,\"request_timeout_ms\":60000,"                \
	"\"transaction_timeout_ms\":60000"
#define PRODUCE                                                                                              \
	"\"job\":\"kafka_produce\"," COMMON ",\"topic\":\"t\",\"transactional\":0,\"transactional_id\":\"\""

/* Returns the problem, "" for none. */
static const char *
read_config(const char *json)
{
	static char problem[200];
	KsegConfig config;

	problem[0] = '\0';
	if (config_read(&config, json, strlen(json), problem, sizeof(problem)))
		config_close(&config);
	else if (problem[0] == '\0')
		return "a failure without words";
	return problem;
}

static void
test_reading(void)
{
	const char *json = "{" PRODUCE ",\"sasl_password\":\"pa55word\",\"of tomorrow\":{}}";
	KsegConfig config;
	char problem[200];

	tap_ok(config_read(&config, json, strlen(json), problem, sizeof(problem)),
	       "a producer's configuration is read");
	tap_ok(strcmp(config.topic, "t") == 0 && strcmp(config.sasl_password, "pa55word") == 0 &&
	           config.max_queue_bytes == 16777216 && config.lanes == 1 && config.object == NULL,
	       "with its values, and one lane");
	tap_ok(config.write_key == NULL && config.endpoint == NULL, "and without Segment's");
	config_close(&config);
	config_close(&config);
	tap_ok(config.sasl_password == NULL, "and closed, twice");
}

static void
test_consume(void)
{
	const char *json = "{\"job\":\"kafka_consume\"," COMMON ",\"sasl_password\":\"pa55word\",\"topic\":\"t\","
	                   "\"wants\":[{\"kind\":\"path\",\"raw\":false,\"paths\":[[\"a\",\"b\",0],[\"c\"]]}]}";
	KsegConfig config;
	char problem[200];
	const char *text;

	tap_ok(config_read(&config, json, strlen(json), problem, sizeof(problem)) && config.object != NULL,
	       "a consumer's configuration is kept as an object, too");
	text = json_object_to_json_string(config.object);
	tap_ok(strstr(text, "\"wants\"") != NULL && strstr(text, "pa55word") == NULL &&
	           strstr(text, "k3y") == NULL,
	       "with what is nested in it, and without the secrets");
	config_close(&config);
	tap_ok(config.object == NULL, "and closed");
}

static void
test_refusals(void)
{
	tap_has(read_config("{" PRODUCE "}"), "\"sasl_password\" is missing", "a missing key is named");
	tap_has(read_config("{\"job\":\"kafka_produce\"," COMMON ",\"sasl_password\":\"\"}"), "\"topic\"",
	        "a job's own key, too");
	tap_is_text(read_config("{\"job\":\"kafka_test\"," COMMON ",\"sasl_password\":\"\"}"), "",
	            "which another job does not need");
	tap_has(read_config("{" PRODUCE ",\"sasl_password\":\"\",\"compression\":\"zip\"}"), "\"compression\"",
	        "an unknown compression");
	tap_has(read_config("{" PRODUCE ",\"sasl_password\":\"\",\"compression\":\"lz\"}"), "\"compression\"",
	        "a part of a known one");
	tap_has(read_config("{" PRODUCE ",\"sasl_password\":\"\",\"security_protocol\":\"\"}"),
	        "\"security_protocol\"", "no protocol");
	tap_has(read_config("{" PRODUCE ",\"sasl_password\":\"\",\"plaintext_anywhere\":2}"),
	        "\"plaintext_anywhere\"", "a number beyond its bounds");
	tap_has(read_config("{" PRODUCE ",\"sasl_password\":\"a\\nb\"}"), "\"sasl_password\"",
	        "a line break in a password, which is not quoted");
	tap_is_text(read_config("{\"job\":\"bake_bread\"}"), "",
	            "of a job that there is not, nothing else is read");
}

static void
test_secrets(void)
{
	KsegSecret secret;
	char text[] = "pa55 and pa55word, cGE1NXdvcmQ= and k%20y, k y";

	secret_open(&secret, NULL);
	secret_add(&secret, "pa55word");
	secret_add(&secret, "k y");
	secret_add(&secret, "");
	secret_mask(&secret, text, strlen(text));
	tap_is_text(text, "pa55 and ********, ************ and *****, ***",
	            "two secrets are masked in all their forms");
	secret_close(&secret);
	tap_ok(secret.forms[0] == NULL, "and forgotten");
}

/* ---------- topics ---------- */

static bool
is_legal(const char *name)
{
	return kafka_topic_is_legal((KsegText){name, (uint32_t) strlen(name)});
}

static void
test_names(void)
{
	char name[252];

	memset(name, 'n', sizeof(name));
	name[250] = '\0';
	tap_ok(!is_legal(name), "250 characters are too many for a topic's name");
	name[249] = '\0';
	tap_ok(is_legal(name) && is_legal("a") && is_legal("A-b_c.9") && is_legal("..."),
	       "names that topics may have");
	tap_ok(!is_legal("") && !is_legal(".") && !is_legal("..") && !is_legal("a b") && !is_legal("a/b") &&
	           !is_legal("\xc3\xa9") && !kafka_topic_is_legal((KsegText){"a\0b", 3}),
	       "and names that none has");
}

static rd_kafka_resp_err_t
check_message(const KsegKafkaTopic *topic, const char *key, int64_t timestamp)
{
	KsegMessage message = {.timestamp = timestamp};
	const char *words = NULL;
	rd_kafka_resp_err_t error;

	if (key != NULL)
		message.key = (KsegText){key, (uint32_t) strlen(key)};
	error = kafka_topic_check(topic, &message, 1000000, &words);
	if ((error == RD_KAFKA_RESP_ERR_NO_ERROR) != (words == NULL))
		tap_die("a refusal without words, or words without a refusal");
	return error;
}

static void
test_limits(void)
{
	KsegKafkaTopic topic = {.before_max_ms = INT64_MAX, .after_max_ms = INT64_MAX};

	tap_is(check_message(&topic, NULL, KSEG_NO_TIMESTAMP), 0,
	       "a topic without limits takes a message without key");
	tap_is(check_message(&topic, NULL, 1), 0, "and any time after 1970");
	tap_is(check_message(&topic, NULL, INT64_MAX), 0, "any at all");
	tap_is(check_message(&topic, NULL, 0), RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
	       "but not that of 1970 itself");
	tap_is(check_message(&topic, NULL, -2), RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, "nor one before");
	topic.before_max_ms = 1000;
	topic.after_max_ms = 10;
	tap_is(check_message(&topic, NULL, 999000), 0, "a time that is just young enough");
	tap_is(check_message(&topic, NULL, 998999), RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, "one that is too old");
	tap_is(check_message(&topic, NULL, 1000010), 0, "one that is just not too far ahead");
	tap_is(check_message(&topic, NULL, 1000011), RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, "one that is");
	topic.compacted = true;
	tap_is(check_message(&topic, NULL, KSEG_NO_TIMESTAMP), RD_KAFKA_RESP_ERR_INVALID_RECORD,
	       "a compacted topic takes none without key");
	tap_is(check_message(&topic, "", KSEG_NO_TIMESTAMP), 0, "an empty key is one");
}

/* ---------- frames ---------- */

static uint8_t *
put_message(uint8_t *out, uint64_t row, const char *value)
{
	KsegMessage message = {.row = row, .value = {value, (uint32_t) strlen(value)}};

	kseg_message_head(out, &message);
	memcpy(out + KSEG_MESSAGE_HEAD, value, strlen(value));
	return out + KSEG_MESSAGE_HEAD + strlen(value);
}

static void
test_blocks(void)
{
	KsegKafkaBlocks blocks = {0};
	uint8_t payload[256];
	uint8_t *end = put_message(put_message(kseg_write_u32(payload, 2), 1, "one"), 2, "");
	KsegFrame frame = {.payload = payload, .length = (uint32_t) (end - payload)};
	KsegKafkaEntry *one;
	KsegKafkaEntry *two;
	KsegMessage message;

	tap_ok(kafka_blocks_take(&blocks, &frame) && kafka_blocks_take(&blocks, &frame), "two frames are kept");
	one = kafka_blocks_ahead(&blocks, 0);
	two = kafka_blocks_ahead(&blocks, 1);
	tap_ok(one != NULL && two != NULL && kafka_blocks_ahead(&blocks, 2) == NULL,
	       "messages are found ahead, within a frame");
	kafka_entry_read(two, &message);
	tap_ok(message.row == 2 && message.value.data != NULL && message.value.length == 0, "as they came");
	tap_ok(two->size == KSEG_MESSAGE_HEAD && one->size == KSEG_MESSAGE_HEAD + 3 &&
	           memcmp(kafka_entry_bytes(one), payload + 4, one->size) == 0,
	       "to the byte");
	kafka_blocks_advance(&blocks);
	kafka_blocks_advance(&blocks);
	kafka_blocks_settle(&blocks, two);
	kafka_blocks_settle(&blocks, one);
	tap_ok(blocks.bytes > 0 && kafka_blocks_ahead(&blocks, 0) != NULL, "a frame goes with its last message");
	for (int i = 0; i < 2; i++)
	{
		one = kafka_blocks_ahead(&blocks, 0);
		kafka_blocks_advance(&blocks);
		kafka_blocks_settle(&blocks, one);
	}
	tap_ok(blocks.bytes == 0 && kafka_blocks_ahead(&blocks, 0) == NULL, "and then nothing is left");
	frame.length--;
	tap_ok(!kafka_blocks_take(&blocks, &frame), "a frame that is too short is none");
	frame.length += 2;
	tap_ok(!kafka_blocks_take(&blocks, &frame), "nor one that is too long");
	kseg_write_u32(payload, UINT32_MAX);
	tap_ok(!kafka_blocks_take(&blocks, &frame), "nor one of more messages than there is room for");
	frame.length = 3;
	tap_ok(!kafka_blocks_take(&blocks, &frame) && blocks.bytes == 0, "nor one of three bytes");
}

int
main(void)
{
	test_reading();
	test_consume();
	test_refusals();
	test_secrets();
	test_names();
	test_limits();
	test_blocks();
	return tap_end();
}
