/*
 * config_write.c
 *	  Members of CONFIG. See config_write.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/json.h"

#include "server/config_write.h"

static void
config_name(StringInfo json, const char *name)
{
	appendStringInfo(json, "%s\"%s\":", json->data[json->len - 1] == '{' ? "" : ",", name);
}

void
config_text(StringInfo json, const char *name, const char *value)
{
	char *utf8;

	if (value == NULL)
		value = "";
	config_name(json, name);
	utf8 = pg_server_to_any(value, strlen(value), PG_UTF8);
	escape_json(json, utf8);
	if (utf8 != value)
	{
		explicit_bzero(utf8, strlen(utf8));
		pfree(utf8);
	}
}

void
config_int(StringInfo json, const char *name, int64 value)
{
	config_name(json, name);
	appendStringInfo(json, INT64_FORMAT, value);
}

void
config_json(StringInfo json, const char *name, const char *value)
{
	config_name(json, name);
	appendStringInfoString(json, value);
}
