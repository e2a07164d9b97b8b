/*
 * link_pull.c
 *	  Records as they come from the courier: one frame after another, given away without a copy. See link.h.
 */
#include "postgres.h"

#include "link/link_frames.h"

/*
 * While records are pulled: two frames of them (KSEG_RECORDS_FRAME), so that a call of the system brings at least one whole one
 * and what is left of the next, which moves to the front, is the smaller part. It stays in the second level cache.
 */
#define LINK_INPUT_PULL (128 * 1024)

/* The next whole frame of the input. False: more bytes are needed, or it is none (then the link has failed). */
static bool
link_pull_frame(KsegLink *link, KsegFrame *frame)
{
	StringInfo input = &link->input;
	int taken = kseg_frame_parse((uint8 *) input->data + link->pulled, input->len - link->pulled, frame);

	if (taken < 0)
		link_fail_internal(link, "kseg's courier sent a frame that is too long");
	if (taken > 0)
		link->pulled += taken;
	return taken > 0;
}

/* What has been given away makes room. */
static void
link_pull_compact(KsegLink *link)
{
	StringInfo input = &link->input;

	memmove(input->data, input->data + link->pulled, input->len - link->pulled);
	input->len -= link->pulled;
	link->pulled = 0;
}

bool
link_pull_ready(KsegLink *link, KsegFrame *frame)
{
	link->pulling = true;
	while (link->state == KSEG_LINK_OPEN)
	{
		if (link_pull_frame(link, frame))
		{
			if (frame->type == KSEG_FRAME_RECORDS && link->greeted)
				return true;
			link_take_frame(link, frame);
		}
		else if (link->state == KSEG_LINK_OPEN)
		{
			link_pull_compact(link);
			if (!link_receive_chunk(link, LINK_INPUT_PULL))
				return false;
		}
	}
	return false;
}

bool
link_pull(KsegLink *link, KsegFrame *frame)
{
	while (!link_pull_ready(link, frame))
	{
		if (link->state != KSEG_LINK_OPEN)
			return false;
		link_wait_event_of(link, WL_SOCKET_READABLE, -1);
	}
	return true;
}

bool
link_wait_records(KsegLink *link, long timeout_ms)
{
	KsegFrame frame;

	/* The socket knows nothing of what was read from it together with an earlier frame. */
	if (link->state != KSEG_LINK_OPEN || kseg_frame_parse((uint8 *) link->input.data + link->pulled,
	                                                      link->input.len - link->pulled, &frame) != 0)
		return true;
	return link_wait_event_of(link, WL_SOCKET_READABLE, timeout_ms) != 0;
}
