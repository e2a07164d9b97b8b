/*
 * topic_literal.c
 *	  Plain spellings of the common types. See topic_literal.h.
 */
#include "postgres.h"

#include <float.h>

#include "catalog/pg_type.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "source/topic_literal.h"

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---------- numbers ---------- */

/* Digits of an int64 that can never be out of its range. */
#define INT64_DIGITS 18

static inline bool
integer_read(const char *text, uint32 length, int64 minimum, int64 maximum, int64 *result)
{
	bool negative = length > 0 && text[0] == '-';
	uint32 at = negative ? 1 : 0;
	int64 value = 0;

	if (length == at || length - at > INT64_DIGITS)
		return false;
	for (; at < length; at++)
	{
		if (!is_digit(text[at]))
			return false;
		value = value * 10 + (text[at] - '0');
	}
	*result = negative ? -value : value;
	return *result >= minimum && *result <= maximum;
}

/* A decimal number: digits × 10^exponent. */
typedef struct Decimal
{
	bool negative;
	uint64 digits;
	int digit_count; /* as written, leading zeros too */
	int exponent;
} Decimal;

/* Read digits, at least one, into number; returns where they end, or NULL. */
static const char *
decimal_digits(const char *at, const char *end, Decimal *number)
{
	const char *start = at;

	for (; at < end && is_digit(*at); at++)
	{
		if (++number->digit_count > INT64_DIGITS)
			return NULL;
		number->digits = number->digits * 10 + (*at - '0');
	}
	return at > start ? at : NULL;
}

/* The "e-7" of a number; at most two digits, for more of them are no exact power of ten anyway. */
static bool
decimal_exponent(const char *at, const char *end, Decimal *number)
{
	bool negative = false;
	int exponent = 0;

	at++;
	if (at < end && (*at == '-' || *at == '+'))
		negative = *at++ == '-';
	if (at == end || end - at > 2)
		return false;
	for (; at < end; at++)
	{
		if (!is_digit(*at))
			return false;
		exponent = exponent * 10 + (*at - '0');
	}
	number->exponent += negative ? -exponent : exponent;
	return true;
}

/* As JSON spells numbers: -12.5e-3. */
static bool
decimal_read(const char *text, uint32 length, Decimal *number)
{
	const char *at = text;
	const char *end = text + length;
	const char *fraction;

	memset(number, 0, sizeof(*number));
	number->negative = at < end && *at == '-';
	if (number->negative)
		at++;
	at = decimal_digits(at, end, number);
	if (at != NULL && at < end && *at == '.')
	{
		fraction = at + 1;
		at = decimal_digits(fraction, end, number);
		if (at != NULL)
			number->exponent = fraction - at;
	}
	if (at == NULL)
		return false;
	return at == end || ((*at == 'e' || *at == 'E') && decimal_exponent(at, end, number));
}

/*
 * Digits below 2^53 and a power of ten up to 10^22 are exact doubles (2^24 and 10^10: floats), and IEEE 754 rounds their product
 * or quotient correctly, as strtod does; W. D. Clinger, "How to Read Floating Point Numbers Accurately" (1990). Where an
 * expression has more precision than its type, it does not hold.
 */
#define DOUBLE_DIGITS   15
#define DOUBLE_EXPONENT 22
#define FLOAT_DIGITS    7
#define FLOAT_EXPONENT  10

static bool
double_read(const char *text, uint32 length, Datum *value)
{
	static const double powers[DOUBLE_EXPONENT + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
	                                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
	                                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	Decimal number;
	double result;

	if (FLT_EVAL_METHOD != 0 || !decimal_read(text, length, &number) || number.digit_count > DOUBLE_DIGITS ||
	    abs(number.exponent) > DOUBLE_EXPONENT)
		return false;
	result = (double) number.digits;
	result = number.exponent < 0 ? result / powers[-number.exponent] : result * powers[number.exponent];
	*value = Float8GetDatum(number.negative ? -result : result);
	return true;
}

static bool
float_read(const char *text, uint32 length, Datum *value)
{
	static const float powers[FLOAT_EXPONENT + 1] = {1e0f, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f,
	                                                 1e6f, 1e7f, 1e8f, 1e9f, 1e10f};
	Decimal number;
	float result;

	if (FLT_EVAL_METHOD != 0 || !decimal_read(text, length, &number) || number.digit_count > FLOAT_DIGITS ||
	    abs(number.exponent) > FLOAT_EXPONENT)
		return false;
	result = (float) number.digits;
	result = number.exponent < 0 ? result / powers[-number.exponent] : result * powers[number.exponent];
	*value = Float4GetDatum(number.negative ? -result : result);
	return true;
}

/* Here nothing is computed: a plain number is known to be right before numeric_in reads it, so that it raises nothing. */
static bool
numeric_read(const char *text, uint32 length, Datum *value)
{
	Decimal number;
	char copy[INT64_DIGITS + 4]; /* a sign, a point and the NUL more, and one to spare */

	if (length >= sizeof(copy) || !decimal_read(text, length, &number))
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	*value = DirectFunctionCall3(numeric_in, CStringGetDatum(copy), ObjectIdGetDatum(InvalidOid),
	                             Int32GetDatum(-1));
	return true;
}

/* ---------- times ---------- */

/* Two digits at text, or -1. */
static inline int
pair_read(const char *text)
{
	return is_digit(text[0]) && is_digit(text[1]) ? (text[0] - '0') * 10 + (text[1] - '0') : -1;
}

/* "YYYY-MM-DD" from the year 1000 on, which no DateStyle reads in another way. Days since 2000. */
#define DAY_LENGTH 10
static bool
day_read(const char *text, int32 *days)
{
	int century = pair_read(text);
	int year = pair_read(text + 2);
	int month = pair_read(text + 5);
	int day = pair_read(text + 8);

	if (century < 10 || year < 0 || text[4] != '-' || text[7] != '-' || month < 1 || month > MONTHS_PER_YEAR)
		return false;
	year += century * 100;
	if (day < 1 || day > day_tab[isleap(year) ? 1 : 0][month - 1])
		return false;
	*days = date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
	return true;
}

/* "HH:MM:SS", without the 24:00:00 and the second 60 that PostgreSQL knows too. Seconds of the day. */
#define CLOCK_LENGTH 8
static bool
clock_read(const char *text, int32 *seconds)
{
	int hour = pair_read(text);
	int minute = pair_read(text + 3);
	int second = pair_read(text + 6);

	if (hour < 0 || hour > 23 || text[2] != ':' || minute < 0 || minute > 59 || text[5] != ':' ||
	    second < 0 || second > 59)
		return false;
	*seconds = (hour * MINS_PER_HOUR + minute) * SECS_PER_MINUTE + second;
	return true;
}

/* The ".123456" behind a time, if there is one: up to six digits. Returns where it ends, or NULL. */
static const char *
fraction_read(const char *at, const char *end, int32 *microseconds)
{
	const char *start = at + 1;
	int32 weight = USECS_PER_SEC;

	*microseconds = 0;
	if (at == end || *at != '.')
		return at;
	for (at = start; at < end && is_digit(*at); at++)
	{
		weight /= 10;
		*microseconds += (*at - '0') * weight;
	}
	return at > start && at - start <= 6 ? at : NULL;
}

/* Is this UTC? "Z" or "+00:00"; "+00" too, as PostgreSQL writes it. */
static bool
zone_is_utc(const char *at, const char *end)
{
	size_t length = end - at;

	return (length == 1 && *at == 'Z') || (length == 6 && memcmp(at, "+00:00", 6) == 0) ||
	       (length == 3 && memcmp(at, "+00", 3) == 0);
}

/* "YYYY-MM-DDTHH:MM:SS[.ffffff]" and UTC, or (timestamp ignores zones) nothing behind it. */
static bool
instant_read(const char *text, uint32 length, bool zone_needed, Datum *value)
{
	const char *end = text + length;
	const char *at = text + DAY_LENGTH + 1 + CLOCK_LENGTH;
	int32 days;
	int32 seconds;
	int32 microseconds;

	if (length < DAY_LENGTH + 1 + CLOCK_LENGTH || !day_read(text, &days) ||
	    (text[DAY_LENGTH] != 'T' && text[DAY_LENGTH] != ' ') || !clock_read(text + DAY_LENGTH + 1, &seconds))
		return false;
	at = fraction_read(at, end, &microseconds);
	if (at == NULL || (at == end ? zone_needed : !zone_is_utc(at, end)))
		return false;
	*value = Int64GetDatum((int64) days * USECS_PER_DAY + seconds * USECS_PER_SEC + microseconds);
	return true;
}

/* ---------- others ---------- */

static bool
text_read(int32 typmod, const char *text, uint32 length, Datum *value)
{
	struct varlena *result;

	/* So many bytes are at most so many characters. */
	if (typmod >= (int32) VARHDRSZ && length > typmod - VARHDRSZ)
		return false;
	result = palloc(length + VARHDRSZ);
	SET_VARSIZE(result, length + VARHDRSZ);
	memcpy(VARDATA(result), text, length);
	*value = PointerGetDatum(result);
	return true;
}

static bool
bool_read(const char *text, uint32 length, Datum *value)
{
	bool yes = length == 4 && memcmp(text, "true", 4) == 0;

	*value = BoolGetDatum(yes);
	return yes || (length == 5 && memcmp(text, "false", 5) == 0);
}

static inline int
hex_read(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 8-4-4-4-12 hexadecimal digits (RFC 9562). */
#define UUID_TEXT_LENGTH 36
static bool
uuid_read(const char *text, uint32 length, Datum *value)
{
	pg_uuid_t uuid;
	int at = 0;

	if (length != UUID_TEXT_LENGTH)
		return false;
	for (int i = 0; i < UUID_LEN; i++, at += 2)
	{
		int high;
		int low;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && text[at++] != '-')
			return false;
		high = hex_read(text[at]);
		low = hex_read(text[at + 1]);
		if (high < 0 || low < 0)
			return false;
		uuid.data[i] = high << 4 | low;
	}
	*value = PointerGetDatum(memcpy(palloc(sizeof(uuid)), &uuid, sizeof(uuid)));
	return true;
}

/* ---------- which ---------- */

static const struct
{
	Oid type;
	KsegLiteral literal;
	bool any_typmod;
} literal_types[] = {
    {INT2OID, KSEG_LITERAL_INT2, false},
    {INT4OID, KSEG_LITERAL_INT4, false},
    {INT8OID, KSEG_LITERAL_INT8, false},
    {FLOAT4OID, KSEG_LITERAL_FLOAT4, false},
    {FLOAT8OID, KSEG_LITERAL_FLOAT8, false},
    {BOOLOID, KSEG_LITERAL_BOOL, false},
    {TEXTOID, KSEG_LITERAL_TEXT, false},
    {VARCHAROID, KSEG_LITERAL_TEXT, true},
    {TIMESTAMPTZOID, KSEG_LITERAL_TIMESTAMPTZ, false},
    {TIMESTAMPOID, KSEG_LITERAL_TIMESTAMP, false},
    {DATEOID, KSEG_LITERAL_DATE, false},
    {UUIDOID, KSEG_LITERAL_UUID, false},
    {NUMERICOID, KSEG_LITERAL_NUMERIC, false},
};

KsegLiteral
topic_literal_of_type(Oid type, int32 typmod)
{
	for (int i = 0; i < lengthof(literal_types); i++)
	{
		if (literal_types[i].type == type && (typmod == -1 || literal_types[i].any_typmod))
			return literal_types[i].literal;
	}
	return KSEG_LITERAL_NONE;
}

static bool
integer_literal_read(KsegLiteral literal, const char *text, uint32 length, Datum *value)
{
	int64 number;

	if (literal == KSEG_LITERAL_INT2)
	{
		if (!integer_read(text, length, PG_INT16_MIN, PG_INT16_MAX, &number))
			return false;
		*value = Int16GetDatum((int16) number);
	}
	else if (literal == KSEG_LITERAL_INT4)
	{
		if (!integer_read(text, length, PG_INT32_MIN, PG_INT32_MAX, &number))
			return false;
		*value = Int32GetDatum((int32) number);
	}
	else
	{
		if (!integer_read(text, length, PG_INT64_MIN, PG_INT64_MAX, &number))
			return false;
		*value = Int64GetDatum(number);
	}
	return true;
}

static bool
date_read(const char *text, uint32 length, Datum *value)
{
	int32 days;

	if (length != DAY_LENGTH || !day_read(text, &days))
		return false;
	*value = DateADTGetDatum(days);
	return true;
}

bool
topic_literal_read(KsegLiteral literal, int32 typmod, const char *text, uint32 length, Datum *value)
{
	switch (literal)
	{
		case KSEG_LITERAL_NONE:
			return false;
		case KSEG_LITERAL_INT2:
		case KSEG_LITERAL_INT4:
		case KSEG_LITERAL_INT8:
			return integer_literal_read(literal, text, length, value);
		case KSEG_LITERAL_FLOAT4:
			return float_read(text, length, value);
		case KSEG_LITERAL_FLOAT8:
			return double_read(text, length, value);
		case KSEG_LITERAL_BOOL:
			return bool_read(text, length, value);
		case KSEG_LITERAL_TEXT:
			return text_read(typmod, text, length, value);
		case KSEG_LITERAL_TIMESTAMPTZ:
			return instant_read(text, length, true, value);
		case KSEG_LITERAL_TIMESTAMP:
			return instant_read(text, length, false, value);
		case KSEG_LITERAL_DATE:
			return date_read(text, length, value);
		case KSEG_LITERAL_UUID:
			return uuid_read(text, length, value);
		case KSEG_LITERAL_NUMERIC:
			return numeric_read(text, length, value);
	}
	return false;
}
