/*
 * progress.c
 *	  A run's numbers for other sessions. See progress.h.
 *
 * PostgreSQL gives every backend 20 integers for progress (backend_progress.h); a command number of our own keeps them
 * apart from VACUUM's and others', whose views filter by theirs. Nothing but integers fits, so the last error travels as
 * HTTP status and libcurl's code.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/progress.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "run/progress.h"
#include "run/result_set.h"

/* "kseg" in ASCII: a number that no command of PostgreSQL's has. */
#define PROGRESS_COMMAND ((ProgressCommandType) 0x6b736567)

enum
{
	PROGRESS_RUN_HIGH = 0, /* the run's UUID, first and second 8 bytes */
	PROGRESS_RUN_LOW,
	PROGRESS_STARTED, /* TimestampTz */
	PROGRESS_PHASE,
	PROGRESS_ROWS,
	PROGRESS_SENT,
	PROGRESS_IN_FLIGHT,
	PROGRESS_REPEATED,
	PROGRESS_INVALID,
	PROGRESS_REJECTED,
	PROGRESS_RETRIES,
	PROGRESS_PAUSED_MS,
	PROGRESS_LAST_STATUS, /* HTTP, 0: none */
	PROGRESS_LAST_ERROR,  /* CURLcode, 0: none */
	PROGRESS_COUNT
};

static const char *const phase_names[] = {"starting", "sending", "finishing", "recording"};

/* What does not change while the run of this backend lasts, and its phase. */
static struct
{
	pg_uuid_t run;
	Oid server;
	TimestampTz started;
	KsegPhase phase;
} progress_run;

static void
progress_announce(void)
{
	int64 halves[2];

	pgstat_progress_start_command(PROGRESS_COMMAND, progress_run.server);
	memcpy(halves, progress_run.run.data, sizeof(halves));
	pgstat_progress_update_param(PROGRESS_RUN_HIGH, halves[0]);
	pgstat_progress_update_param(PROGRESS_RUN_LOW, halves[1]);
	pgstat_progress_update_param(PROGRESS_STARTED, progress_run.started);
	pgstat_progress_update_param(PROGRESS_PHASE, progress_run.phase);
}

void
progress_start(const pg_uuid_t *run, Oid server)
{
	progress_run.run = *run;
	progress_run.server = server;
	progress_run.started = GetCurrentTimestamp();
	progress_run.phase = KSEG_PHASE_STARTING;
	progress_announce();
}

void
progress_phase(KsegPhase phase)
{
	progress_run.phase = phase;
	pgstat_progress_update_param(PROGRESS_PHASE, phase);
}

void
progress_update(const KsegSegmentSink *sink)
{
	static const int indexes[] = {
	    PROGRESS_ROWS,     PROGRESS_SENT,    PROGRESS_IN_FLIGHT, PROGRESS_REPEATED,    PROGRESS_INVALID,
	    PROGRESS_REJECTED, PROGRESS_RETRIES, PROGRESS_PAUSED_MS, PROGRESS_LAST_STATUS, PROGRESS_LAST_ERROR};
	const KsegWireStatus *status = link_status(segment_sink_link(sink));
	KsegFigures figures;
	int64 values[lengthof(indexes)];

	/* The abort of any subtransaction ends it: an exception that a function of the query catches is enough. */
	if (MyBEEntry != NULL && MyBEEntry->st_progress_command != PROGRESS_COMMAND)
		progress_announce();
	segment_sink_figures(sink, &figures);
	values[0] = figures.rows;
	values[1] = figures.sent;
	values[2] = link_in_flight(segment_sink_link(sink));
	values[3] = figures.repeated;
	values[4] = figures.invalid;
	values[5] = figures.rejected;
	values[6] = figures.retries;
	values[7] = status->paused_ms;
	values[8] = status->last_status;
	values[9] = status->last_error;
	pgstat_progress_update_multi_param(lengthof(indexes), indexes, values);
}

void
progress_end(void)
{
	pgstat_progress_end_command();
}

/* ---------- looking at it ---------- */

static char *
progress_last_error(const int64 *params)
{
	if (params[PROGRESS_LAST_ERROR] != 0)
		return psprintf("network error (libcurl code " INT64_FORMAT ")", params[PROGRESS_LAST_ERROR]);
	if (params[PROGRESS_LAST_STATUS] != 0)
		return psprintf("HTTP status " INT64_FORMAT, params[PROGRESS_LAST_STATUS]);
	return NULL;
}

static void
progress_put_entry(ReturnSetInfo *result, const PgBackendStatus *entry)
{
	const int64 *params = entry->st_progress_param;
	char *error = progress_last_error(params);
	int64 phase = params[PROGRESS_PHASE];
	pg_uuid_t run;
	Datum values[15];
	bool nulls[15] = {false};
	int column = 0;

	memcpy(run.data, &params[PROGRESS_RUN_HIGH], 8);
	memcpy(run.data + 8, &params[PROGRESS_RUN_LOW], 8);
	values[column++] = UUIDPGetDatum(&run);
	values[column++] = Int32GetDatum(entry->st_procpid);
	values[column++] = ObjectIdGetDatum(entry->st_userid);
	values[column++] = ObjectIdGetDatum(entry->st_databaseid);
	values[column++] = ObjectIdGetDatum(entry->st_progress_command_target);
	values[column++] =
	    CStringGetTextDatum(phase >= 0 && phase < lengthof(phase_names) ? phase_names[phase] : "?");
	values[column++] = TimestampTzGetDatum(params[PROGRESS_STARTED]);
	for (int i = PROGRESS_ROWS; i <= PROGRESS_RETRIES; i++)
		values[column++] = Int64GetDatum(params[i]);
	nulls[column] = error == NULL;
	values[column++] = error == NULL ? (Datum) 0 : CStringGetTextDatum(error);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(kseg_sql_progress_entries);

/*
 * progress_entries() RETURNS SETOF (run, pid, role, database, server, phase, started, rows, sent, in_flight, repeated, invalid,
 * rejected, retries, last_error): the runs of this cluster that the caller may see, its own roles' or all with
 * pg_read_all_stats.
 */
Datum
kseg_sql_progress_entries(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = result_set_begin(fcinfo);
	int count = pgstat_fetch_stat_numbackends();

	for (int i = 1; i <= count; i++)
	{
		LocalPgBackendStatus *local = kseg_compat_backend_status(i);
		PgBackendStatus *entry = local == NULL ? NULL : &local->backendStatus;

		if (entry == NULL || entry->st_progress_command != PROGRESS_COMMAND)
			continue;
		if (has_privs_of_role(GetUserId(), entry->st_userid) ||
		    has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS))
			progress_put_entry(result, entry);
	}
	return (Datum) 0;
}
