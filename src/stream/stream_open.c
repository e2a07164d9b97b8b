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

/* How often a worker that is not the first looks whether the first positions are there. They take a second or two, once. */
#define OPEN_BEGUN_LOOK_MS 500

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

static void
open_statement(KsegStreamWork *work)
{
	stream_transaction_begin();
	MemoryContextSwitchTo(work->session);
	work->statement = stream_statement_create(work->entry);
	work->reading = stream_reading_create(work->statement, work->session);
	work->stored = position_list(work->entry->id, &work->stored_count);
	open_note_followed(work);
	stream_transaction_commit(work);
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

/* Milliseconds since 1970. */
static int64
open_start_ms(const KsegStreamEntry *entry)
{
	if (entry->start != KSEG_START_TIME)
		return 0;
	return (entry->start_time + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000;
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
		stream_turn_sleep(OPEN_BEGUN_LOOK_MS);
		return;
	}
	pgstat_report_activity(STATE_RUNNING, psprintf("stream %s: opening", work->entry->name));
	open_set_search_path(work->entry);
	open_statement(work);
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

/*
 * What the courier says of where partitions begin is an answer to the definition that this worker has read. When that has changed (reset_stream,
 * say) it must not be stored.
 */
static void
open_hold_definition(const KsegStreamWork *work)
{
	if (!stream_entry_hold(work->entry->id, work->entry->revision))
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
		                errmsg("the definition of stream \"%s\" was changed while positions were looked for",
		                       work->entry->name)));
}

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

		position_add(work->entry->id, &position);
	}
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
