/*
 * link_frames.c
 *	  What the courier says: frames into a link's state, figures and failure. See link_frames.h.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "link/link_frames.h"

static char *
link_copy_text(KsegLink *link, KsegText text)
{
	char *copy = MemoryContextAlloc(link->context, text.length + 1);

	memcpy(copy, text.data, text.length);
	copy[text.length] = '\0';
	return copy;
}

static void
link_fail(KsegLink *link, KsegFailure reason, const char *message, const char *detail, const char *hint)
{
	link->failure.reason = reason;
	link->failure.message = message;
	link->failure.detail = detail;
	link->failure.hint = hint;
	link->state = KSEG_LINK_FAILED;
}

void
link_fail_internal(KsegLink *link, const char *message)
{
	link_fail(link, KSEG_FAILURE_INTERNAL, message, "", "");
}

static void
link_take_hello(KsegLink *link, const KsegFrame *frame)
{
	KsegReader reader;
	uint32 version;
	KsegText build;

	kseg_reader_init(&reader, frame);
	version = kseg_read_u32(&reader);
	build = kseg_read_text(&reader);
	if (!reader.failed && version == KSEG_WIRE_VERSION && build.length == strlen(KSEG_BUILD) &&
	    memcmp(build.data, KSEG_BUILD, build.length) == 0)
		link->greeted = true;
	else
		link_fail(
		    link, KSEG_FAILURE_BUILD, "kseg's courier is of another build than the loaded kseg.so",
		    psprintf("Loaded is build %s, the courier beside it is %s.", KSEG_BUILD,
		             link_copy_text(link, build)),
		    "After installing another version of kseg start new sessions; restart the server if kseg is "
		    "preloaded.");
}

static void
link_take_failed(KsegLink *link, const KsegFrame *frame)
{
	KsegReader reader;
	uint32 reason;
	char *message;
	char *detail;
	char *hint;

	kseg_reader_init(&reader, frame);
	reason = kseg_read_u32(&reader);
	link->failure.http_status = kseg_read_u32(&reader);
	message = link_copy_text(link, kseg_read_text(&reader));
	detail = link_copy_text(link, kseg_read_text(&reader));
	hint = link_copy_text(link, kseg_read_text(&reader));
	if (kseg_reader_done(&reader))
		link_fail(link, (KsegFailure) reason, message, detail, hint);
	else
		link_fail_internal(link, "kseg's courier sent a failure that is none");
}

static void
link_take_status(KsegLink *link, const KsegFrame *frame)
{
	KsegWireStatus status;

	if (!kseg_status_read(frame, &status, link->lanes, KSEG_LANES_MAX))
		link_fail_internal(link, "kseg's courier sent a status that is none");
	else
	{
		link->status = status;
		link->handler(link->argument, NULL);
	}
}

/* Texts of a frame that ends the run are kept in the link's context; a handler chooses its own. */
void
link_take_frame(KsegLink *link, const KsegFrame *frame)
{
	MemoryContext previous = MemoryContextSwitchTo(link->context);

	if (!link->greeted && frame->type != KSEG_FRAME_HELLO && frame->type != KSEG_FRAME_FAILED)
		link_fail_internal(link, "kseg's courier did not greet");
	else if (frame->type == KSEG_FRAME_HELLO)
		link_take_hello(link, frame);
	else if (frame->type == KSEG_FRAME_STATUS)
		link_take_status(link, frame);
	else if (frame->type == KSEG_FRAME_REJECTED || frame->type == KSEG_FRAME_CHECK ||
	         frame->type == KSEG_FRAME_BOUNDS || frame->type == KSEG_FRAME_PARTITIONS ||
	         frame->type == KSEG_FRAME_PROGRESS || frame->type == KSEG_FRAME_TROUBLE)
		link->handler(link->argument, frame);
	else if (frame->type == KSEG_FRAME_DONE)
		link->state = KSEG_LINK_DONE;
	else if (frame->type == KSEG_FRAME_FAILED)
		link_take_failed(link, frame);
	else
		link_fail_internal(link, "kseg's courier sent an unknown frame");
	MemoryContextSwitchTo(previous);
}

void
link_take_frames(KsegLink *link)
{
	StringInfo input = &link->input;
	Size at = 0;

	while (link->state == KSEG_LINK_OPEN)
	{
		KsegFrame frame;
		int taken = kseg_frame_parse((uint8 *) input->data + at, input->len - at, &frame);

		if (taken == 0)
			break;
		if (taken < 0)
		{
			link_fail_internal(link, "kseg's courier sent a frame that is too long");
			break;
		}
		link_take_frame(link, &frame);
		at += taken;
	}
	memmove(input->data, input->data + at, input->len - at);
	input->len -= at;
}
