/*
 * json_write.c
 *	  JSON strings: escapes both ways, and texts of other encodings to UTF-8.
 *
 * Owns: the one loop that most bytes of a run pass. Refuses: to raise an ERROR over a text; a text that has no UTF-8
 * form is the row's trouble.
 */
#include "postgres.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

#include "event/json_write.h"

/*
 * What follows the backslash; 1: \u00xx; 0: no escape needed. Names are RFC 8259's. DEL and the C1 controls need none.
 */
static const char escapes[256] = {1,           1,
                                  1,           1,
                                  1,           1,
                                  1,           1,
                                  'b',         't',
                                  'n',         1,
                                  'f',         'r',
                                  1,           1, /* 0x00 */
                                  1,           1,
                                  1,           1,
                                  1,           1,
                                  1,           1,
                                  1,           1,
                                  1,           1,
                                  1,           1,
                                  1,           1, /* 0x10 */
                                  ['"'] = '"', ['\\'] = '\\'};

static const char hex_digits[] = "0123456789abcdef";

void
json_writer_init(KsegWriter *writer)
{
	int encoding = GetDatabaseEncoding();

	memset(writer, 0, sizeof(*writer));
	initStringInfo(&writer->exact);
	writer->value_max = writer->container_max = KSEG_VALUE_MAX;
	writer->too_large = "value is over 1 MB";
	writer->convert = encoding != PG_UTF8;
	if (writer->convert && encoding != PG_SQL_ASCII)
	{
		writer->conversion = FindDefaultConversionProc(encoding, PG_UTF8);
		if (!OidIsValid(writer->conversion))
			ereport(ERROR,
			        (errcode(ERRCODE_UNDEFINED_FUNCTION),
			         errmsg("there is no conversion from encoding %s to UTF8", GetDatabaseEncodingName())));
	}
}

static bool
text_is_ascii(const char *text, int length)
{
	for (int i = 0; i < length; i++)
	{
		if (IS_HIGHBIT_SET(text[i]))
			return false;
	}
	return true;
}

bool
json_text_convert(KsegWriter *writer, const char **text, int *length)
{
	unsigned char *converted;
	int size;

	/* Every server encoding holds ASCII as it is. */
	if (text_is_ascii(*text, *length))
		return true;
	if (!OidIsValid(writer->conversion))
	{
		if (pg_verify_mbstr(PG_UTF8, *text, *length, true))
			return true;
		writer->trouble = "text is not valid UTF-8";
		return false;
	}
	size = *length * MAX_CONVERSION_GROWTH + 1;
	converted = palloc(size);
	if (pg_do_encoding_conversion_buf(writer->conversion, GetDatabaseEncoding(), PG_UTF8,
	                                  (unsigned char *) *text, *length, converted, size, true) != *length)
	{
		writer->trouble = "text has no UTF-8 form";
		return false;
	}
	*text = (const char *) converted;
	*length = strlen(*text);
	return true;
}

/* Text is looked at and copied in blocks; 16 bytes are what one SSE2 register or two words hold. */
#define BLOCK 16

#ifdef __SSE2__
static inline bool
block_has_escape(const char *text)
{
	__m128i block = _mm_loadu_si128((const __m128i *) text);
	__m128i found = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);

	found = _mm_or_si128(found, _mm_cmpeq_epi8(block, _mm_set1_epi8('"')));
	found = _mm_or_si128(found, _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
	return _mm_movemask_epi8(found) != 0;
}
#else
static inline bool
word_has_escape(const char *text)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	uint64 word, quote, backslash;

	memcpy(&word, text, sizeof(word));
	quote = word ^ (ones * '"');
	backslash = word ^ (ones * '\\');
	/* Zero bytes of quote and backslash, and bytes of word below 0x20; a false alarm costs only the slow path. */
	return ((((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((word - ones * 0x20) & ~word)) &
	        (ones << 7)) != 0;
}

static inline bool
block_has_escape(const char *text)
{
	return word_has_escape(text) || word_has_escape(text + sizeof(uint64));
}
#endif

/* Append the escape of c, with room for the rest of the string behind it. */
static char *
string_escape(StringInfo out, char *to, unsigned char c, int rest)
{
	out->len = to - out->data;
	to = json_reserve(out, 6 + rest + 1);
	*to++ = '\\';
	if (escapes[c] != 1)
	{
		*to++ = escapes[c];
		return to;
	}
	memcpy(to, "u00", 3);
	to[3] = hex_digits[c >> 4];
	to[4] = hex_digits[c & 15];
	return to + 5;
}

void
json_write_string(StringInfo out, const char *text, int length)
{
	const char *end = text + length;
	char *to = json_reserve(out, length + 2);

	*to++ = '"';
	while (text < end)
	{
		const char *block_end;

		while (end - text >= BLOCK && !block_has_escape(text))
		{
			memcpy(to, text, BLOCK);
			to += BLOCK;
			text += BLOCK;
		}
		block_end = Min(end, text + BLOCK);
		for (; text < block_end; text++)
		{
			unsigned char c = *text;

			if (likely(escapes[c] == 0))
				*to++ = c;
			else
				to = string_escape(out, to, c, end - text);
		}
	}
	*to++ = '"';
	out->len = to - out->data;
}

void
json_lead_pad(StringInfo text)
{
	enlargeStringInfo(text, KSEG_LEAD_BLOCK);
	memset(text->data + text->len, 0, KSEG_LEAD_BLOCK);
}

const char *
json_lead_make(const char *key, const char *more, int *length)
{
	StringInfoData text;

	initStringInfo(&text);
	json_write_string(&text, key, strlen(key));
	json_write_char(&text, ':');
	json_write_bytes(&text, more, strlen(more));
	json_lead_pad(&text);
	*length = text.len;
	return text.data;
}

static int
hex_value(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static pg_wchar
unescape_unit(const char *digits)
{
	return hex_value(digits[0]) << 12 | hex_value(digits[1]) << 8 | hex_value(digits[2]) << 4 |
	       hex_value(digits[3]);
}

/* One \uXXXX, or two that are a surrogate pair; from is behind the u. Returns the bytes read. */
static int
unescape_unicode(const char *from, const char *end, char **to)
{
	pg_wchar point = unescape_unit(from);
	int used = 4;

	if (is_utf16_surrogate_first(point) && end - from >= 10 && from[4] == '\\' && from[5] == 'u' &&
	    is_utf16_surrogate_second(unescape_unit(from + 6)))
	{
		point = surrogate_pair_to_codepoint(point, unescape_unit(from + 6));
		used = 10;
	}
	unicode_to_utf8(point, (unsigned char *) *to);
	*to += pg_utf_mblen((unsigned char *) *to);
	return used;
}

const char *
json_unescape(const char *string, int length, int *text_length)
{
	const char *from = string + 1;
	const char *end = string + length - 1;
	char *text;
	char *to;

	if (memchr(from, '\\', end - from) == NULL)
	{
		*text_length = end - from;
		return from;
	}
	text = to = palloc(length);
	while (from < end)
	{
		if (*from != '\\')
		{
			*to++ = *from++;
			continue;
		}
		from += 2;
		switch (from[-1])
		{
			case 'b':
				*to++ = '\b';
				break;
			case 'f':
				*to++ = '\f';
				break;
			case 'n':
				*to++ = '\n';
				break;
			case 'r':
				*to++ = '\r';
				break;
			case 't':
				*to++ = '\t';
				break;
			case 'u':
				from += unescape_unicode(from, end, &to);
				break;
			default:
				*to++ = from[-1];
		}
	}
	*text_length = to - text;
	return text;
}
