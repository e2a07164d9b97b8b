/*
 * bytes_show.c
 *	  Bytes of a Kafka message as people see them. See bytes_show.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "link/link_text.h"
#include "sink/bytes_show.h"

static bool
bytes_are_text(KsegText bytes)
{
	return memchr(bytes.data, '\0', bytes.length) == NULL &&
	       pg_encoding_verifymbstr(PG_UTF8, bytes.data, (int) bytes.length) == (int) bytes.length;
}

static char *
bytes_as_hex(KsegText bytes, int limit)
{
	int shown = Min((int) bytes.length, limit);
	char *hex = palloc(2 * (Size) shown + 3);

	memcpy(hex, "\\x", 2);
	hex[2 + hex_encode(bytes.data, shown, hex + 2)] = '\0';
	return hex;
}

char *
bytes_show(KsegText bytes, int limit)
{
	int shown = (int) bytes.length;
	char *text;

	if (!bytes_are_text(bytes))
		text = bytes_as_hex(bytes, limit);
	else
	{
		if (shown > limit)
			shown = pg_encoding_mbcliplen(PG_UTF8, bytes.data, shown, limit);
		text = link_text_to_server(bytes.data, shown);
	}
	return (int) bytes.length > limit ? psprintf("%s...", text) : text;
}
