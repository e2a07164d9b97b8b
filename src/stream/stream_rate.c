/*
 * stream_rate.c
 *	  Rows a second. See stream_rate.h.
 */
#include "postgres.h"

#include <math.h>

#include "stream/stream_rate.h"

/* Less time than this says nothing: what one batch brought within a millisecond is no rate. */
#define RATE_LEAST_SECONDS 1.0

/* Below this a stream is idle: a row in three minutes. */
#define RATE_LEAST 0.005

/* Clocks may be set back. */
static double
rate_seconds(TimestampTz from, TimestampTz to)
{
	return Max((to - from) / (double) USECS_PER_SEC, 0);
}

void
stream_rate_begin(KsegStreamRate *rate, TimestampTz now)
{
	*rate = (KsegStreamRate){.began = now, .noted = now};
}

void
stream_rate_add(KsegStreamRate *rate, uint64 rows, TimestampTz now)
{
	/* Two batches within a microsecond are one of twice the rows. */
	double seconds = Max(rate_seconds(rate->noted, now), 0.000001);
	double kept = exp(-seconds / KSEG_RATE_SECONDS);

	rate->value = rate->value * kept + (double) rows / seconds * (1 - kept);
	rate->noted = now;
}

double
stream_rate_get(const KsegStreamRate *rate, TimestampTz now)
{
	double lived = Max(rate_seconds(rate->began, now), RATE_LEAST_SECONDS);
	double fallen = rate->value * exp(-rate_seconds(rate->noted, now) / KSEG_RATE_SECONDS);
	double value = fallen / (1 - exp(-lived / KSEG_RATE_SECONDS));

	return value < RATE_LEAST ? 0 : value;
}
