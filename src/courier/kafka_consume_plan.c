/*
 * kafka_consume_plan.c
 *	  CONFIG's nested keys to a plan. See kafka_consume_plan.h.
 */
#include "courier/kafka_consume_plan.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "courier/memory.h"

/* The object that is read, and where to say what is wrong with it. */
typedef struct PlanSource
{
	struct json_object *object;
	char *problem;
	size_t room;
} PlanSource;

static bool
plan_complain(const PlanSource *source, const char *name, const char *what)
{
	snprintf(source->problem, source->room, "key \"%s\" %s", name, what);
	return false;
}

/* The value of a key, which must be there; null is NULL. */
static bool
plan_get(const PlanSource *source, const char *name, struct json_object **value)
{
	return json_object_object_get_ex(source->object, name, value) ||
	       plan_complain(source, name, "is missing");
}

static bool
plan_take_number(struct json_object *value, int64_t least, int64_t most, int64_t *number)
{
	if (!json_object_is_type(value, json_type_int))
		return false;
	*number = json_object_get_int64(value);
	return *number >= least && *number <= most;
}

static bool
plan_read_number(const PlanSource *source, const char *name, int64_t least, int64_t most, int64_t *number)
{
	struct json_object *value;

	return plan_get(source, name, &value) && (plan_take_number(value, least, most, number) ||
	                                          plan_complain(source, name, "is out of bounds or no integer"));
}

/* ---------- limits ---------- */

typedef struct PlanLimit
{
	const char *name;
	size_t offset;
} PlanLimit;

#define PLAN_LIMIT(name)                                                                                     \
	{                                                                                                        \
#name, offsetof(KsegConsumePlan, name)                                                               \
	}

static const PlanLimit plan_limits[] = {
    PLAN_LIMIT(offset_from),     PLAN_LIMIT(offset_to), PLAN_LIMIT(timestamp_from_ms),
    PLAN_LIMIT(timestamp_to_ms), PLAN_LIMIT(tail),      PLAN_LIMIT(max_records)};

static bool
plan_read_limits(KsegConsumePlan *plan, const PlanSource *source)
{
	for (size_t i = 0; i < sizeof(plan_limits) / sizeof(plan_limits[0]); i++)
	{
		int64_t *limit = (int64_t *) (void *) ((char *) plan + plan_limits[i].offset);

		if (!plan_read_number(source, plan_limits[i].name, KSEG_CONSUME_NONE, INT64_MAX, limit))
			return false;
	}
	return true;
}

/* ---------- format ---------- */

/* A text of one byte. */
static bool
plan_read_byte(const PlanSource *source, const char *name, char *byte)
{
	struct json_object *value;

	if (!plan_get(source, name, &value))
		return false;
	if (!json_object_is_type(value, json_type_string) || json_object_get_string_len(value) != 1)
		return plan_complain(source, name, "is not one byte");
	*byte = json_object_get_string(value)[0];
	return true;
}

static bool
plan_read_csv(KsegConsumePlan *plan, const PlanSource *source)
{
	struct json_object *value;

	if (!plan_read_byte(source, "delimiter", &plan->csv.delimiter) ||
	    !plan_read_byte(source, "quote", &plan->csv.quote) || !plan_get(source, "null", &value))
		return false;
	if (!json_object_is_type(value, json_type_string))
		return plan_complain(source, "null", "is no text");
	plan->csv.null = json_object_get_string(value);
	return true;
}

static bool
plan_read_format(KsegConsumePlan *plan, const PlanSource *source)
{
	struct json_object *value;
	const char *format;

	if (!plan_get(source, "format", &value))
		return false;
	format = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
	if (strcmp(format, "json") == 0)
		plan->format = KSEG_FORMAT_JSON;
	else if (strcmp(format, "csv") == 0)
		plan->format = KSEG_FORMAT_CSV;
	else
		return plan_complain(source, "format", "is neither json nor csv");
	return plan->format == KSEG_FORMAT_JSON || plan_read_csv(plan, source);
}

/* ---------- wants ---------- */

/* An array's elements; false when it is none, or has more than most. */
static bool
plan_take_array(struct json_object *value, size_t least, size_t most, size_t *count)
{
	if (!json_object_is_type(value, json_type_array))
		return false;
	*count = json_object_array_length(value);
	return *count >= least && *count <= most;
}

static bool
plan_take_step(struct json_object *value, KsegPathStep *step)
{
	int64_t index = 0;

	*step = (KsegPathStep){{NULL, 0}, 0};
	if (json_object_is_type(value, json_type_string))
		step->key = (KsegText){json_object_get_string(value), (uint32_t) json_object_get_string_len(value)};
	else if (!plan_take_number(value, 0, UINT32_MAX, &index))
		return false;
	step->index = (uint32_t) index;
	return true;
}

static bool
plan_take_path(struct json_object *value, KsegPath *path)
{
	KsegPathStep *steps;
	size_t count;

	if (!plan_take_array(value, 0, KSEG_PATH_STEPS_MAX, &count))
		return false;
	steps = memory_resize(NULL, (count + 1) * sizeof(KsegPathStep));
	path->steps = steps;
	path->count = (uint32_t) count;
	for (size_t i = 0; i < count; i++)
	{
		if (!plan_take_step(json_object_array_get_idx(value, i), &steps[i]))
			return false;
	}
	return true;
}

static bool
plan_take_paths(struct json_object *value, KsegWant *want)
{
	KsegPath *paths;
	size_t count;

	if (!plan_take_array(value, 1, KSEG_WANT_PATHS_MAX, &count))
		return false;
	paths = memory_resize(NULL, count * sizeof(KsegPath));
	want->paths = paths;
	for (size_t i = 0; i < count; i++)
	{
		/* Counted before it is read, so that what a bad one has made is freed, too. */
		paths[i] = (KsegPath){0, NULL};
		want->path_count++;
		if (!plan_take_path(json_object_array_get_idx(value, i), &paths[i]))
			return false;
	}
	return true;
}

/* The next of the wants that are the reader's. */
static bool
plan_take_read(KsegConsumePlan *plan, struct json_object *object, bool path)
{
	KsegWant *want = &plan->wants[plan->want_count++];
	struct json_object *value = NULL;
	int64_t column = 0;
	bool taken;

	*want = (KsegWant){0};
	if (path)
	{
		taken =
		    json_object_object_get_ex(object, "raw", &value) && json_object_is_type(value, json_type_boolean);
		want->raw = taken && json_object_get_boolean(value);
		return taken && json_object_object_get_ex(object, "paths", &value) && plan_take_paths(value, want);
	}
	taken = json_object_object_get_ex(object, "column", &value) &&
	        plan_take_number(value, 0, KSEG_FIELDS_MAX - 1, &column);
	want->column = (uint32_t) column;
	return taken;
}

static bool
plan_take_want(KsegConsumePlan *plan, struct json_object *object, KsegFieldSource *source)
{
	struct json_object *value;
	const char *kind = "";

	if (json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, "kind", &value) &&
	    json_object_is_type(value, json_type_string))
		kind = json_object_get_string(value);
	*source = strcmp(kind, "value") == 0     ? KSEG_FIELD_VALUE
	          : strcmp(kind, "key") == 0     ? KSEG_FIELD_KEY
	          : strcmp(kind, "headers") == 0 ? KSEG_FIELD_HEADERS
	                                         : KSEG_FIELD_READ;
	if (*source != KSEG_FIELD_READ)
		return true;
	if (strcmp(kind, "path") == 0 && plan->format == KSEG_FORMAT_JSON)
		return plan_take_read(plan, object, true);
	return strcmp(kind, "column") == 0 && plan->format == KSEG_FORMAT_CSV &&
	       plan_take_read(plan, object, false);
}

static bool
plan_read_wants(KsegConsumePlan *plan, const PlanSource *source)
{
	struct json_object *value;
	size_t count;

	if (!plan_get(source, "wants", &value))
		return false;
	if (!plan_take_array(value, 0, KSEG_FIELDS_MAX, &count))
		return plan_complain(source, "wants", "is no array, or too long");
	plan->fields = memory_resize(NULL, (count + 1) * sizeof(KsegFieldSource));
	plan->wants = memory_resize(NULL, (count + 1) * sizeof(KsegWant));
	for (size_t i = 0; i < count; i++)
	{
		if (!plan_take_want(plan, json_object_array_get_idx(value, i), &plan->fields[i]))
			return plan_complain(source, "wants", "has an element that is no want");
	}
	plan->field_count = (uint32_t) count;
	return true;
}

/* ---------- partitions ---------- */

static bool
plan_read_partitions(KsegConsumePlan *plan, const PlanSource *source)
{
	struct json_object *value;
	size_t count;

	if (!plan_get(source, "partitions", &value))
		return false;
	plan->all_partitions = value == NULL;
	if (plan->all_partitions)
		return true;
	if (!plan_take_array(value, 0, INT32_MAX, &count))
		return plan_complain(source, "partitions", "is no array");
	plan->partitions = memory_resize(NULL, (count + 1) * sizeof(int32_t));
	for (size_t i = 0; i < count; i++)
	{
		int64_t number;

		if (!plan_take_number(json_object_array_get_idx(value, i), 0, INT32_MAX, &number))
			return plan_complain(source, "partitions", "has an element that is no partition");
		plan->partitions[plan->partition_count++] = (int32_t) number;
	}
	return true;
}

static bool
plan_take_range(struct json_object *object, KsegConsumeRange *range)
{
	struct json_object *value = NULL;
	int64_t partition;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, "partition", &value) ||
	    !plan_take_number(value, 0, INT32_MAX, &partition))
		return false;
	range->partition = (int32_t) partition;
	return json_object_object_get_ex(object, "start", &value) &&
	       plan_take_number(value, 0, INT64_MAX, &range->start) &&
	       json_object_object_get_ex(object, "end", &value) &&
	       plan_take_number(value, range->start, INT64_MAX, &range->end);
}

static bool
plan_read_ranges(KsegConsumePlan *plan, const PlanSource *source)
{
	struct json_object *value;
	size_t count;

	if (!plan_get(source, "bounds", &value))
		return false;
	plan->has_ranges = value != NULL;
	if (!plan->has_ranges)
		return true;
	if (!plan_take_array(value, 0, INT32_MAX, &count))
		return plan_complain(source, "bounds", "is no array");
	plan->ranges = memory_resize(NULL, (count + 1) * sizeof(KsegConsumeRange));
	for (size_t i = 0; i < count; i++)
	{
		if (!plan_take_range(json_object_array_get_idx(value, i), &plan->ranges[i]))
			return plan_complain(source, "bounds", "has an element that is no range of offsets");
	}
	plan->range_count = (uint32_t) count;
	return true;
}

bool
consume_plan_has_partition(const KsegConsumePlan *plan, int32_t partition)
{
	bool has = plan->all_partitions;

	for (uint32_t i = 0; !has && i < plan->partition_count; i++)
		has = plan->partitions[i] == partition;
	return has;
}

/* ---------- the whole ---------- */

bool
consume_plan_read_fields(KsegConsumePlan *plan, struct json_object *config, char *problem, size_t room)
{
	PlanSource source = {config, problem, room};

	*plan = (KsegConsumePlan){0};
	if (plan_read_format(plan, &source) && plan_read_wants(plan, &source))
		return true;
	consume_plan_close(plan);
	return false;
}

bool
consume_plan_read(KsegConsumePlan *plan, struct json_object *config, char *problem, size_t room)
{
	PlanSource source = {config, problem, room};

	*plan = (KsegConsumePlan){0};
	if (plan_read_limits(plan, &source) && plan_read_format(plan, &source) &&
	    plan_read_wants(plan, &source) && plan_read_partitions(plan, &source) &&
	    plan_read_ranges(plan, &source))
		return true;
	consume_plan_close(plan);
	return false;
}

void
consume_plan_close(KsegConsumePlan *plan)
{
	for (uint32_t i = 0; i < plan->want_count; i++)
	{
		for (uint32_t j = 0; j < plan->wants[i].path_count; j++)
			free((void *) (uintptr_t) plan->wants[i].paths[j].steps);
		free((void *) (uintptr_t) plan->wants[i].paths);
	}
	free(plan->wants);
	free(plan->fields);
	free(plan->partitions);
	free(plan->ranges);
	*plan = (KsegConsumePlan){0};
}
