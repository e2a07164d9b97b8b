/*
 * stream_start.c
 *	  Where a stream begins. See stream_start.h.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/near_miss.h"
#include "stream/stream_position.h"
#include "stream/stream_start.h"
#include "stream/stream_topics.h"

#define START_HINT                                                                                           \
	"Valid values are 'earliest', 'latest', a time with its zone, and offsets by partition as JSON: "        \
	"'{\"0\": 42}'."

static void
start_invalid(const char *text, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for start: \"%s\"", text),
	                errdetail("%s", detail), errhint(START_HINT)));
}

/* ---------- offsets ---------- */

/* What is read, and what has come of it. */
typedef struct StartOffsets
{
	const char *text;
	List *topics;
	List *positions;
} StartOffsets;

static int32
start_partition(const StartOffsets *offsets, const JsonbValue *key)
{
	char *text = pnstrdup(key->val.string.val, key->val.string.len);
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 10);
	if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' || number > PG_INT32_MAX)
		start_invalid(offsets->text, psprintf("\"%s\" is not the number of a partition.", text));
	return (int32) number;
}

static int64
start_offset(const StartOffsets *offsets, const JsonbValue *value)
{
	char *text;
	char *end;
	int64 number;

	if (value->type != jbvNumeric)
		start_invalid(offsets->text, "An offset is a number.");
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	errno = 0;
	number = strtoll(text, &end, 10);
	/* One more must still be an offset: the end of a topic that has this one. */
	if (errno != 0 || *end != '\0' || number < 0 || number == PG_INT64_MAX)
		start_invalid(offsets->text, psprintf("%s is not an offset.", text));
	return number;
}

/* The members of one topic's object, whose beginning the iterator has passed. */
static void
start_read_topic(StartOffsets *offsets, JsonbIterator **iterator, const char *topic)
{
	JsonbIteratorToken token;
	JsonbValue value;
	int32 partition = 0;

	while ((token = JsonbIteratorNext(iterator, &value, true)) != WJB_END_OBJECT)
	{
		KsegPosition *position;

		if (token == WJB_KEY)
		{
			partition = start_partition(offsets, &value);
			continue;
		}
		position = palloc(sizeof(KsegPosition));
		*position = (KsegPosition){pstrdup(topic), partition, start_offset(offsets, &value),
		                           KSEG_POSITION_NONE, KSEG_POSITION_NONE};
		offsets->positions = lappend(offsets->positions, position);
	}
}

static void
start_read_topics(StartOffsets *offsets, Jsonb *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue value;
	char *topic = NULL;

	(void) JsonbIteratorNext(&iterator, &value, false);
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_END_OBJECT)
	{
		if (token == WJB_KEY)
			topic = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token != WJB_BEGIN_OBJECT)
			start_invalid(offsets->text,
			              "Offsets are either of partitions, or of topics with their partitions.");
		else if (!stream_topics_have(offsets->topics, topic))
			start_invalid(offsets->text, psprintf("The stream does not read a topic \"%s\".", topic));
		else
			start_read_topic(offsets, &iterator, topic);
	}
}

/* Are the values objects, as topics have? By the first one. */
static bool
start_names_topics(Jsonb *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbValue value;

	(void) JsonbIteratorNext(&iterator, &value, true);
	return JsonbIteratorNext(&iterator, &value, true) == WJB_KEY &&
	       JsonbIteratorNext(&iterator, &value, true) == WJB_VALUE && value.type == jbvBinary;
}

/* Whatever is wrong with the text as JSON or as a time: what it may be. */
static void
start_hint_callback(void *argument)
{
	errhint(START_HINT);
}

static Jsonb *
start_read_json(const char *text)
{
	ErrorContextCallback callback = {.previous = error_context_stack, .callback = start_hint_callback};
	Jsonb *object;

	error_context_stack = &callback;
	object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	error_context_stack = callback.previous;
	return object;
}

static void
start_read_single(StartOffsets *offsets, Jsonb *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	const char *topic = stream_topics_single(offsets->topics);
	JsonbValue value;

	if (topic == NULL)
		start_invalid(offsets->text, "The stream reads several topics: name them, {\"topic\": {\"0\": 42}}.");
	(void) JsonbIteratorNext(&iterator, &value, false);
	start_read_topic(offsets, &iterator, topic);
}

static List *
start_read_offsets(const char *text, List *topics)
{
	StartOffsets offsets = {text, topics, NIL};
	Jsonb *object = start_read_json(text);

	if (!JB_ROOT_IS_OBJECT(object))
		start_invalid(text, "Offsets are a JSON object.");
	if (start_names_topics(object))
		start_read_topics(&offsets, object);
	else
		start_read_single(&offsets, object);
	if (offsets.positions == NIL)
		start_invalid(text, "There is no offset in it.");
	return offsets.positions;
}

/* ---------- times ---------- */

static TimestampTz
start_read_time(const char *text)
{
	ErrorContextCallback callback = {.previous = error_context_stack, .callback = start_hint_callback};
	TimestampTz time;

	error_context_stack = &callback;
	time = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
	                                               ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	error_context_stack = callback.previous;
	/* Kafka's times are milliseconds since 1970, and negative ones have meanings of their own. */
	if (TIMESTAMP_NOT_FINITE(time) || time < SetEpochTimestamp())
		start_invalid(text, "A time is one since 1970.");
	return time;
}

/* ---------- all of them ---------- */

List *
stream_start_take(KsegStreamEntry *entry, const char *text, List *topics)
{
	static const char *const words[] = {"earliest", "latest", NULL};
	const char *near = near_miss_find(text, words);

	entry->start_time = 0;
	entry->start = KSEG_START_EARLIEST;
	if (text[strspn(text, " \t\r\n")] == '{')
		return start_read_offsets(text, topics);
	if (strcmp(text, "latest") == 0)
		entry->start = KSEG_START_LATEST;
	else if (strcmp(text, "earliest") != 0)
	{
		if (near != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			                errmsg("invalid value for start: \"%s\"", text),
			                errhint("Perhaps you meant '%s'.", near)));
		entry->start = KSEG_START_TIME;
		entry->start_time = start_read_time(text);
	}
	return NIL;
}
