/*
 * event_settings.c
 *	  Fixed settings around output functions, so that no event depends on the session it was made in.
 *
 * Owns: which settings an output function may look at, and their values. As postgres_fdw's set_transmission_modes: a
 * GUC nest level, entered before the first such value of a row and left at the row's end; an ERROR in between is undone
 * by the (sub)transaction's abort. GUC_ACTION_SAVE is legal in parallel mode. Refuses: to be paid by rows whose types
 * kseg writes itself.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"

#include "event/json_value.h"

static bool
timezone_is_utc(void)
{
	return strcmp(pg_get_timezone_name(session_timezone), "UTC") == 0;
}

static void
setting_save(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
event_settings_enter(KsegWriter *writer)
{
	if (writer->settings != 0)
		return;
	writer->settings = NewGUCNestLevel();
	/* Setting one costs a microsecond or more, so only what differs. */
	if (DateStyle != USE_ISO_DATES)
		setting_save("datestyle", "ISO");
	if (IntervalStyle != INTSTYLE_ISO_8601)
		setting_save("intervalstyle", "iso_8601");
	if (!timezone_is_utc())
		setting_save("timezone", "UTC");
	if (extra_float_digits != 1)
		setting_save("extra_float_digits", "1");
	if (bytea_output != BYTEA_OUTPUT_HEX)
		setting_save("bytea_output", "hex");
	/* Names (regclass and its like) are written with their schema, whatever is on the caller's path. */
	if (strcmp(namespace_search_path, "pg_catalog") != 0)
		setting_save("search_path", "pg_catalog");
}

void
event_settings_leave(KsegWriter *writer)
{
	if (writer->settings == 0)
		return;
	AtEOXact_GUC(true, writer->settings);
	writer->settings = 0;
}
