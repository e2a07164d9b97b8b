/*
 * segment_sink.c
 *	  A DestReceiver that sends a query's rows to Segment. See segment_sink.h.
 *
 * The path of a row:
 *
 *	  ids → lane → event written straight into the lane's buffer → problem? dead letter, taken back
 *	      → the same event as before? counted, taken back → buffer full or old? fed to the courier
 *
 * So an event is written once and copied once, into the socket. Invariants: a lane's entries and joined events agree
 * (sink_accept adds to both), and a buffer never exceeds what one frame takes.
 */
#include "postgres.h"

#include <time.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "event/repeat.h"
#include "sink/letter.h"
#include "sink/segment_sink.h"

/*
 * Rows of a slow query wait in a lane's buffer no longer than this, in ms: a fifth of the default upload_interval, so that
 * the buffer is not what an analyst waits for.
 */
#define SINK_FLUSH_MS 100

/* A buffer that one huge event has grown beyond this is given back. */
#define SINK_BUFFER_MAX (4 * KSEG_EVENTS_FRAME)

typedef struct KsegSinkLane
{
	StringInfoData head; /* KSEG_FRAME_HEADER bytes, u32 count, entries */
	StringInfoData json; /* the events joined by ',' */
	uint32 events;
} KsegSinkLane;

struct KsegSegmentSink
{
	DestReceiver receiver; /* first, PostgreSQL passes a pointer to it */
	KsegSinkOptions options;
	MemoryContext context;
	MemoryContext letter_context; /* reset after each letter */
	KsegPlan *plan;
	KsegRepeatSet *repeats;
	KsegRepeatSet *rejected; /* message ids of rejected events; NULL: none */
	KsegLink *link;
	KsegSinkLane *lanes;
	uint32 lane_count;
	uint32 frame_events; /* events in a frame at most */
	int64 flush_ms;      /* age at which buffers are flushed */
	int64 flushed_at;
	uint64 rows;
	uint64 repeated;
	uint64 invalid;
	uint64 rejected_again; /* rejections of an event that had been rejected: a late repeat of it */
	char *first_problem;
};

/* Milliseconds of a clock that costs a few ns to read and is right to about 4 ms. */
static inline int64
sink_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---------- lanes ---------- */

static void
sink_lane_clear(KsegSinkLane *lane)
{
	/* The frame's header and the count are filled in when it is sent. */
	lane->head.len = KSEG_FRAME_HEADER + sizeof(uint32);
	lane->json.len = 0;
	lane->events = 0;
}

static void
sink_create_lanes(KsegSegmentSink *sink)
{
	sink->lane_count = sink->options.server->connections;
	sink->lanes = palloc0(sizeof(KsegSinkLane) * sink->lane_count);
	for (uint32 i = 0; i < sink->lane_count; i++)
	{
		initStringInfo(&sink->lanes[i].head);
		initStringInfo(&sink->lanes[i].json);
		enlargeStringInfo(&sink->lanes[i].json, KSEG_EVENTS_FRAME + KSEG_EVENT_MAX);
		sink_lane_clear(&sink->lanes[i]);
	}
}

/* Feed a lane's buffer to the courier. False: the run has ended. */
static bool
sink_flush_lane(KsegSegmentSink *sink, uint32 index)
{
	KsegSinkLane *lane = &sink->lanes[index];
	KsegLinkBatch batch = {.type = KSEG_FRAME_EVENTS,
	                       .lane = index,
	                       .head = &lane->head,
	                       .body = lane->json.data,
	                       .body_length = lane->json.len,
	                       .events = lane->events};
	bool alive;

	if (lane->events == 0)
		return true;
	batch.bytes = lane->json.len - (lane->events - 1); /* credit counts events, not the commas between them */
	kseg_write_u32((uint8 *) lane->head.data + KSEG_FRAME_HEADER, lane->events);
	alive = link_feed(sink->link, &batch);
	sink_lane_clear(lane);
	sink->options.progress(sink->options.argument, sink);
	return alive;
}

static bool
sink_flush(KsegSegmentSink *sink)
{
	bool alive = true;

	for (uint32 i = 0; i < sink->lane_count && alive; i++)
		alive = sink_flush_lane(sink, i);
	sink->flushed_at = sink_now();
	return alive && link_poll(sink->link);
}

/* ---------- rows that are not sent ---------- */

static void
sink_note_letter(KsegSegmentSink *sink, const KsegLetter *letter)
{
	char *reason = letter_reason(letter);

	if (sink->first_problem == NULL)
		sink->first_problem = MemoryContextStrdup(sink->context, reason);
	if (sink->options.letters != NULL &&
	    (letter->http_status != 0 || sink->options.on_invalid != KSEG_ON_INVALID_SKIP))
		letter_keep(letter, reason, sink->options.letters, sink->options.letter_desc);
}

/* The row has a problem: tell, keep or refuse, as on_invalid says. event is its JSON. */
static void
sink_take_invalid(KsegSegmentSink *sink, const char *event, Size length)
{
	MemoryContext previous = MemoryContextSwitchTo(sink->letter_context);
	KsegLetter letter = {.row = sink->rows, .event = event, .event_length = length};

	sink->invalid++;
	letter.user = event_user(sink->plan);
	letter.message_id = event_message_id(sink->plan);
	letter.problems = event_problems(sink->plan, &letter.problem_count);
	if (sink->options.on_invalid == KSEG_ON_INVALID_ERROR)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_DATA_EXCEPTION), errmsg("%s", letter_reason(&letter)),
		     errhint(
		         "Mend the row, or call with on_invalid => 'dead_letter' or 'skip' to send the others.")));
	sink_note_letter(sink, &letter);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(sink->letter_context);
}

/*
 * Has this event been rejected before? A repeat that was known only at the end of the run went out twice (repeat.h).
 */
static bool
sink_is_rejected_again(KsegSegmentSink *sink, const KsegLetter *letter)
{
	if (letter->message_id == NULL)
		return false;
	if (sink->rejected == NULL)
	{
		MemoryContext previous = MemoryContextSwitchTo(sink->context);

		sink->rejected = repeat_set_create((Size) work_mem * 1024);
		MemoryContextSwitchTo(previous);
	}
	return repeat_set_add(sink->rejected, event_id_of_text(letter->message_id, strlen(letter->message_id)));
}

/* What the courier says besides figures: events that Segment refused. */
static void
sink_take_frame(void *argument, const KsegFrame *frame)
{
	KsegSegmentSink *sink = argument;
	MemoryContext previous;
	KsegLetter letter;

	if (frame == NULL)
	{
		sink->options.progress(sink->options.argument, sink);
		return;
	}
	if (frame->type != KSEG_FRAME_REJECTED)
		return;
	previous = MemoryContextSwitchTo(sink->letter_context);
	if (!letter_of_frame(frame, &letter))
		elog(ERROR, "kseg's courier sent a rejection that is none");
	if (sink_is_rejected_again(sink, &letter))
		sink->rejected_again++;
	else
		sink_note_letter(sink, &letter);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(sink->letter_context);
}

/* ---------- rows that are ---------- */

static void
sink_accept(KsegSinkLane *lane, uint64 row, uint32 length)
{
	uint8 entry[KSEG_EVENT_ENTRY];

	kseg_write_u32(kseg_write_u64(entry, row), length);
	appendBinaryStringInfo(&lane->head, (char *) entry, sizeof(entry));
	lane->events++;
}

/* Take back what was written after start. */
static void
sink_take_back(KsegSegmentSink *sink, KsegSinkLane *lane, int start)
{
	lane->json.len = start;
	if (lane->json.maxlen > SINK_BUFFER_MAX)
	{
		StringInfoData small;

		MemoryContextSwitchTo(sink->context);
		initStringInfo(&small);
		enlargeStringInfo(&small, KSEG_EVENTS_FRAME + KSEG_EVENT_MAX);
		appendBinaryStringInfo(&small, lane->json.data, start);
		pfree(lane->json.data);
		lane->json = small;
	}
}

/* Write the slot's event into its lane. Returns the lane's number. */
static uint32
sink_write_event(KsegSegmentSink *sink, TupleTableSlot *slot)
{
	uint32 index = event_begin(sink->plan, slot, sink->rows) % sink->lane_count;
	KsegSinkLane *lane = &sink->lanes[index];
	int start = lane->json.len;
	int begin;
	bool valid;

	if (lane->events > 0)
		appendStringInfoCharMacro(&lane->json, ',');
	begin = lane->json.len;
	valid = event_write(sink->plan, &lane->json);
	if (!valid)
	{
		sink_take_invalid(sink, lane->json.data + begin, lane->json.len - begin);
		sink_take_back(sink, lane, start);
	}
	else if (repeat_set_add(sink->repeats, event_id(sink->plan)))
	{
		sink->repeated++;
		sink_take_back(sink, lane, start);
	}
	else
		sink_accept(lane, sink->rows, lane->json.len - begin);
	return index;
}

static bool
sink_receive(TupleTableSlot *slot, DestReceiver *receiver)
{
	KsegSegmentSink *sink = (KsegSegmentSink *) receiver;
	MemoryContext previous = MemoryContextSwitchTo(sink->context);
	bool more = true;
	uint32 index;

	sink->rows++;
	index = sink_write_event(sink, slot);
	if (sink->lanes[index].json.len >= KSEG_EVENTS_FRAME || sink->lanes[index].events >= sink->frame_events)
		more = sink_flush_lane(sink, index);
	if (more && sink_now() - sink->flushed_at >= sink->flush_ms)
		more = sink_flush(sink);
	MemoryContextSwitchTo(previous);
	return more && (sink->options.row_limit == 0 || sink->rows < sink->options.row_limit);
}

/* ---------- begin and end ---------- */

static void
sink_open_link(KsegSegmentSink *sink)
{
	const KsegSegmentServer *server = sink->options.server;
	KsegLinkCredit credit = {.lanes = sink->lane_count, .max_events = server->max_queue_size};
	StringInfoData config;

	credit.max_bytes = (uint64) sink->lane_count * KSEG_LANE_BYTES;
	sink->link = link_open(sink_take_frame, sink);
	initStringInfo(&config);
	segment_server_config(server, sink->options.write_key, "segment_deliver", &config);
	link_configure(sink->link, config.data, config.len, &credit);
	explicit_bzero(config.data, config.len);
	pfree(config.data);
}

/* The query is planned and about to run: check its columns, and only then start a courier. */
static void
sink_startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
	KsegSegmentSink *sink = (KsegSegmentSink *) receiver;
	MemoryContext previous = MemoryContextSwitchTo(sink->context);
	KsegNamespace ns;

	event_namespace_make(&ns, sink->options.write_key);
	sink->plan = event_plan_create(sink->options.mapping, desc, &ns);
	sink->repeats = repeat_set_create((Size) work_mem * 1024);
	sink_create_lanes(sink);
	sink_open_link(sink);
	sink->flushed_at = sink_now();
	MemoryContextSwitchTo(previous);
}

/* The executor's end; what is left in the buffers is segment_sink_finish's, where waiting costs no executor. */
static void
sink_shutdown(DestReceiver *receiver)
{
}

KsegSegmentSink *
segment_sink_create(const KsegSinkOptions *options)
{
	KsegSegmentSink *sink = palloc0(sizeof(KsegSegmentSink));

	sink->receiver.receiveSlot = sink_receive;
	sink->receiver.rStartup = sink_startup;
	sink->receiver.rShutdown = sink_shutdown;
	sink->receiver.rDestroy = sink_shutdown;
	sink->receiver.mydest = DestTuplestore; /* anything but DestNone, which SPI takes for "discard" */
	sink->options = *options;
	sink->context = CurrentMemoryContext;
	sink->letter_context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg dead letter", ALLOCSET_DEFAULT_SIZES);
	sink->flush_ms = Min(SINK_FLUSH_MS, options->server->upload_interval);
	/* Half a lane's share at most, so that with a small max_queue_size the next frame can fill while one is in flight. */
	sink->frame_events = Max(1, options->server->max_queue_size / (2 * options->server->connections));
	return sink;
}

DestReceiver *
segment_sink_receiver(KsegSegmentSink *sink)
{
	return &sink->receiver;
}

void
segment_sink_finish(KsegSegmentSink *sink)
{
	MemoryContext previous = MemoryContextSwitchTo(sink->context);
	uint64 late_repeats;

	if (sink_flush(sink))
		link_finish(sink->link);
	/* Also when the run has failed: it closes the files that it spilled to, which a subtransaction must not leave open. */
	late_repeats = repeat_set_finish(sink->repeats);
	if (sink->rejected != NULL)
		(void) repeat_set_finish(sink->rejected);
	if (link_state(sink->link) == KSEG_LINK_DONE)
		sink->repeated += late_repeats;
	MemoryContextSwitchTo(previous);
}

KsegLink *
segment_sink_link(const KsegSegmentSink *sink)
{
	return sink->link;
}

void
segment_sink_figures(const KsegSegmentSink *sink, KsegFigures *figures)
{
	static const KsegWireStatus nothing;
	const KsegWireStatus *status = sink->link ? link_status(sink->link) : &nothing;
	uint64 handed = sink->rows - sink->repeated - sink->invalid; /* to Segment, in effect */

	figures->rows = sink->rows;
	figures->repeated = sink->repeated;
	figures->invalid = sink->invalid;
	figures->rejected = Min(handed, status->rejected - sink->rejected_again);
	/* A late repeat went out once more and was answered 200: it is counted as repeated, not as sent. */
	figures->sent = Min(status->sent, handed - figures->rejected);
	figures->open = handed - figures->sent - figures->rejected;
	figures->batches = status->batches;
	figures->retries = status->retries;
	figures->bytes = status->bytes;
	figures->bytes_on_wire = status->bytes_on_wire;
	figures->first_problem = sink->first_problem;
}

void
segment_sink_close(KsegSegmentSink *sink)
{
	link_close(sink->link);
}

TupleDesc
segment_sink_letter_desc(void)
{
	static const struct
	{
		const char *name;
		Oid type;
	} columns[KSEG_LETTER_COLUMNS] = {{"row", INT8OID},    {"user_id", TEXTOID}, {"message_id", TEXTOID},
	                                  {"status", INT4OID}, {"reason", TEXTOID},  {"event", TEXTOID}};
	TupleDesc desc = CreateTemplateTupleDesc(KSEG_LETTER_COLUMNS);

	for (int i = 0; i < KSEG_LETTER_COLUMNS; i++)
		TupleDescInitEntry(desc, i + 1, columns[i].name, columns[i].type, -1, 0);
	return desc;
}
