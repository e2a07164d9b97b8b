/*
 * json_document.c
 *	  Whole JSON documents: a jsonb written, an object's members found.
 *
 * Owns: jsonb to text in our form (no spaces, the order jsonb keeps), and the scanner that takes an object's text apart.
 * Refuses: recursion. Documents nest as deep as a user likes; both directions count levels instead of calling.
 */
#include "postgres.h"

#include "utils/numeric.h"

#include "event/json_document.h"

static void
scalar_write(KsegWriter *writer, const JsonbValue *value)
{
	StringInfo out = writer->out;

	switch (value->type)
	{
		case jbvString:
		{
			const char *text = value->val.string.val;
			int length = value->val.string.len;

			if (json_text_utf8(writer, &text, &length))
				json_write_string(out, text, length);
			else
				json_write_bytes(out, "\"\"", 2);
			break;
		}
		case jbvNumeric:
			json_write_numeric(writer, (struct varlena *) value->val.numeric, true);
			break;
		case jbvBool:
			json_write_bytes(out, value->val.boolean ? "true" : "false", value->val.boolean ? 4 : 5);
			break;
		default:
			json_write_bytes(out, "null", 4);
	}
}

void
json_write_jsonb(KsegWriter *writer, Jsonb *value)
{
	StringInfo out = writer->out;
	int at = out->len;
	JsonbIterator *iterator = JsonbIteratorInit(&value->root);
	JsonbIteratorToken token;
	JsonbValue item;
	bool scalar = JB_ROOT_IS_SCALAR(value);

	while ((token = JsonbIteratorNext(&iterator, &item, false)) != WJB_DONE)
	{
		switch (token)
		{
			case WJB_BEGIN_ARRAY:
			case WJB_BEGIN_OBJECT:
				if (!scalar)
					json_write_char(out, token == WJB_BEGIN_ARRAY ? '[' : '{');
				break;
			case WJB_END_ARRAY:
			case WJB_END_OBJECT:
				if (!scalar)
				{
					json_write_close(out, token == WJB_END_ARRAY ? ']' : '}');
					json_write_char(out, ',');
				}
				break;
			case WJB_KEY:
				scalar_write(writer, &item);
				json_write_char(out, ':');
				break;
			default:
				scalar_write(writer, &item);
				json_write_char(out, ',');
		}
		/* Numbers such as 1e100000 are short in a jsonb and long as digits. */
		if (out->len > writer->stop)
		{
			out->len = at;
			json_write_trouble(writer, "value is too large to be written");
			return;
		}
	}
	out->len--; /* the comma behind the whole */
	json_canon_written(writer, KSEG_CANON_JSON, at, 0);
}

static const char *
space_skip(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

/* at is on a quote; returns behind the closing one. */
static const char *
string_skip(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
	{
		if (*at == '\\')
			at++;
	}
	return at + 1;
}

/* at is on a value; returns behind it: on the comma or bracket that follows. */
static const char *
value_skip(const char *at, const char *end)
{
	int level = 0;

	while (at < end)
	{
		switch (*at)
		{
			case '"':
				at = string_skip(at, end);
				continue;
			case '{':
			case '[':
				level++;
				break;
			case ',':
				if (level == 0)
					return at;
				break;
			case '}':
			case ']':
				if (level-- == 0)
					return at;
				break;
			default:
				break;
		}
		at++;
	}
	return at;
}

static KsegSpan
span_trim(const char *from, const char *to)
{
	KsegSpan span = {from, 0};

	while (to > from && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\n' || to[-1] == '\r'))
		to--;
	span.length = to - from;
	return span;
}

bool
json_document_is_object(KsegSpan document)
{
	const char *end = document.data + document.length;
	const char *at = space_skip(document.data, end);

	return at < end && *at == '{';
}

/* Read the member at *at, or return false at the object's end. */
static bool
member_read(const char **at, const char *end, KsegMember *member)
{
	const char *from = space_skip(*at + 1, end); /* behind the brace or the comma */
	const char *to;

	if (from >= end || *from != '"')
		return false;
	to = string_skip(from, end);
	member->key.data = from;
	member->key.length = to - from;
	member->name.data = json_unescape(from, member->key.length, &member->name.length);
	from = space_skip(space_skip(to, end) + 1, end); /* behind the colon */
	*at = value_skip(from, end);
	member->value = span_trim(from, *at);
	member->hidden = false;
	return true;
}

/* By name, then in the order read: pointers into one array tell that order. */
static int
member_compare(const void *a, const void *b)
{
	const KsegMember *left = *(KsegMember *const *) a;
	const KsegMember *right = *(KsegMember *const *) b;
	int order = memcmp(left->name.data, right->name.data, Min(left->name.length, right->name.length));

	if (order == 0)
		order = left->name.length - right->name.length;
	if (order == 0)
		order = left < right ? -1 : 1;
	return order;
}

/* Of members with one name, hide all but the last. */
static void
members_hide(KsegMember *members, int count)
{
	KsegMember **sorted = palloc(sizeof(KsegMember *) * Max(count, 1));

	for (int i = 0; i < count; i++)
		sorted[i] = &members[i];
	qsort(sorted, count, sizeof(KsegMember *), member_compare);
	for (int i = 0; i + 1 < count; i++)
	{
		const KsegSpan *name = &sorted[i]->name;
		const KsegSpan *next = &sorted[i + 1]->name;

		sorted[i]->hidden = name->length == next->length && memcmp(name->data, next->data, name->length) == 0;
	}
	pfree(sorted);
}

KsegMember *
json_document_members(const KsegSpan *layers, int layer_count, int *count)
{
	int room = 16;
	KsegMember *members = palloc(sizeof(KsegMember) * room);

	*count = 0;
	for (int i = 0; i < layer_count; i++)
	{
		const char *end = layers[i].data + layers[i].length;
		const char *at = space_skip(layers[i].data, end);

		while (at < end && member_read(&at, end, &members[*count]))
		{
			if (++*count == room)
			{
				room *= 2;
				members = repalloc(members, sizeof(KsegMember) * room);
			}
		}
	}
	members_hide(members, *count);
	return members;
}
