/*
 * topic_path.c
 *	  The column option "path". See topic_path.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/json.h"

#include "reader/reader.h"
#include "server/topic_path.h"

/* What ends a key without quotes. Every server encoding has these bytes for these characters alone. */
#define PATH_SPECIAL ".,[]\" \t\n\r\v\f"
#define PATH_BLANKS  " \t\n\r\v\f"

/* A text as it is being read. */
typedef struct PathText
{
	const char *text;
	const char *at;
} PathText;

static void
path_invalid(const PathText *path, const char *problem)
{
	ereport(
	    ERROR,
	    (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	     errmsg("invalid value for option \"path\": \"%s\"", path->text),
	     errdetail("At character %d: %s.", pg_mbstrlen_with_len(path->text, path->at - path->text) + 1,
	               problem),
	     errhint("Keys are separated by dots, an array's elements are numbered from 0 in brackets, several "
	             "paths are separated by commas: a.b[0].c, \"odd.key\".d.")));
}

static void
path_skip_blanks(PathText *path)
{
	path->at += strspn(path->at, PATH_BLANKS);
}

/* A key in double quotes, at its opening quote. */
static char *
path_quoted_key(PathText *path)
{
	StringInfoData key;
	PathText opening = *path;

	initStringInfo(&key);
	for (path->at++; *path->at != '"' || path->at[1] == '"'; path->at++)
	{
		if (*path->at == '\0')
			path_invalid(&opening, "the quote is not closed");
		appendStringInfoChar(&key, *path->at);
		if (*path->at == '"')
			path->at++;
	}
	path->at++;
	return key.data;
}

static char *
path_plain_key(PathText *path)
{
	size_t length = strcspn(path->at, PATH_SPECIAL);
	char *key;

	if (length == 0)
		path_invalid(path, "a key is missing");
	if (length == 1 && *path->at == '*')
		path_invalid(path, "a path leads to one place, it has no wildcard; a key * stands in double quotes");
	key = pnstrdup(path->at, length);
	path->at += length;
	return key;
}

static char *
path_key(PathText *path)
{
	return *path->at == '"' ? path_quoted_key(path) : path_plain_key(path);
}

/* An element's number and its bracket, behind the opening one. */
static int
path_index(PathText *path)
{
	PathText start = *path;
	size_t digits = strspn(path->at, "0123456789");
	uint64 index = 0;

	if (digits == 0)
		path_invalid(path, "an element's number is missing, from 0");
	for (; digits > 0 && index < KSEG_MESSAGE_MAX; digits--)
		index = index * 10 + (*path->at++ - '0');
	/* An array has no more elements than its text has bytes. */
	if (digits > 0 || index >= KSEG_MESSAGE_MAX)
		path_invalid(&start, "no message has so many elements");
	if (*path->at != ']')
		path_invalid(path, "the bracket is not closed");
	path->at++;
	return (int) index;
}

/* One step; first: of its path, so that a key has no dot before it. */
static void
path_step(PathText *path, bool first, KsegTopicStep *step)
{
	step->key = NULL;
	step->index = 0;
	if (*path->at == '[')
	{
		path->at++;
		step->index = path_index(path);
		return;
	}
	if (first && *path->at == '$')
		path_invalid(path, "a path has no $ at its beginning; a key with one stands in double quotes");
	if (!first)
	{
		if (*path->at != '.')
			path_invalid(path, "a dot, a bracket, a comma or the end is expected");
		path->at++;
	}
	step->key = path_key(path);
}

static KsegTopicPath *
path_create(int count)
{
	KsegTopicPath *path = palloc0(offsetof(KsegTopicPath, steps) + count * sizeof(KsegTopicStep));

	path->count = count;
	return path;
}

/* One path, up to its comma or the end. */
static KsegTopicPath *
path_parse_one(PathText *text)
{
	KsegTopicStep steps[KSEG_PATH_STEPS_MAX];
	KsegTopicPath *path;
	int count = 0;

	path_skip_blanks(text);
	do
	{
		if (count == lengthof(steps))
			path_invalid(text, psprintf("a path has at most %d steps", KSEG_PATH_STEPS_MAX));
		path_step(text, count == 0, &steps[count]);
		count++;
	} while (*text->at != '\0' && strchr("," PATH_BLANKS, *text->at) == NULL);
	path_skip_blanks(text);
	path = path_create(count);
	memcpy(path->steps, steps, count * sizeof(KsegTopicStep));
	return path;
}

List *
topic_path_parse(const char *text)
{
	PathText path = {text, text};
	List *paths = list_make1(path_parse_one(&path));

	while (*path.at != '\0')
	{
		if (*path.at != ',')
			path_invalid(&path, "a comma or the end is expected; a key with a blank stands in double quotes");
		if (list_length(paths) == KSEG_WANT_PATHS_MAX)
			path_invalid(&path, psprintf("there are at most %d paths", KSEG_WANT_PATHS_MAX));
		path.at++;
		paths = lappend(paths, path_parse_one(&path));
	}
	return paths;
}

int
topic_path_parse_field(const char *text)
{
	uint64 number = 0;

	/* A message has no more fields than bytes. */
	for (const char *at = text; isdigit((unsigned char) *at) && number <= KSEG_MESSAGE_MAX; at++)
		number = number * 10 + (*at - '0');
	if (text[strspn(text, "0123456789")] != '\0' || number < 1 || number > KSEG_MESSAGE_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid value for option \"path\": \"%s\"", text),
		                errhint("In the format csv it is the field's number, from 1.")));
	return (int) number;
}

KsegTopicPath *
topic_path_of_key(const char *key)
{
	KsegTopicPath *path = path_create(1);

	path->steps[0].key = pstrdup(key);
	return path;
}

KsegTopicPath *
topic_path_below(const KsegTopicPath *path, int count, const char *const *keys)
{
	KsegTopicPath *below = path_create(count + path->count);

	for (int i = 0; i < count; i++)
		below->steps[i].key = pstrdup(keys[i]);
	memcpy(below->steps + count, path->steps, path->count * sizeof(KsegTopicStep));
	return below;
}

/* Is this key what it is without quotes? */
static bool
path_key_is_plain(const char *key)
{
	return *key != '\0' && *key != '$' && strcmp(key, "*") != 0 && key[strcspn(key, PATH_SPECIAL)] == '\0';
}

void
topic_path_append_key(StringInfo text, const char *key)
{
	if (text->len > 0)
		appendStringInfoChar(text, '.');
	if (path_key_is_plain(key))
	{
		appendStringInfoString(text, key);
		return;
	}
	appendStringInfoChar(text, '"');
	for (; *key != '\0'; key++)
	{
		if (*key == '"')
			appendStringInfoChar(text, '"');
		appendStringInfoChar(text, *key);
	}
	appendStringInfoChar(text, '"');
}

void
topic_path_append_json(StringInfo json, const KsegTopicPath *path)
{
	appendStringInfoChar(json, '[');
	for (int i = 0; i < path->count; i++)
	{
		const KsegTopicStep *step = &path->steps[i];

		if (i > 0)
			appendStringInfoChar(json, ',');
		if (step->key != NULL)
			escape_json(json, pg_server_to_any(step->key, strlen(step->key), PG_UTF8));
		else
			appendStringInfo(json, "%d", step->index);
	}
	appendStringInfoChar(json, ']');
}
