/*
 * json_time.c
 *	  Times: ISO 8601, UTC, whatever the session's TimeZone, DateStyle and IntervalStyle are.
 *
 * Owns: "YYYY-MM-DDTHH:MM:SS.mmmZ" for timestamptz, timestamp and date (those without a zone are read as UTC), with the
 * expanded years of ECMA-262 where four digits do not do; "HH:MM:SS[.ffffff]"; ISO durations. For Segment microseconds are
 * floored to milliseconds, before 1970 too, so that a time never moves into the future. A lossless writer (Kafka) writes
 * them where there are any, and a date as "YYYY-MM-DD".
 */
#include "postgres.h"

#include "pgtime.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "event/json_write.h"

#define DAYS_OF_TIMESTAMP                                                                                    \
	(INT64CONST(292000) * 365) /* whole days that int64 microseconds can count, rounded down */

static inline char *
pair_write(char *to, unsigned value)
{
	to[0] = '0' + value / 10;
	to[1] = '0' + value % 10;
	return to + 2;
}

static inline char *
thousandths_write(char *to, unsigned value)
{
	*to = '0' + value / 100;
	return pair_write(to + 1, value % 100);
}

/* Write the day's "YYYY-MM-DDT" into writer->day; false: its year has more than six digits. */
static bool
day_write(KsegWriter *writer, int64 day)
{
	KsegDay *cache = &writer->day;
	int year, month, mday;
	char *to = cache->text;

	j2date((int) day + POSTGRES_EPOCH_JDATE, &year, &month, &mday);
	if (year > 999999)
		return false;
	if (year >= 1 && year <= 9999)
		to = pair_write(pair_write(to, year / 100), year % 100);
	else /* ECMA-262, "Expanded Years": 1 BC is +000000 */
		to += sprintf(to, "%c%06d", year < 0 ? '-' : '+', abs(year));
	*to++ = '-';
	to = pair_write(to, month);
	*to++ = '-';
	to = pair_write(to, mday);
	*to++ = 'T';
	cache->day = day;
	cache->length = to - cache->text;
	return true;
}

/* Have the day's text in the writer; false, with a trouble: it has none. */
static inline bool
day_find(KsegWriter *writer, int64 day)
{
	if ((writer->day.day == day && writer->day.length != 0) || day_write(writer, day))
		return true;
	json_write_trouble(writer, "a year beyond 999999 has no ISO 8601 form");
	return false;
}

/* Append the time of microseconds into a day. */
static void
instant_write(KsegWriter *writer, int64 day, int64 microseconds)
{
	StringInfo out = writer->out;
	int at = out->len;
	int milliseconds = (int) (microseconds / 1000);
	int rest = (int) (microseconds % 1000);
	int seconds = milliseconds / 1000;
	char *to = json_reserve(out, sizeof(writer->day.text) + 20);

	if (!day_find(writer, day))
		return;
	*to++ = '"';
	memcpy(to, writer->day.text, sizeof(writer->day.text));
	to = pair_write(to + writer->day.length, seconds / SECS_PER_HOUR);
	*to++ = ':';
	to = pair_write(to, seconds / SECS_PER_MINUTE % MINS_PER_HOUR);
	*to++ = ':';
	to = pair_write(to, seconds % SECS_PER_MINUTE);
	*to++ = '.';
	to = thousandths_write(to, milliseconds % 1000);
	if (rest != 0 && writer->lossless)
		to = thousandths_write(to, rest);
	*to++ = 'Z';
	*to++ = '"';
	out->len = to - out->data;
	json_canon_written(writer, KSEG_CANON_TEXT, at, 1);
}

/* The instant is microseconds; what is nested also leaves them in writer->exact, which the id takes. */
static void
instant_note(KsegWriter *writer, int64 microseconds)
{
	json_canon_number(writer, KSEG_CANON_TIME, microseconds);
	if (writer->depth > 0)
		json_write_bytes(&writer->exact, (const char *) &microseconds, sizeof(microseconds));
}

static void
time_write_infinity(KsegWriter *writer, bool negative)
{
	const char *word = negative ? "-infinity" : "infinity";

	if (writer->spelled)
		json_write_plain(writer, word, strlen(word));
	else
		json_write_trouble(writer, "infinity has no ISO 8601 form");
}

void
json_write_timestamp(KsegWriter *writer, Timestamp value)
{
	int64 day = value / USECS_PER_DAY;
	int64 rest = value % USECS_PER_DAY;

	if (unlikely(TIMESTAMP_NOT_FINITE(value)))
	{
		time_write_infinity(writer, TIMESTAMP_IS_NOBEGIN(value));
		return;
	}
	if (rest < 0)
	{
		rest += USECS_PER_DAY;
		day--;
	}
	instant_write(writer, day, rest);
	instant_note(writer, value);
}

void
json_write_date(KsegWriter *writer, DateADT value)
{
	if (unlikely(DATE_NOT_FINITE(value)))
	{
		time_write_infinity(writer, DATE_IS_NOBEGIN(value));
		return;
	}
	if (writer->lossless)
	{
		if (day_find(writer, value))
			json_write_plain(writer, writer->day.text, writer->day.length - 1); /* without the T */
		return;
	}
	instant_write(writer, value, 0);
	/* A later day's canon is its text: only timestamps have microseconds to lose. */
	if (writer->trouble == NULL && value < DAYS_OF_TIMESTAMP)
		instant_note(writer, value * USECS_PER_DAY);
}

/* EncodeTimeOnly spells times and offsets independent of DateStyle; the offset with minutes, as ISO 8601 asks. */
static void
clock_write(KsegWriter *writer, struct pg_tm *tm, fsec_t fsec, bool with_zone, int zone)
{
	char text[MAXDATELEN + 1];

	EncodeTimeOnly(tm, fsec, with_zone, zone, USE_XSD_DATES, text);
	json_write_plain(writer, text, strlen(text));
}

void
json_write_time(KsegWriter *writer, TimeADT value)
{
	struct pg_tm tm;
	fsec_t fsec;

	time2tm(value, &tm, &fsec);
	clock_write(writer, &tm, fsec, false, 0);
}

void
json_write_timetz(KsegWriter *writer, TimeTzADT *value)
{
	struct pg_tm tm;
	fsec_t fsec;
	int zone;

	timetz2tm(value, &tm, &fsec, &zone);
	clock_write(writer, &tm, fsec, true, zone);
}

void
json_write_interval(KsegWriter *writer, Interval *value)
{
	struct pg_itm parts;
	char text[MAXDATELEN + 1];

	if (INTERVAL_NOT_FINITE(value))
	{
		time_write_infinity(writer, INTERVAL_IS_NOBEGIN(value));
		return;
	}
	interval2itm(*value, &parts);
	EncodeInterval(&parts, INTSTYLE_ISO_8601, text);
	json_write_plain(writer, text, strlen(text));
}
