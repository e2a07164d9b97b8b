/*
 * replay_table.c
 *	  A stream's dead letters, applied once more. See stream_replay.h.
 *
 * As whom. What runs here is the owner's: his query, the triggers and defaults of the target. The caller has the owner's rights already (he is the
 * owner, belongs to him, or is a superuser), so running it as the owner gives him nothing new. The other direction is the danger: the owner
 * may be the weaker one, and his code must gain nothing by running in the caller's session. So for another role than the caller
 * himself the user is switched with SECURITY_RESTRICTED_OPERATION (no SET ROLE, no temporary tables, no cursor or prepared statement
 * that outlives this), and the settings that the code changes are put back.
 *
 * What is left is deferred triggers: at commit they would run as the caller, and a restricted operation refuses to queue them. So
 * constraints are set immediate before the switch, for the rest of the transaction: what the caller himself has deferred fires as
 * him, and what a letter fires, fires inside the letter's own subtransaction, where a violation is that letter's. Before a letter's
 * subtransaction ends it is done again, in case that a trigger has deferred something itself.
 *
 * One letter, one subtransaction: they are few, and each has its own fault. What is no letter's fault (no rights, a lock timeout, a
 * cancel) ends the whole call, which then has done nothing.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "source/topic_feed.h"
#include "source/topic_reread.h"
#include "stream/stream_failure.h"
#include "stream/stream_replay.h"
#include "stream/stream_statement.h"

/* A stream as its worker sees it, with batches of one message that come from letters. */
typedef struct ReplayTable
{
	KsegStreamEntry *entry;
	KsegStreamStatement *statement;
	KsegTopicReread *reread;
	KsegTopicBatch *batch;
	KsegTopicFeed feed;
	KsegFeedPartition partition;
	MemoryContext letter_context; /* reset before each letter */
	int problem_code;             /* of a message that the columns cannot take; 0: none */
	char *problem;
} ReplayTable;

/* ---------- the caller and the owner ---------- */

typedef struct ReplayUser
{
	Oid user;
	int security;
	int settings; /* nest level */
} ReplayUser;

/* As SET CONSTRAINTS ALL IMMEDIATE: triggers that were deferred fire now. */
static void
replay_fire_deferred(void)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	statement->constraints = NIL;
	statement->deferred = false;
	AfterTriggerSetState(statement);
}

static void
replay_become_owner(const KsegStreamEntry *entry, ReplayUser *before)
{
	GetUserIdAndSecContext(&before->user, &before->security);
	replay_fire_deferred();
	if (entry->owner != before->user)
		SetUserIdAndSecContext(entry->owner, before->security | SECURITY_LOCAL_USERID_CHANGE |
		                                         SECURITY_RESTRICTED_OPERATION);
	before->settings = NewGUCNestLevel();
	stream_query_set_search_path(entry);
}

static void
replay_become_caller(const ReplayUser *before)
{
	/* As after a rollback: GUC_ACTION_LOCAL and what the owner's code has set are both undone. */
	AtEOXact_GUC(false, before->settings);
	SetUserIdAndSecContext(before->user, before->security);
}

/* ---------- the stream ---------- */

static void
replay_take_problem(void *argument, int index, int sqlerrcode, const char *reason)
{
	ReplayTable *replay = argument;

	replay->problem_code = sqlerrcode;
	replay->problem = MemoryContextStrdup(replay->letter_context, reason);
}

/* Everything that a worker has before its first batch. SPI connected. */
static ReplayTable *
replay_open(KsegStreamEntry *entry)
{
	ReplayTable *replay = palloc0(sizeof(ReplayTable));
	KsegTopicFeed *feed = &replay->feed;
	KsegTopicRequest request;

	replay->entry = entry;
	replay->statement = stream_statement_create(entry);
	feed->table = topic_table_get(replay->statement->query->source);
	feed->needed = stream_statement_needed(replay->statement);
	feed->row = topic_row_create(feed->table, feed->needed);
	/* No courier is started, so its server's settings and mapping mean nothing. */
	topic_request_of_table(&request, NULL, feed->table);
	topic_feed_request(feed->row, &request);
	replay->reread = topic_reread_open(&request);
	replay->batch = topic_batch_create(request.fields);
	replay->letter_context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg replayed letter", ALLOCSET_DEFAULT_SIZES);
	feed->batch = replay->batch;
	feed->to = 1;
	feed->partitions = &replay->partition;
	feed->partition_count = 1;
	feed->problem = replay_take_problem;
	feed->argument = replay;
	return replay;
}

/* ---------- a letter ---------- */

/* Milliseconds since 1970 of a time that has them only, for it was made of them. */
static int64
replay_message_ms(const KsegReplayLetter *letter)
{
	if (!letter->has_time)
		return KSEG_NO_TIMESTAMP;
	return letter->time / 1000 + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
}

static void
replay_fill_batch(ReplayTable *replay, const KsegReplayLetter *letter)
{
	const char *headers = letter->headers != NULL ? letter->headers : "[]";
	KsegTopicMessage message = {.offset = letter->offset,
	                            .timestamp = replay_message_ms(letter),
	                            .key = letter->key,
	                            .value = letter->value};

	headers = pg_server_to_any(headers, (int) strlen(headers), PG_UTF8);
	message.headers = (KsegText){headers, (uint32) strlen(headers)};
	replay->partition = (KsegFeedPartition){letter->topic, letter->partition};
	topic_batch_reset(replay->batch);
	topic_reread_add(replay->reread, &message, replay->batch);
}

/*
 * Apply what is in the batch, in a subtransaction. Returns NULL, or what was wrong, in the letter's context; the subtransaction is over
 * either way. A message that the columns cannot take leaves no error, but replay->problem.
 */
static ErrorData *
replay_try(ReplayTable *replay)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	replay->problem_code = 0;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		topic_feed_set(&replay->feed);
		(void) stream_statement_run(replay->statement);
		topic_feed_set(NULL);
		replay_fire_deferred();
		if (replay->problem_code == 0)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		topic_feed_set(NULL);
		MemoryContextSwitchTo(replay->letter_context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/* One line of an error. */
static char *
replay_error_words(const ErrorData *error)
{
	char *words =
	    error->detail != NULL ? psprintf("%s (%s)", error->message, error->detail) : pstrdup(error->message);

	for (char *at = words; *at != '\0'; at++)
	{
		if ((unsigned char) *at < ' ')
			*at = ' ';
	}
	return words;
}

static void
replay_apply(ReplayTable *table, const KsegReplayLetter *letter, KsegReplay *replay)
{
	ErrorData *error;

	replay_fill_batch(table, letter);
	error = replay_try(table);
	if (error != NULL && stream_statement_take_last(table->statement, error->sqlerrcode))
		error = replay_try(table);
	if (error != NULL && stream_failure_sort(error) != KSEG_FAULT_MESSAGE)
		ReThrowError(error);
	if (error != NULL)
		replay_letter_keep(replay, letter->id, error->sqlerrcode, 0, replay_error_words(error));
	else if (table->problem_code != 0)
		replay_letter_keep(replay, letter->id, table->problem_code, 0, table->problem);
	else
		replay_letter_settle(replay, letter->id);
}

static void
replay_letters(ReplayTable *table, KsegReplay *replay)
{
	for (int64 i = 0; i < replay->count; i++)
	{
		MemoryContext previous;
		KsegReplayLetter letter;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(table->letter_context);
		previous = MemoryContextSwitchTo(table->letter_context);
		/* Gone: a trigger of the target has discarded it. */
		if (replay_letter_get(replay->ids[i], &letter))
		{
			if (letter.incomplete)
				replay_letter_keep(replay, letter.id, ERRCODE_PROGRAM_LIMIT_EXCEEDED, 0,
				                   replay_letter_incomplete);
			else
				replay_apply(table, &letter, replay);
		}
		MemoryContextSwitchTo(previous);
	}
}

void
replay_stream(const char *stream, KsegReplay *replay)
{
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg replay", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	KsegStreamEntry *entry = stream_entry_get_by_name(stream);
	ReplayTable *table;
	ReplayUser before;

	if (entry == NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("stream \"%s\" does not exist any more", stream),
		         errhint("Make it again to replay its dead letters, or discard them: "
		                 "kseg.discard_dead_letters(stream => %s).",
		                 quote_literal_cstr(stream))));
	stream_entry_check_owner(entry);
	if (!OidIsValid(entry->owner))
		ereport(ERROR,
		        (errcode(ERRCODE_UNDEFINED_OBJECT),
		         errmsg("the owner of stream \"%s\" does not exist: \"%s\"", stream, entry->owner_name),
		         errhint("Give it another one: kseg.alter_stream(%s, owner => ...).",
		                 quote_literal_cstr(stream))));
	replay_become_owner(entry, &before);
	table = replay_open(entry);
	replay_letters(table, replay);
	stream_statement_free(table->statement);
	replay_become_caller(&before);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}
