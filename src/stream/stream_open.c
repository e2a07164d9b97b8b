/*
 * stream_open.c
 *	  What a worker opens together and closes together: definition, statement, positions, courier. See stream_work.h.
 *
 * Opening looks at everything as it is now. Whatever turns out not to fit any more (a position that somebody else has moved, columns that
 * the query needs besides, a courier that was lost) is put right by closing all and opening it again.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "stream/stream_fault.h"
#include "stream/stream_query.h"
#include "stream/stream_slot.h"
#include "stream/stream_topics.h"
#include "stream/stream_work.h"

/*
 * Records that the courier holds ready while PostgreSQL applies others: some 25,000 messages of 300 bytes, more than two batches of the
 * default size, so that neither waits for the other.
 */
#define OPEN_PENDING_BYTES (8 * 1024 * 1024)

/*
 * How soon a worker that is not the first looks again whether the first positions are there: they take some tenths of a second, and, while
 * no broker is there, as long as it takes. Then it looks as often as an idle stream may wake up.
 */
#define OPEN_BEGUN_LOOK_FIRST_MS 50
#define OPEN_BEGUN_LOOK_MAX_MS   500

/* How often a courier says that it lives. Six times without it are half a minute: no user waits longer, and nothing else is this slow. */
#define OPEN_ALIVE_MS 5000

/* ---------- the definition ---------- */

/* A worker that there are too many of, because its stream was given fewer, ends too. */
static bool
open_runs(const KsegStreamEntry *entry, int worker)
{
	return entry != NULL && entry->enabled && entry->halted == NULL && entry->owner == GetUserId() &&
	       worker < entry->workers;
}

/* Read the definition. False: there is nothing to run any more; the process ends, and the launcher knows or will know better. */
static bool
open_entry(KsegStreamWork *work)
{
	KsegStreamEntry *entry = NULL;

	stream_transaction_begin();
	MemoryContextSwitchTo(work->session);
	if (OidIsValid(get_extension_oid("kseg", true)))
		entry = stream_entry_get(work->argument.stream);
	stream_transaction_commit(work);
	if (!open_runs(entry, work->argument.worker))
	{
		work->over = true;
		return false;
	}
	work->entry = entry;
	stream_slot_set_revision(entry->revision);
	if (work->tries.max != entry->batch_rows)
		stream_tries_init(&work->tries, entry->batch_rows);
	return true;
}

/*
 * For the session, not for each transaction: the worker serves one stream, and a plan that was made under another search_path is made anew.
 * Outside of a transaction, so that none takes it back.
 */
static void
open_set_search_path(const KsegStreamEntry *entry)
{
	SetConfigOption("search_path", entry->search_path, PGC_USERSET, PGC_S_SESSION);
}

/*
 * What the courier says of where partitions begin is an answer to the definition that this worker has read. When that has changed (reset_stream,
 * say) it must not be stored. Until the end of the transaction.
 */
static void
open_hold_definition(const KsegStreamWork *work)
{
	if (!stream_entry_hold(work->entry->id, work->entry->revision))
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
		                errmsg("the definition of stream \"%s\" was changed while positions were looked for",
		                       work->entry->name)));
}

/* Names and expressions (of char *). */
static List *
open_topics(const KsegStreamWork *work)
{
	return work->entry->topics != NIL ? work->entry->topics
	                                  : list_make1(unconstify(char *, work->reading->table->topic));
}

/*
 * Positions of topics that are not among those that the definition reads now are kept for the day when they are again, and count for nothing until
 * then. The first worker writes down which these are, in the order in which batches lock them.
 */
static void
open_note_followed(KsegStreamWork *work)
{
	List *topics = open_topics(work);
	const KsegPosition *before = NULL;

	for (int i = 0; i < work->stored_count; i++)
	{
		KsegPosition *stored = &work->stored[i];
		bool followed = before != NULL && strcmp(before->topic, stored->topic) == 0
		                    ? before->followed
		                    : stream_topics_have(topics, stored->topic);

		if (followed != stored->followed && work->argument.worker == 0)
			position_set_followed(work->entry->id, stored->topic, stored->partition, followed);
		stored->followed = followed;
		before = stored;
	}
}

/*
 * Are all positions there that were stored? Without one a partition would begin at its first message once more. What changes the number otherwise
 * (reset_stream) changes the revision, too, and then nothing can be told.
 */
static bool
open_has_positions(const KsegStreamWork *work)
{
	if (work->stored_count >= work->entry->positions)
		return true;
	open_hold_definition(work);
	return false;
}

/* Somebody has deleted them, or a restore has not brought them. */
static void
open_halt_lost(KsegStreamWork *work)
{
	ErrorData error = {.elevel = LOG, .sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE};

	error.message = psprintf("positions of the stream are lost: %d were stored, %d are there",
	                         work->entry->positions, work->stored_count);
	error.detail = "Where a partition was to be read on is not known any more, and from its first message "
	               "its rows would come twice.";
	error.hint =
	    "Say where to go on with kseg.reset_stream(): by offsets, if the target's rows or a backup of "
	    "kseg.position tell them.";
	stream_halt(work, "gap", &error);
}

/* False: the stream has halted. */
static bool
open_statement(KsegStreamWork *work)
{
	bool complete;

	stream_transaction_begin();
	MemoryContextSwitchTo(work->session);
	work->statement = stream_statement_create(work->entry);
	work->reading = stream_reading_create(work->statement, work->session);
	work->stored = position_list(work->entry->id, &work->stored_count);
	complete = open_has_positions(work);
	if (complete)
		open_note_followed(work);
	stream_transaction_commit(work);
	if (!complete)
		open_halt_lost(work);
	return complete;
}

/* ---------- the courier ---------- */

static const char *
open_start_word(KsegStreamStart start)
{
	switch (start)
	{
		case KSEG_START_EARLIEST:
			return "earliest";
		case KSEG_START_LATEST:
			return "latest";
		case KSEG_START_TIME:
			return "timestamp";
	}
	elog(ERROR, "unknown start %d of a stream", (int) start);
}

/* Milliseconds since 1970, not before the time: a message of the millisecond that it is within may be earlier. */
static int64
open_start_ms(const KsegStreamEntry *entry)
{
	if (entry->start != KSEG_START_TIME)
		return 0;
	return (entry->start_time + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY + 999) /
	       1000;
}

static const char **
open_topic_names(const KsegStreamWork *work, int *count)
{
	const List *topics = open_topics(work);
	const char **names = palloc(sizeof(char *) * Max(list_length(topics), 1));
	ListCell *cell;

	*count = 0;
	foreach (cell, topics)
		names[(*count)++] = lfirst(cell);
	return names;
}

static KsegFollowPosition *
open_positions(const KsegStreamWork *work, int *count)
{
	KsegFollowPosition *positions = palloc(sizeof(KsegFollowPosition) * Max(work->stored_count, 1));

	*count = 0;
	for (int i = 0; i < work->stored_count; i++)
	{
		const KsegPosition *stored = &work->stored[i];

		if (!stored->followed)
			continue;
		positions[(*count)++] = (KsegFollowPosition){
		    .topic = stored->topic,
		    .partition = stored->partition,
		    .next = stored->next,
		    .seen_offset = stored->seen_offset,
		    .seen_time = stored->seen_time,
		};
	}
	return positions;
}

/* One worker alone finds the first positions, of all partitions; afterwards each takes its own. */
static void
open_follow(KsegStreamWork *work)
{
	const KsegStreamEntry *entry = work->entry;
	KsegFollowRequest request = {
	    .read = work->reading->request,
	    .begun = entry->begun,
	    .start = open_start_word(entry->start),
	    .start_ms = open_start_ms(entry),
	    .workers = entry->begun ? entry->workers : 1,
	    .worker = entry->begun ? work->argument.worker : 0,
	    .commit_group = entry->commit_group,
	    .pending_bytes = OPEN_PENDING_BYTES,
	    .alive_ms = KSEG_FAULT_LIMIT("courier limit", OPEN_ALIVE_MS),
	};

	request.topics = open_topic_names(work, &request.topic_count);
	request.positions = open_positions(work, &request.position_count);
	MemoryContextSwitchTo(work->session);
	work->follow = topic_follow_open(&request);
	work->batch = topic_batch_create(work->reading->request.fields);
	MemoryContextSwitchTo(work->turn);
	work->beginning = !entry->begun;
}

void
stream_open(KsegStreamWork *work)
{
	work->phase = KSEG_PHASE_OPENING;
	stream_close(work);
	if (!open_entry(work))
		return;
	if (!work->entry->begun && work->argument.worker != 0)
	{
		stream_close(work);
		work->begun_look_ms =
		    Min(Max(2 * work->begun_look_ms, OPEN_BEGUN_LOOK_FIRST_MS), OPEN_BEGUN_LOOK_MAX_MS);
		stream_turn_sleep(work->begun_look_ms);
		return;
	}
	work->begun_look_ms = 0;
	pgstat_report_activity(STATE_RUNNING, psprintf("stream %s: opening", work->entry->name));
	open_set_search_path(work->entry);
	if (!open_statement(work))
		return;
	open_follow(work);
	KSEG_FAULT_POINT("after open");
	pgstat_report_activity(STATE_IDLE, psprintf("stream %s: waiting for the broker", work->entry->name));
}

void
stream_close(KsegStreamWork *work)
{
	topic_follow_close(work->follow);
	stream_statement_free(work->statement);
	work->entry = NULL;
	work->statement = NULL;
	work->reading = NULL;
	work->follow = NULL;
	work->running = work->beginning = false;
	work->stored = work->settled = NULL;
	work->partitions = NULL;
	work->stored_count = work->settled_count = work->settled_room = 0;
	work->batch = NULL;
	work->idle_since = 0;
	work->applying = false;
	work->culprit.index = -1;
	stream_tries_begin(&work->tries, 0);
	MemoryContextReset(work->session);
}

/* ---------- partitions ---------- */

/* As it is to be stored when there was none. */
static KsegPosition
open_first_position(const KsegFollowPartition *partition)
{
	return (KsegPosition){
	    .topic = partition->topic,
	    .partition = partition->partition,
	    .next = partition->start,
	    .seen_offset = KSEG_POSITION_NONE,
	    .seen_time = KSEG_POSITION_NONE,
	};
}

bool
stream_open_first(KsegStreamWork *work)
{
	const KsegFollowPartition *partitions;
	KsegFrame frame;
	bool known;
	int count;
	int added = 0;

	work->phase = KSEG_PHASE_READING;
	/* Records come as well; they are read again from the positions that are stored here. */
	while (topic_follow_poll(work->follow, &frame))
		CHECK_FOR_INTERRUPTS();
	stream_slot_set_trouble(topic_follow_trouble(work->follow));
	partitions = topic_follow_partitions(work->follow, &count, &known);
	if (!known)
	{
		topic_follow_wait(work->follow, -1);
		return false;
	}
	stream_transaction_begin();
	open_hold_definition(work);
	for (int i = 0; i < count; i++)
	{
		KsegPosition position = open_first_position(&partitions[i]);

		added += position_add(work->entry->id, &position);
	}
	stream_entry_add_positions(work->entry->id, added);
	stream_entry_set_begun(work->entry->id, work->entry->revision);
	KSEG_FAULT_POINT("before begin");
	stream_transaction_commit(work);
	KSEG_FAULT_POINT("after begin");
	stream_close(work);
	return true;
}

static int
open_compare_positions(const void *key, const void *element)
{
	const KsegPosition *one = key;
	const KsegPosition *other = element;
	int topics = strcmp(one->topic, other->topic);

	if (topics != 0)
		return topics;
	return one->partition < other->partition ? -1 : one->partition > other->partition;
}

/*
 * Where a partition stands. One that has appeared since the stream began is stored before its first record is applied. When somebody else
 * has stored it meanwhile, what the courier was told is out of date.
 */
static KsegPosition
open_take_partition(const KsegStreamWork *work, const KsegFollowPartition *partition)
{
	KsegPosition position = open_first_position(partition);
	const KsegPosition *stored =
	    bsearch(&position, work->stored, work->stored_count, sizeof(KsegPosition), open_compare_positions);
	bool added;

	if (stored != NULL)
		return *stored;
	stream_transaction_begin();
	open_hold_definition(work);
	added = position_add(work->entry->id, &position);
	if (added)
		stream_entry_add_positions(work->entry->id, 1);
	stream_transaction_commit(work);
	if (!added)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
		                errmsg("the position of a partition was stored by somebody else"),
		                errdetail("Partition %d of topic \"%s\".", partition->partition, partition->topic)));
	return position;
}

static void
open_make_room(KsegStreamWork *work, int count)
{
	int room = Max(16, work->settled_room);

	while (room < count)
		room *= 2;
	if (room == work->settled_room)
		return;
	if (work->settled == NULL)
	{
		work->settled = MemoryContextAlloc(work->session, sizeof(KsegPosition) * room);
		work->partitions = MemoryContextAlloc(work->session, sizeof(KsegFeedPartition) * room);
	}
	else
	{
		work->settled = repalloc(work->settled, sizeof(KsegPosition) * room);
		work->partitions = repalloc(work->partitions, sizeof(KsegFeedPartition) * room);
	}
	work->settled_room = room;
}

void
stream_take_partitions(KsegStreamWork *work)
{
	int count;
	bool known;
	const KsegFollowPartition *partitions = topic_follow_partitions(work->follow, &count, &known);

	if (count == work->settled_count)
		return;
	open_make_room(work, count);
	for (int i = work->settled_count; i < count; i++)
	{
		KsegPosition position = open_take_partition(work, &partitions[i]);

		/* The follow's own names may move when there are more. */
		position.topic = MemoryContextStrdup(work->session, position.topic);
		work->settled[i] = position;
		work->partitions[i] = (KsegFeedPartition){position.topic, position.partition};
		work->settled_count = i + 1;
	}
}
