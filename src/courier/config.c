/*
 * config.c
 *	  CONFIG's JSON to KsegConfig: a table of keys, walked by one loop. See config.h.
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
} ConfigKey;

/* 2048 bytes are more than any browser sends in a URL, and than PATH_MAX leaves of use for a file's name. */
#define CONFIG_TEXT_MAX 2048
/* Segment's write keys have 32 characters; other products' are tokens of some hundred. */
#define CONFIG_KEY_MAX 1024
/* Name and version are part of every body and of a header; 100 is what Segment allows a message id. */
#define CONFIG_LIBRARY_MAX 100
/* A day for anything that is waited for in one go. */
#define CONFIG_DAY_MS (24 * 60 * 60 * INT64_C(1000))
/* Streams never give up: the largest age is as good as never. */
#define CONFIG_AGE_MAX_MS (INT64_MAX / 4)

#define CONFIG_KEY(kind, name, required, least, most)                                                        \
	{                                                                                                        \
#name, kind, required, offsetof(KsegConfig, name), least, most                                       \
	}

static const ConfigKey config_keys[] = {
    CONFIG_KEY(CONFIG_TEXT, job, true, 1, 64),
    CONFIG_KEY(CONFIG_TEXT, endpoint, true, 1, CONFIG_TEXT_MAX),
    CONFIG_KEY(CONFIG_TEXT, key_endpoint, false, 0, CONFIG_TEXT_MAX),
    CONFIG_KEY(CONFIG_TEXT, write_key, true, 1, CONFIG_KEY_MAX),
    CONFIG_KEY(CONFIG_TEXT, compression, true, 1, 16),
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

#define CONFIG_KEYS (sizeof(config_keys) / sizeof(config_keys[0]))

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

static bool
config_take_text(KsegConfig *config, const ConfigKey *key, struct json_object *value)
{
	const char *text = json_object_get_string(value);
	int64_t length = json_object_get_string_len(value);

	if (!json_object_is_type(value, json_type_string) || length < key->least || length > key->most ||
	    !config_is_clean(text, (size_t) length))
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
	    key->kind == CONFIG_TEXT ? config_take_text(config, key, value) : config_take_int(config, key, value);
	if (!taken)
		snprintf(problem, room, "key \"%s\" is out of bounds or of another type", key->name);
	return taken;
}

static bool
config_take_object(KsegConfig *config, struct json_object *object, char *problem, size_t room)
{
	for (size_t i = 0; i < CONFIG_KEYS; i++)
	{
		if (!config_take_key(config, &config_keys[i], object, problem, room))
			return false;
	}
	if (strcmp(config->compression, "gzip") != 0 && strcmp(config->compression, "none") != 0)
	{
		snprintf(problem, room, "key \"compression\" is neither gzip nor none");
		return false;
	}
	return true;
}

bool
config_read(KsegConfig *config, const char *json, size_t length, char *problem, size_t room)
{
	/* A flat object needs a depth of 2; what a hostile one nests deeper is refused before it costs stack. */
	struct json_tokener *tokener = json_tokener_new_ex(4);
	struct json_object *object = NULL;
	bool read = false;

	*config = (KsegConfig){0};
	if (tokener == NULL)
	{
		snprintf(problem, room, "out of memory");
		return false;
	}
	if (length <= KSEG_FRAME_MAX)
		object = json_tokener_parse_ex(tokener, json, (int) length);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    !json_object_is_type(object, json_type_object))
		snprintf(problem, room, "it is not one JSON object");
	else
		read = config_take_object(config, object, problem, room);
	json_object_put(object);
	json_tokener_free(tokener);
	if (!read)
		config_close(config);
	return read;
}

void
config_close(KsegConfig *config)
{
	if (config->write_key != NULL)
		explicit_bzero(config->write_key, strlen(config->write_key));
	for (size_t i = 0; i < CONFIG_KEYS; i++)
	{
		if (config_keys[i].kind == CONFIG_TEXT)
		{
			free(*config_text_at(config, &config_keys[i]));
			*config_text_at(config, &config_keys[i]) = NULL;
		}
	}
}
