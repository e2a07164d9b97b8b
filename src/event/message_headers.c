/*
 * message_headers.c
 *	  A message's headers: from jsonb to the wire's bytes, and back to JSON text.
 *
 * Owns: the two forms that are taken, {"name": value, …} and [["name", value], …], in which a value is a string, null,
 * {"base64": "…"}, a number or a boolean; in the first form also an array of these, for a name that is repeated. And the one
 * form that is shown, the second, so that what was read can be produced as it was. Refuses: to choose for whoever wrote
 * anything else; that is a problem of the row.
 */
#include "postgres.h"

#include "common/base64.h"
#include "mb/pg_wchar.h"

#include "event/message_columns.h"
#include "event/message_headers.h"

/* Bytes of a header's name in a problem: names are short, and a message that fills the log helps nobody. */
#define NAME_SHOWN 100

/* The work of message_headers_write. */
typedef struct Headers
{
	KsegMessagePlan *plan;
	const KsegColumn *column;
} Headers;

static void
header_refuse(const Headers *headers, const JsonbValue *name, const char *why)
{
	const char *text = name->val.string.val;
	int shown = pg_mbcliplen(text, name->val.string.len, NAME_SHOWN);

	message_problem_note(headers->plan, headers->column, psprintf("header \"%.*s\" %s", shown, text, why));
}

/* The string in {"base64": "…"}, or NULL. */
static JsonbValue *
header_base64(const JsonbValue *value)
{
	JsonbContainer *object = value->val.binary.data;
	JsonbValue *text;

	if (!JsonContainerIsObject(object) || JsonContainerSize(object) != 1)
		return NULL;
	text = getKeyJsonValueFromContainer(object, "base64", 6, NULL);
	return text != NULL && text->type == jbvString ? text : NULL;
}

/* Append the bytes of base64. False: it is none. */
static bool
base64_write(StringInfo out, const JsonbValue *text)
{
	int room = pg_b64_dec_len(text->val.string.len);
	char *to = json_reserve(out, room + 1);
	int length;

	/* 18 takes bytes where older ones take characters (b28c59a6c). */
	length = pg_b64_decode(text->val.string.val, text->val.string.len, (void *) to, room + 1);
	if (length < 0)
		return false;
	out->len += length;
	return true;
}

/* Append a scalar's text. False: it has none, and the writer's trouble says why. */
static bool
scalar_write(KsegWriter *writer, const JsonbValue *value)
{
	const char *text;
	int length;

	switch (value->type)
	{
		case jbvString:
			text = value->val.string.val;
			length = value->val.string.len;
			if (!json_text_utf8(writer, &text, &length))
				return false;
			json_write_bytes(writer->out, text, length);
			return true;
		case jbvNumeric:
			json_write_numeric(writer, (struct varlena *) value->val.numeric, true);
			return true;
		case jbvBool:
			json_write_bytes(writer->out, value->val.boolean ? "true" : "false", value->val.boolean ? 4 : 5);
			return true;
		default:
			return false;
	}
}

/* Append a value's bytes. False: a problem, and it was noted. */
static bool
header_value_write(const Headers *headers, const JsonbValue *name, const JsonbValue *value)
{
	KsegMessagePlan *plan = headers->plan;
	JsonbValue *base64;

	if (value->type != jbvBinary)
	{
		if (scalar_write(&plan->writer, value))
			return true;
		message_trouble_note(plan, headers->column);
		return false;
	}
	base64 = header_base64(value);
	if (base64 == NULL)
		header_refuse(headers, name,
		              "is neither a string, null, a number, a boolean nor {\"base64\": \"...\"}");
	else if (base64_write(plan->writer.out, base64))
		return true;
	else
		header_refuse(headers, name, "is not valid base64");
	return false;
}

/* One header: lengths, name, value. What cannot be written is left out, and noted. */
static void
header_write(const Headers *headers, const JsonbValue *name, const JsonbValue *value)
{
	StringInfo out = headers->plan->writer.out;
	int at = out->len;
	const char *text = name->val.string.val;
	int length = name->val.string.len;
	uint32 value_length = KSEG_NO_BYTES;
	int value_at;

	if (!json_text_utf8(&headers->plan->writer, &text, &length))
	{
		message_trouble_note(headers->plan, headers->column);
		return;
	}
	(void) json_reserve(out, KSEG_HEADER_HEAD);
	out->len += KSEG_HEADER_HEAD;
	json_write_bytes(out, text, length);
	value_at = out->len;
	if (value->type != jbvNull)
	{
		if (!header_value_write(headers, name, value))
		{
			out->len = at;
			return;
		}
		value_length = out->len - value_at;
	}
	kseg_write_u32(kseg_write_u32((uint8 *) out->data + at, length), value_length);
}

/* A member's value: one header, or one for each element of an array. */
static void
member_write(const Headers *headers, const JsonbValue *name, const JsonbValue *value)
{
	JsonbContainer *array;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
	{
		header_write(headers, name, value);
		return;
	}
	array = value->val.binary.data;
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
		header_write(headers, name, getIthJsonbValueFromContainer(array, i));
}

static void
object_write(const Headers *headers, JsonbContainer *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbValue name;
	JsonbValue value;

	(void) JsonbIteratorNext(&iterator, &name, true);
	while (JsonbIteratorNext(&iterator, &name, true) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&iterator, &value, true);
		member_write(headers, &name, &value);
	}
}

static void
pairs_write(const Headers *headers, JsonbContainer *array)
{
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *pair = getIthJsonbValueFromContainer(array, i);
		JsonbContainer *parts = pair->val.binary.data;
		JsonbValue *name;

		if (pair->type != jbvBinary || !JsonContainerIsArray(parts) || JsonContainerSize(parts) != 2 ||
		    (name = getIthJsonbValueFromContainer(parts, 0))->type != jbvString)
			message_problem_note(headers->plan, headers->column,
			                     psprintf("element %u is not a pair of a name and a value", i + 1));
		else
			header_write(headers, name, getIthJsonbValueFromContainer(parts, 1));
	}
}

void
message_headers_write(KsegMessagePlan *plan, const KsegColumn *column, Datum value)
{
	Headers headers = {plan, column};
	Jsonb *jsonb;

	if (json_value_oversize(value, plan->writer.container_max))
	{
		message_problem_note(plan, column, plan->writer.too_large);
		return;
	}
	jsonb = (Jsonb *) PG_DETOAST_DATUM(value);
	if (JB_ROOT_IS_OBJECT(jsonb))
		object_write(&headers, &jsonb->root);
	else if (JB_ROOT_IS_ARRAY(jsonb) && !JB_ROOT_IS_SCALAR(jsonb))
		pairs_write(&headers, &jsonb->root);
	else
		message_problem_note(plan, column, "headers are neither an object nor an array of pairs");
}

/* ---------- back to JSON ---------- */

/* jsonb takes no NUL, and no text takes bytes that are not UTF-8. */
static bool
bytes_are_text(KsegText bytes)
{
	return memchr(bytes.data, '\0', bytes.length) == NULL &&
	       pg_encoding_verifymbstr(PG_UTF8, bytes.data, (int) bytes.length) == (int) bytes.length;
}

static void
base64_show(StringInfo out, KsegText bytes)
{
	int room = pg_b64_enc_len((int) bytes.length);
	char *text = palloc(room + 1);
	int length = pg_b64_encode((const void *) bytes.data, (int) bytes.length, text, room);

	json_write_bytes(out, "{\"base64\":", 10);
	json_write_string(out, text, Max(length, 0));
	json_write_char(out, '}');
	pfree(text);
}

void
message_headers_show(KsegText headers, StringInfo out)
{
	KsegHeader header;

	json_write_char(out, '[');
	while (kseg_header_next(&headers, &header))
	{
		json_write_char(out, '[');
		json_write_string(out, header.name.data, (int) header.name.length);
		json_write_char(out, ',');
		if (header.value.data == NULL)
			json_write_bytes(out, "null", 4);
		else if (bytes_are_text(header.value))
			json_write_string(out, header.value.data, (int) header.value.length);
		else
			base64_show(out, header.value);
		json_write_bytes(out, "],", 2);
	}
	json_write_close(out, ']');
	out->data[out->len] = '\0';
}
