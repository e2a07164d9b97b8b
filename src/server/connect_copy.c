/*
 * connect_copy.c
 *	  What the views to COPY secrets into have in common. See connect.h.
 *
 * COPY's data is in no statement, so neither log nor pg_stat_activity ever sees it. There is one exception, and it is dealt
 * with here: COPY quotes the line that it cannot split into columns in the CONTEXT, before any row trigger is called.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "pgstat.h"
#include "utils/rel.h"

#include "server/connect.h"

static emit_log_hook_type connect_next_log_hook = NULL;

/* Only here that line can be kept from the log and, the error not being sent yet, from the client. */
static void
connect_hide_line(ErrorData *error)
{
	static const char *const views[] = {"write_key", "kafka_password"};

	for (int i = 0; i < lengthof(views) && error->context != NULL; i++)
	{
		/* By the view's name alone: the words around it are translated, and Japanese and Korean put COPY behind it. */
		if (strstr(error->context, views[i]) == NULL)
			continue;
		/* elog.c frees what it finds there. */
		pfree(error->context);
		error->context = psprintf("COPY %s, a line that is not shown", views[i]);
		break;
	}
	if (connect_next_log_hook != NULL)
		connect_next_log_hook(error);
}

void
connect_copy_begin(const char *activity)
{
	static bool hooked = false;

	pgstat_report_activity(STATE_RUNNING, activity);
	if (!hooked)
	{
		connect_next_log_hook = emit_log_hook;
		emit_log_hook = connect_hide_line;
		hooked = true;
	}
}

TriggerData *
connect_copy_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_INSTEAD(trigger->tg_event))
		elog(ERROR, "a kseg function for a view's INSERT was not called as an INSTEAD OF trigger");
	return trigger;
}

char *
connect_copy_text(TriggerData *trigger, const char *column)
{
	return SPI_getvalue(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation),
	                    SPI_fnumber(RelationGetDescr(trigger->tg_relation), column));
}
