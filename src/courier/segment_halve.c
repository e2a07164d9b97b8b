/*
 * segment_halve.c
 *	  Halving in order. See segment_halve.h.
 */
#include "courier/segment_halve.h"

void
halve_start(KsegHalve *halve, uint32_t count)
{
	halve->from = 0;
	halve->ends[0] = count;
	halve->parts = 1;
}

bool
halve_next(const KsegHalve *halve, uint32_t *from, uint32_t *to)
{
	if (halve->parts == 0)
		return false;
	*from = halve->from;
	*to = halve->ends[halve->parts - 1];
	return true;
}

void
halve_settle(KsegHalve *halve)
{
	halve->parts--;
	halve->from = halve->ends[halve->parts];
}

bool
halve_split(KsegHalve *halve)
{
	uint32_t count = halve->ends[halve->parts - 1] - halve->from;

	if (count == 1)
		return false;
	halve->ends[halve->parts] = halve->from + (count + 1) / 2;
	halve->parts++;
	return true;
}
