/*
 * words.c
 *	  Harmless words. See words.h.
 */
#include "courier/words.h"

#include <stdint.h>
#include <stdbool.h>
#include <string.h>

/* The smallest code point that may be written in this many bytes: shorter forms of it are not UTF-8 (RFC 3629). */
static const uint32_t words_least[] = {0, 0, 0x80, 0x800, 0x10000};

/* The character at data: its code point and how many bytes it has; 0 bytes when it is not UTF-8. */
static size_t
words_read_character(const unsigned char *data, size_t length, uint32_t *code)
{
	size_t bytes = data[0] < 0x80   ? 1
	               : data[0] < 0xc2 ? 0
	               : data[0] < 0xe0 ? 2
	               : data[0] < 0xf0 ? 3
	               : data[0] < 0xf5 ? 4
	                                : 0;

	if (bytes == 0 || bytes > length)
		return 0;
	*code = bytes == 1 ? data[0] : data[0] & (0x7fu >> bytes);
	for (size_t i = 1; i < bytes; i++)
	{
		if ((data[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (data[i] & 0x3f);
	}
	if (*code < words_least[bytes] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return bytes;
}

/* C0, DEL and C1, and what turns the direction of writing: a log line must read as it was written. */
static bool
words_is_control(uint32_t code)
{
	return code <= 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0x202a && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || code == 0x2028 || code == 0x2029 || code == 0xfeff;
}

/* Room for "..." and a NUL is kept behind every character that is written. */
static bool
words_put(char *out, size_t room, size_t *at, const char *data, size_t length)
{
	if (*at + length + 4 > room)
		return false;
	memcpy(out + *at, data, length);
	*at += length;
	return true;
}

size_t
words_clean(char *out, size_t room, const char *data, size_t length)
{
	size_t at = 0;
	bool blank = false;

	for (size_t i = 0; i < length;)
	{
		uint32_t code = 0;
		size_t bytes = words_read_character((const unsigned char *) data + i, length - i, &code);
		bool put = true;

		if (bytes > 0 && words_is_control(code))
			blank = at > 0;
		else
		{
			put = !blank || words_put(out, room, &at, " ", 1);
			put = put && (bytes == 0 ? words_put(out, room, &at, "?", 1)
			                         : words_put(out, room, &at, data + i, bytes));
			blank = false;
		}
		if (!put)
		{
			memcpy(out + at, "...", 3);
			at += 3;
			break;
		}
		i += bytes == 0 ? 1 : bytes;
	}
	out[at] = '\0';
	return at;
}
