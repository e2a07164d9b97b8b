/*
 * stream_share.h
 *	  How many of a stream's last messages became dead letters. Pure arithmetic.
 */
#ifndef KSEG_STREAM_SHARE_H
#define KSEG_STREAM_SHARE_H

#include "postgres.h"

/*
 * Before so many messages and letters nothing is said: of a hundred bad messages a human can still look at each, and a share of a few is
 * no share.
 */
#define KSEG_SHARE_MESSAGES 1000
#define KSEG_SHARE_LETTERS  100

typedef struct KsegStreamShare
{
	/* Two halves of the window, [0] the one that fills: it moves on by KSEG_SHARE_MESSAGES or a batch, whichever is more. */
	uint64 messages[2];
	uint64 letters[2];
} KsegStreamShare;

extern void stream_share_add(KsegStreamShare *share, uint64 messages, uint64 letters);

/* The window as it is. False: too few to say anything. */
extern bool stream_share_get(const KsegStreamShare *share, uint64 *messages, uint64 *letters);

#endif /* KSEG_STREAM_SHARE_H */
