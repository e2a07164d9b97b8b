/*
 * replay_letter.h
 *	  A dead letter that is replayed: read, and what becomes of it.
 *
 * Owns: statements on kseg.dead_letter_entry by a letter's id. Refuses: to choose letters (stream_replay.c does, as the caller and through
 * the view that shows him his own) and to deliver them.
 */
#ifndef KSEG_REPLAY_LETTER_H
#define KSEG_REPLAY_LETTER_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "wire/wire.h"

/* The letters of one stream or one run, in the order of their ids, and what has become of them. */
typedef struct KsegReplay
{
	const int64 *ids;
	int64 count;
	int64 replayed;
	int64 failed;
	char *first_problem; /* NULL: none */
} KsegReplay;

/* One letter, palloc'd; texts in the database's encoding, data NULL for NULL. */
typedef struct KsegReplayLetter
{
	int64 id;
	char *server;
	char *call;
	char *event; /* JSON */
	char *topic;
	int32 partition; /* -1: none */
	int64 offset;    /* -1: none */
	TimestampTz time;
	bool has_time;
	KsegText key; /* bytes as they are, as value */
	KsegText value;
	char *headers; /* JSON */
	bool incomplete;
} KsegReplayLetter;

/* In the current memory context. False: it is gone. SPI connected, as all of these. */
extern bool replay_letter_get(int64 id, KsegReplayLetter *letter);

/* It is delivered: the letter goes. */
extern void replay_letter_settle(KsegReplay *replay, int64 id);

/* It is not, for this reason: the letter stays and says it. sqlerrcode 0: none; status 0: none (HTTP's, or Kafka's). */
extern void replay_letter_keep(KsegReplay *replay, int64 id, int sqlerrcode, int32 status,
                               const char *reason);

/* What an incomplete letter's reason is. */
extern const char replay_letter_incomplete[];

#endif /* KSEG_REPLAY_LETTER_H */
