/*
 * letter.c
 *	  What is told and kept of an event that could not be delivered. See letter.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "event/message_headers.h"
#include "link/link_text.h"
#include "sink/bytes_show.h"
#include "sink/letter.h"

/* Bytes of a user id or a key in a message: ids are short, and a message that fills the log helps nobody. */
#define LETTER_ID_SHOWN 100

/* ---------- out of an event of Segment's ---------- */

/*
 * The string that begins at json, up to its closing quote, unescaped as far as kseg's own writer escapes. An event comes
 * back from the courier byte by byte as it was written, so nothing else occurs.
 */
static char *
letter_json_string(const char *json, const char *end)
{
	char *text = palloc(end - json + 1);
	char *out = text;

	while (json < end && *json != '"')
	{
		unsigned int code;

		if (*json != '\\' || json + 1 >= end)
			*out++ = *json++;
		else if (json[1] == 'u' && json + 6 <= end && sscanf(json + 2, "%4x", &code) == 1 && code > 0 &&
		         code < 0x80)
		{
			*out++ = (char) code;
			json += 6;
		}
		else
		{
			const char *at = strchr("nrtbf", json[1]);

			*out++ = at != NULL ? "\n\r\t\b\f"[at - "nrtbf"] : json[1];
			json += 2;
		}
	}
	*out = '\0';
	return text;
}

/* messageId is the last member, so it is looked for from the end; a quote in a value is escaped, so it is the member. */
static char *
letter_message_id(const char *json, Size length)
{
	static const char member[] = "\"messageId\":\"";
	const Size size = sizeof(member) - 1;

	for (Size i = length; i >= size; i--)
	{
		if (memcmp(json + i - size, member, size) == 0)
			return letter_json_string(json + i, json + length);
	}
	return NULL;
}

/* userId and anonymousId stand right after the type, so what is inside properties is never taken for them. */
static char *
letter_user(const char *json, Size length)
{
	const char *members[] = {"\"userId\":\"", "\"anonymousId\":\""};

	for (int i = 0; i < lengthof(members); i++)
	{
		const char *comma = memchr(json, ',', length);

		if (comma != NULL && (Size) (comma + 1 - json) + strlen(members[i]) <= length &&
		    memcmp(comma + 1, members[i], strlen(members[i])) == 0)
			return letter_json_string(comma + 1 + strlen(members[i]), json + length);
	}
	return NULL;
}

bool
letter_of_frame(const KsegFrame *frame, KsegLetter *letter)
{
	KsegReader reader;
	KsegProblem *problem = palloc0(sizeof(KsegProblem));
	KsegText words;
	KsegText event;

	memset(letter, 0, sizeof(*letter));
	kseg_reader_init(&reader, frame);
	letter->row = kseg_read_u64(&reader);
	letter->rejected = true;
	letter->status = (int32) kseg_read_u32(&reader);
	words = kseg_read_text(&reader);
	event = kseg_read_text(&reader);
	if (!kseg_reader_done(&reader))
		return false;
	problem->text = psprintf("refused with HTTP status %d%s%s", letter->status, words.length > 0 ? ": " : "",
	                         link_text_to_server(words.data, words.length));
	letter->problems = problem;
	letter->problem_count = 1;
	letter->event = pnstrdup(event.data, event.length);
	letter->event_length = event.length;
	letter->user = letter_user(letter->event, letter->event_length);
	letter->message_id = letter_message_id(letter->event, letter->event_length);
	return true;
}

/* ---------- telling and keeping ---------- */

/* Whose event it is. */
static void
reason_put_id(StringInfo reason, const KsegLetter *letter)
{
	if (letter->user != NULL)
		appendStringInfo(
		    reason, ", user \"%s\"",
		    bytes_show((KsegText){letter->user, (uint32) strlen(letter->user)}, LETTER_ID_SHOWN));
	if (letter->message != NULL && letter->message->key.data != NULL)
		appendStringInfo(reason, ", key \"%s\"", bytes_show(letter->message->key, LETTER_ID_SHOWN));
}

char *
letter_reason(const KsegLetter *letter)
{
	StringInfoData reason;

	initStringInfo(&reason);
	appendStringInfo(&reason, "row " UINT64_FORMAT, letter->row);
	reason_put_id(&reason, letter);
	for (int i = 0; i < letter->problem_count; i++)
	{
		const KsegProblem *problem = &letter->problems[i];

		appendStringInfoString(&reason, i == 0 ? ": " : "; ");
		if (problem->column != NULL)
			appendStringInfo(&reason, "column \"%s\": ", problem->column);
		appendStringInfoString(&reason, problem->text);
	}
	return reason.data;
}

TupleDesc
letter_desc(void)
{
	static const struct
	{
		const char *name;
		Oid type;
	} columns[KSEG_LETTER_COLUMNS] = {{"row", INT8OID},    {"user_id", TEXTOID},   {"message_id", TEXTOID},
	                                  {"status", INT4OID}, {"reason", TEXTOID},    {"event", TEXTOID},
	                                  {"topic", TEXTOID},  {"partition", INT4OID}, {"key", BYTEAOID},
	                                  {"value", BYTEAOID}, {"headers", TEXTOID},   {"incomplete", BOOLOID}};
	TupleDesc desc = CreateTemplateTupleDesc(KSEG_LETTER_COLUMNS);

	for (int i = 0; i < KSEG_LETTER_COLUMNS; i++)
		TupleDescInitEntry(desc, i + 1, columns[i].name, columns[i].type, -1, 0);
	return desc;
}

/*
 * PostgreSQL's JSON parser recurses: a value nested as deep as a table took it may overflow the stack when the letter is
 * recorded, from a deeper call. So deep an event is not kept; 1000 levels are more than any receiver reads.
 */
#define LETTER_DEPTH_MAX 1000

bool
letter_is_too_deep(const char *json, Size length)
{
	int depth = 0;
	bool inside = false; /* a string */

	for (Size i = 0; i < length; i++)
	{
		if (inside && json[i] == '\\')
			i++;
		else if (json[i] == '"')
			inside = !inside;
		else if (!inside && (json[i] == '{' || json[i] == '['))
		{
			if (++depth > LETTER_DEPTH_MAX)
				return true;
		}
		else if (!inside && (json[i] == '}' || json[i] == ']'))
			depth--;
	}
	return false;
}

/* UTF-8 for a column of the letter; data NULL: none. */
static void
letter_put_text(Datum *value, bool *null, const char *data, Size length)
{
	*null = data == NULL;
	*value = *null ? (Datum) 0 : CStringGetTextDatum(link_text_to_server(data, length));
}

static void
letter_put_bytes(Datum *value, bool *null, KsegText bytes)
{
	*null = bytes.data == NULL || bytes.length > KSEG_LETTER_EVENT_MAX;
	/* A text in memory has the layout of a bytea. */
	*value = *null ? (Datum) 0 : PointerGetDatum(cstring_to_text_with_len(bytes.data, (int) bytes.length));
}

static void
letter_put_headers(Datum *value, bool *null, KsegText headers)
{
	StringInfoData text;

	*null = headers.length == 0 || headers.length > KSEG_LETTER_EVENT_MAX;
	if (*null)
		return;
	initStringInfo(&text);
	message_headers_show(headers, &text);
	*value = CStringGetTextDatum(link_text_to_server(text.data, text.len));
}

static void
letter_put_message(Datum *values, bool *nulls, const KsegLetter *letter)
{
	const KsegMessage *message = letter->message;

	if (message->topic.length > 0)
		letter_put_text(&values[KSEG_LETTER_TOPIC], &nulls[KSEG_LETTER_TOPIC], message->topic.data,
		                message->topic.length);
	else if (letter->topic != NULL)
		letter_put_text(&values[KSEG_LETTER_TOPIC], &nulls[KSEG_LETTER_TOPIC], letter->topic,
		                strlen(letter->topic));
	nulls[KSEG_LETTER_PARTITION] = message->partition == KSEG_PARTITION_BY_KEY;
	values[KSEG_LETTER_PARTITION] = Int32GetDatum(message->partition);
	letter_put_bytes(&values[KSEG_LETTER_KEY], &nulls[KSEG_LETTER_KEY], message->key);
	letter_put_bytes(&values[KSEG_LETTER_VALUE], &nulls[KSEG_LETTER_VALUE], message->value);
	letter_put_headers(&values[KSEG_LETTER_HEADERS], &nulls[KSEG_LETTER_HEADERS], message->headers);
	values[KSEG_LETTER_INCOMPLETE] =
	    BoolGetDatum((message->key.data != NULL && nulls[KSEG_LETTER_KEY]) ||
	                 (message->value.data != NULL && nulls[KSEG_LETTER_VALUE]) ||
	                 (message->headers.length > 0 && nulls[KSEG_LETTER_HEADERS]));
}

void
letter_keep(const KsegLetter *letter, const char *reason, Tuplestorestate *letters, TupleDesc desc)
{
	Datum values[KSEG_LETTER_COLUMNS] = {0};
	bool nulls[KSEG_LETTER_COLUMNS];
	bool too_large = letter->event == NULL || letter->event_length > KSEG_LETTER_EVENT_MAX ||
	                 letter_is_too_deep(letter->event, letter->event_length);

	memset(nulls, true, sizeof(nulls));
	values[KSEG_LETTER_ROW] = Int64GetDatum((int64) letter->row);
	values[KSEG_LETTER_STATUS] = Int32GetDatum(letter->status);
	values[KSEG_LETTER_REASON] = CStringGetTextDatum(reason);
	values[KSEG_LETTER_INCOMPLETE] = BoolGetDatum(too_large);
	nulls[KSEG_LETTER_ROW] = nulls[KSEG_LETTER_REASON] = nulls[KSEG_LETTER_INCOMPLETE] = false;
	nulls[KSEG_LETTER_STATUS] = !letter->rejected;
	letter_put_text(&values[KSEG_LETTER_USER], &nulls[KSEG_LETTER_USER], letter->user,
	                letter->user != NULL ? strlen(letter->user) : 0);
	letter_put_text(&values[KSEG_LETTER_MESSAGE_ID], &nulls[KSEG_LETTER_MESSAGE_ID], letter->message_id,
	                letter->message_id != NULL ? strlen(letter->message_id) : 0);
	letter_put_text(&values[KSEG_LETTER_EVENT], &nulls[KSEG_LETTER_EVENT], too_large ? NULL : letter->event,
	                letter->event_length);
	if (letter->message != NULL)
		letter_put_message(values, nulls, letter);
	tuplestore_putvalues(letters, desc, values, nulls);
}
