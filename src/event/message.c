/*
 * message.c
 *	  A row to a Kafka message. See message.h.
 *
 * Owns: the loop that every row passes: head, topic, key, value, headers, straight into the frame's buffer. What is wrong
 * with a row becomes its problem. Refuses: memory that outlives the row. Nothing here grows with their number.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "event/message_columns.h"

/* A topic's name that is no legal one is kept for the dead letter up to here: twice of what is legal shows enough. */
#define TOPIC_SHOWN 500

/* Between 1970 and 2000, PostgreSQL's first microsecond. */
#define UNIX_EPOCH_USECS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/*
 * An array or a jsonb may be several times as long as its JSON: 12 bytes of a jsonb are one digit and a comma. At
 * KSEG_MESSAGE_MAX these are 128 MB.
 */
#define CONTAINER_MAX(plan) (8 * (plan)->max_bytes)

/*
 * Where one nested value is cut short: its JSON may also be several times as long as itself (escapes, digits of exponents),
 * and there may already be a message's worth before it. At KSEG_MESSAGE_MAX these are 128 MB, far from StringInfo's 1 GB.
 */
#define STOP_AT(plan) (8 * (plan)->max_bytes)

/* ---------- the plan ---------- */

static KsegMessageStep *
step_add(KsegMessagePlan *plan, KsegMessageStepKind kind)
{
	KsegMessageStep *step = &plan->steps[plan->step_count++];

	memset(step, 0, sizeof(*step));
	step->kind = kind;
	return step;
}

static void
steps_add(KsegMessagePlan *plan, const KsegMessageNode *node)
{
	ListCell *cell;

	foreach (cell, node->children)
	{
		const KsegMessageNode *child = lfirst(cell);
		int at = plan->step_count;
		KsegMessageStep *step =
		    step_add(plan, child->object ? KSEG_MESSAGE_STEP_OPEN : KSEG_MESSAGE_STEP_VALUE);

		step->lead = json_lead_make(child->key, child->object ? "{" : "", &step->lead_length);
		step->column = child->column;
		if (child->object)
		{
			steps_add(plan, child);
			step_add(plan, KSEG_MESSAGE_STEP_CLOSE)->open = at;
		}
	}
}

static void
writer_prepare(KsegMessagePlan *plan)
{
	KsegWriter *writer = &plan->writer;

	json_writer_init(writer);
	writer->canon = &plan->canon;
	writer->lossless = true;
	writer->value_max = plan->max_bytes + VARHDRSZ;
	writer->container_max = CONTAINER_MAX(plan);
	writer->too_large = psprintf("value is over the server's max_message_bytes of %d", plan->max_bytes);
}

KsegMessagePlan *
message_plan_create(const KsegMessageMapping *mapping, TupleDesc desc)
{
	KsegMessagePlan *plan = palloc0(sizeof(KsegMessagePlan));

	Assert(mapping->max_message_bytes > 0 && mapping->max_message_bytes <= KSEG_MESSAGE_MAX);
	message_columns_sort(&plan->columns, mapping, desc);
	plan->has_topic = mapping->topic != NULL;
	plan->omit_nulls = mapping->omit_nulls;
	plan->max_bytes = mapping->max_message_bytes;
	plan->row_context = AllocSetContextCreate(CurrentMemoryContext, "kseg row", ALLOCSET_DEFAULT_SIZES);
	writer_prepare(plan);
	/* Every node but the root opens, and an object closes. */
	plan->steps = palloc(sizeof(KsegMessageStep) * (2 * plan->columns.count + 1));
	if (plan->columns.root != NULL)
		steps_add(plan, plan->columns.root);
	/* One problem a column of the JSON, two a field (headers may have many, and tell their first ones), one of the whole. */
	plan->problem_room = plan->columns.count + 2 * KSEG_MESSAGE_FIELDS + 1;
	plan->problems = palloc(sizeof(KsegProblem) * plan->problem_room);
	return plan;
}

bool
message_value_is_json(const KsegMessagePlan *plan)
{
	return plan->columns.root != NULL ||
	       plan->columns.fields[KSEG_MESSAGE_VALUE].type->class == KSEG_CLASS_JSON;
}

/* ---------- problems ---------- */

void
message_problem_note(KsegMessagePlan *plan, const KsegColumn *column, const char *text)
{
	KsegProblem *problem = &plan->problems[plan->problem_count];

	if (plan->problem_count == plan->problem_room)
		return;
	problem->column = column == NULL ? NULL : column->name;
	problem->text = text;
	plan->problem_count++;
}

void
message_trouble_note(KsegMessagePlan *plan, const KsegColumn *column)
{
	if (plan->writer.trouble == NULL)
		return;
	message_problem_note(plan, column, plan->writer.trouble);
	plan->writer.trouble = NULL;
}

const KsegProblem *
message_problems(const KsegMessagePlan *plan, int *count)
{
	*count = plan->problem_count;
	return plan->problems;
}

/* Says which row an output function failed at. */
static void
row_error_context(void *plan)
{
	errcontext("row " UINT64_FORMAT " of the query's result", ((KsegMessagePlan *) plan)->row);
}

/* ---------- columns of the row ---------- */

static inline bool
column_is_null(const KsegMessagePlan *plan, const KsegColumn *column)
{
	return column->attribute == 0 || plan->slot->tts_isnull[column->attribute - 1];
}

static inline Datum
column_value(const KsegMessagePlan *plan, const KsegColumn *column)
{
	return plan->slot->tts_values[column->attribute - 1];
}

/* Where a part of the message begins that has been written up to here; data is not NULL even when it is empty. */
static inline KsegText
part_of(const StringInfo out, int at)
{
	return (KsegText){out->data + at, out->len - at};
}

static const KsegText no_part = {NULL, 0};

/* Bytes as they are. False: too large. */
static bool
bytes_write(KsegMessagePlan *plan, Datum value)
{
	struct varlena *bytes;

	if (json_value_oversize(value, plan->writer.value_max))
	{
		plan->writer.trouble = plan->writer.too_large;
		return false;
	}
	bytes = PG_DETOAST_DATUM_PACKED(value);
	json_write_bytes(plan->writer.out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	return true;
}

/* Plain text. False: too large, or it has no UTF-8 form. */
static bool
text_write(KsegMessagePlan *plan, Datum value)
{
	struct varlena *plain;
	const char *text;
	int length;

	if (!plan->writer.convert)
		return bytes_write(plan, value);
	if (json_value_oversize(value, plan->writer.value_max))
	{
		plan->writer.trouble = plan->writer.too_large;
		return false;
	}
	plain = PG_DETOAST_DATUM_PACKED(value);
	text = VARDATA_ANY(plain);
	length = VARSIZE_ANY_EXHDR(plain);
	if (!json_text_utf8(&plan->writer, &text, &length))
		return false;
	json_write_bytes(plan->writer.out, text, length);
	return true;
}

/* As it stands in JSON, but a string without its quotes. False: it has no JSON. */
static bool
encoded_write(KsegMessagePlan *plan, const KsegColumn *column, Datum value)
{
	StringInfo out = plan->writer.out;
	int at = out->len;
	const char *text;
	int length;

	column->type->encode(&plan->writer, column->type, value);
	if (plan->writer.trouble != NULL)
		return false;
	if (column->type->class == KSEG_CLASS_JSON || out->data[at] != '"')
		return true;
	text = json_unescape(out->data + at, out->len - at, &length);
	memmove(out->data + at, text, length);
	out->len = at + length;
	return true;
}

/* A key or a value: NULL, bytes, or text. What cannot be written is NULL and a problem. */
static KsegText
field_write(KsegMessagePlan *plan, KsegMessageField field)
{
	const KsegColumn *column = &plan->columns.fields[field];
	StringInfo out = plan->writer.out;
	int at = out->len;
	bool written;
	Datum value;

	if (column_is_null(plan, column))
		return no_part;
	value = column_value(plan, column);
	if (column->type->class == KSEG_CLASS_BYTES)
		written = bytes_write(plan, value);
	else if (column->type->encode == json_encode_text)
		written = text_write(plan, value);
	else
		written = encoded_write(plan, column, value);
	if (written)
		return part_of(out, at);
	out->len = at;
	message_trouble_note(plan, column);
	return no_part;
}

/* ---------- the parts ---------- */

static KsegText
topic_write(KsegMessagePlan *plan)
{
	const KsegColumn *column = &plan->columns.fields[KSEG_MESSAGE_TOPIC];
	StringInfo out = plan->writer.out;
	int at = out->len;
	KsegText topic = field_write(plan, KSEG_MESSAGE_TOPIC);
	const char *trouble;

	if (topic.data == NULL)
	{
		if (!plan->has_topic && plan->problem_count == 0)
			message_problem_note(plan, column, "topic is missing");
		return topic;
	}
	trouble = message_topic_trouble(topic.data, topic.length);
	if (trouble != NULL)
	{
		message_problem_note(plan, column, trouble);
		out->len = at + Min(topic.length, TOPIC_SHOWN);
		topic.length = out->len - at;
	}
	return topic;
}

static int32
partition_read(KsegMessagePlan *plan)
{
	const KsegColumn *column = &plan->columns.fields[KSEG_MESSAGE_PARTITION];
	Datum value;
	int64 partition;

	if (column_is_null(plan, column))
		return KSEG_PARTITION_BY_KEY;
	value = column_value(plan, column);
	partition = column->type->oid == INT8OID   ? DatumGetInt64(value)
	            : column->type->oid == INT4OID ? DatumGetInt32(value)
	                                           : DatumGetInt16(value);
	if (partition >= 0 && partition <= PG_INT32_MAX)
		return (int32) partition;
	message_problem_note(plan, column, psprintf(INT64_FORMAT " cannot be a partition's number", partition));
	return KSEG_PARTITION_BY_KEY;
}

/* Milliseconds since 1970, of which librdkafka takes 0 for "now". A timestamp without zone is UTC, like everywhere in kseg. */
static int64
time_read(KsegMessagePlan *plan)
{
	const KsegColumn *column = &plan->columns.fields[KSEG_MESSAGE_TIME];
	Timestamp value;

	if (column_is_null(plan, column))
		return KSEG_NO_TIMESTAMP;
	value = DatumGetTimestamp(column_value(plan, column));
	if (TIMESTAMP_NOT_FINITE(value))
		message_problem_note(plan, column, "infinity cannot be a message's timestamp");
	else if (value < 1000 - UNIX_EPOCH_USECS)
		message_problem_note(plan, column, "a message's timestamp must be after 1970-01-01 00:00:00 UTC");
	else /* in two steps: the sum of the last timestamps and the epochs' distance is beyond an int64 */
		return value / 1000 + UNIX_EPOCH_USECS / 1000 - (value % 1000 < 0);
	return KSEG_NO_TIMESTAMP;
}

static inline void
member_write(KsegMessagePlan *plan, const KsegMessageStep *step)
{
	KsegWriter *writer = &plan->writer;
	const KsegColumn *column = &step->column;

	if (column_is_null(plan, column))
	{
		if (plan->omit_nulls)
			return;
		json_write_lead(writer->out, step->lead, step->lead_length);
		json_write_bytes(writer->out, "null,", 5);
		return;
	}
	json_write_lead(writer->out, step->lead, step->lead_length);
	if (unlikely(writer->out->len - plan->start > plan->max_bytes + KSEG_MESSAGE_HEAD + TOPIC_SHOWN))
		json_write_trouble(writer, "message is over the server's max_message_bytes before this value");
	else
		column->type->encode(writer, column->type, column_value(plan, column));
	json_write_char(writer->out, ',');
	if (unlikely(writer->trouble != NULL))
		message_trouble_note(plan, column);
}

/* An object without members is left out, as the NULL columns in it are. */
static void
member_close(KsegMessagePlan *plan, const KsegMessageStep *open)
{
	StringInfo out = plan->writer.out;

	if (out->data[out->len - 1] == '{')
	{
		out->len = open->at;
		return;
	}
	json_write_close(out, '}');
	json_write_char(out, ',');
}

static KsegText
object_write(KsegMessagePlan *plan)
{
	StringInfo out = plan->writer.out;
	int at = out->len;

	json_write_char(out, '{');
	for (int i = 0; i < plan->step_count; i++)
	{
		KsegMessageStep *step = &plan->steps[i];

		if (likely(step->kind == KSEG_MESSAGE_STEP_VALUE))
			member_write(plan, step);
		else if (step->kind == KSEG_MESSAGE_STEP_CLOSE)
			member_close(plan, &plan->steps[step->open]);
		else
		{
			step->at = out->len;
			json_write_lead(out, step->lead, step->lead_length);
		}
	}
	json_write_close(out, '}');
	return part_of(out, at);
}

static KsegText
headers_write(KsegMessagePlan *plan)
{
	const KsegColumn *column = &plan->columns.fields[KSEG_MESSAGE_HEADERS];
	StringInfo out = plan->writer.out;
	int at = out->len;

	if (!column_is_null(plan, column))
		message_headers_write(plan, column, column_value(plan, column));
	return part_of(out, at);
}

static void
size_check(KsegMessagePlan *plan, const KsegMessage *message)
{
	int64 size = (int64) message->key.length + message->value.length + message->headers.length;

	if (size > plan->max_bytes)
		message_problem_note(plan, NULL,
		                     psprintf("message of " INT64_FORMAT
		                              " bytes is over the server's max_message_bytes of %d",
		                              size, plan->max_bytes));
}

static void
parts_write(KsegMessagePlan *plan, StringInfo out)
{
	KsegMessage message = {.row = plan->row};

	(void) json_reserve(out, KSEG_MESSAGE_HEAD);
	out->len += KSEG_MESSAGE_HEAD;
	/* Texts may move with the buffer; the head takes only their lengths. */
	message.topic = topic_write(plan);
	message.key = field_write(plan, KSEG_MESSAGE_KEY);
	message.value = plan->columns.root != NULL ? object_write(plan) : field_write(plan, KSEG_MESSAGE_VALUE);
	message.headers = headers_write(plan);
	message.partition = partition_read(plan);
	message.timestamp = time_read(plan);
	size_check(plan, &message);
	kseg_message_head((uint8 *) out->data + plan->start, &message);
}

bool
message_write(KsegMessagePlan *plan, TupleTableSlot *slot, uint64 row, StringInfo out)
{
	MemoryContext old;
	ErrorContextCallback callback = {error_context_stack, row_error_context, plan};

	plan->slot = slot;
	plan->row = row;
	plan->problem_count = 0;
	plan->start = out->len;
	plan->writer.out = out;
	plan->writer.trouble = NULL;
	plan->writer.stop = out->len + STOP_AT(plan);
	plan->writer.exact.len = 0;
	MemoryContextReset(plan->row_context);
	old = MemoryContextSwitchTo(plan->row_context);
	error_context_stack = &callback;
	slot_getsomeattrs(slot, plan->columns.attributes);
	parts_write(plan, out);
	event_settings_leave(&plan->writer);
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	return plan->problem_count == 0;
}
