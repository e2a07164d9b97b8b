/*
 * sink_clock.h
 *	  The time, as often as once a row.
 */
#ifndef KSEG_SINK_CLOCK_H
#define KSEG_SINK_CLOCK_H

#include "postgres.h"

#include <time.h>

/* Milliseconds of a clock that costs a few ns to read and is right to about 4 ms. */
static inline int64
sink_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif /* KSEG_SINK_CLOCK_H */
