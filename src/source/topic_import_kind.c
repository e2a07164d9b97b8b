/*
 * topic_import_kind.c
 *	  Kinds of values. See topic_import_kind.h.
 *
 * Recognised by their shape, digit by digit, and not by PostgreSQL's input functions: those take more ('today', '1 january') than
 * anybody means by a column of dates, and raise errors. What is recognised here they all take.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/datetime.h"

#include "source/topic_import_kind.h"

/* A number's digits at the front of the text, from 1 to most of them; 0: there is none. */
static int
kind_digits(const char **at, const char *end, int most)
{
	const char *start = *at;

	while (*at < end && *at - start < most && **at >= '0' && **at <= '9')
		(*at)++;
	return *at - start;
}

/* Exactly count digits, and a number of at most most. */
static bool
kind_number(const char **at, const char *end, int count, int most, int *number)
{
	const char *start = *at;

	if (kind_digits(at, end, count) != count)
		return false;
	*number = 0;
	for (; start < *at; start++)
		*number = *number * 10 + (*start - '0');
	return *number <= most;
}

static bool
kind_char(const char **at, const char *end, const char *choices)
{
	if (*at >= end || **at == '\0' || strchr(choices, **at) == NULL)
		return false;
	(*at)++;
	return true;
}

/* YYYY-MM-DD, a day that there is. */
static bool
kind_take_date(const char **at, const char *end)
{
	int year;
	int month;
	int day;

	return kind_number(at, end, 4, 9999, &year) && kind_char(at, end, "-") &&
	       kind_number(at, end, 2, MONTHS_PER_YEAR, &month) && kind_char(at, end, "-") &&
	       kind_number(at, end, 2, 31, &day) && year > 0 && month > 0 && day > 0 &&
	       day <= day_tab[isleap(year)][month - 1];
}

/* HH:MM, and perhaps :SS and a fraction. */
static bool
kind_take_clock(const char **at, const char *end)
{
	int number;

	if (!kind_number(at, end, 2, 23, &number) || !kind_char(at, end, ":") ||
	    !kind_number(at, end, 2, 59, &number))
		return false;
	if (!kind_char(at, end, ":"))
		return true;
	if (!kind_number(at, end, 2, 59, &number))
		return false;
	/* Nine digits are nanoseconds, Java's finest; PostgreSQL rounds them. */
	return !kind_char(at, end, ".") || kind_digits(at, end, 9) > 0;
}

/* Z, +HH, +HHMM or +HH:MM, within the 15 hours that PostgreSQL takes (MAX_TZDISP_HOUR). */
static bool
kind_take_zone(const char **at, const char *end)
{
	int number;

	if (kind_char(at, end, "Zz"))
		return true;
	if (!kind_char(at, end, "+-") || !kind_number(at, end, 2, MAX_TZDISP_HOUR, &number))
		return false;
	if (*at == end)
		return true;
	(void) kind_char(at, end, ":");
	return kind_number(at, end, 2, 59, &number);
}

static bool
kind_is_uuid(const char *text, int length)
{
	if (length != 36)
		return false;
	for (int i = 0; i < length; i++)
	{
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
			return false;
	}
	return true;
}

KsegImportKind
import_kind_of_text(const char *text, int length)
{
	const char *at = text;
	const char *end = text + length;

	if (kind_is_uuid(text, length))
		return KSEG_IMPORT_UUID;
	if (!kind_take_date(&at, end))
		return KSEG_IMPORT_TEXT;
	if (at == end)
		return KSEG_IMPORT_DATE;
	if (!kind_char(&at, end, "Tt ") || !kind_take_clock(&at, end))
		return KSEG_IMPORT_TEXT;
	if (at == end)
		return KSEG_IMPORT_CLOCK;
	return kind_take_zone(&at, end) && at == end ? KSEG_IMPORT_INSTANT : KSEG_IMPORT_TEXT;
}

KsegImportKind
import_kind_of_number(const char *token, int length)
{
	bool negative = length > 0 && token[0] == '-';
	int digits = length - negative;
	/* A bigint has 19 digits; texts of as many compare as numbers do. */
	const char *limit = negative ? "9223372036854775808" : "9223372036854775807";

	if ((int) strspn(token + negative, "0123456789") < digits || digits > 19)
		return KSEG_IMPORT_NUMBER;
	if (digits == 19 && strncmp(token + negative, limit, 19) > 0)
		return KSEG_IMPORT_NUMBER;
	return KSEG_IMPORT_INTEGER;
}

/* A number as JSON has it: 007 is a text that somebody wants to keep. */
static bool
kind_is_number(const char *text, int length)
{
	const char *at = text;
	const char *end = text + length;

	(void) kind_char(&at, end, "-");
	if (!kind_char(&at, end, "0") && kind_digits(&at, end, length) == 0)
		return false;
	if (kind_char(&at, end, ".") && kind_digits(&at, end, length) == 0)
		return false;
	if (kind_char(&at, end, "eE"))
	{
		(void) kind_char(&at, end, "+-");
		/* numeric takes exponents of up to 131072 or so; three digits are more than measurements have. */
		if (kind_digits(&at, end, 3) == 0)
			return false;
	}
	return at == end;
}

KsegImportKind
import_kind_of_field(const char *text, int length)
{
	if ((length == 4 && pg_strncasecmp(text, "true", 4) == 0) ||
	    (length == 5 && pg_strncasecmp(text, "false", 5) == 0))
		return KSEG_IMPORT_BOOLEAN;
	if (kind_is_number(text, length))
		return import_kind_of_number(text, length);
	return import_kind_of_text(text, length);
}

const char *
import_kind_type(int kinds, bool csv)
{
	static const int texts =
	    KSEG_IMPORT_INSTANT | KSEG_IMPORT_CLOCK | KSEG_IMPORT_DATE | KSEG_IMPORT_UUID | KSEG_IMPORT_TEXT;

	switch (kinds)
	{
		case KSEG_IMPORT_BOOLEAN:
			return "boolean";
		case KSEG_IMPORT_INTEGER:
			return "bigint";
		case KSEG_IMPORT_NUMBER:
		case KSEG_IMPORT_INTEGER | KSEG_IMPORT_NUMBER:
			return "numeric";
		case KSEG_IMPORT_INSTANT:
			return "timestamp with time zone";
		case KSEG_IMPORT_CLOCK:
			return "timestamp without time zone";
		case KSEG_IMPORT_DATE:
			return "date";
		case KSEG_IMPORT_UUID:
			return "uuid";
	}
	return csv || (kinds & ~texts) == 0 ? "text" : "jsonb";
}
