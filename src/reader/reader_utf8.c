/*
 * reader_utf8.c
 *	  Strict UTF-8 (RFC 3629). See reader_parts.h and reader.h.
 *
 * Owns: which sequences of bytes are characters. Refuses: what PostgreSQL's own check refuses (pg_utf8_islegal, wchar.c):
 * overlong forms, surrogates, anything above U+10FFFF, anything cut off; and zero bytes.
 */
#include "reader/reader_parts.h"

static inline bool
utf8_is_more(unsigned char byte)
{
	return (byte & 0xc0) == 0x80;
}

/* Bytes of the character that begins here (not ASCII), 0 when none does. Padding is never taken for more of a character. */
static inline uint32_t
utf8_measure(const unsigned char *at)
{
	unsigned char lead = at[0];
	/* The second byte's bounds keep out overlong forms (E0, F0), surrogates (ED) and what is above U+10FFFF (F4). */
	unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
	unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;

	if (lead < 0xc2 || lead > 0xf4 || at[1] < low || at[1] > high)
		return 0;
	if (lead < 0xe0)
		return 2;
	if (!utf8_is_more(at[2]))
		return 0;
	if (lead < 0xf0)
		return 3;
	return utf8_is_more(at[3]) ? 4 : 0;
}

const char *
utf8_find_error(const char *at)
{
	for (;;)
	{
		uint32_t length;

		/* In text that is not Latin, a character that is not ASCII follows another. */
		while ((*at & 0x80) != 0)
		{
			length = utf8_measure((const unsigned char *) at);
			if (length == 0)
				return at;
			at += length;
		}
		at = scan_ascii(at);
		if (*at == '\0')
			return at;
	}
}

/* A text in pieces: each is copied with padding behind it, and begins where the last whole character of the one before ended. */
bool
reader_is_text(const char *bytes, size_t length)
{
	char piece[1024 + KSEG_SCAN_PADDING];
	const char *end = bytes + length;

	while (bytes < end)
	{
		size_t size = (size_t) (end - bytes) < 1024 ? (size_t) (end - bytes) : 1024;
		const char *stop;

		scan_copy(piece, bytes, size);
		memset(piece + size, 0, KSEG_SCAN_PADDING);
		stop = utf8_find_error(piece);
		/* Only at the end of a piece that is not the last may a character be cut off: of its at most 3 bytes. */
		if (stop != piece + size && (bytes + size == end || stop + 3 < piece + size))
			return false;
		bytes += stop - piece;
		if (stop == piece)
			return false;
	}
	return true;
}
