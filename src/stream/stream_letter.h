/*
 * stream_letter.h
 *	  Dead letters of streams: a message as it came, and why it could not be applied.
 *
 * Owns: collecting them during a batch (in memory: a batch is bounded) and writing them into kseg.dead_letter_entry in the transaction that
 * moves the position past them. Refuses: to decide what is one.
 */
#ifndef KSEG_STREAM_LETTER_H
#define KSEG_STREAM_LETTER_H

#include "postgres.h"

#include "source/topic_feed.h"
#include "stream/stream_entry.h"

typedef struct KsegStreamLetter
{
	int index; /* of the record in the batch */
	int sqlerrcode;
	const char *reason; /* one line */
} KsegStreamLetter;

/*
 * Write these messages of the feed's batch as dead letters of the stream, in the current transaction, SPI connected. server: its name. A value,
 * key or headers of more than KSEG_LETTER_EVENT_MAX bytes are left out, and the reason says so.
 */
extern void stream_letter_write(const KsegStreamEntry *entry, const char *server, const KsegTopicFeed *feed,
                                const KsegStreamLetter *letters, int count);

/*
 * Remove dead letters, of runs too, that are older than kseg.dead_letter_retention, ten thousand at most. In a transaction of its own, SPI not
 * connected. False: there may be more. stream_letter_write does it by itself.
 */
extern bool stream_letter_forget(void);

#endif /* KSEG_STREAM_LETTER_H */
