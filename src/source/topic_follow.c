/*
 * topic_follow.c
 *	  Topics without an end. See topic_follow.h.
 *
 * Invariants:
 * - partitions[i] is the partition of index i; entries are added and never move or go.
 * - A record that is handed over lies at its partition's next or behind it: nothing comes twice, and nothing out of order.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "link/link_failure.h"
#include "link/link_text.h"
#include "server/config_write.h"
#include "source/topic_follow.h"

/*
 * How often the courier looks for new partitions and topics: a partition that is found late waits for so long, and the answer of a
 * broker with 10,000 partitions has about a megabyte.
 */
#define FOLLOW_DISCOVERY_MS 5000

/*
 * So often may a courier fail to say in time that it lives before it is given up: with the five seconds of a stream, no machine is so busy. Only time
 * that was waited through counts, at most alive_ms at once: neither a clock that is set nor a machine that was asleep makes a courier silent.
 */
#define FOLLOW_SILENCES 6

/* Longest name of a topic (Kafka: Topic.MAX_NAME_LENGTH). */
#define FOLLOW_TOPIC_MAX 249

/* Bytes of CONFIG besides lists and wants: reserved at once, so that no copy with a password is left where it grew. */
#define FOLLOW_CONFIG_START (64 * 1024)

struct KsegTopicFollow
{
	MemoryContext context;
	KsegLink *link;
	uint32 fields;
	bool grouped; /* a group is told of what is committed */
	int alive_ms;
	int64 silent_ms; /* waited through since the courier was heard last */
	KsegFollowPartition *partitions;
	int count;
	int room;
	bool known;
	StringInfoData trouble;
};

/* ---------- what is asked for ---------- */

static void
follow_append_string(StringInfo json, const char *text)
{
	escape_json(json, pg_server_to_any(text, strlen(text), PG_UTF8));
}

static char *
follow_topics(const KsegFollowRequest *request)
{
	StringInfoData list;

	initStringInfo(&list);
	appendStringInfoChar(&list, '[');
	for (int i = 0; i < request->topic_count; i++)
	{
		appendStringInfoString(&list, i > 0 ? "," : "");
		follow_append_string(&list, request->topics[i]);
	}
	appendStringInfoChar(&list, ']');
	return list.data;
}

static char *
follow_positions(const KsegFollowRequest *request)
{
	StringInfoData list;

	initStringInfo(&list);
	appendStringInfoChar(&list, '[');
	for (int i = 0; i < request->position_count; i++)
	{
		const KsegFollowPosition *position = &request->positions[i];

		appendStringInfo(&list, "%s{\"topic\":", i > 0 ? "," : "");
		follow_append_string(&list, position->topic);
		appendStringInfo(&list,
		                 ",\"partition\":%d,\"next\":" INT64_FORMAT ",\"seen_offset\":" INT64_FORMAT
		                 ",\"seen_time\":" INT64_FORMAT "}",
		                 position->partition, position->next, position->seen_offset, position->seen_time);
	}
	appendStringInfoChar(&list, ']');
	return list.data;
}

static void
follow_write_config(const KsegFollowRequest *request, StringInfo json)
{
	const KsegTopicRequest *read = &request->read;
	char *topics = follow_topics(request);
	char *positions = follow_positions(request);

	enlargeStringInfo(json, FOLLOW_CONFIG_START + strlen(topics) + strlen(positions) + strlen(read->wants));
	kafka_server_config(read->server, "kafka_follow", json);
	topic_request_write_fields(read, json);
	config_json(json, "topics", topics);
	config_json(json, "positions", positions);
	config_int(json, "begun", request->begun);
	config_text(json, "start", request->start);
	config_int(json, "start_ms", request->start_ms);
	config_int(json, "workers", request->workers);
	config_int(json, "worker", request->worker);
	config_text(json, "commit_group", request->commit_group);
	config_int(json, "pending_bytes", (int64) request->pending_bytes);
	config_int(json, "discovery_ms", FOLLOW_DISCOVERY_MS);
	config_int(json, "alive_ms", request->alive_ms);
	appendStringInfoChar(json, '}');
}

/*
 * CONFIG is UTF-8. A database of another encoding looks up the conversion in its catalog, and only a transaction can do that; a worker
 * calls from outside of any.
 */
static void
follow_write_config_anywhere(const KsegFollowRequest *request, StringInfo json)
{
	MemoryContext context = CurrentMemoryContext;
	bool begin = GetDatabaseEncoding() != PG_UTF8 && !IsTransactionState();

	if (begin)
		StartTransactionCommand();
	MemoryContextSwitchTo(context);
	follow_write_config(request, json);
	if (begin)
		CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

/* ---------- what comes ---------- */

/* Kafka's rule for a name (Topic.LEGAL_CHARS): ASCII, so that it is the same in every encoding. */
static bool
follow_is_topic(KsegText name)
{
	for (uint32 i = 0; i < name.length; i++)
	{
		char c = name.data[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
		      c == '_' || c == '-'))
			return false;
	}
	return name.length > 0 && name.length <= FOLLOW_TOPIC_MAX;
}

/* Partitions of one topic mostly come together: they share the name. */
static char *
follow_topic_name(const KsegTopicFollow *follow, KsegText name)
{
	if (follow->count > 0)
	{
		char *last = follow->partitions[follow->count - 1].topic;

		if (strlen(last) == name.length && memcmp(last, name.data, name.length) == 0)
			return last;
	}
	return pnstrdup(name.data, name.length);
}

static void
follow_add_partition(KsegTopicFollow *follow, const KsegWirePartition *wire)
{
	KsegFollowPartition *partition;

	if (follow->count == follow->room)
	{
		follow->room = Max(64, follow->room * 2);
		follow->partitions =
		    follow->partitions == NULL
		        ? palloc(sizeof(KsegFollowPartition) * follow->room)
		        : repalloc_huge(follow->partitions, sizeof(KsegFollowPartition) * follow->room);
	}
	partition = &follow->partitions[follow->count];
	partition->topic = follow_topic_name(follow, wire->topic);
	partition->partition = wire->partition;
	partition->low = wire->low;
	partition->start = wire->start;
	partition->next = wire->start;
	partition->end = wire->end;
	follow->count++;
}

/* Is this what was said of that index before? */
static bool
follow_is_partition(const KsegTopicFollow *follow, const KsegWirePartition *wire)
{
	const KsegFollowPartition *known = &follow->partitions[wire->index];

	return known->partition == wire->partition && strlen(known->topic) == wire->topic.length &&
	       memcmp(known->topic, wire->topic.data, wire->topic.length) == 0;
}

/* PARTITIONS may name again what it has named before. False: nothing that kseg writes. */
static bool
follow_take_partitions(KsegTopicFollow *follow, const KsegFrame *frame)
{
	KsegReader reader;
	uint32 count;

	kseg_reader_init(&reader, frame);
	count = kseg_read_u32(&reader);
	for (uint32 i = 0; i < count; i++)
	{
		KsegWirePartition wire;

		if (!kseg_partition_read(&reader, &wire) || wire.index > (uint32) follow->count)
			return false;
		if (wire.index < (uint32) follow->count)
		{
			if (!follow_is_partition(follow, &wire))
				return false;
			follow->partitions[wire.index].low = wire.low;
			follow->partitions[wire.index].end = wire.end;
		}
		else if (wire.partition >= 0 && wire.start >= 0 && follow_is_topic(wire.topic))
			follow_add_partition(follow, &wire);
		else
			return false;
	}
	follow->known = true;
	return kseg_reader_done(&reader);
}

static bool
follow_take_progress(KsegTopicFollow *follow, const KsegFrame *frame)
{
	KsegReader reader;
	uint32 count;

	kseg_reader_init(&reader, frame);
	count = kseg_read_u32(&reader);
	for (uint32 i = 0; i < count; i++)
	{
		KsegWireStep step;

		if (!kseg_step_read(&reader, &step) || step.index >= (uint32) follow->count)
			return false;
		follow->partitions[step.index].next = Max(follow->partitions[step.index].next, step.next);
		follow->partitions[step.index].end = step.end;
	}
	return kseg_reader_done(&reader);
}

/* Words behind others, as sentences behind a message. */
static void
trouble_append(StringInfo trouble, const char *between, KsegText words)
{
	char *text;

	if (words.length == 0)
		return;
	if (trouble->len > 0)
		appendStringInfoString(trouble, between);
	text = link_text_to_server(words.data, words.length);
	appendStringInfoString(trouble, text);
	/* The follow lives for weeks, and brokers come and go. */
	pfree(text);
}

static bool
follow_take_trouble(KsegTopicFollow *follow, const KsegFrame *frame)
{
	KsegReader reader;
	KsegText words[3];

	kseg_reader_init(&reader, frame);
	for (int i = 0; i < lengthof(words); i++)
		words[i] = kseg_read_text(&reader);
	if (!kseg_reader_done(&reader))
		return false;
	resetStringInfo(&follow->trouble);
	for (int i = 0; i < lengthof(words); i++)
		trouble_append(&follow->trouble, i == 1 ? ". " : " ", words[i]);
	return true;
}

/* Called by the link, from inside of topic_follow_poll. */
static void
follow_take_frame(void *argument, const KsegFrame *frame)
{
	KsegTopicFollow *follow = argument;
	MemoryContext previous = MemoryContextSwitchTo(follow->context);
	bool taken = true;

	follow->silent_ms = 0;
	if (frame != NULL && frame->type == KSEG_FRAME_PARTITIONS)
		taken = follow_take_partitions(follow, frame);
	else if (frame != NULL && frame->type == KSEG_FRAME_PROGRESS)
		taken = follow_take_progress(follow, frame);
	else if (frame != NULL && frame->type == KSEG_FRAME_TROUBLE)
		taken = follow_take_trouble(follow, frame);
	MemoryContextSwitchTo(previous);
	if (!taken)
		elog(ERROR, "kseg's courier sent a frame %c that is none", frame->type);
}

/* ---------- open and close ---------- */

KsegTopicFollow *
topic_follow_open(const KsegFollowRequest *request)
{
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg topic follow", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	KsegTopicFollow *follow = palloc0(sizeof(KsegTopicFollow));
	/* Nothing is fed, so credit means nothing. */
	KsegLinkCredit credit = {.lanes = 1};
	StringInfoData config;

	follow->context = context;
	follow->fields = request->read.fields;
	follow->grouped = request->commit_group != NULL && request->commit_group[0] != '\0';
	follow->alive_ms = request->alive_ms;
	initStringInfo(&follow->trouble);
	initStringInfo(&config);
	follow_write_config_anywhere(request, &config);
	follow->link = link_open(follow_take_frame, follow);
	link_configure(follow->link, config.data, config.len, &credit);
	explicit_bzero(config.data, config.maxlen);
	pfree(config.data);
	MemoryContextSwitchTo(previous);
	return follow;
}

void
topic_follow_close(KsegTopicFollow *follow)
{
	if (follow != NULL)
		MemoryContextDelete(follow->context);
}

/* ---------- records ---------- */

/* How far the records of a frame bring their partitions. */
static void
follow_note_records(KsegTopicFollow *follow, const KsegFrame *frame)
{
	KsegReader reader;
	uint32 count;
	uint32 fields;

	kseg_reader_init(&reader, frame);
	count = kseg_read_u32(&reader);
	fields = kseg_read_u32(&reader);
	if (reader.failed || fields != follow->fields)
		elog(ERROR, "kseg's courier sent records of %u fields, not %u", fields, follow->fields);
	for (uint32 i = 0; i < count; i++)
	{
		KsegFollowPartition *partition;
		int32 index;
		int64 offset;

		if (!kseg_record_skip(&reader, &index, &offset) || index < 0 || index >= follow->count)
			elog(ERROR, "kseg's courier sent a record that is none");
		partition = &follow->partitions[index];
		if (unlikely(offset < partition->next))
			elog(ERROR,
			     "kseg's courier sent offset " INT64_FORMAT
			     " of topic \"%s\", partition %d, behind " INT64_FORMAT,
			     offset, partition->topic, partition->partition, partition->next);
		partition->next = offset + 1;
	}
}

bool
topic_follow_poll(KsegTopicFollow *follow, KsegFrame *frame)
{
	if (link_pull_ready(follow->link, frame))
	{
		follow->silent_ms = 0;
		follow_note_records(follow, frame);
		return true;
	}
	if (link_state(follow->link) == KSEG_LINK_DONE)
		elog(ERROR, "kseg's courier ended a read that has no end");
	if (link_state(follow->link) != KSEG_LINK_OPEN)
		link_failure_raise(follow->link, NULL, "The stream starts another one.");
	return false;
}

static void
follow_note_silence(KsegTopicFollow *follow, long ms)
{
	follow->silent_ms += ms;
	if (follow->silent_ms >= (int64) follow->alive_ms * FOLLOW_SILENCES)
		ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
		                errmsg("kseg's courier has said nothing for " INT64_FORMAT " ms", follow->silent_ms),
		                errdetail("It says every %d ms that it lives, even when there are no messages.",
		                          follow->alive_ms),
		                errhint("The stream starts another one.")));
}

bool
topic_follow_wait(KsegTopicFollow *follow, long timeout_ms)
{
	for (;;)
	{
		long part = timeout_ms < 0 ? follow->alive_ms : Min(timeout_ms, follow->alive_ms);

		if (link_wait_records(follow->link, part))
			return true;
		follow_note_silence(follow, part);
		if (timeout_ms >= 0 && (timeout_ms -= part) <= 0)
			return false;
	}
}

/* ---------- what is known ---------- */

const KsegFollowPartition *
topic_follow_partitions(const KsegTopicFollow *follow, int *count, bool *known)
{
	*count = follow->count;
	*known = follow->known;
	return follow->partitions;
}

const char *
topic_follow_trouble(const KsegTopicFollow *follow)
{
	return follow->trouble.data;
}

void
topic_follow_committed(KsegTopicFollow *follow, const int *indexes, const int64 *next, int count)
{
	MemoryContext previous;
	uint8 *payload;
	uint8 *at;

	if (!follow->grouped || count == 0)
		return;
	previous = MemoryContextSwitchTo(follow->context);
	payload = palloc(4 + (Size) count * KSEG_WIRE_STEP_SIZE);
	at = kseg_write_u32(payload, (uint32) count);
	for (int i = 0; i < count; i++)
	{
		KsegWireStep step = {.index = (uint32) indexes[i], .next = next[i]};

		at = kseg_step_write(at, &step);
	}
	/* When it is gone the next poll says so. */
	(void) link_send(follow->link, KSEG_FRAME_COMMITTED, payload, at - payload);
	pfree(payload);
	MemoryContextSwitchTo(previous);
}

KsegFailure
topic_follow_failure(const KsegTopicFollow *follow)
{
	return link_state(follow->link) == KSEG_LINK_FAILED ? link_failure(follow->link)->reason : 0;
}
