/*
 * stream_tries.c
 *	  Which records of a batch are applied next. See stream_tries.h.
 *
 * The cap: what a try has read before it fails was for nothing, so where messages fail, small tries are cheaper; where they do not, each
 * commit saved is. Halved when a try fails and raised by an eighth when one succeeds, it stays about where both cost the same: for one bad
 * message in 10,000 near 1,500, and some tenth of the work is lost.
 */
#include "postgres.h"

#include "stream/stream_tries.h"

void
stream_tries_init(KsegStreamTries *tries, int max)
{
	*tries = (KsegStreamTries){.suspect = -1, .cap = max, .max = max};
}

void
stream_tries_begin(KsegStreamTries *tries, int count)
{
	tries->count = count;
	tries->from = 0;
	tries->bad_to = 0;
	tries->suspect = -1;
}

int
stream_tries_to(const KsegStreamTries *tries)
{
	if (tries->suspect == tries->from)
		return tries->from + 1;
	if (tries->suspect > tries->from)
		return tries->suspect;
	if (tries->bad_to > tries->from)
		return tries->from + Max(1, (tries->bad_to - tries->from) / 2);
	return Min(tries->from + tries->cap, tries->count);
}

void
stream_tries_succeeded(KsegStreamTries *tries, int to)
{
	bool searching = tries->bad_to != 0;

	tries->from = to;
	/* The suspect is innocent, or was dealt with: what follows is not known to be bad. */
	if (tries->suspect >= 0 && tries->from > tries->suspect)
	{
		tries->suspect = -1;
		tries->bad_to = 0;
	}
	if (tries->from >= tries->bad_to)
		tries->bad_to = 0;
	if (!searching)
		tries->cap = Min(tries->max, tries->cap + tries->cap / 8 + 1);
}

bool
stream_tries_failed(KsegStreamTries *tries, int to, int at, bool exact)
{
	if (tries->bad_to == 0)
		tries->cap = Max(1, tries->cap / 2);
	/* Alone it is to blame. One that was read first may be read again (the inner side of a join), so it is tried alone. */
	if (to - tries->from == 1 || (exact && at == tries->from))
	{
		tries->suspect = tries->from;
		tries->bad_to = tries->from + 1;
		return true;
	}
	tries->bad_to = to;
	tries->suspect = at >= tries->from && at < to - (exact ? 0 : 1) ? at : -1;
	return false;
}
