/*
 * segment_resend.c
 *	  Events that are JSON already, to Segment once more. See segment_resend.h.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sink/segment_resend.h"

/* In front of the first entry: the frame's header and the count, which are filled in when it is sent. */
#define RESEND_HEAD (KSEG_FRAME_HEADER + (int) sizeof(uint32))

struct KsegSegmentResend
{
	KsegLink *link;
	KsegResendRejected rejected;
	void *argument;
	MemoryContext frame_context; /* reset after each rejection */
	StringInfoData head;         /* RESEND_HEAD bytes, entries */
	StringInfoData json;         /* the events joined by ',' */
	uint32 events;
	uint32 frame_events; /* at most */
};

static void
resend_take_frame(void *argument, const KsegFrame *frame)
{
	KsegSegmentResend *resend = argument;
	MemoryContext previous;
	KsegLetter letter;

	if (frame == NULL || frame->type != KSEG_FRAME_REJECTED)
		return;
	previous = MemoryContextSwitchTo(resend->frame_context);
	if (!letter_of_frame(frame, &letter))
		elog(ERROR, "kseg's courier sent a rejection that is none");
	resend->rejected(resend->argument, &letter);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(resend->frame_context);
}

static void
resend_clear(KsegSegmentResend *resend)
{
	resend->head.len = RESEND_HEAD;
	resend->json.len = 0;
	resend->events = 0;
}

static void
resend_configure(KsegSegmentResend *resend, const KsegSegmentServer *server, const char *write_key)
{
	KsegLinkCredit credit = {.lanes = server->connections,
	                         .max_events = server->max_queue_size,
	                         .max_bytes = (uint64) server->connections * KSEG_LANE_BYTES};
	StringInfoData config;

	initStringInfo(&config);
	segment_server_config(server, write_key, "segment_deliver", &config);
	link_configure(resend->link, config.data, config.len, &credit);
	explicit_bzero(config.data, config.len);
	pfree(config.data);
}

KsegSegmentResend *
segment_resend_open(const KsegSegmentServer *server, const char *write_key, KsegResendRejected rejected,
                    void *argument)
{
	KsegSegmentResend *resend = palloc0(sizeof(KsegSegmentResend));

	resend->rejected = rejected;
	resend->argument = argument;
	resend->frame_context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg rejection", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&resend->head);
	initStringInfo(&resend->json);
	resend_clear(resend);
	/* Half of a lane's share at most, as a run's sink does it (segment_sink.c). */
	resend->frame_events = Max(1, server->max_queue_size / (2 * server->connections));
	resend->link = link_open(resend_take_frame, resend);
	resend_configure(resend, server, write_key);
	return resend;
}

static bool
resend_flush(KsegSegmentResend *resend)
{
	KsegLinkBatch batch = {.type = KSEG_FRAME_EVENTS,
	                       .head = &resend->head,
	                       .body = resend->json.data,
	                       .body_length = resend->json.len,
	                       .events = resend->events};
	bool alive;

	if (resend->events == 0)
		return link_poll(resend->link);
	batch.bytes =
	    resend->json.len - (resend->events - 1); /* credit counts events, not the commas between them */
	kseg_write_u32((uint8 *) resend->head.data + KSEG_FRAME_HEADER, resend->events);
	alive = link_feed(resend->link, &batch);
	resend_clear(resend);
	return alive;
}

bool
segment_resend_put(KsegSegmentResend *resend, uint64 number, const char *json, uint32 length)
{
	uint8 entry[KSEG_EVENT_ENTRY];

	if (resend->events > 0 &&
	    (resend->json.len + length >= KSEG_EVENTS_FRAME || resend->events >= resend->frame_events) &&
	    !resend_flush(resend))
		return false;
	if (resend->events > 0)
		appendStringInfoChar(&resend->json, ',');
	appendBinaryStringInfo(&resend->json, json, (int) length);
	kseg_write_u32(kseg_write_u64(entry, number), length);
	appendBinaryStringInfo(&resend->head, (char *) entry, sizeof(entry));
	resend->events++;
	return true;
}

KsegLinkState
segment_resend_finish(KsegSegmentResend *resend)
{
	if (resend_flush(resend))
		return link_finish(resend->link);
	return link_state(resend->link);
}

KsegLink *
segment_resend_link(const KsegSegmentResend *resend)
{
	return resend->link;
}

void
segment_resend_close(KsegSegmentResend *resend)
{
	link_close(resend->link);
}
