/*
 * topic_debezium.c
 *	  Debezium's spellings into PostgreSQL's. See topic_debezium.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/base64.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "source/topic_debezium.h"

/*
 * What stands for a value that PostgreSQL's log did not have: it is stored apart (TOAST), the statement did not change it, and the table's
 * replica identity is not FULL. Debezium's unavailable.value.placeholder as it is preset; in a column of text, bytes, texts, integers.
 */
static const char *const unavailable[] = {"__debezium_unavailable_value",
                                          "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"",
                                          "[\"__debezium_unavailable_value\"]",
                                          "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,"
                                          "108,97,98,108,101,95,118,97,108,117,101]"};

/* Debezium's words for infinity, in the units that it uses. Milliseconds: pgjdbc's PGStatement.DATE_POSITIVE_INFINITY and _NEGATIVE_. */
static const struct
{
	int64 per_second;
	int64 number;
	const char *text;
} infinities[] = {{1000, INT64CONST(9223372036825200000), "infinity"},
                  {1000, INT64CONST(-9223372036832400000), "-infinity"},
                  {1000000, PG_INT64_MAX, "infinity"},
                  {1000000, PG_INT64_MIN, "-infinity"},
                  {1000000000, PG_INT64_MAX, "infinity"},
                  {1000000000, PG_INT64_MIN, "-infinity"}};

/* Infinite dates as Debezium 3.7 writes them in a snapshot, and later: days that PostgreSQL's dates do not reach. */
static const struct
{
	int64 days;
	const char *text;
} infinite_days[] = {{-622191234, "infinity"},
                     {-625821272, "-infinity"},
                     {2146033979, "infinity"},
                     {-2147472691, "-infinity"}};

/* Precision up to which Debezium's times are milliseconds when time.precision.mode is 'adaptive'. */
#define PRECISION_OF_MS 3

/*
 * Bytes of a decimal beyond which numeric does not reach: NUMERIC's 131,072 digits before the point and 16,383 behind it (its documentation)
 * are 61,235 bytes.
 */
#define DECIMAL_BYTES_MAX 61440

/* Decimal digits that are taken at once, and the power of ten: what fits into 32 bits. */
#define CHUNK_DIGITS 9
#define CHUNK        1000000000

static bool
debezium_wrong(KsegTopicProblem *problem, int sqlerrcode, const char *reason)
{
	problem->sqlerrcode = sqlerrcode;
	problem->reason = reason;
	return false;
}

static bool
debezium_take(const char **text, uint32 *length, char *made)
{
	*text = made;
	*length = strlen(made);
	return true;
}

/* ---------- which ---------- */

static const struct
{
	Oid type;
	KsegDebeziumKind kind;
} kinds[] = {
    {DATEOID, KSEG_DEBEZIUM_DATE},           {TIMEOID, KSEG_DEBEZIUM_TIME},
    {TIMESTAMPOID, KSEG_DEBEZIUM_TIMESTAMP}, {TIMESTAMPTZOID, KSEG_DEBEZIUM_TIMESTAMP},
    {INTERVALOID, KSEG_DEBEZIUM_INTERVAL},   {NUMERICOID, KSEG_DEBEZIUM_NUMERIC},
    {CASHOID, KSEG_DEBEZIUM_NUMERIC},        {BYTEAOID, KSEG_DEBEZIUM_BYTES},
};

KsegDebezium
topic_debezium_of_type(Oid base_type, int32 typmod, int64 per_second, int scale)
{
	KsegDebezium debezium = {.kind = KSEG_DEBEZIUM_PLAIN, .scale = scale, .per_second = per_second};

	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (kinds[i].type == base_type)
			debezium.kind = kinds[i].kind;
	}
	if (per_second == 0)
	{
		bool short_one = (debezium.kind == KSEG_DEBEZIUM_TIME || debezium.kind == KSEG_DEBEZIUM_TIMESTAMP) &&
		                 typmod >= 0 && typmod <= PRECISION_OF_MS;

		debezium.per_second = short_one ? 1000 : USECS_PER_SEC;
	}
	return debezium;
}

bool
topic_debezium_needs_schema(KsegDebeziumKind kind)
{
	return kind == KSEG_DEBEZIUM_TIME || kind == KSEG_DEBEZIUM_TIMESTAMP || kind == KSEG_DEBEZIUM_INTERVAL ||
	       kind == KSEG_DEBEZIUM_NUMERIC;
}

/* ---------- numbers that are dates, times and intervals ---------- */

/* A whole number that fits into an int64. */
static bool
number_read(const char *text, uint32 length, int64 *number)
{
	bool negative = length > 0 && text[0] == '-';
	uint32 at = negative ? 1 : 0;

	*number = 0;
	if (at == length)
		return false;
	for (; at < length; at++)
	{
		/* On the negative side, which has one number more. */
		if (text[at] < '0' || text[at] > '9' || pg_mul_s64_overflow(*number, 10, number) ||
		    pg_sub_s64_overflow(*number, text[at] - '0', number))
			return false;
	}
	return negative || !pg_sub_s64_overflow(0, *number, number);
}

/* In microseconds; a nanosecond's rest is dropped, towards the past. False: out of an int64's range. */
static bool
number_to_microseconds(int64 number, int64 per_second, int64 *microseconds)
{
	int64 more = per_second / USECS_PER_SEC;

	if (per_second <= USECS_PER_SEC)
		return !pg_mul_s64_overflow(number, USECS_PER_SEC / per_second, microseconds);
	*microseconds = number / more - (number % more < 0 ? 1 : 0);
	return true;
}

static bool
date_text(int64 days, const char **text, uint32 *length, KsegTopicProblem *problem)
{
	struct pg_tm tm = {0};
	char *made;

	for (int i = 0; i < lengthof(infinite_days); i++)
	{
		if (infinite_days[i].days == days)
			return debezium_take(text, length, pstrdup(infinite_days[i].text));
	}
	if (days < (int64) DATETIME_MIN_JULIAN - UNIX_EPOCH_JDATE ||
	    days >= (int64) DATE_END_JULIAN - UNIX_EPOCH_JDATE)
		return debezium_wrong(problem, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, "date out of range");
	made = palloc(MAXDATELEN + 1);
	j2date((int) days + UNIX_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	EncodeDateOnly(&tm, USE_ISO_DATES, made);
	return debezium_take(text, length, made);
}

/* Hours may have more than two digits, and be more than 24: of an interval. */
static bool
clock_text(int64 microseconds, const char **text, uint32 *length)
{
	uint64 rest = microseconds < 0 ? -(uint64) microseconds : microseconds;

	return debezium_take(text, length,
	                     psprintf("%s" UINT64_FORMAT ":%02d:%02d.%06d", microseconds < 0 ? "-" : "",
	                              rest / USECS_PER_HOUR, (int) (rest / USECS_PER_MINUTE % MINS_PER_HOUR),
	                              (int) (rest / USECS_PER_SEC % SECS_PER_MINUTE),
	                              (int) (rest % USECS_PER_SEC)));
}

static bool
time_text(int64 microseconds, const char **text, uint32 *length, KsegTopicProblem *problem)
{
	if (microseconds < 0 || microseconds > USECS_PER_DAY)
		return debezium_wrong(problem, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
		                      "a time of day beyond 24 hours: is the column option unit right?");
	return clock_text(microseconds, text, length);
}

/* As UTC; timestamp ignores the zone. */
static bool
timestamp_text(int64 microseconds, const char **text, uint32 *length, KsegTopicProblem *problem)
{
	const int64 epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	Timestamp timestamp;
	struct pg_tm tm;
	fsec_t fraction;
	char *made;

	if (pg_sub_s64_overflow(microseconds, epoch, &timestamp) || !IS_VALID_TIMESTAMP(timestamp) ||
	    timestamp2tm(timestamp, NULL, &tm, &fraction, NULL, NULL) != 0)
		return debezium_wrong(problem, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, "timestamp out of range");
	made = palloc(MAXDATELEN + 1);
	tm.tm_isdst = 0;
	EncodeDateTime(&tm, fraction, true, 0, NULL, USE_ISO_DATES, made);
	return debezium_take(text, length, made);
}

/* Is this number Debezium's word for infinity? */
static const char *
number_infinity(int64 number, int64 per_second)
{
	for (int i = 0; i < lengthof(infinities); i++)
	{
		if (infinities[i].per_second == per_second && infinities[i].number == number)
			return infinities[i].text;
	}
	return NULL;
}

static bool
number_text(const KsegDebezium *debezium, int64 number, const char **text, uint32 *length,
            KsegTopicProblem *problem)
{
	const char *infinity;
	int64 microseconds;

	if (debezium->kind == KSEG_DEBEZIUM_DATE)
		return date_text(number, text, length, problem);
	if (debezium->kind == KSEG_DEBEZIUM_TIMESTAMP)
	{
		infinity = number_infinity(number, debezium->per_second);
		if (infinity != NULL)
			return debezium_take(text, length, pstrdup(infinity));
	}
	if (!number_to_microseconds(number, debezium->per_second, &microseconds))
		return debezium_wrong(problem, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, "time out of range");
	if (debezium->kind == KSEG_DEBEZIUM_TIMESTAMP)
		return timestamp_text(microseconds, text, length, problem);
	if (debezium->kind == KSEG_DEBEZIUM_TIME)
		return time_text(microseconds, text, length, problem);
	return clock_text(microseconds, text, length);
}

/* ---------- base64 that is bytes and decimals ---------- */

/* The bytes of a text in base64, palloc'd; NULL: it is none. */
static uint8 *
base64_read(const char *text, uint32 length, int *count)
{
	int room = pg_b64_dec_len(length);
	uint8 *bytes = palloc(room + 1);

	/* void: its bytes are char or unsigned, as the version likes it. */
	*count = pg_b64_decode(text, length, (void *) bytes, room);
	return *count < 0 ? NULL : bytes;
}

static bool
bytes_text(const char **text, uint32 *length, KsegTopicProblem *problem)
{
	static const char digits[] = "0123456789abcdef";
	int count;
	uint8 *bytes = base64_read(*text, *length, &count);
	char *made;

	if (bytes == NULL)
		return debezium_wrong(problem, ERRCODE_INVALID_TEXT_REPRESENTATION,
		                      "the bytes are not in base64 (binary.handling.mode 'bytes' or 'base64')");
	made = palloc(2 * (Size) count + 3);
	made[0] = '\\';
	made[1] = 'x';
	for (int i = 0; i < count; i++)
	{
		made[2 * i + 2] = digits[bytes[i] >> 4];
		made[2 * i + 3] = digits[bytes[i] & 15];
	}
	made[2 * count + 2] = '\0';
	pfree(bytes);
	return debezium_take(text, length, made);
}

/* The magnitude of a two's complement number, most significant byte first, as words of 32 bits, palloc'd. */
static uint32 *
decimal_magnitude(const uint8 *bytes, int count, int *words)
{
	bool negative = bytes[0] >> 7;
	uint32 *magnitude;
	int at;
	uint32 carry = negative;

	*words = (count + 3) / 4;
	magnitude = palloc0(*words * sizeof(uint32));
	/* From the least significant byte on; a negative one is turned over, and one is added. */
	for (int i = count - 1; i >= 0; i--)
	{
		uint32 byte = (negative ? (uint8) ~bytes[i] : bytes[i]) + carry;

		carry = byte >> 8;
		at = count - 1 - i;
		magnitude[*words - 1 - at / 4] |= (byte & 0xff) << (8 * (at % 4));
	}
	/* Only the least number of all, 80 00 …, is carried out of its bytes, and never out of its words: 80 stays 80. */
	return magnitude;
}

/* Divide words by CHUNK, in place; *first moves over those that are 0. Returns what is left over. */
static uint32
decimal_divide(uint32 *words, int count, int *first)
{
	uint64 rest = 0;

	for (int i = *first; i < count; i++)
	{
		rest = rest << 32 | words[i];
		words[i] = rest / CHUNK;
		rest %= CHUNK;
	}
	while (*first < count && words[*first] == 0)
		(*first)++;
	return rest;
}

/* The digits of words, which are spent by it; palloc'd. */
static char *
decimal_digits(uint32 *words, int count)
{
	/* 32 bits are less than ten digits. */
	int size = count * 10 + CHUNK_DIGITS;
	char *digits = palloc(size + 1);
	int at = size;
	int first = 0;

	do
	{
		uint32 chunk = decimal_divide(words, count, &first);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < CHUNK_DIGITS; i++, chunk /= 10)
			digits[--at] = '0' + chunk % 10;
	} while (first < count);
	while (at < size - 1 && digits[at] == '0')
		at++;
	memmove(digits, digits + at, size - at);
	digits[size - at] = '\0';
	return digits;
}

/* Digits with so many behind the point: what money's input function knows, too. palloc'd. */
static char *
decimal_point(const char *digits, int scale, bool negative)
{
	int count = strlen(digits);
	int before = Min(Max(count - scale, 0), count);
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, negative ? "-" : "");
	appendBinaryStringInfo(&text, digits, before);
	appendStringInfoSpaces(&text, Max(-scale, 0));
	if (scale > 0)
	{
		appendStringInfoString(&text, before == 0 ? "0." : ".");
		appendStringInfoSpaces(&text, Max(scale - count, 0));
		appendStringInfoString(&text, digits + before);
	}
	for (char *at = text.data; *at != '\0'; at++)
	{
		if (*at == ' ')
			*at = '0';
	}
	return text.data;
}

/* A decimal: base64 of its digits as a whole number, and how many of them are behind the point. */
static bool
decimal_text(int scale, const char **text, uint32 *length, KsegTopicProblem *problem)
{
	int count;
	uint8 *bytes = base64_read(*text, *length, &count);
	uint32 *words;
	int words_count;
	char *made;

	if (bytes == NULL || count == 0)
		return debezium_wrong(problem, ERRCODE_INVALID_TEXT_REPRESENTATION,
		                      "the decimal is not in base64: is decimal.handling.mode precise?");
	/* A scale is as many bytes of zeros: whoever may produce must not choose gigabytes. 16 bits are numeric's (its dscale). */
	if (count > DECIMAL_BYTES_MAX || scale != (int16) scale)
		return debezium_wrong(problem, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format");
	words = decimal_magnitude(bytes, count, &words_count);
	made = decimal_digits(words, words_count);
	return debezium_take(text, length, decimal_point(made, scale, bytes[0] >> 7));
}

/* What is behind a member's name in a small object without escapes, or NULL. */
static const char *
object_member(const char *object, const char *end, const char *name)
{
	Size length = strlen(name);

	for (const char *at = object; end - at > length; at++)
	{
		if (memcmp(at, name, length) != 0)
			continue;
		at += length;
		while (at < end && (*at == ' ' || *at == ':'))
			at++;
		return at;
	}
	return NULL;
}

/* {"scale": 2, "value": "AQ=="}: Debezium's VariableScaleDecimal, of numeric without a scale. */
static bool
variable_decimal_text(const char **text, uint32 *length, KsegTopicProblem *problem)
{
	const char *end = *text + *length;
	const char *scale = object_member(*text, end, "\"scale\"");
	const char *value = object_member(*text, end, "\"value\"");
	const char *quote;
	int digits = 0;
	int64 number;

	if (scale == NULL || value == NULL || value == end || *value++ != '"')
		return true;
	quote = memchr(value, '"', end - value);
	while (scale + digits < end && strchr("-0123456789", scale[digits]) != NULL)
		digits++;
	if (quote == NULL || !number_read(scale, digits, &number) || number != (int16) number)
		return true;
	*text = value;
	*length = quote - value;
	return decimal_text((int) number, text, length, problem);
}

/* ---------- a member ---------- */

/* A string, without its quotes. Debezium's dates, decimals and bytes need no escapes; one that has some goes as it is, and is refused. */
static bool
string_text(const KsegDebezium *debezium, const char **text, uint32 *length, KsegTopicProblem *problem)
{
	(*text)++;
	*length -= 2;
	if (debezium->kind == KSEG_DEBEZIUM_BYTES)
		return bytes_text(text, length, problem);
	if (debezium->kind == KSEG_DEBEZIUM_NUMERIC && debezium->scale != KSEG_DEBEZIUM_NO_SCALE)
		return decimal_text(debezium->scale, text, length, problem);
	/* Java's way to write years above 9999. */
	if (*length > 0 && **text == '+' &&
	    (debezium->kind == KSEG_DEBEZIUM_DATE || debezium->kind == KSEG_DEBEZIUM_TIMESTAMP))
	{
		(*text)++;
		(*length)--;
	}
	return true;
}

static bool
debezium_is_unavailable(const char *text, uint32 length)
{
	for (int i = 0; i < lengthof(unavailable); i++)
	{
		if (strlen(unavailable[i]) == length && memcmp(text, unavailable[i], length) == 0)
			return true;
	}
	return false;
}

bool
topic_debezium_text(const KsegDebezium *debezium, const char **text, uint32 *length,
                    KsegTopicProblem *problem)
{
	int64 number;

	if (unlikely(debezium_is_unavailable(*text, *length)))
		return debezium_wrong(problem, ERRCODE_DATA_EXCEPTION,
		                      "Debezium did not get the value, which was not changed and is stored apart "
		                      "(TOAST): set the source table's "
		                      "REPLICA IDENTITY to FULL");
	if (debezium->kind == KSEG_DEBEZIUM_PLAIN || *length == 0)
		return true;
	if (**text == '"')
		return string_text(debezium, text, length, problem);
	if (debezium->kind == KSEG_DEBEZIUM_NUMERIC)
		return **text == '{' ? variable_decimal_text(text, length, problem) : true;
	if (debezium->kind != KSEG_DEBEZIUM_BYTES && number_read(*text, *length, &number))
		return number_text(debezium, number, text, length, problem);
	return true;
}
