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

#include "miscadmin.h"
#include "utils/memutils.h"

#include "event/repeat.h"
#include "sink/segment_sink.h"
#include "sink/sink_clock.h"

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

typedef struct KsegSegmentSink
{
	KsegSink base; /* first */
	KsegSegmentDelivery delivery;
	KsegPlan *plan;
	KsegRepeatSet *repeats;
	KsegRepeatSet *rejected; /* message ids of rejected events; NULL: none */
	KsegLink *link;
	KsegSinkLane *lanes;
	uint32 lane_count;
	uint32 frame_events; /* events in a frame at most */
	int64 flush_ms;      /* age at which buffers are flushed */
	int64 flushed_at;
	uint64 repeated;
	uint64 rejected_again; /* rejections of an event that had been rejected: a late repeat of it */
} KsegSegmentSink;

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
	sink->lane_count = sink->delivery.server->connections;
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
	sink->base.options.progress(sink->base.options.argument, &sink->base);
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

/* The row has a problem. event is its JSON. */
static void
sink_refuse_row(KsegSegmentSink *sink, const char *event, Size length)
{
	KsegLetter letter = {.row = sink->base.rows, .event = event, .event_length = length};

	letter.user = event_user(sink->plan);
	letter.message_id = event_message_id(sink->plan);
	letter.problems = event_problems(sink->plan, &letter.problem_count);
	sink_take_invalid(&sink->base, &letter);
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
		MemoryContext previous = MemoryContextSwitchTo(sink->base.context);

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
		sink->base.options.progress(sink->base.options.argument, &sink->base);
		return;
	}
	if (frame->type != KSEG_FRAME_REJECTED)
		return;
	previous = MemoryContextSwitchTo(sink->base.letter_context);
	if (!letter_of_frame(frame, &letter))
		elog(ERROR, "kseg's courier sent a rejection that is none");
	if (sink_is_rejected_again(sink, &letter))
		sink->rejected_again++;
	else
		sink_take_letter(&sink->base, &letter);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(sink->base.letter_context);
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

		MemoryContextSwitchTo(sink->base.context);
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
	uint32 index = event_begin(sink->plan, slot, sink->base.rows) % sink->lane_count;
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
		sink_refuse_row(sink, lane->json.data + begin, lane->json.len - begin);
		sink_take_back(sink, lane, start);
	}
	else if (repeat_set_add(sink->repeats, event_id(sink->plan)))
	{
		sink->repeated++;
		sink_take_back(sink, lane, start);
	}
	else
		sink_accept(lane, sink->base.rows, lane->json.len - begin);
	return index;
}

static bool
sink_receive(TupleTableSlot *slot, DestReceiver *receiver)
{
	KsegSegmentSink *sink = (KsegSegmentSink *) receiver;
	MemoryContext previous = MemoryContextSwitchTo(sink->base.context);
	bool more = true;
	uint32 index;

	sink->base.rows++;
	index = sink_write_event(sink, slot);
	if (sink->lanes[index].json.len >= KSEG_EVENTS_FRAME || sink->lanes[index].events >= sink->frame_events)
		more = sink_flush_lane(sink, index);
	if (more && sink_now() - sink->flushed_at >= sink->flush_ms)
		more = sink_flush(sink);
	MemoryContextSwitchTo(previous);
	return more && (sink->base.options.row_limit == 0 || sink->base.rows < sink->base.options.row_limit);
}

/* ---------- begin and end ---------- */

static void
sink_open_link(KsegSegmentSink *sink)
{
	const KsegSegmentServer *server = sink->delivery.server;
	KsegLinkCredit credit = {.lanes = sink->lane_count, .max_events = server->max_queue_size};
	StringInfoData config;

	credit.max_bytes = (uint64) sink->lane_count * KSEG_LANE_BYTES;
	sink->link = link_open(sink_take_frame, sink);
	initStringInfo(&config);
	segment_server_config(server, sink->delivery.write_key, "segment_deliver", &config);
	link_configure(sink->link, config.data, config.len, &credit);
	explicit_bzero(config.data, config.len);
	pfree(config.data);
}

/* The query is planned and about to run: check its columns, and only then start a courier. */
static void
sink_startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
	KsegSegmentSink *sink = (KsegSegmentSink *) receiver;
	MemoryContext previous = MemoryContextSwitchTo(sink->base.context);
	KsegNamespace ns;

	event_namespace_make(&ns, sink->delivery.write_key);
	sink->plan = event_plan_create(sink->delivery.mapping, desc, &ns);
	sink->repeats = repeat_set_create((Size) work_mem * 1024);
	sink_create_lanes(sink);
	sink_open_link(sink);
	sink->flushed_at = sink_now();
	MemoryContextSwitchTo(previous);
}

static void
sink_deliver_rest(KsegSink *base)
{
	KsegSegmentSink *sink = (KsegSegmentSink *) base;
	MemoryContext previous = MemoryContextSwitchTo(base->context);
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

static KsegLink *
sink_get_link(const KsegSink *base)
{
	return ((const KsegSegmentSink *) base)->link;
}

static void
sink_count(const KsegSink *base, KsegFigures *figures)
{
	static const KsegWireStatus nothing;
	const KsegSegmentSink *sink = (const KsegSegmentSink *) base;
	const KsegWireStatus *status = sink->link ? link_status(sink->link) : &nothing;
	uint64 handed = base->rows - sink->repeated - base->invalid; /* to Segment, in effect */

	figures->rows = base->rows;
	figures->repeated = sink->repeated;
	figures->invalid = base->invalid;
	figures->rejected = Min(handed, status->rejected - sink->rejected_again);
	/* A late repeat went out once more and was answered 200: it is counted as repeated, not as sent. */
	figures->sent = Min(status->sent, handed - figures->rejected);
	figures->open = handed - figures->sent - figures->rejected;
	figures->batches = status->batches;
	figures->retries = status->retries;
	figures->bytes = status->bytes;
	figures->bytes_on_wire = status->bytes_on_wire;
	figures->first_problem = base->first_problem;
}

static void
sink_close_link(KsegSink *base)
{
	link_close(((KsegSegmentSink *) base)->link);
}

KsegSink *
segment_sink_create(const KsegSegmentDelivery *delivery, const KsegSinkOptions *options)
{
	static const KsegSinkMethods methods = {.kind = KSEG_SINK_SEGMENT,
	                                        .finish = sink_deliver_rest,
	                                        .link = sink_get_link,
	                                        .figures = sink_count,
	                                        .close = sink_close_link};
	const KsegSegmentServer *server = delivery->server;
	KsegSegmentSink *sink = palloc0(sizeof(KsegSegmentSink));

	sink_init(&sink->base, &methods, options, sink_receive, sink_startup);
	sink->delivery = *delivery;
	sink->flush_ms = Min(SINK_FLUSH_MS, server->upload_interval);
	/* Half a lane's share at most, so that with a small max_queue_size the next frame can fill while one is in flight. */
	sink->frame_events = Max(1, server->max_queue_size / (2 * server->connections));
	return &sink->base;
}
