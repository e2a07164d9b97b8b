/*
 * letter.c
 *	  What is told and kept of an event that could not be delivered. See letter.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "link/link_text.h"
#include "sink/letter.h"
#include "sink/segment_sink.h"

/* Bytes of a user id in a message: ids are short, and a message that fills the log helps nobody. */
#define LETTER_USER_SHOWN 100

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

/*
 * PostgreSQL's JSON parser recurses: a value nested as deep as a table took it may overflow the stack when the letter is
 * recorded, from a deeper call. So deep an event is not kept; 1000 levels are more than any receiver reads.
 */
#define LETTER_DEPTH_MAX 1000

static bool
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
	letter->http_status = kseg_read_u32(&reader);
	words = kseg_read_text(&reader);
	event = kseg_read_text(&reader);
	if (!kseg_reader_done(&reader))
		return false;
	problem->text = psprintf("refused with HTTP status %u%s%s", letter->http_status,
	                         words.length > 0 ? ": " : "", link_text_to_server(words.data, words.length));
	letter->problems = problem;
	letter->problem_count = 1;
	letter->event = pnstrdup(event.data, event.length);
	letter->event_length = event.length;
	letter->user = letter_user(letter->event, letter->event_length);
	letter->message_id = letter_message_id(letter->event, letter->event_length);
	return true;
}

char *
letter_reason(const KsegLetter *letter)
{
	StringInfoData reason;

	initStringInfo(&reason);
	appendStringInfo(&reason, "row " UINT64_FORMAT, letter->row);
	if (letter->user != NULL)
	{
		int length = strlen(letter->user);
		int shown = pg_encoding_mbcliplen(PG_UTF8, letter->user, length, LETTER_USER_SHOWN);

		appendStringInfo(&reason, ", user \"%s%s\"", link_text_to_server(letter->user, shown),
		                 shown < length ? "..." : "");
	}
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

void
letter_keep(const KsegLetter *letter, const char *reason, Tuplestorestate *letters, TupleDesc desc)
{
	Datum values[KSEG_LETTER_COLUMNS];
	bool nulls[KSEG_LETTER_COLUMNS] = {false};

	nulls[KSEG_LETTER_USER] = letter->user == NULL;
	nulls[KSEG_LETTER_MESSAGE_ID] = letter->message_id == NULL;
	nulls[KSEG_LETTER_STATUS] = letter->http_status == 0;
	nulls[KSEG_LETTER_EVENT] = letter->event_length > KSEG_LETTER_EVENT_MAX ||
	                           letter_is_too_deep(letter->event, letter->event_length);
	values[KSEG_LETTER_ROW] = Int64GetDatum((int64) letter->row);
	values[KSEG_LETTER_STATUS] = Int32GetDatum((int32) letter->http_status);
	values[KSEG_LETTER_REASON] = CStringGetTextDatum(reason);
	if (letter->user != NULL)
		values[KSEG_LETTER_USER] =
		    CStringGetTextDatum(link_text_to_server(letter->user, strlen(letter->user)));
	if (letter->message_id != NULL)
		values[KSEG_LETTER_MESSAGE_ID] =
		    CStringGetTextDatum(link_text_to_server(letter->message_id, strlen(letter->message_id)));
	if (!nulls[KSEG_LETTER_EVENT])
		values[KSEG_LETTER_EVENT] =
		    CStringGetTextDatum(link_text_to_server(letter->event, letter->event_length));
	tuplestore_putvalues(letters, desc, values, nulls);
}
