/*
 * stream_position.h
 *	  How far a stream has come: rows of kseg.position_entry.
 *
 * Owns: reading them, storing the first ones, and moving them by compare-and-set in the transaction of a batch's rows: that is what
 * makes a stream exactly once. Whoever does not find the position where it was when the batch was read (a second worker, a zombie, a
 * stream that was reset meanwhile) gets an ERROR, and its rows go with its transaction.
 */
#ifndef KSEG_STREAM_POSITION_H
#define KSEG_STREAM_POSITION_H

#include "postgres.h"

/* No offset, no time. */
#define KSEG_POSITION_NONE (-1)

typedef struct KsegPosition
{
	char *topic;
	int32 partition;
	int64 next;        /* first offset that is not settled */
	int64 seen_offset; /* the last message that was settled, and its time in ms: by these a topic made anew */
	int64 seen_time;   /* is told from the one it was; KSEG_POSITION_NONE: none */
	bool followed;     /* its topic is one of those that the stream reads; kept for when it is again */
} KsegPosition;

/* One partition's step. */
typedef struct KsegPositionStep
{
	const char *topic;
	int32 partition;
	int64 was; /* next, as of when the batch was read */
	KsegPosition now;
} KsegPositionStep;

/* All of a stream's, palloc'd, by topic and partition. */
extern KsegPosition *position_list(int64 stream, int *count);

/*
 * Store a partition's first position, unless it has one. Returns whether it was stored: then the caller counts it (stream_entry_add_positions), so that
 * a loss is found out. It is followed, whatever `followed` says.
 */
extern bool position_add(int64 stream, const KsegPosition *position);

/* Say whether this position, which is there, is of a topic that the stream reads. Locks it until the end of the transaction. */
extern void position_set_followed(int64 stream, const char *topic, int32 partition, bool followed);

/*
 * Lock all of a stream's positions until the end of the transaction, and so wait for the batches under way: in position_move's order, so that
 * neither waits for the other in a circle.
 */
extern void position_lock_all(int64 stream);

/*
 * Remove all of a stream's positions; locks them first. Whoever adds some waits for the caller's lock on the definition (stream_entry_hold).
 * ERRORs 40001 when the transaction's snapshot is too old to see all of them.
 */
extern void position_remove_all(int64 stream);

/*
 * Move them all. ERRORs 40001 (with a detail that names the first partition concerned) unless each of them stands at `was`. Takes row
 * locks until the end of the transaction, in the order of topic and partition, so that two workers cannot deadlock.
 */
extern void position_move(int64 stream, const KsegPositionStep *steps, int count);

#endif /* KSEG_STREAM_POSITION_H */
