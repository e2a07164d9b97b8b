/*
 * clock.c
 *	  Reading the clocks, and ISO 8601. See clock.h.
 */
#include "courier/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t
clock_read_ms(clockid_t id)
{
	struct timespec now;

	if (clock_gettime(id, &now) != 0)
		return 0;
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
clock_now_ms(void)
{
	return clock_read_ms(CLOCK_MONOTONIC);
}

int64_t
clock_unix_ms(void)
{
	return clock_read_ms(CLOCK_REALTIME);
}

void
clock_write_utc(char *out, int64_t unix_ms)
{
	int ms = (int) (unix_ms % 1000);
	time_t seconds = (time_t) (unix_ms / 1000);
	struct tm tm;
	char text[64];

	if (ms < 0)
	{
		ms += 1000;
		seconds -= 1;
	}
	if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 8099)
	{
		memcpy(out, "1970-01-01T00:00:00.000Z", KSEG_CLOCK_UTC_LENGTH);
		return;
	}
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
	         tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ms);
	memcpy(out, text, KSEG_CLOCK_UTC_LENGTH);
}
