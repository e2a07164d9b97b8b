/*
 * link_text.c
 *	  What the courier says, in the database's encoding. See link_text.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "link/link_text.h"

/* The conversion takes characters as long as it knows them; where it stops, one is replaced. */
static char *
link_text_convert(Oid conversion, const char *text, int length)
{
	int room = length * MAX_CONVERSION_GROWTH + 1;
	char *piece = palloc(room);
	StringInfoData out;

	initStringInfo(&out);
	while (length > 0)
	{
		int taken =
		    pg_do_encoding_conversion_buf(conversion, PG_UTF8, GetDatabaseEncoding(), (unsigned char *) text,
		                                  length, (unsigned char *) piece, room, true);

		appendStringInfoString(&out, piece);
		if (taken < length)
		{
			appendStringInfoChar(&out, '?');
			taken += Min(pg_utf_mblen((const unsigned char *) text + taken), length - taken);
		}
		text += taken;
		length -= taken;
	}
	pfree(piece);
	return out.data;
}

/* A background worker between its transactions can look up no conversion: what is beyond ASCII is replaced. */
static char *
link_text_to_ascii(const char *text, int length)
{
	char *ascii = pnstrdup(text, length);

	for (char *at = ascii; *at != '\0'; at++)
	{
		if (IS_HIGHBIT_SET(*at))
			*at = '?';
	}
	return ascii;
}

char *
link_text_to_server(const char *text, Size length)
{
	Oid conversion;
	int valid;

	/* Such a database takes any bytes, and may hold rows that are no UTF-8. */
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return pnstrdup(text, length);
	valid = pg_encoding_verifymbstr(PG_UTF8, text, length);
	if (GetDatabaseEncoding() == PG_UTF8)
		return pnstrdup(text, valid);
	if (!IsTransactionState())
		return link_text_to_ascii(text, valid);
	conversion = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	if (!OidIsValid(conversion))
		elog(ERROR, "no conversion from UTF8 to %s", GetDatabaseEncodingName());
	return link_text_convert(conversion, text, valid);
}
