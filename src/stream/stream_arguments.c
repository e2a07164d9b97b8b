/*
 * stream_arguments.c
 *	  What a stream is made or altered with. See stream_arguments.h.
 */
#include "postgres.h"

#include "stream/stream_arguments.h"
#include "stream/stream_topics.h"

const char *const stream_on_conflict_words[] = {"error", "ignore", "update", NULL};
const char *const stream_on_error_words[] = {"dead_letter", "stop", NULL};
const char *const stream_start_words[] = {"earliest", "latest", "timestamp", NULL};

/*
 * Longest name in bytes: PostgreSQL's own names' length. It is in the title of the worker's process, in application_name, and in shared
 * memory.
 */
#define NAME_MAX_BYTES (NAMEDATALEN - 1)

/*
 * Kafka itself takes 32,767 bytes (the length of a string in its protocol). Each commit carries it, and tools show it in a table's
 * column: 255, as file names have.
 */
#define GROUP_MAX_BYTES 255

/* A whole number's bounds, and why. */
typedef struct StreamBound
{
	const char *name;
	size_t offset; /* in KsegStreamEntry */
	int minimum;
	int maximum;
	const char *why;
} StreamBound;

static const StreamBound stream_bounds[] = {
    /* The worker's memory for a batch ends it at 16 MB, whatever its rows (stream_turn.c): a million rows of 16 bytes. */
    {"batch_rows", offsetof(KsegStreamEntry, batch_rows), 1, 1000000,
     "A batch is one transaction, and is held in memory while it is applied."},
    /* Each is a PostgreSQL process and a courier with connections to the brokers; more than partitions they cannot use. */
    {"workers", offsetof(KsegStreamEntry, workers), 1, 64,
     "Each worker is a process of the server and a courier, and has some of the topic's partitions."},
};

/* Messages wait in memory meanwhile, and nobody sees their rows: an hour is more than anybody who streams will want. */
#define BATCH_INTERVAL_MAX_MS (3600 * 1000)

void
stream_arguments_preset(KsegStreamEntry *entry)
{
	entry->on_conflict = KSEG_ON_CONFLICT_ERROR;
	entry->start = KSEG_START_EARLIEST;
	entry->batch_rows = 10000;
	entry->batch_interval_ms = 0;
	entry->workers = 1;
	entry->on_error = KSEG_STREAM_DEAD_LETTER;
	entry->max_dead_letter_rate = 0.5;
	entry->enabled = true;
}

/* ---------- texts ---------- */

/* A control character breaks titles of processes, logs and tables that show it. */
static bool
stream_is_printable(const char *text)
{
	for (const char *at = text; *at != '\0'; at++)
	{
		if ((unsigned char) *at < ' ' || *at == 0x7f)
			return false;
	}
	return true;
}

void
stream_arguments_check_name(const char *name)
{
	const char *problem = name[0] == '\0'                 ? "It is empty."
	                      : strlen(name) > NAME_MAX_BYTES ? "It is too long."
	                      : !stream_is_printable(name)    ? "There is a control character in it."
	                                                      : NULL;

	if (problem != NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("invalid value for name: \"%s\"", stream_is_printable(name) ? name : "..."),
		         errdetail("%s", problem),
		         errhint("A stream's name has 1 to %d bytes and no control characters.", NAME_MAX_BYTES)));
}

static void
stream_check_group(const char *group)
{
	if (strlen(group) > GROUP_MAX_BYTES || !stream_is_printable(group))
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("invalid value for commit_group: \"%s\"", stream_is_printable(group) ? group : "..."),
		         errhint("The name of a Kafka consumer group has 1 to %d bytes and no control characters; '' "
		                 "for none.",
		                 GROUP_MAX_BYTES)));
}

/* A text that a stream cannot be without. */
static void
stream_take_text(const KsegArguments *arguments, const char *name, char **field, bool *given)
{
	char *text = arguments_text(arguments, name);

	if (text != NULL)
	{
		*given = true;
		*field = text;
	}
	if (*field == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be NULL", name)));
}

/* A text that may be taken away by ''. */
static void
stream_take_option(const KsegArguments *arguments, const char *name, char **field, bool *given)
{
	char *text = arguments_text(arguments, name);

	if (text == NULL)
		return;
	*given = true;
	*field = text[0] != '\0' ? text : NULL;
}

static void
stream_take_list(const KsegArguments *arguments, const char *name, List **field, bool *given)
{
	bool here;
	List *list = arguments_text_list(arguments, name, &here);

	if (!here)
		return;
	*given = true;
	*field = list;
}

/* ---------- words and numbers ---------- */

static void
stream_take_word(const KsegArguments *arguments, const char *name, const char *const *words, int *field,
                 bool *given)
{
	if (arguments_text(arguments, name) == NULL)
		return;
	*field = arguments_choice(arguments, name, words);
	*given = true;
}

static void
stream_take_bounded(const KsegArguments *arguments, const StreamBound *bound, KsegStreamEntry *entry,
                    bool *given)
{
	int value;

	if (!arguments_int(arguments, bound->name, &value))
		return;
	if (value < bound->minimum || value > bound->maximum)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid value for %s: %d", bound->name, value), errdetail("%s", bound->why),
		                errhint("Valid values are %d to %d.", bound->minimum, bound->maximum)));
	*(int *) ((char *) entry + bound->offset) = value;
	*given = true;
}

static void
stream_take_interval(const KsegArguments *arguments, KsegStreamEntry *entry, bool *given)
{
	double ms;

	if (!arguments_interval_ms(arguments, "batch_interval", &ms))
		return;
	if (!(ms >= 0 && ms <= BATCH_INTERVAL_MAX_MS))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for batch_interval"),
		                errdetail("So long a batch that is not full waits for more messages."),
		                errhint("Valid values are 0 to 1 hour; 0 takes what is there.")));
	entry->batch_interval_ms = (int) ms;
	*given = true;
}

static void
stream_take_rate(const KsegArguments *arguments, KsegStreamEntry *entry, bool *given)
{
	double rate;

	if (!arguments_double(arguments, "max_dead_letter_rate", &rate))
		return;
	/* NaN is in no range. */
	if (!(rate >= 0 && rate <= 1))
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("invalid value for max_dead_letter_rate: %g", rate),
		         errdetail("It is the share of the last messages above which the stream stops by itself."),
		         errhint("Valid values are 0 to 1; 1 never stops it.")));
	entry->max_dead_letter_rate = rate;
	*given = true;
}

/* ---------- all of them ---------- */

KsegStreamGiven
stream_arguments_take(KsegStreamEntry *entry, const KsegArguments *arguments)
{
	KsegStreamGiven given = {false, false};
	int on_conflict = entry->on_conflict;
	int on_error = entry->on_error;

	stream_take_text(arguments, "query", &entry->query, &given.names);
	stream_take_text(arguments, "target", &entry->target, &given.names);
	stream_take_option(arguments, "delete_when", &entry->delete_when, &given.names);
	given.any = given.names;
	stream_take_list(arguments, "key", &entry->key, &given.any);
	stream_take_word(arguments, "on_conflict", stream_on_conflict_words, &on_conflict, &given.any);
	stream_take_word(arguments, "on_error", stream_on_error_words, &on_error, &given.any);
	entry->on_conflict = (KsegStreamOnConflict) on_conflict;
	entry->on_error = (KsegStreamOnError) on_error;
	stream_take_list(arguments, "topics", &entry->topics, &given.any);
	stream_topics_check(entry->topics);
	for (int i = 0; i < lengthof(stream_bounds); i++)
		stream_take_bounded(arguments, &stream_bounds[i], entry, &given.any);
	stream_take_interval(arguments, entry, &given.any);
	stream_take_rate(arguments, entry, &given.any);
	stream_take_option(arguments, "commit_group", &entry->commit_group, &given.any);
	if (entry->commit_group != NULL)
		stream_check_group(entry->commit_group);
	return given;
}
