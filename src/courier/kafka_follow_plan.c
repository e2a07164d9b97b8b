/*
 * kafka_follow_plan.c
 *	  CONFIG's keys of kafka_follow to a plan. See kafka_follow_plan.h.
 */
#include "courier/kafka_follow_plan.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "courier/memory.h"
#include "wire/wire_follow.h"

/* Frames ready for PostgreSQL: what the setting of kseg.so allows at most, 1 GB. */
#define FOLLOW_PENDING_MAX (INT64_C(1) << 30)
/* As every wait of CONFIG's: a day. */
#define FOLLOW_DAY_MS (24 * 60 * 60 * INT64_C(1000))
/* More workers than a server can have processes (max_worker_processes, 262143). */
#define FOLLOW_WORKERS_MAX 262143

/* The object that is read, and where to say what is wrong with it. */
typedef struct FollowSource
{
	struct json_object *object;
	char *problem;
	size_t room;
} FollowSource;

static bool
follow_complain(const FollowSource *source, const char *name, const char *what)
{
	snprintf(source->problem, source->room, "key \"%s\" %s", name, what);
	return false;
}

/* A key's value of this type. */
static struct json_object *
follow_get(const FollowSource *source, const char *name, json_type type)
{
	struct json_object *value;

	if (!json_object_object_get_ex(source->object, name, &value))
		follow_complain(source, name, "is missing");
	else if (!json_object_is_type(value, type))
		follow_complain(source, name, "is of another type");
	else
		return value;
	return NULL;
}

static bool
follow_read_number(const FollowSource *source, const char *name, int64_t least, int64_t most, int64_t *number)
{
	struct json_object *value = follow_get(source, name, json_type_int);

	if (value == NULL)
		return false;
	*number = json_object_get_int64(value);
	return (*number >= least && *number <= most) || follow_complain(source, name, "is out of bounds");
}

/* ---------- topics ---------- */

static bool
follow_take_selector(const FollowSource *source, struct json_object *value, KsegFollowSelector *selector)
{
	char words[100];
	int error;

	if (!json_object_is_type(value, json_type_string) || json_object_get_string_len(value) == 0)
		return follow_complain(source, "topics", "has an element that is no name");
	selector->text = json_object_get_string(value);
	if (selector->text[0] != '^')
		return true;
	error = regcomp(&selector->pattern, selector->text, REG_EXTENDED | REG_NOSUB);
	selector->is_pattern = error == 0;
	if (error == 0)
		return true;
	regerror(error, &selector->pattern, words, sizeof(words));
	snprintf(source->problem, source->room, "the regular expression \"%.60s\" is none: %s", selector->text,
	         words);
	return false;
}

static bool
follow_read_topics(KsegFollowPlan *plan, const FollowSource *source)
{
	struct json_object *value = follow_get(source, "topics", json_type_array);
	size_t count = value != NULL ? json_object_array_length(value) : 0;

	if (value == NULL)
		return false;
	if (count == 0)
		return follow_complain(source, "topics", "is empty");
	plan->selectors = memory_resize(NULL, count * sizeof(KsegFollowSelector));
	for (size_t i = 0; i < count; i++)
	{
		KsegFollowSelector *selector = &plan->selectors[plan->selector_count++];

		*selector = (KsegFollowSelector){0};
		if (!follow_take_selector(source, json_object_array_get_idx(value, i), selector))
			return false;
		plan->has_patterns = plan->has_patterns || selector->is_pattern;
	}
	return true;
}

static bool
follow_matches(const KsegFollowSelector *selector, const char *topic)
{
	if (!selector->is_pattern)
		return strcmp(selector->text, topic) == 0;
	if (strncmp(topic, "__", 2) == 0 && strncmp(selector->text, "^__", 3) != 0)
		return false;
	return regexec(&selector->pattern, topic, 0, NULL, 0) == 0;
}

bool
follow_plan_has_topic(const KsegFollowPlan *plan, const char *topic)
{
	for (uint32_t i = 0; i < plan->selector_count; i++)
	{
		if (follow_matches(&plan->selectors[i], topic))
			return true;
	}
	return false;
}

bool
follow_plan_has_partition(const KsegFollowPlan *plan, const char *topic, int32_t partition)
{
	return kseg_follow_worker(topic, strlen(topic), partition, plan->workers) == plan->worker;
}

/* ---------- positions ---------- */

static bool
follow_take_offset(struct json_object *object, const char *name, int64_t least, int64_t *offset)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value) || !json_object_is_type(value, json_type_int))
		return false;
	*offset = json_object_get_int64(value);
	return *offset >= least;
}

static bool
follow_take_position(struct json_object *object, KsegFollowPosition *position)
{
	struct json_object *topic;
	int64_t partition;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, "topic", &topic) ||
	    !json_object_is_type(topic, json_type_string) ||
	    !follow_take_offset(object, "partition", 0, &partition) || partition > INT32_MAX)
		return false;
	position->topic = json_object_get_string(topic);
	position->partition = (int32_t) partition;
	return follow_take_offset(object, "next", 0, &position->next) &&
	       follow_take_offset(object, "seen_offset", KSEG_FOLLOW_NONE, &position->seen_offset) &&
	       follow_take_offset(object, "seen_time", INT64_MIN, &position->seen_time);
}

static int
follow_compare(const void *a, const void *b)
{
	const KsegFollowPosition *one = a;
	const KsegFollowPosition *other = b;
	int order = strcmp(one->topic, other->topic);

	return order != 0 ? order : (one->partition > other->partition) - (one->partition < other->partition);
}

static bool
follow_read_positions(KsegFollowPlan *plan, const FollowSource *source)
{
	struct json_object *value = follow_get(source, "positions", json_type_array);
	size_t count = value != NULL ? json_object_array_length(value) : 0;

	if (value == NULL)
		return false;
	plan->positions = memory_resize(NULL, (count + 1) * sizeof(KsegFollowPosition));
	for (size_t i = 0; i < count; i++)
	{
		if (!follow_take_position(json_object_array_get_idx(value, i), &plan->positions[i]))
			return follow_complain(source, "positions", "has an element that is no position");
	}
	plan->position_count = (uint32_t) count;
	qsort(plan->positions, count, sizeof(KsegFollowPosition), follow_compare);
	return true;
}

const KsegFollowPosition *
follow_plan_position(const KsegFollowPlan *plan, const char *topic, int32_t partition)
{
	KsegFollowPosition wanted = {.topic = topic, .partition = partition};

	return bsearch(&wanted, plan->positions, plan->position_count, sizeof(wanted), follow_compare);
}

/* ---------- the rest ---------- */

static bool
follow_read_start(KsegFollowPlan *plan, const FollowSource *source)
{
	static const char *const names[] = {"earliest", "latest", "timestamp"};
	struct json_object *value = follow_get(source, "start", json_type_string);

	if (value == NULL)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strcmp(json_object_get_string(value), names[i]) != 0)
			continue;
		plan->start = (KsegFollowStart) i;
		return true;
	}
	return follow_complain(source, "start", "is none of earliest, latest, timestamp");
}

static bool
follow_read_numbers(KsegFollowPlan *plan, const FollowSource *source)
{
	int64_t begun;
	int64_t workers;
	int64_t worker;

	if (!follow_read_number(source, "begun", 0, 1, &begun) ||
	    !follow_read_number(source, "start_ms", INT64_MIN, INT64_MAX, &plan->start_ms) ||
	    !follow_read_number(source, "workers", 1, FOLLOW_WORKERS_MAX, &workers) ||
	    !follow_read_number(source, "worker", 0, workers - 1, &worker) ||
	    !follow_read_number(source, "pending_bytes", 1, FOLLOW_PENDING_MAX, &plan->pending_bytes) ||
	    !follow_read_number(source, "discovery_ms", 1, FOLLOW_DAY_MS, &plan->discovery_ms) ||
	    !follow_read_number(source, "alive_ms", 1, FOLLOW_DAY_MS, &plan->alive_ms))
		return false;
	plan->begun = begun == 1;
	plan->workers = (uint32_t) workers;
	plan->worker = (uint32_t) worker;
	return true;
}

static bool
follow_read_group(KsegFollowPlan *plan, const FollowSource *source)
{
	struct json_object *value = follow_get(source, "commit_group", json_type_string);

	if (value == NULL)
		return false;
	plan->commit_group = json_object_get_string(value);
	return true;
}

bool
follow_plan_read(KsegFollowPlan *plan, struct json_object *config, char *problem, size_t room)
{
	FollowSource source = {config, problem, room};

	*plan = (KsegFollowPlan){0};
	if (consume_plan_read_fields(&plan->fields, config, problem, room) && follow_read_topics(plan, &source) &&
	    follow_read_positions(plan, &source) && follow_read_start(plan, &source) &&
	    follow_read_numbers(plan, &source) && follow_read_group(plan, &source))
		return true;
	follow_plan_close(plan);
	return false;
}

void
follow_plan_close(KsegFollowPlan *plan)
{
	consume_plan_close(&plan->fields);
	for (uint32_t i = 0; i < plan->selector_count; i++)
	{
		if (plan->selectors[i].is_pattern)
			regfree(&plan->selectors[i].pattern);
	}
	free(plan->selectors);
	free(plan->positions);
	*plan = (KsegFollowPlan){0};
}
