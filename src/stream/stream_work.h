/*
 * stream_work.h
 *	  What a worker has in hand, and the parts of its life among themselves.
 *
 *	  stream_worker.c   the process, and the loop of turns
 *	  stream_open.c     definition, statement, positions, courier: opened together, closed together
 *	  stream_turn.c     one turn: what has come is taken, until a batch is due
 *	  stream_apply.c    a batch's transaction
 *	  stream_recover.c  what follows from an error
 *	  stream_tell.c     NOTIFY that it runs, or tries again
 *
 * Each of the functions below does one step and returns to the loop: interrupts, settings and what the slot says are looked at between
 * steps, in one place.
 */
#ifndef KSEG_STREAM_WORK_H
#define KSEG_STREAM_WORK_H

#include "postgres.h"

#include "source/topic_batch.h"
#include "source/topic_feed.h"
#include "source/topic_follow.h"
#include "stream/stream_entry.h"
#include "stream/stream_letter.h"
#include "stream/stream_position.h"
#include "stream/stream_reading.h"
#include "stream/stream_share.h"
#include "stream/stream_statement.h"
#include "stream/stream_tries.h"
#include "stream/stream_worker.h"

/* What was being done when an error came. */
typedef enum KsegStreamPhase
{
	KSEG_PHASE_OPENING,
	KSEG_PHASE_READING,
	KSEG_PHASE_APPLYING
} KsegStreamPhase;

/* What was told last of a stream's state (stream_tell.c), of this process. */
typedef enum KsegStreamTold
{
	KSEG_TOLD_NOTHING,
	KSEG_TOLD_RUNNING,
	KSEG_TOLD_OPENING_FAILED, /* that it tries again, and runs when it is open */
	KSEG_TOLD_APPLYING_FAILED /* that it tries again, and runs when a batch is committed */
} KsegStreamTold;

/* feed.at of a try until its statement has read a record; -1 it may be later: where rows went in together, no one is suspect. */
#define KSEG_WORK_UNREAD (-2)

typedef struct KsegStreamWork
{
	KsegStreamWorkerArgument argument;
	MemoryContext turn;    /* one turn's; reset at its head */
	MemoryContext session; /* from stream_open to stream_close: everything below but share and tries.cap */
	KsegStreamPhase phase;
	bool over;            /* the process ends */
	TimestampTz next_try; /* after an error of the surroundings; 0: none */
	KsegStreamTold told;
	TimestampTz next_forget; /* when old dead letters are looked for again; 0: now */
	int begun_look_ms;       /* the last wait for the first positions, which another worker stores; 0: none */

	/* opened */
	KsegStreamEntry *entry; /* NULL: not opened */
	KsegStreamStatement *statement;
	KsegStreamReading *reading;
	KsegTopicFollow *follow;
	bool running;   /* the slot says so */
	bool beginning; /* the follow is there to find the first positions only */
	KsegPosition
	    *stored; /* of all partitions of the stream, as read when it was opened; by topic and partition */
	int stored_count;
	KsegPosition
	    *settled; /* by the follow's index: as they are committed. Never more than the follow's partitions */
	KsegFeedPartition *partitions; /* by the same */
	int settled_count;
	int settled_room;

	/* the batch */
	KsegTopicBatch *batch;
	TimestampTz batch_begun; /* when its first record came */
	TimestampTz batch_time;  /* the oldest of its records' times, never later than batch_begun */
	TimestampTz idle_since;  /* when positions without records were first seen; 0: there are none */
	bool applying;           /* it is being applied: nothing is added */
	KsegStreamTries tries;
	KsegTopicFeed feed;
	bool moved;                 /* in the transaction under way: positions are where they must be */
	Bitmapset *problem_set;     /* records that the columns cannot take, of this try */
	KsegStreamLetter *problems; /* the same in order, in context turn */
	int problem_count;
	int problem_room;
	bool stopped_by_problem;  /* on_error 'stop': the transaction under way was given up for one */
	KsegStreamLetter culprit; /* the record that failed alone; index -1: none */

	KsegStreamShare share;
	bool stat_pending; /* statistics that are not reported yet */
} KsegStreamWork;

/* stream_worker.c: a transaction with a snapshot; after the commit context turn is the current one. */
extern void stream_transaction_begin(void);
extern void stream_transaction_commit(const KsegStreamWork *work);

/* stream_open.c */
extern void stream_open(KsegStreamWork *work);
/* While beginning: store the first positions when the courier has said where partitions are. True: done, and closed. */
extern bool stream_open_first(KsegStreamWork *work);
/* Give up all that stream_open has made, the batch in memory too. No transaction is open. May be called at any time. */
extern void stream_close(KsegStreamWork *work);
/* Partitions that the follow has and `settled` has not: their positions. Opens a transaction when one has to be stored. */
extern void stream_take_partitions(KsegStreamWork *work);

/* stream_turn.c */
extern void stream_turn_read(KsegStreamWork *work);
/* Wait until the latch is set or the time has come (-1: for ever). */
extern void stream_turn_sleep(long timeout_ms);
/* End of the logs, and what has come, less what is settled; -1: not known. */
extern int64 stream_turn_lag(const KsegStreamWork *work);

/* stream_apply.c */
extern void stream_apply(KsegStreamWork *work);

/* stream_recover.c; in a PG_CATCH */
extern void stream_recover(KsegStreamWork *work);
/* The stream halts for this reason, in a transaction of its own, and the process ends. ERRORs when that cannot be written. */
extern void stream_halt(KsegStreamWork *work, const char *halted, const ErrorData *error);

/*
 * stream_tell.c. Each in a transaction of its own, and only when it was not told before: the courier has opened the topics; a batch is committed
 * after failures; an error is waited for (in a PG_CATCH, after the transaction was given up).
 */
extern void stream_tell_opened(KsegStreamWork *work);
extern void stream_tell_settled(KsegStreamWork *work);
extern void stream_tell_retrying(KsegStreamWork *work, const ErrorData *error);

#endif /* KSEG_STREAM_WORK_H */
