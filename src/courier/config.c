/*
 * config.c
 *	  CONFIG's JSON to KsegConfig: tables of keys, walked by one loop. See config.h.
 */
#include "courier/config.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "courier/memory.h"
#include "wire/wire.h"

typedef enum ConfigKind
{
	CONFIG_TEXT,
	CONFIG_SECRET, /* a text that is overwritten wherever it has been */
	CONFIG_INT
} ConfigKind;

typedef struct ConfigKey
{
	const char *name;
	ConfigKind kind;
	bool required;
	size_t offset;
	int64_t least; /* a number's bounds, or those of a text's length in bytes */
	int64_t most;
	const char *choices; /* a text must be one of these words; NULL: any */
} ConfigKey;

/* What a kind of job reads: its tables, and whether the parsed object is kept for what is nested in it. */
typedef struct ConfigJob
{
	const char *name;
	const ConfigKey *keys;
	size_t count;
	const ConfigKey *own_keys;
	size_t own_count;
	bool keeps_object;
} ConfigJob;

/* 2048 bytes are more than any browser sends in a URL, and than PATH_MAX leaves of use for a file's name. */
#define CONFIG_TEXT_MAX 2048
/* Segment's write keys have 32 characters; other products' are tokens of some hundred. */
#define CONFIG_KEY_MAX 1024
/* Name and version are part of every body and of a header; 100 is what Segment allows a message id. */
#define CONFIG_LIBRARY_MAX 100
/* A hundred brokers with names of 80 characters. */
#define CONFIG_BROKERS_MAX 8192
/* Kafka's own limit of a topic's name (org.apache.kafka.common.internals.Topic). */
#define CONFIG_TOPIC_MAX 249
/* A day for anything that is waited for in one go. */
#define CONFIG_DAY_MS (24 * 60 * 60 * INT64_C(1000))
/* librdkafka's most for linger.ms. */
#define CONFIG_LINGER_MAX_MS 900000
/* The broker's most for a transaction (transaction.max.timeout.ms) is 15 minutes by default, a day is beyond any; its least is 1 s. */
#define CONFIG_TRANSACTION_MIN_MS 1000
/* Segment's streams never give up: the largest age is as good as never. */
#define CONFIG_AGE_MAX_MS (INT64_MAX / 4)
/* As many messages as librdkafka takes into its queue. */
#define CONFIG_QUEUE_MESSAGES_MAX 10000000
/* What the server's option max_queue_bytes allows, 1 GB. */
#define CONFIG_QUEUE_BYTES_MAX (INT64_C(1) << 30)

/*
 * Deepest nesting: kafka_consume's wants are an array of objects with an array of paths, each an array: five. What a hostile
 * one nests deeper is refused before it costs stack.
 */
#define CONFIG_DEPTH_MAX 8

#define CONFIG_KEY(kind, name, required, least, most)                                                        \
	{                                                                                                        \
#name, kind, required, offsetof(KsegConfig, name), least, most, NULL                                 \
	}
#define CONFIG_CHOICE(name, choices)                                                                         \
	{                                                                                                        \
#name, CONFIG_TEXT, true, offsetof(KsegConfig, name), 1, 32, choices                                 \
	}
#define CONFIG_COUNT(keys) (sizeof(keys) / sizeof((keys)[0]))

static const ConfigKey config_job_key = CONFIG_KEY(CONFIG_TEXT, job, true, 1, 64);

static const ConfigKey config_segment_keys[] = {
    CONFIG_KEY(CONFIG_TEXT, endpoint, true, 1, CONFIG_TEXT_MAX),
    CONFIG_KEY(CONFIG_TEXT, key_endpoint, false, 0, CONFIG_TEXT_MAX),
    CONFIG_KEY(CONFIG_SECRET, write_key, true, 1, CONFIG_KEY_MAX),
    CONFIG_CHOICE(compression, "gzip none"),
    CONFIG_KEY(CONFIG_TEXT, ca_file, true, 0, CONFIG_TEXT_MAX),
    CONFIG_KEY(CONFIG_TEXT, library_name, true, 1, CONFIG_LIBRARY_MAX),
    CONFIG_KEY(CONFIG_TEXT, library_version, true, 1, CONFIG_LIBRARY_MAX),
    CONFIG_KEY(CONFIG_INT, lanes, true, 1, KSEG_LANES_MAX),
    CONFIG_KEY(CONFIG_INT, upload_size, true, 1, KSEG_UPLOAD_EVENTS_MAX),
    CONFIG_KEY(CONFIG_INT, upload_interval_ms, true, 0, CONFIG_DAY_MS),
    CONFIG_KEY(CONFIG_INT, request_timeout_ms, true, 1, CONFIG_DAY_MS),
    CONFIG_KEY(CONFIG_INT, max_retries, true, 0, INT32_MAX),
    CONFIG_KEY(CONFIG_INT, max_retry_age_ms, true, 0, CONFIG_AGE_MAX_MS),
};

static const ConfigKey config_kafka_keys[] = {
    CONFIG_KEY(CONFIG_TEXT, bootstrap_servers, true, 1, CONFIG_BROKERS_MAX),
    CONFIG_CHOICE(security_protocol, "plaintext ssl sasl_plaintext sasl_ssl"),
    CONFIG_KEY(CONFIG_TEXT, sasl_mechanism, true, 0, 32),
    CONFIG_KEY(CONFIG_TEXT, sasl_username, true, 0, CONFIG_KEY_MAX),
    CONFIG_KEY(CONFIG_SECRET, sasl_password, true, 0, CONFIG_KEY_MAX),
    CONFIG_KEY(CONFIG_TEXT, ssl_ca_file, true, 0, CONFIG_TEXT_MAX),
    CONFIG_KEY(CONFIG_TEXT, ssl_certificate_file, true, 0, CONFIG_TEXT_MAX),
    CONFIG_KEY(CONFIG_TEXT, ssl_key_file, true, 0, CONFIG_TEXT_MAX),
    CONFIG_KEY(CONFIG_SECRET, ssl_key_password, true, 0, CONFIG_KEY_MAX),
    CONFIG_KEY(CONFIG_TEXT, client_id, true, 1, CONFIG_LIBRARY_MAX),
    CONFIG_CHOICE(isolation_level, "read_committed read_uncommitted"),
    CONFIG_CHOICE(compression, "none gzip snappy lz4 zstd"),
    CONFIG_KEY(CONFIG_INT, plaintext_anywhere, true, 0, 1),
    CONFIG_KEY(CONFIG_INT, linger_ms, true, 0, CONFIG_LINGER_MAX_MS),
    CONFIG_KEY(CONFIG_INT, message_timeout_ms, true, 1, INT32_MAX),
    CONFIG_KEY(CONFIG_INT, max_message_bytes, true, 1, KSEG_MESSAGE_MAX),
    CONFIG_KEY(CONFIG_INT, max_queue_messages, true, 1, CONFIG_QUEUE_MESSAGES_MAX),
    CONFIG_KEY(CONFIG_INT, max_queue_bytes, true, 1, CONFIG_QUEUE_BYTES_MAX),
    CONFIG_KEY(CONFIG_INT, connect_timeout_ms, true, 1, CONFIG_DAY_MS),
    CONFIG_KEY(CONFIG_INT, request_timeout_ms, true, 1, CONFIG_DAY_MS),
    CONFIG_KEY(CONFIG_INT, transaction_timeout_ms, true, CONFIG_TRANSACTION_MIN_MS, CONFIG_DAY_MS),
};

static const ConfigKey config_produce_keys[] = {
    CONFIG_KEY(CONFIG_TEXT, topic, true, 0, CONFIG_TOPIC_MAX),
    CONFIG_KEY(CONFIG_INT, transactional, true, 0, 1),
    CONFIG_KEY(CONFIG_TEXT, transactional_id, true, 0, CONFIG_TEXT_MAX),
};

static const ConfigKey config_consume_keys[] = {
    CONFIG_KEY(CONFIG_TEXT, topic, true, 1, CONFIG_TOPIC_MAX),
};

#define CONFIG_JOB(name, keys, own, own_count, keeps)                                                        \
	{                                                                                                        \
		name, keys, CONFIG_COUNT(keys), own, own_count, keeps                                                \
	}

static const ConfigJob config_jobs[] = {
    CONFIG_JOB("segment_deliver", config_segment_keys, NULL, 0, false),
    CONFIG_JOB("segment_test", config_segment_keys, NULL, 0, false),
    CONFIG_JOB("kafka_test", config_kafka_keys, NULL, 0, false),
    CONFIG_JOB("kafka_topics", config_kafka_keys, NULL, 0, false),
    CONFIG_JOB("kafka_topics", config_kafka_keys, NULL, 0, false),
    CONFIG_JOB("kafka_produce", config_kafka_keys, config_produce_keys, CONFIG_COUNT(config_produce_keys),
               false),
    CONFIG_JOB("kafka_consume", config_kafka_keys, config_consume_keys, CONFIG_COUNT(config_consume_keys),
               true),
    CONFIG_JOB("kafka_follow", config_kafka_keys, NULL, 0, true),
};

static char **
config_text_at(KsegConfig *config, const ConfigKey *key)
{
	return (char **) (void *) ((char *) config + key->offset);
}

/* No text of a configuration has a use for control characters, and in a header or a URL they would be an attack. */
static bool
config_is_clean(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f)
			return false;
	}
	return true;
}

/* Is text one of the words? */
static bool
config_is_choice(const char *text, const char *choices)
{
	size_t length = strlen(text);

	for (const char *word = choices; word != NULL; word = strchr(word, ' '))
	{
		word += *word == ' ';
		if (strncmp(word, text, length) == 0 && (word[length] == ' ' || word[length] == '\0'))
			return true;
	}
	return false;
}

static bool
config_take_text(KsegConfig *config, const ConfigKey *key, struct json_object *value)
{
	const char *text = json_object_get_string(value);
	int64_t length = json_object_get_string_len(value);

	if (!json_object_is_type(value, json_type_string) || length < key->least || length > key->most ||
	    !config_is_clean(text, (size_t) length) ||
	    (key->choices != NULL && !config_is_choice(text, key->choices)))
		return false;
	*config_text_at(config, key) = memory_copy_text(text, (size_t) length);
	return true;
}

static bool
config_take_int(KsegConfig *config, const ConfigKey *key, struct json_object *value)
{
	int64_t number = json_object_get_int64(value);

	if (!json_object_is_type(value, json_type_int) || number < key->least || number > key->most)
		return false;
	*(int64_t *) (void *) ((char *) config + key->offset) = number;
	return true;
}

static bool
config_take_key(KsegConfig *config, const ConfigKey *key, struct json_object *object, char *problem,
                size_t room)
{
	struct json_object *value;
	bool taken;

	if (!json_object_object_get_ex(object, key->name, &value))
	{
		if (key->required)
			snprintf(problem, room, "key \"%s\" is missing", key->name);
		else
			*config_text_at(config, key) = memory_copy_text("", 0);
		return !key->required;
	}
	taken =
	    key->kind == CONFIG_INT ? config_take_int(config, key, value) : config_take_text(config, key, value);
	if (!taken)
		snprintf(problem, room, "key \"%s\" is out of bounds or of another type", key->name);
	return taken;
}

static bool
config_take_keys(KsegConfig *config, const ConfigKey *keys, size_t count, struct json_object *object,
                 char *problem, size_t room)
{
	for (size_t i = 0; i < count; i++)
	{
		if (!config_take_key(config, &keys[i], object, problem, room))
			return false;
	}
	return true;
}

static const ConfigJob *
config_find_job(const char *name)
{
	for (size_t i = 0; name != NULL && i < CONFIG_COUNT(config_jobs); i++)
	{
		if (strcmp(config_jobs[i].name, name) == 0)
			return &config_jobs[i];
	}
	return NULL;
}

static bool
config_take_object(KsegConfig *config, struct json_object *object, char *problem, size_t room)
{
	const ConfigJob *job;

	config->lanes = 1;
	if (!config_take_key(config, &config_job_key, object, problem, room))
		return false;
	job = config_find_job(config->job);
	if (job == NULL)
		return true;
	if (!config_take_keys(config, job->keys, job->count, object, problem, room) ||
	    !config_take_keys(config, job->own_keys, job->own_count, object, problem, room))
		return false;
	if (job->keeps_object)
		config->object = json_object_get(object);
	return true;
}

/* json-c keeps a string in place, so that it can be overwritten there. */
static void
config_wipe_keys(const ConfigKey *keys, size_t count, struct json_object *object)
{
	struct json_object *value;

	for (size_t i = 0; i < count; i++)
	{
		if (keys[i].kind == CONFIG_SECRET && json_object_object_get_ex(object, keys[i].name, &value) &&
		    json_object_is_type(value, json_type_string))
			explicit_bzero((char *) (uintptr_t) json_object_get_string(value),
			               (size_t) json_object_get_string_len(value));
	}
}

/*
 * A tokener collects each string in a buffer of its own, which only grows. It is made to hold more than any string of CONFIG
 * before (so that it never moves while there is a secret in it), and overwritten by the same means after.
 */
static bool
config_fill_tokener(struct json_tokener *tokener, size_t length)
{
	char *filler = memory_resize(NULL, length + 2);
	struct json_object *object;

	memset(filler, 'x', length + 2);
	filler[0] = '"';
	filler[length + 1] = '"';
	json_tokener_reset(tokener);
	object = json_tokener_parse_ex(tokener, filler, (int) length + 2);
	free(filler);
	json_object_put(object);
	json_tokener_reset(tokener);
	return object != NULL;
}

static bool
config_parse(KsegConfig *config, struct json_tokener *tokener, const char *json, size_t length, char *problem,
             size_t room)
{
	struct json_object *object = json_tokener_parse_ex(tokener, json, (int) length);
	bool read = false;

	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    !json_object_is_type(object, json_type_object))
		snprintf(problem, room, "it is not one JSON object");
	else
	{
		read = config_take_object(config, object, problem, room);
		config_wipe_keys(config_segment_keys, CONFIG_COUNT(config_segment_keys), object);
		config_wipe_keys(config_kafka_keys, CONFIG_COUNT(config_kafka_keys), object);
	}
	json_object_put(object);
	return read;
}

bool
config_read(KsegConfig *config, const char *json, size_t length, char *problem, size_t room)
{
	struct json_tokener *tokener = json_tokener_new_ex(CONFIG_DEPTH_MAX);
	bool read = false;

	*config = (KsegConfig){0};
	if (tokener == NULL || length > KSEG_FRAME_MAX || !config_fill_tokener(tokener, length))
		snprintf(problem, room, "it is too long");
	else
	{
		read = config_parse(config, tokener, json, length, problem, room);
		config_fill_tokener(tokener, length);
	}
	if (tokener != NULL)
		json_tokener_free(tokener);
	if (!read)
		config_close(config);
	return read;
}

static void
config_close_keys(KsegConfig *config, const ConfigKey *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		char **text;

		if (keys[i].kind == CONFIG_INT)
			continue;
		text = config_text_at(config, &keys[i]);
		if (*text != NULL && keys[i].kind == CONFIG_SECRET)
			explicit_bzero(*text, strlen(*text));
		free(*text);
		*text = NULL;
	}
}

void
config_close(KsegConfig *config)
{
	config_close_keys(config, &config_job_key, 1);
	config_close_keys(config, config_segment_keys, CONFIG_COUNT(config_segment_keys));
	config_close_keys(config, config_kafka_keys, CONFIG_COUNT(config_kafka_keys));
	config_close_keys(config, config_produce_keys, CONFIG_COUNT(config_produce_keys));
	json_object_put(config->object);
	config->object = NULL;
}
