/*
 * link_frames.h
 *	  Inside src/link: a link's fields, and what it does with the courier's frames. Nobody else includes this.
 */
#ifndef KSEG_LINK_FRAMES_H
#define KSEG_LINK_FRAMES_H

#include "postgres.h"
#include "lib/ilist.h"
#include "storage/latch.h"

#include "compat.h"
#include "link/link.h"

struct KsegLink
{
	dlist_node node; /* in open_links while it owns something */
	MemoryContext context;
	MemoryContextCallback cleanup;
	KsegLinkHandler handler;
	void *argument;

	pid_t pid;            /* 0: none */
	int socket;           /* -1: none */
	bool counted;         /* the socket is counted by fd.c */
	WaitEventSet *waiter; /* NULL: none */
	int exit_status;      /* after the end: as from waitpid */

	KsegLinkState state;
	bool greeted; /* the courier's HELLO was right */
	KsegLinkFailure failure;
	KsegLinkCredit credit;
	KsegWireStatus status;
	KsegWireLane lanes[KSEG_LANES_MAX];
	KsegWireLane fed[KSEG_LANES_MAX]; /* events and bytes fed so far, as lanes has those settled */
	uint64 fed_events;
	uint64 fed_bytes;

	StringInfoData input; /* bytes received and not yet taken apart */
	bool pulling;         /* link_pull has begun: only it takes frames out of the input */
	Size pulled;          /* of the input: bytes in front that link_pull has given away */
	int grace_ms;         /* link_close: how long the courier may take to end by itself */
};

/* Take apart every whole frame in the input; what is left of the next one moves to the front. */
extern void link_take_frames(KsegLink *link);

/* Do what one frame says. RECORDS are link_pull's and a fault here. */
extern void link_take_frame(KsegLink *link, const KsegFrame *frame);

/* The courier speaks nonsense: fail. message is a constant. */
extern void link_fail_internal(KsegLink *link, const char *message);

/* Read what has arrived into room bytes or more, without waiting. False: nothing has, or the courier is lost. */
extern bool link_receive_chunk(KsegLink *link, int room);

/*
 * Wait until one of these happens at the socket, the latch is set, or the time is over (-1: never); answers interrupts. Returns what
 * happened, 0: nothing.
 */
extern uint32 link_wait_event_of(KsegLink *link, uint32 events, long timeout_ms);

#endif /* KSEG_LINK_FRAMES_H */
