/*
 * link.c
 *	  One courier and the talk with it. See link.h, and wire.h for the talk.
 *
 * Invariants:
 * - fed - settled never exceeds the credit, in events and in bytes (link_has_credit, asserted in link_feed).
 * - A KsegLink is in the list of open links from before it owns anything until it owns nothing.
 * - After state left KSEG_LINK_OPEN nothing more is written to the socket.
 */
#include "postgres.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "link/courier_process.h"
#include "link/link.h"
#include "link/link_frames.h"

/*
 * Bytes taken from the socket at once. Frames from the courier are small (a STATUS has under 1 kB) and only REJECTED
 * ones are large, so the buffer starts small and grows to a frame's size when one needs it.
 */
#define LINK_INPUT_START (16 * 1024)

static dlist_head open_links = DLIST_STATIC_INIT(open_links);
static uint32 link_wait_event = 0;

/* ---------- owning and letting go ---------- */

void
link_close(KsegLink *link)
{
	if (link == NULL || link->node.next == NULL)
		return;
	dlist_delete(&link->node);
	link->node.next = NULL;
	if (link->waiter != NULL)
		FreeWaitEventSet(link->waiter);
	if (link->socket >= 0)
		close(link->socket);
	if (link->counted)
		ReleaseExternalFD();
	if (link->pid > 0)
		link->exit_status = courier_process_end(link->pid, link->grace_ms);
	link->waiter = NULL;
	link->socket = -1;
	link->counted = false;
	link->pid = 0;
}

static void
link_context_callback(void *argument)
{
	link_close((KsegLink *) argument);
}

static void
link_exit_callback(int code, Datum argument)
{
	while (!dlist_is_empty(&open_links))
		link_close(dlist_container(KsegLink, node, dlist_head_node(&open_links)));
}

/* Make a link that owns nothing yet, with its cleanup in place. */
static KsegLink *
link_create(KsegLinkHandler handler, void *argument)
{
	static bool registered = false;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "kseg link", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	KsegLink *link = palloc0(sizeof(KsegLink));

	if (!registered)
	{
		before_shmem_exit(link_exit_callback, 0);
		link_wait_event = kseg_compat_wait_event("KsegCourier");
		registered = true;
	}
	link->context = context;
	link->handler = handler;
	link->argument = argument;
	link->socket = -1;
	initStringInfo(&link->input);
	enlargeStringInfo(&link->input, LINK_INPUT_START);
	link->cleanup.func = link_context_callback;
	link->cleanup.arg = link;
	MemoryContextRegisterResetCallback(context, &link->cleanup);
	dlist_push_head(&open_links, &link->node);
	MemoryContextSwitchTo(previous);
	return link;
}

/* ---------- reading ---------- */

/* The socket's other end is closed: the courier has ended, and not as agreed. */
static void
link_lose(KsegLink *link)
{
	if (link->state != KSEG_LINK_OPEN)
		return;
	link->state = KSEG_LINK_LOST;
	if (link->pid > 0)
		link->exit_status = courier_process_end(link->pid, 0);
	link->pid = 0;
}

bool
link_receive_chunk(KsegLink *link, int room)
{
	ssize_t got;

	/* Room for what is missing of a frame: at most KSEG_FRAME_MAX, then whoever takes frames objects. */
	enlargeStringInfo(&link->input, room);
	do
		got = recv(link->socket, link->input.data + link->input.len, link->input.maxlen - link->input.len - 1,
		           0);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		link->input.len += got;
	else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		link_lose(link);
	return got > 0;
}

/* Read all that has arrived, without waiting. */
static void
link_receive(KsegLink *link)
{
	while (link->state == KSEG_LINK_OPEN && link_receive_chunk(link, LINK_INPUT_START))
		link_take_frames(link);
}

/* ---------- waiting and writing ---------- */

uint32
link_wait_event_of(KsegLink *link, uint32 events, long timeout_ms)
{
	WaitEvent event = {.events = 0};

	ModifyWaitEvent(link->waiter, 0, events, NULL);
	if (WaitEventSetWait(link->waiter, timeout_ms, &event, 1, link_wait_event) == 1 &&
	    event.events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return event.events;
}

/* Wait until the courier has said something, or also until the socket takes bytes. */
static void
link_wait(KsegLink *link, bool for_write)
{
	uint32 happened =
	    link_wait_event_of(link, WL_SOCKET_READABLE | (for_write ? WL_SOCKET_WRITEABLE : 0), -1);

	if (happened & WL_SOCKET_READABLE)
		link_receive(link);
}

/* Drop the bytes that were written from the head of a vector. */
static void
link_advance(struct iovec *vector, int count, Size written)
{
	for (int i = 0; i < count && written > 0; i++)
	{
		Size taken = Min(written, vector[i].iov_len);

		vector[i].iov_base = (char *) vector[i].iov_base + taken;
		vector[i].iov_len -= taken;
		written -= taken;
	}
}

/* The socket is full. While records are pulled nothing is read here: a RECORDS frame is link_pull's to give away. */
static void
link_wait_for_room(KsegLink *link)
{
	if (link->pulling)
		link_wait_event_of(link, WL_SOCKET_WRITEABLE, -1);
	else
		link_wait(link, true);
}

/* Write all of it, waiting while the socket is full. False: the run ended meanwhile, or nobody takes it. */
static bool
link_write(KsegLink *link, struct iovec *vector, int count)
{
	Size left = 0;

	for (int i = 0; i < count; i++)
		left += vector[i].iov_len;
	while (left > 0 && link->state == KSEG_LINK_OPEN)
	{
		struct msghdr message = {.msg_iov = vector, .msg_iovlen = count};
		ssize_t written = sendmsg(link->socket, &message, MSG_NOSIGNAL);

		if (written > 0)
		{
			left -= written;
			link_advance(vector, count, written);
		}
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			link_wait_for_room(link);
		else if (errno != EINTR && link->pulling)
			return false; /* what it has said before it went is link_pull's, and so is the end of it */
		else if (errno != EINTR)
		{
			/* It may have said why before it went. */
			link_receive(link);
			link_lose(link);
		}
	}
	return link->state == KSEG_LINK_OPEN;
}

static bool
link_write_frame(KsegLink *link, KsegFrameType type, const void *payload, Size length)
{
	uint8 header[KSEG_FRAME_HEADER];
	struct iovec vector[2] = {{header, sizeof(header)}, {(void *) payload, length}};

	kseg_frame_header(header, type, 0, length);
	return link_write(link, vector, 2);
}

/* ---------- the talk ---------- */

/*
 * Two are needed: the socket, and what CreateWaitEventSet takes for itself. When that one is missing PostgreSQL raises an
 * internal error, so it is asked for here and given back at once.
 */
static void
link_reserve_descriptors(KsegLink *link)
{
	link->counted = AcquireExternalFD();
	if (!link->counted || !AcquireExternalFD())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
		                errmsg("could not reserve file descriptors for kseg's courier: %m"),
		                errhint("Raise max_files_per_process or \"ulimit -n\".")));
	ReleaseExternalFD();
}

KsegLink *
link_open(KsegLinkHandler handler, void *argument)
{
	KsegLink *link = link_create(handler, argument);
	uint8 hello[sizeof(KSEG_BUILD) + 16];
	uint8 *end;

	link_reserve_descriptors(link);
	link->socket = courier_process_start(&link->pid);
	link->waiter = kseg_compat_create_wait_event_set(3);
	AddWaitEventToSet(link->waiter, WL_SOCKET_READABLE, link->socket, NULL, NULL);
	AddWaitEventToSet(link->waiter, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	/* A single-user server has no postmaster, and its pipe is no descriptor. */
	if (IsUnderPostmaster)
		AddWaitEventToSet(link->waiter, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);

	end = kseg_write_u32(hello, KSEG_WIRE_VERSION);
	end = kseg_write_text(end, KSEG_BUILD, strlen(KSEG_BUILD));
	end = kseg_write_text(end, "", 0);
	link_write_frame(link, KSEG_FRAME_HELLO, hello, end - hello);
	return link;
}

void
link_configure(KsegLink *link, const char *json, Size length, const KsegLinkCredit *credit)
{
	Assert(credit->lanes >= 1 && credit->lanes <= KSEG_LANES_MAX);
	link->credit = *credit;
	link_write_frame(link, KSEG_FRAME_CONFIG, json, length);
}

static uint64
link_settled_bytes(const KsegLink *link)
{
	uint64 settled = 0;

	for (uint32 i = 0; i < link->status.lanes; i++)
		settled += link->lanes[i].bytes;
	return settled;
}

/*
 * May these events go now? An empty pipe takes anything, so that no bound can be so small that nothing ever goes.
 * A retrying lane may hold its share only, so that the others' events find room while it waits.
 */
static bool
link_has_credit(const KsegLink *link, uint16 lane, uint32 events, uint64 bytes)
{
	const KsegLinkCredit *credit = &link->credit;
	uint64 in_flight = link_in_flight(link);
	uint64 lane_events = link->fed[lane].events - link->lanes[lane].events;
	uint64 lane_bytes = link->fed[lane].bytes - link->lanes[lane].bytes;

	if (in_flight == 0)
		return true;
	if (in_flight + events > credit->max_events ||
	    link->fed_bytes - link_settled_bytes(link) + bytes > credit->max_bytes)
		return false;
	return !link->lanes[lane].retrying || lane_events == 0 ||
	       (lane_events + events <= credit->max_events / credit->lanes &&
	        lane_bytes + bytes <= credit->max_bytes / credit->lanes);
}

/* Wait until these events may go or the run has ended. The courier is told, once, so that it does not wait for us. */
static void
link_wait_for_credit(KsegLink *link, uint16 lane, uint32 events, uint64 bytes)
{
	if (link->state != KSEG_LINK_OPEN || link_has_credit(link, lane, events, bytes))
		return;
	link_write_frame(link, KSEG_FRAME_WAITING, NULL, 0);
	while (link->state == KSEG_LINK_OPEN && !link_has_credit(link, lane, events, bytes))
		link_wait(link, false);
}

bool
link_feed(KsegLink *link, const KsegLinkBatch *batch)
{
	uint16 lane = batch->lane;
	uint32 payload = batch->head->len - KSEG_FRAME_HEADER + batch->body_length;
	struct iovec vector[2] = {{batch->head->data, batch->head->len},
	                          {(void *) batch->body, batch->body_length}};

	Assert(lane < link->credit.lanes && payload <= KSEG_FRAME_MAX);
	link_receive(link);
	link_wait_for_credit(link, lane, batch->events, batch->bytes);
	if (link->state != KSEG_LINK_OPEN)
		return false;
	kseg_frame_header((uint8 *) batch->head->data, batch->type, lane, payload);
	link->fed[lane].events += batch->events;
	link->fed[lane].bytes += batch->bytes;
	link->fed_events += batch->events;
	link->fed_bytes += batch->bytes;
	return link_write(link, vector, 2);
}

void
link_set_grace(KsegLink *link, int milliseconds)
{
	link->grace_ms = milliseconds;
}

bool
link_poll(KsegLink *link)
{
	link_receive(link);
	return link->state == KSEG_LINK_OPEN;
}

bool
link_send(KsegLink *link, KsegFrameType type, const void *payload, Size length)
{
	return link_write_frame(link, type, payload, length);
}

KsegLinkState
link_finish(KsegLink *link)
{
	link_write_frame(link, KSEG_FRAME_END, NULL, 0);
	while (link->state == KSEG_LINK_OPEN)
		link_wait(link, false);
	return link->state;
}

/* ---------- what is known ---------- */

KsegLinkState
link_state(const KsegLink *link)
{
	return link->state;
}

const KsegLinkFailure *
link_failure(const KsegLink *link)
{
	return &link->failure;
}

const KsegWireStatus *
link_status(const KsegLink *link)
{
	return &link->status;
}

uint64
link_fed(const KsegLink *link)
{
	return link->fed_events;
}

uint64
link_in_flight(const KsegLink *link)
{
	uint64 settled = 0;

	for (uint32 i = 0; i < link->status.lanes; i++)
		settled += link->lanes[i].events;
	return link->fed_events - settled;
}

char *
link_end_words(KsegLink *link)
{
	if (link->exit_status == -1)
		return pstrdup("ended in an unknown way");
	if (WIFEXITED(link->exit_status))
		return psprintf("ended with exit code %d", WEXITSTATUS(link->exit_status));
	return psprintf("ended by signal %d", WTERMSIG(link->exit_status));
}
