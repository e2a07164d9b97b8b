/*
 * reader_scan.h
 *	  Finding the next byte that matters, 16 bytes at a time where the machine can.
 *
 * Owns: the padding behind a value that makes this safe, and two makes of each search: with SSE2, which every x86-64 has,
 * and without. Refuses: to know what the found byte means.
 *
 * Every search begins inside a padded copy (KSEG_SCAN_PADDING bytes of zero behind the value) and stops at a zero byte at
 * the latest, so none needs to be told where the value ends.
 */
#ifndef KSEG_READER_SCAN_H
#define KSEG_READER_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Bytes of zero behind a value: a search of 16 bytes may begin at the first of them. */
#define KSEG_SCAN_PADDING 16

/* What ends a run of plain bytes in a CSV field: the delimiter, the quote, a line end or a zero byte. */
typedef struct KsegScanSet
{
	char delimiter;
	char quote;
} KsegScanSet;

/* ---------- one byte at a time, or eight ---------- */

#define SCAN_ONES  UINT64_C(0x0101010101010101)
#define SCAN_HIGHS UINT64_C(0x8080808080808080)

static inline uint64_t
scan_load_word(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* Not 0 when a byte of the word is less than n (n ≤ 128). Which byte it is cannot be told from it. */
static inline uint64_t
scan_word_below(uint64_t word, uint64_t n)
{
	return (word - SCAN_ONES * n) & ~word & SCAN_HIGHS;
}

/* Where a JSON string's plain bytes end: at a quote, a backslash or a control character. */
static inline const char *
scan_string_plain(const char *at)
{
	for (uint64_t word; word = scan_load_word(at),
	                    (scan_word_below(word, 0x20) | scan_word_below(word ^ SCAN_ONES * '"', 1) |
	                     scan_word_below(word ^ SCAN_ONES * '\\', 1)) == 0;)
		at += sizeof(word);
	while (*at != '"' && *at != '\\' && (unsigned char) *at >= 0x20)
		at++;
	return at;
}

static inline const char *
scan_digits_plain(const char *at)
{
	while (*at >= '0' && *at <= '9')
		at++;
	return at;
}

/* Where ASCII without zero bytes ends. */
static inline const char *
scan_ascii_plain(const char *at)
{
	for (uint64_t word; word = scan_load_word(at), ((word & SCAN_HIGHS) | scan_word_below(word, 1)) == 0;)
		at += sizeof(word);
	while (*at > 0 && (unsigned char) *at < 0x80)
		at++;
	return at;
}

static inline const char *
scan_field_plain(const char *at, const KsegScanSet *set)
{
	while (*at != set->delimiter && *at != set->quote && *at != '\n' && *at != '\r' && *at != '\0')
		at++;
	return at;
}

/* Copies length bytes; true when all of them are ASCII. */
static inline bool
scan_copy_plain(char *out, const char *bytes, size_t length)
{
	uint64_t seen = 0;
	size_t at = 0;

	for (; at + sizeof(seen) <= length; at += sizeof(seen))
		seen |= scan_load_word(bytes + at);
	for (; at < length; at++)
		seen |= (unsigned char) bytes[at];
	if (length > 0)
		memcpy(out, bytes, length);
	return (seen & SCAN_HIGHS) == 0;
}

/* ---------- sixteen at a time ---------- */

#ifdef __SSE2__

static inline __m128i
scan_load(const char *at)
{
	return _mm_loadu_si128((const __m128i *) at);
}

static inline __m128i
scan_equal(__m128i bytes, char wanted)
{
	return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(wanted));
}

/* Which bytes are at most n, as unsigned numbers. */
static inline __m128i
scan_at_most(__m128i bytes, char n)
{
	return _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(n)), bytes);
}

static inline const char *
scan_string(const char *at)
{
	for (;; at += 16)
	{
		__m128i bytes = scan_load(at);
		__m128i found = _mm_or_si128(_mm_or_si128(scan_equal(bytes, '"'), scan_equal(bytes, '\\')),
		                             scan_at_most(bytes, 0x1f));
		unsigned mask = (unsigned) _mm_movemask_epi8(found);

		if (mask != 0)
			return at + __builtin_ctz(mask);
	}
}

static inline const char *
scan_digits(const char *at)
{
	for (;; at += 16)
	{
		__m128i bytes = _mm_sub_epi8(scan_load(at), _mm_set1_epi8('0'));
		unsigned mask = (unsigned) _mm_movemask_epi8(scan_at_most(bytes, 9)) ^ 0xffff;

		if (mask != 0)
			return at + __builtin_ctz(mask);
	}
}

static inline const char *
scan_ascii(const char *at)
{
	for (;; at += 16)
	{
		__m128i bytes = scan_load(at);
		unsigned mask = (unsigned) _mm_movemask_epi8(_mm_or_si128(bytes, scan_equal(bytes, 0)));

		if (mask != 0)
			return at + __builtin_ctz(mask);
	}
}

static inline const char *
scan_field(const char *at, const KsegScanSet *set)
{
	for (;; at += 16)
	{
		__m128i bytes = scan_load(at);
		__m128i marks = _mm_or_si128(scan_equal(bytes, set->delimiter), scan_equal(bytes, set->quote));
		__m128i ends = _mm_or_si128(scan_equal(bytes, '\n'), scan_equal(bytes, '\r'));
		__m128i found = _mm_or_si128(_mm_or_si128(marks, ends), scan_equal(bytes, 0));
		unsigned mask = (unsigned) _mm_movemask_epi8(found);

		if (mask != 0)
			return at + __builtin_ctz(mask);
	}
}

static inline bool
scan_copy(char *out, const char *bytes, size_t length)
{
	__m128i seen = _mm_setzero_si128();
	size_t at = 0;

	if (length < 16)
		return scan_copy_plain(out, bytes, length);
	for (; at + 16 <= length; at += 16)
	{
		__m128i part = scan_load(bytes + at);

		seen = _mm_or_si128(seen, part);
		_mm_storeu_si128((__m128i *) (out + at), part);
	}
	/* The rest, and again some of what is done. */
	seen = _mm_or_si128(seen, scan_load(bytes + length - 16));
	_mm_storeu_si128((__m128i *) (out + length - 16), scan_load(bytes + length - 16));
	return _mm_movemask_epi8(seen) == 0;
}

#else

#define scan_string scan_string_plain
#define scan_digits scan_digits_plain
#define scan_ascii  scan_ascii_plain
#define scan_field  scan_field_plain
#define scan_copy   scan_copy_plain

#endif

#endif /* KSEG_READER_SCAN_H */
