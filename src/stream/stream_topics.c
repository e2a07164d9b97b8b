/*
 * stream_topics.c
 *	  The topics of a stream. See stream_topics.h.
 */
#include "postgres.h"

#include <regex.h>

#include "server/kafka_options.h"
#include "stream/stream_topics.h"

/* Topics in one list. Whoever has more of them names them by an expression; all of them are in a frame to the courier. */
#define TOPICS_MAX 1000

/* Bytes of an expression: as of a topic's name, which it matches. It also bounds how deep its parentheses nest. */
#define EXPRESSION_MAX_BYTES 249

static void
topics_invalid(const char *topic, const char *detail)
{
	ereport(
	    ERROR,
	    (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for topics: \"%s\"", topic),
	     errdetail("%s", detail),
	     errhint(
	         "An element is a topic's name, or a POSIX extended regular expression that begins with ^.")));
}

/*
 * What the C library's own compiler takes too much time or memory for: a repetition by numbers is unrolled, and nested ones multiply; a
 * back reference makes a match exponential. No topic's name has a brace.
 */
static const char *
topics_expression_problem(const char *expression)
{
	if (strlen(expression) > EXPRESSION_MAX_BYTES)
		return "A regular expression has at most 249 bytes.";
	if (strpbrk(expression, "{}") != NULL)
		return "A regular expression for topics has no repetition by numbers: use *, + or ?.";
	for (const char *at = expression; *at != '\0'; at++)
	{
		if ((unsigned char) *at < ' ' || (unsigned char) *at > '~')
			return "Topics' names are ASCII, and so are expressions for them.";
		if (at[0] == '\\' && at[1] >= '0' && at[1] <= '9')
			return "A regular expression for topics has no back references.";
	}
	return NULL;
}

static void
topics_check_expression(const char *expression)
{
	const char *problem = topics_expression_problem(expression);
	regex_t compiled;
	char words[200];
	int result;

	if (problem != NULL)
		topics_invalid(expression, problem);
	result = regcomp(&compiled, expression, REG_EXTENDED | REG_NOSUB);
	if (result == 0)
	{
		regfree(&compiled);
		return;
	}
	regerror(result, &compiled, words, sizeof(words));
	topics_invalid(expression, psprintf("%s.", words));
}

static void
topics_check_twice(List *topics, const ListCell *cell)
{
	for (const ListCell *other = list_head(topics); other != cell; other = lnext(topics, other))
	{
		if (strcmp(lfirst(other), lfirst(cell)) == 0)
			topics_invalid(lfirst(cell), "It is there twice.");
	}
}

void
stream_topics_check(List *topics)
{
	ListCell *cell;

	if (list_length(topics) > TOPICS_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("topics has more than %d elements", TOPICS_MAX),
		                errhint("Name them by a regular expression: topics => '{^orders_}'.")));
	foreach (cell, topics)
	{
		const char *topic = lfirst(cell);

		topics_check_twice(topics, cell);
		if (topic[0] == '^')
			topics_check_expression(topic);
		else if (kafka_topic_problem(topic) != NULL)
			topics_invalid(topic, kafka_topic_problem(topic));
	}
}

const char *
stream_topics_single(List *topics)
{
	const char *first = topics != NIL ? linitial(topics) : NULL;

	return list_length(topics) == 1 && first[0] != '^' ? first : NULL;
}

static bool
topics_expression_matches(const char *expression, const char *topic)
{
	regex_t compiled;
	bool matches;

	if (strncmp(topic, "__", 2) == 0 && strncmp(expression, "^__", 3) != 0)
		return false;
	if (regcomp(&compiled, expression, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	matches = regexec(&compiled, topic, 0, NULL, 0) == 0;
	regfree(&compiled);
	return matches;
}

bool
stream_topics_have(List *topics, const char *topic)
{
	ListCell *cell;

	foreach (cell, topics)
	{
		const char *element = lfirst(cell);

		if (element[0] == '^' ? topics_expression_matches(element, topic) : strcmp(element, topic) == 0)
			return true;
	}
	return false;
}
