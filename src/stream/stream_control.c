/*
 * stream_control.c
 *	  Starting, stopping, resetting and dropping streams.
 *
 * Each of these writes what is wanted into kseg.stream_entry; the launcher makes it so when the transaction commits. Who may: the owner,
 * members of it, superusers.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "stream/stream_define.h"
#include "stream/stream_start.h"
#include "stream/stream_write.h"

PG_FUNCTION_INFO_V1(kseg_sql_start_stream);
PG_FUNCTION_INFO_V1(kseg_sql_stop_stream);
PG_FUNCTION_INFO_V1(kseg_sql_reset_stream);
PG_FUNCTION_INFO_V1(kseg_sql_drop_stream);

static KsegStreamEntry *
control_lock(FunctionCallInfo fcinfo)
{
	return stream_write_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
}

static void
control_check_owner_exists(const KsegStreamEntry *entry)
{
	if (OidIsValid(entry->owner))
		return;
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
	                errmsg("the owner of stream \"%s\", role \"%s\", does not exist", entry->name,
	                       entry->owner_name),
	                errhint("Give it another one: kseg.alter_stream(%s, owner => '...').",
	                        quote_literal_cstr(entry->name))));
}

Datum
kseg_sql_start_stream(PG_FUNCTION_ARGS)
{
	KsegStreamEntry *entry = control_lock(fcinfo);

	control_check_owner_exists(entry);
	if (entry->halted != NULL && strcmp(entry->halted, "gap") == 0)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		     errmsg("stream \"%s\" has come to a gap", entry->name),
		     errdetail(
		         "What it was to read next is gone, or not known any more; kseg.stream says what and where."),
		     errhint("Say where it is to go on: kseg.reset_stream(%s, 'earliest'), or 'latest', a time, or "
		             "offsets.",
		             quote_literal_cstr(entry->name))));
	stream_write_started(entry);
	stream_entry_notify(entry->name, "starting", NULL);
	entry->enabled = true;
	entry->halted = NULL;
	stream_define_tell_preload(entry);
	PG_RETURN_TEXT_P(cstring_to_text(entry->name));
}

Datum
kseg_sql_stop_stream(PG_FUNCTION_ARGS)
{
	KsegStreamEntry *entry = control_lock(fcinfo);

	if (entry->enabled)
	{
		stream_write_stopped(entry);
		stream_entry_notify(entry->name, "stopped", NULL);
	}
	PG_RETURN_TEXT_P(cstring_to_text(entry->name));
}

/* The check of the definition tells the topics that offsets are of. Without offsets a definition that does not fit any more may be reset, too. */
static List *
reset_take_start(KsegStreamEntry *entry, const char *start)
{
	bool is_offsets = strchr(start, '{') != NULL;
	List *topics = NIL;

	if (is_offsets)
	{
		control_check_owner_exists(entry);
		stream_define_check_role(entry->owner);
		topics = stream_define_check(entry);
	}
	return stream_start_take(entry, start, topics);
}

Datum
kseg_sql_reset_stream(PG_FUNCTION_ARGS)
{
	KsegStreamEntry *entry = control_lock(fcinfo);
	List *positions = reset_take_start(entry, text_to_cstring(PG_GETARG_TEXT_PP(1)));

	stream_write_reset(entry, positions);
	if (entry->halted != NULL && strcmp(entry->halted, "gap") == 0)
	{
		entry->halted = NULL;
		if (entry->enabled)
			stream_entry_notify(entry->name, "starting", NULL);
	}
	stream_define_tell_preload(entry);
	PG_RETURN_TEXT_P(cstring_to_text(entry->name));
}

Datum
kseg_sql_drop_stream(PG_FUNCTION_ARGS)
{
	KsegStreamEntry *entry = control_lock(fcinfo);

	stream_write_dropped(entry);
	stream_entry_notify(entry->name, "dropped", NULL);
	PG_RETURN_TEXT_P(cstring_to_text(entry->name));
}
