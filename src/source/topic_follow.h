/*
 * topic_follow.h
 *	  Topics without an end: a courier with the job kafka_follow, its records as they come.
 *
 * Owns: the link, CONFIG of the job, which partitions are followed, and how far each has been handed over. Refuses: to know positions'
 * table and columns.
 */
#ifndef KSEG_TOPIC_FOLLOW_H
#define KSEG_TOPIC_FOLLOW_H

#include "postgres.h"

#include "source/topic_read.h"
#include "wire/wire_follow.h"

/* Where a partition is to be read on. Fields as in KsegPosition (src/stream), which this folder does not know. */
typedef struct KsegFollowPosition
{
	const char *topic;
	int32 partition;
	int64 next;
	int64 seen_offset; /* -1: none */
	int64 seen_time;
} KsegFollowPosition;

typedef struct KsegFollowRequest
{
	KsegTopicRequest
	    read; /* server, format, delimiter, quote, null, wants, fields; its limits are not used */
	const char *const *topics; /* names, and regular expressions that begin with ^ */
	int topic_count;
	const KsegFollowPosition *positions;
	int position_count;
	bool begun;        /* partitions without a position begin at their first message, whatever start says */
	const char *start; /* "earliest", "latest", "timestamp" */
	int64 start_ms;
	int workers; /* take the partitions of worker out of workers */
	int worker;
	const char *commit_group; /* NULL: none */
	Size pending_bytes;       /* records that the courier holds ready, while PostgreSQL applies others */
	int alive_ms;             /* how often the courier says that it lives */
} KsegFollowRequest;

typedef struct KsegFollowPartition
{
	char *topic;
	int32 partition;
	int64 low;   /* first offset that the broker had when it was taken up */
	int64 start; /* where it was taken up */
	int64 next;  /* nothing before it will come any more */
	int64 end;   /* of the log (read_committed: of what is stable), as last heard; -1: not known */
} KsegFollowPartition;

typedef struct KsegTopicFollow KsegTopicFollow;

/* Start a courier. The follow lives in a context of its own under the current one. ERRORs as link_open. Needs no transaction. */
extern KsegTopicFollow *topic_follow_open(const KsegFollowRequest *request);

/*
 * The next RECORDS frame, if one is there; never waits. The frame lives until the next call. False: none at the moment. Other frames are
 * taken in on the way: look at the partitions anew after each call. ERRORs when the courier has failed or is lost, as topic_read_next.
 */
extern bool topic_follow_poll(KsegTopicFollow *follow, KsegFrame *frame);

/*
 * Wait until something has come, the latch is set or the time is over (-1: for ever); answers interrupts. False: time is over. ERRORs (08006) when
 * the courier has not said for several times alive_ms of waiting that it lives.
 */
extern bool topic_follow_wait(KsegTopicFollow *follow, long timeout_ms);

/* The partitions by their index (the `partition` of the records). known: the courier has said which there are at least once. */
extern const KsegFollowPartition *topic_follow_partitions(const KsegTopicFollow *follow, int *count,
                                                          bool *known);

/* What the courier waits for ("" nothing): no broker, no such topic yet. Lives until the next poll. */
extern const char *topic_follow_trouble(const KsegTopicFollow *follow);

/* Positions are committed in the database up to next, for these indexes: the group is told, if there is one. */
extern void topic_follow_committed(KsegTopicFollow *follow, const int *indexes, const int64 *next, int count);

/* Why the courier has given up, as it said; 0 while it has not, or is gone without a word. */
extern KsegFailure topic_follow_failure(const KsegTopicFollow *follow);

/* Stop the courier and free the follow. May be called with NULL. */
extern void topic_follow_close(KsegTopicFollow *follow);

#endif /* KSEG_TOPIC_FOLLOW_H */
