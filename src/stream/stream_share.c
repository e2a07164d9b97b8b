/*
 * stream_share.c
 *	  How many of a stream's last messages became dead letters. See stream_share.h.
 */
#include "postgres.h"

#include "stream/stream_share.h"

void
stream_share_add(KsegStreamShare *share, uint64 messages, uint64 letters)
{
	if (share->messages[0] >= KSEG_SHARE_MESSAGES)
	{
		share->messages[1] = share->messages[0];
		share->letters[1] = share->letters[0];
		share->messages[0] = share->letters[0] = 0;
	}
	share->messages[0] += messages;
	share->letters[0] += letters;
}

bool
stream_share_get(const KsegStreamShare *share, uint64 *messages, uint64 *letters)
{
	*messages = share->messages[0] + share->messages[1];
	*letters = share->letters[0] + share->letters[1];
	return *messages >= KSEG_SHARE_MESSAGES && *letters >= KSEG_SHARE_LETTERS;
}
