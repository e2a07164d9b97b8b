/*
 * link.h
 *	  The PostgreSQL side of the wire: start a courier, feed it, wait for it, stop it.
 *
 * Owns: the courier's process, the socket to it and the WaitEventSet; all three belong to the KsegLink and go with it,
 * whichever comes first: link_close, the end of the memory context it was opened in (error, end of transaction), or the
 * backend's exit (FATAL too). Refuses: to know what is in an event, or what Segment is.
 *
 * Every wait here ends on the latch: cancel, statement_timeout, termination and shutdown are answered at once, whatever
 * the courier does. Nothing here writes to a table or needs a transaction, so it works in parallel mode and on a standby.
 */
#ifndef KSEG_LINK_H
#define KSEG_LINK_H

#include "postgres.h"
#include "lib/stringinfo.h"

#include "wire/wire.h"

typedef struct KsegLink KsegLink;

/* How a run stands with its courier. */
typedef enum KsegLinkState
{
	KSEG_LINK_OPEN,   /* taking events, or delivering them */
	KSEG_LINK_DONE,   /* every event is settled */
	KSEG_LINK_FAILED, /* the courier ended the run and said why */
	KSEG_LINK_LOST    /* the courier is gone without a word */
} KsegLinkState;

/* Why the courier ended the run. Strings live in the link's memory context; none of them holds a secret. */
typedef struct KsegLinkFailure
{
	KsegFailure reason;
	uint32 http_status; /* 0: none */
	const char *message;
	const char *detail; /* "" when there is none, as hint */
	const char *hint;
} KsegLinkFailure;

/* Bounds of what may be in flight: fed and not yet settled. */
typedef struct KsegLinkCredit
{
	uint32 lanes;
	uint64
	    max_events; /* of all lanes together; a lane that is retrying holds at most its share of either bound */
	uint64 max_bytes;
} KsegLinkCredit;

/*
 * Called for each REJECTED, CHECK, BOUNDS, PARTITIONS, PROGRESS and TROUBLE frame, and with frame NULL after each STATUS, from inside any link_ function that
 * reads. It must not ERROR for what the other side answered, and must not call link_ functions.
 */
typedef void (*KsegLinkHandler)(void *argument, const KsegFrame *frame);

/*
 * Start a courier and say HELLO. The link lives in a context of its own under the current one.
 * ERRORs: no descriptor left (53000 class), the courier's program is missing or cannot be started (58P01).
 */
extern KsegLink *link_open(KsegLinkHandler handler, void *argument);

/* Send CONFIG: a JSON object (it carries the write key; the caller wipes its own copy). Waits while the socket is full. */
extern void link_configure(KsegLink *link, const char *json, Size length, const KsegLinkCredit *credit);

/* A lane's buffer as it is fed: one EVENTS or MESSAGES frame. */
typedef struct KsegLinkBatch
{
	KsegFrameType type;
	uint16 lane;
	StringInfo head;  /* KSEG_FRAME_HEADER free bytes, then the payload's beginning */
	const char *body; /* the payload's rest */
	uint32 body_length;
	uint32 events;
	uint64 bytes; /* of these events, as credit counts them and the courier's STATUS settles them */
} KsegLinkBatch;

/*
 * Feed one lane's events, waiting for credit and for the socket. Returns false when the run has ended early (link_state
 * tells): the query need not go on.
 */
extern bool link_feed(KsegLink *link, const KsegLinkBatch *batch);

/* Take in what the courier has said, without waiting. Returns false when the run has ended. */
extern bool link_poll(KsegLink *link);

/*
 * Wait for the next RECORDS frame of a read. False: there is no more (link_state tells why). The frame lives until the
 * next call; nothing more is read from the socket than one chunk or one frame, so that the courier waits for us.
 */
extern bool link_pull(KsegLink *link, KsegFrame *frame);

/*
 * The same without waiting. False: nothing is there at the moment, or the run has ended (link_state).
 */
extern bool link_pull_ready(KsegLink *link, KsegFrame *frame);

/*
 * Wait until link_pull_ready may find something, the latch is set or timeout_ms are over (-1: for ever); answers interrupts.
 * False: the time is over.
 */
extern bool link_wait_records(KsegLink *link, long timeout_ms);

/*
 * Say something between two pulls. Waits while the socket is full. False: the courier takes nothing any more; what it said before comes
 * with the next pull.
 */
extern bool link_send(KsegLink *link, KsegFrameType type, const void *payload, Size length);

/*
 * From now on link_close first lets the courier end by itself for this long (it has a transaction to abort), and only
 * then kills it.
 */
extern void link_set_grace(KsegLink *link, int milliseconds);

/* Say END and wait until the run has ended one way or another. */
extern KsegLinkState link_finish(KsegLink *link);

extern KsegLinkState link_state(const KsegLink *link);
extern const KsegLinkFailure *link_failure(const KsegLink *link);
extern const KsegWireStatus *link_status(const KsegLink *link);
/* Events fed so far, and events in flight: fed and neither sent nor rejected. */
extern uint64 link_fed(const KsegLink *link);
extern uint64 link_in_flight(const KsegLink *link);
/* How a lost courier ended ("exit code 127", "signal 9"), in the current memory context; after KSEG_LINK_LOST. */
extern char *link_end_words(KsegLink *link);

/* Stop the courier, if it lives, and reap it; close the socket. May be called twice, and with NULL. */
extern void link_close(KsegLink *link);

#endif /* KSEG_LINK_H */
