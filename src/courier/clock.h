/*
 * clock.h
 *	  The two times a courier needs: one that only goes forward (intervals, retries) and the wall's (sentAt).
 *
 * Owns: reading the clocks and writing a time as Segment reads it. Refuses: to be called from anywhere but the loop and
 * the start of a request: everything else takes the time as an argument, so that a test can hold it.
 */
#ifndef KSEG_COURIER_CLOCK_H
#define KSEG_COURIER_CLOCK_H

#include <stdint.h>

/* Bytes of "2026-08-01T12:34:56.789Z", without a NUL. */
#define KSEG_CLOCK_UTC_LENGTH 24

/* Never: later than every time. */
#define KSEG_CLOCK_NEVER INT64_MAX

/* Milliseconds since some fixed point; never goes back. */
extern int64_t clock_now_ms(void);

/* Milliseconds since 1970-01-01 UTC by the wall clock. */
extern int64_t clock_unix_ms(void);

/*
 * Write unix_ms as ISO 8601 UTC with milliseconds into out, KSEG_CLOCK_UTC_LENGTH bytes and no NUL. A year outside
 * 0 … 9999 (a broken clock) is written as 1970-01-01T00:00:00.000Z.
 */
extern void clock_write_utc(char *out, int64_t unix_ms);

#endif /* KSEG_COURIER_CLOCK_H */
