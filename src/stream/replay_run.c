/*
 * replay_run.c
 *	  A run's dead letters, sent once more. See stream_replay.h.
 *
 * Events for Segment go as they are kept, corrected by their owner or not; their message ids are in them, so Segment drops what it has had.
 * Messages for Kafka are made anew of topic, partition, key, value and headers; Kafka knows no repeats. Both as the caller, with his right to
 * the server and his user mapping, as a run would.
 *
 * A letter goes only when the courier has settled everything: when it fails before, the outcome of some is open, and all stay.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "event/message.h"
#include "link/link_failure.h"
#include "server/kafka_server.h"
#include "server/segment_server.h"
#include "sink/kafka_producer.h"
#include "sink/segment_resend.h"
#include "stream/stream_replay.h"

/* What has become of each letter, beside KsegReplay.ids. */
typedef struct RunOutcome
{
	int32 status; /* HTTP's, or Kafka's error */
	char *reason; /* NULL: delivered */
} RunOutcome;

typedef struct RunReplay
{
	KsegReplay *replay;
	RunOutcome *outcomes;
	MemoryContext context;        /* of the whole */
	MemoryContext letter_context; /* reset before each letter */
} RunReplay;

/* ---------- outcomes ---------- */

/* Ids ascend. */
static int
run_compare_ids(const void *a, const void *b)
{
	int64 left = *(const int64 *) a;
	int64 right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

static void
run_note(RunReplay *run, int64 id, int32 status, const char *reason)
{
	const int64 *found = bsearch(&id, run->replay->ids, run->replay->count, sizeof(int64), run_compare_ids);
	RunOutcome *outcome;

	if (found == NULL)
		return;
	outcome = &run->outcomes[found - run->replay->ids];
	outcome->status = status;
	outcome->reason = MemoryContextStrdup(run->context, reason);
}

static void
run_settle(RunReplay *run)
{
	KsegReplay *replay = run->replay;

	for (int64 i = 0; i < replay->count; i++)
	{
		const RunOutcome *outcome = &run->outcomes[i];

		CHECK_FOR_INTERRUPTS();
		if (outcome->reason == NULL)
			replay_letter_settle(replay, replay->ids[i]);
		else
			replay_letter_keep(replay, replay->ids[i], 0, outcome->status, outcome->reason);
	}
}

/* Give each letter to put until it says that the courier has ended. */
static void
run_put_letters(RunReplay *run, bool (*put)(void *argument, RunReplay *run, const KsegReplayLetter *letter),
                void *argument)
{
	bool alive = true;

	for (int64 i = 0; i < run->replay->count && alive; i++)
	{
		MemoryContext previous;
		KsegReplayLetter letter;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(run->letter_context);
		previous = MemoryContextSwitchTo(run->letter_context);
		if (replay_letter_get(run->replay->ids[i], &letter))
		{
			if (letter.incomplete)
				run_note(run, letter.id, 0, replay_letter_incomplete);
			else
				alive = put(argument, run, &letter);
		}
		MemoryContextSwitchTo(previous);
	}
}

/* ---------- Segment ---------- */

/* Is the member a string that is not empty? */
static bool
event_has(JsonbContainer *event, const char *name)
{
	const JsonbValue *value = getKeyJsonValueFromContainer(event, name, (int) strlen(name), NULL);

	return value != NULL && value->type == jbvString && value->val.string.len > 0;
}

/* Is its type this one? */
static bool
event_is(JsonbContainer *event, const char *call)
{
	const JsonbValue *type = getKeyJsonValueFromContainer(event, "type", 4, NULL);

	return type != NULL && type->type == jbvString && (size_t) type->val.string.len == strlen(call) &&
	       memcmp(type->val.string.val, call, strlen(call)) == 0;
}

/*
 * What Segment would drop without a word (the rules that event_write.c applies to rows), or NULL. The text is a user's by now. ERRORs of
 * class 22 for JSON that jsonb refuses.
 */
static const char *
event_find_problem(const KsegReplayLetter *letter)
{
	Jsonb *json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(letter->event)));
	JsonbContainer *event = &json->root;

	if (!JB_ROOT_IS_OBJECT(json))
		return "event is not a JSON object";
	if (!event_is(event, letter->call))
		return psprintf("type is not \"%s\"", letter->call);
	if (strcmp(letter->call, "alias") == 0)
	{
		if (!event_has(event, "userId") || !event_has(event, "previousId"))
			return "userId or previousId is missing";
	}
	else if (!event_has(event, "userId") && !event_has(event, "anonymousId"))
		return "userId and anonymousId are missing";
	if (strcmp(letter->call, "group") == 0 && !event_has(event, "groupId"))
		return "groupId is missing";
	if (strcmp(letter->call, "track") == 0 && !event_has(event, "event"))
		return "event is missing";
	if (!event_has(event, "messageId"))
		return "messageId is missing";
	return NULL;
}

/* The same in a subtransaction, which writes nothing and so takes no XID, and an error's words as the problem. */
static const char *
event_check(const KsegReplayLetter *letter)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	const char *volatile problem = NULL;

	if (letter->event == NULL)
		return "its event was not kept";
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		problem = event_find_problem(letter);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) &&
		    ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED))
			ReThrowError(error);
		problem = error->message;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return problem;
}

static bool
segment_put(void *argument, RunReplay *run, const KsegReplayLetter *letter)
{
	const char *problem = event_check(letter);
	const char *event;
	size_t length;

	if (problem != NULL)
	{
		run_note(run, letter->id, 0, problem);
		return true;
	}
	event = pg_server_to_any(letter->event, (int) strlen(letter->event), PG_UTF8);
	length = strlen(event);
	if (length > KSEG_EVENT_MAX)
	{
		run_note(run, letter->id, 0,
		         psprintf("event of %zu bytes is over Segment's limit of %d", length, KSEG_EVENT_MAX));
		return true;
	}
	return segment_resend_put(argument, (uint64) letter->id, event, (uint32) length);
}

static void
segment_take_rejected(void *argument, const KsegLetter *letter)
{
	run_note(argument, (int64) letter->row, letter->status, letter->problems[0].text);
}

static void
run_replay_segment(RunReplay *run, const char *server_name)
{
	KsegSegmentServer *server = segment_server_get(server_name, false);
	char *write_key = segment_server_write_key(server);
	KsegSegmentResend *resend = segment_resend_open(server, write_key, segment_take_rejected, run);

	explicit_bzero(write_key, strlen(write_key));
	run_put_letters(run, segment_put, resend);
	if (segment_resend_finish(resend) != KSEG_LINK_DONE)
		link_failure_raise(segment_resend_link(resend), "All of the run's dead letters are kept.",
		                   "Replay them again: events that had arrived keep their ids, so Segment drops the "
		                   "repeats.");
	segment_resend_close(resend);
}

/* ---------- Kafka ---------- */

/* Columns of a message's row: message_columns.c knows them by these names. */
enum
{
	MESSAGE_TOPIC = 0,
	MESSAGE_PARTITION,
	MESSAGE_KEY,
	MESSAGE_VALUE,
	MESSAGE_HEADERS,
	MESSAGE_COLUMNS
};

typedef struct KafkaReplay
{
	KsegKafkaProducer *producer;
	KsegMessagePlan *plan;
	TupleTableSlot *slot;
} KafkaReplay;

static TupleDesc
kafka_make_desc(void)
{
	TupleDesc desc = CreateTemplateTupleDesc(MESSAGE_COLUMNS);

	TupleDescInitEntry(desc, MESSAGE_TOPIC + 1, "topic", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, MESSAGE_PARTITION + 1, "partition", INT4OID, -1, 0);
	TupleDescInitEntry(desc, MESSAGE_KEY + 1, "key", BYTEAOID, -1, 0);
	TupleDescInitEntry(desc, MESSAGE_VALUE + 1, "value", BYTEAOID, -1, 0);
	TupleDescInitEntry(desc, MESSAGE_HEADERS + 1, "headers", JSONBOID, -1, 0);
	return desc;
}

static Datum
kafka_put_bytes(KsegText bytes, bool *null)
{
	*null = bytes.data == NULL;
	/* A text in memory has the layout of a bytea. */
	return *null ? (Datum) 0 : PointerGetDatum(cstring_to_text_with_len(bytes.data, (int) bytes.length));
}

static void
kafka_fill_slot(TupleTableSlot *slot, const KsegReplayLetter *letter)
{
	Datum *values = slot->tts_values;
	bool *nulls = slot->tts_isnull;

	ExecClearTuple(slot);
	nulls[MESSAGE_TOPIC] = letter->topic == NULL;
	values[MESSAGE_TOPIC] = letter->topic == NULL ? (Datum) 0 : CStringGetTextDatum(letter->topic);
	nulls[MESSAGE_PARTITION] = letter->partition < 0;
	values[MESSAGE_PARTITION] = Int32GetDatum(letter->partition);
	values[MESSAGE_KEY] = kafka_put_bytes(letter->key, &nulls[MESSAGE_KEY]);
	values[MESSAGE_VALUE] = kafka_put_bytes(letter->value, &nulls[MESSAGE_VALUE]);
	nulls[MESSAGE_HEADERS] = letter->headers == NULL;
	values[MESSAGE_HEADERS] =
	    letter->headers == NULL ? (Datum) 0 : DirectFunctionCall1(jsonb_in, CStringGetDatum(letter->headers));
	ExecStoreVirtualTuple(slot);
}

static bool
kafka_put(void *argument, RunReplay *run, const KsegReplayLetter *letter)
{
	KafkaReplay *kafka = argument;
	StringInfo buffer = kafka_producer_buffer(kafka->producer);
	int start = buffer->len;
	const KsegProblem *problems;
	int count;
	bool valid;

	kafka_fill_slot(kafka->slot, letter);
	valid = message_write(kafka->plan, kafka->slot, (uint64) letter->id, buffer);
	ExecClearTuple(kafka->slot);
	if (valid)
		return kafka_producer_accept(kafka->producer, start);
	problems = message_problems(kafka->plan, &count);
	run_note(run, letter->id, 0,
	         problems[0].column != NULL ? psprintf("%s: %s", problems[0].column, problems[0].text)
	                                    : problems[0].text);
	kafka_producer_take_back(kafka->producer, start);
	return true;
}

static void
kafka_take_rejected(void *argument, const KsegMessage *message, int code, const char *reason)
{
	run_note(argument, (int64) message->row, code,
	         psprintf("refused with Kafka error %d%s%s", code, reason[0] != '\0' ? ": " : "", reason));
}

static void
run_replay_kafka(RunReplay *run, const char *server_name)
{
	KsegKafkaServer *server = kafka_server_get(server_name, false);
	KsegMessageMapping mapping = {.max_message_bytes = server->max_message_bytes};
	KsegProducerOptions options = {
	    .server = server, .topic = "", .rejected = kafka_take_rejected, .argument = run};
	TupleDesc desc = kafka_make_desc();
	KafkaReplay kafka = {.plan = message_plan_create(&mapping, desc),
	                     .slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual)};

	kafka.producer = kafka_producer_open(&options);
	run_put_letters(run, kafka_put, &kafka);
	if (kafka_producer_finish(kafka.producer) != KSEG_LINK_DONE)
		link_failure_raise(kafka_producer_link(kafka.producer), "All of the run's dead letters are kept.",
		                   "Replay them again: messages that had arrived are produced once more.");
	kafka_producer_close(kafka.producer);
	ExecDropSingleTupleTableSlot(kafka.slot);
}

/* ---------- the whole ---------- */

void
replay_run(KsegReplay *replay)
{
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg replay", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	RunReplay state = {.replay = replay, .context = context};
	KsegReplayLetter first;

	state.outcomes = MemoryContextAllocHuge(context, sizeof(RunOutcome) * replay->count);
	memset(state.outcomes, 0, sizeof(RunOutcome) * replay->count);
	state.letter_context = AllocSetContextCreate(context, "kseg replayed letter", ALLOCSET_DEFAULT_SIZES);
	/* A run has one server, and one call. */
	if (!replay_letter_get(replay->ids[0], &first))
		elog(ERROR, "dead letter " INT64_FORMAT " is gone although it is locked", replay->ids[0]);
	if (strcmp(first.call, "produce") == 0)
		run_replay_kafka(&state, first.server);
	else
		run_replay_segment(&state, first.server);
	run_settle(&state);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}
