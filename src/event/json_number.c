/*
 * json_number.c
 *	  Numbers: integers, floats, numeric.
 *
 * Owns: which numbers are JSON numbers. For Segment an integer that a double cannot hold exactly is written as a string (design.md,
 * "Columns to fields"); any other number is one, in its shortest or its own digits. NaN and infinity have no JSON form.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "utils/builtins.h"

#include "event/json_write.h"

/*
 * The body of a numeric behind its varlena header, as it has been on disk since 9.1; a change of it would break
 * pg_upgrade. numeric_out is correct too, but costs three allocations and an intermediate copy a value.
 */
#define HEADER_KIND       0xC000 /* two bits: positive, negative, short, special */
#define HEADER_NEGATIVE   0x4000
#define HEADER_SHORT      0x8000
#define HEADER_SPECIAL    0xC000
#define SPECIAL_KIND      0xF000
#define SPECIAL_NAN       0xC000
#define SPECIAL_POSITIVE  0xD000
#define SHORT_NEGATIVE    0x2000
#define SHORT_SCALE       0x1F80
#define SHORT_SCALE_SHIFT 7
#define SHORT_WEIGHT_SIGN 0x0040
#define SHORT_WEIGHT      0x003F
#define LONG_SCALE        0x3FFF
#define DIGITS_OF_A_GROUP 4 /* a group is one base-10000 digit */

typedef struct NumericParts
{
	bool negative;
	int scale;          /* decimal digits behind the point */
	int weight;         /* the first group's power of 10000 */
	int groups;         /* stored ones; those behind are zero */
	const char *digits; /* int16 each, not aligned */
} NumericParts;

static const char digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

void
json_write_int64(KsegWriter *writer, int64 value)
{
	StringInfo out = writer->out;
	char *to = json_reserve(out, MAXINT8LEN + 3);
	bool quoted = (value > KSEG_INTEGER_MAX || value < -KSEG_INTEGER_MAX) && !writer->lossless;

	if (quoted)
		*to++ = '"';
	if (value < 0)
		*to++ = '-';
	to += pg_ulltoa_n(value < 0 ? -(uint64) value : (uint64) value, to);
	if (quoted)
		*to++ = '"';
	out->len = to - out->data;
	json_canon_number(writer, KSEG_CANON_INTEGER, value);
}

/* NaN or infinity: a word inside a range, else trouble. */
static void
number_write_special(KsegWriter *writer, bool nan, bool negative)
{
	const char *word = nan ? "NaN" : negative ? "-Infinity" : "Infinity";

	if (writer->spelled)
		json_write_plain(writer, word, strlen(word));
	else
		json_write_trouble(writer, nan ? "NaN has no JSON form" : "infinity has no JSON form");
}

void
json_write_float8(KsegWriter *writer, float8 value)
{
	StringInfo out = writer->out;
	int64 bits;

	if (unlikely(!isfinite(value)))
	{
		number_write_special(writer, isnan(value), value < 0);
		return;
	}
	out->len += double_to_shortest_decimal_bufn(value, json_reserve(out, DOUBLE_SHORTEST_DECIMAL_LEN));
	memcpy(&bits, &value, sizeof(bits));
	json_canon_number(writer, KSEG_CANON_FLOAT8, bits);
}

void
json_write_float4(KsegWriter *writer, float4 value)
{
	StringInfo out = writer->out;
	uint32 bits;

	if (unlikely(!isfinite(value)))
	{
		number_write_special(writer, isnan(value), value < 0);
		return;
	}
	out->len += float_to_shortest_decimal_bufn(value, json_reserve(out, FLOAT_SHORTEST_DECIMAL_LEN));
	memcpy(&bits, &value, sizeof(bits));
	json_canon_number(writer, KSEG_CANON_FLOAT4, bits);
}

/* Take a finite numeric apart; false: it is special, and header says which. */
static bool
numeric_open(struct varlena *value, NumericParts *parts, uint16 *header)
{
	const char *body = VARDATA_ANY(value);
	int length = VARSIZE_ANY_EXHDR(value);
	int used = sizeof(uint16);

	memcpy(header, body, sizeof(uint16));
	if ((*header & HEADER_KIND) == HEADER_SPECIAL)
		return false;
	if (*header & HEADER_SHORT)
	{
		parts->negative = (*header & SHORT_NEGATIVE) != 0;
		parts->scale = (*header & SHORT_SCALE) >> SHORT_SCALE_SHIFT;
		parts->weight = (int) (*header & SHORT_WEIGHT) - (*header & SHORT_WEIGHT_SIGN ? SHORT_WEIGHT + 1 : 0);
	}
	else
	{
		int16 weight;

		memcpy(&weight, body + used, sizeof(weight));
		used += sizeof(weight);
		parts->negative = (*header & HEADER_KIND) == HEADER_NEGATIVE;
		parts->scale = *header & LONG_SCALE;
		parts->weight = weight;
	}
	parts->digits = body + used;
	parts->groups = (length - used) / (int) sizeof(int16);
	return true;
}

/* Group number i from the left; those that are not stored are zero. */
static inline int
numeric_group(const NumericParts *parts, int i)
{
	int16 group;

	if (i < 0 || i >= parts->groups)
		return 0;
	memcpy(&group, parts->digits + i * sizeof(int16), sizeof(group));
	return group;
}

/* Integral, and too large for a double? Zero groups at the end are never stored: a stored one behind the point is a fraction. */
static bool
numeric_is_beyond(const NumericParts *parts)
{
	int64 value = 0;

	if (parts->weight < 3 || parts->groups > parts->weight + 1)
		return false;
	if (parts->weight > 3)
		return true;
	for (int i = 0; i <= 3; i++)
		value = value * 10000 + numeric_group(parts, i);
	return value > KSEG_INTEGER_MAX;
}

static inline char *
group_write(char *to, int group)
{
	memcpy(to, digit_pairs + group / 100 * 2, 2);
	memcpy(to + 2, digit_pairs + group % 100 * 2, 2);
	return to + DIGITS_OF_A_GROUP;
}

/* The first group, without leading zeros. */
static inline char *
group_write_first(char *to, int group)
{
	char digits[DIGITS_OF_A_GROUP];
	int zeros = group >= 1000 ? 0 : group >= 100 ? 1 : group >= 10 ? 2 : 3;

	group_write(digits, group);
	memcpy(to, digits + zeros, DIGITS_OF_A_GROUP - zeros);
	return to + DIGITS_OF_A_GROUP - zeros;
}

/* The digits, as numeric_out spells them. to has room for a sign, the groups before the point and those of the scale. */
static char *
numeric_write(char *to, const NumericParts *parts)
{
	int group = 1;

	if (parts->negative)
		*to++ = '-';
	if (parts->weight < 0)
		*to++ = '0';
	else
		to = group_write_first(to, numeric_group(parts, 0));
	for (; group <= parts->weight; group++)
		to = group_write(to, numeric_group(parts, group));
	if (parts->scale > 0)
	{
		char *end = to + 1 + parts->scale;

		*to++ = '.';
		for (group = parts->weight + 1; to < end; group++)
			to = group_write(to, numeric_group(parts, group));
		to = end;
	}
	return to;
}

void
json_write_numeric(KsegWriter *writer, struct varlena *value, bool as_written)
{
	StringInfo out = writer->out;
	int at = out->len;
	NumericParts parts;
	uint16 header;
	bool quoted;
	char *to;

	if (!numeric_open(value, &parts, &header))
	{
		uint16 kind = header & SPECIAL_KIND;

		number_write_special(writer, kind == SPECIAL_NAN, kind != SPECIAL_POSITIVE);
		return;
	}
	quoted = !as_written && !writer->lossless && numeric_is_beyond(&parts);
	/* Sign, point, two quotes, and one group that the scale may cut. */
	to = json_reserve(out, (Max(parts.weight, 0) + 2) * DIGITS_OF_A_GROUP + parts.scale + 4);
	if (quoted)
		*to++ = '"';
	to = numeric_write(to, &parts);
	if (quoted)
		*to++ = '"';
	out->len = to - out->data;
	json_canon_written(writer, KSEG_CANON_NUMERIC, at, quoted ? 1 : 0);
}
