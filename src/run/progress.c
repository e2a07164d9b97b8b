/*
 * progress.c
 *	  A run's numbers for other sessions. See progress.h.
 *
 * PostgreSQL gives every backend 20 integers for progress (backend_progress.h); a command number of our own keeps them
 * apart from VACUUM's and others', whose views filter by theirs. Nothing but integers fits, so the last error travels as
 * HTTP status and libcurl's code, or as librdkafka's.
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

#include "base/result_set.h"
#include "compat.h"
#include "run/progress.h"

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
	PROGRESS_LAST_ERROR,  /* CURLcode or rd_kafka_resp_err_t, 0: none */
	PROGRESS_KIND,        /* a KsegSinkKind */
	PROGRESS_COUNT
};

static const char *const phase_names[] = {"starting", "sending", "finishing", "recording"};

/* What does not change while the run of this backend lasts, and its phase. */
static struct
{
	pg_uuid_t run;
	Oid server;
	KsegSinkKind kind;
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
	pgstat_progress_update_param(PROGRESS_KIND, progress_run.kind);
}

void
progress_start(const pg_uuid_t *run, Oid server, KsegSinkKind kind)
{
	progress_run.run = *run;
	progress_run.server = server;
	progress_run.kind = kind;
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
progress_update(const KsegSink *sink)
{
	static const int indexes[] = {
	    PROGRESS_ROWS,     PROGRESS_SENT,    PROGRESS_IN_FLIGHT, PROGRESS_REPEATED,    PROGRESS_INVALID,
	    PROGRESS_REJECTED, PROGRESS_RETRIES, PROGRESS_PAUSED_MS, PROGRESS_LAST_STATUS, PROGRESS_LAST_ERROR};
	const KsegWireStatus *status = link_status(sink_link(sink));
	KsegFigures figures;
	int64 values[lengthof(indexes)];

	/* The abort of any subtransaction ends it: an exception that a function of the query catches is enough. */
	if (MyBEEntry != NULL && MyBEEntry->st_progress_command != PROGRESS_COMMAND)
		progress_announce();
	sink_figures(sink, &figures);
	values[0] = figures.rows;
	values[1] = figures.sent;
	values[2] = link_in_flight(sink_link(sink));
	values[3] = figures.repeated;
	values[4] = figures.invalid;
	values[5] = figures.rejected;
	values[6] = figures.retries;
	values[7] = status->paused_ms;
	values[8] = status->last_status;
	values[9] = (int32) status->last_error;
	pgstat_progress_update_multi_param(lengthof(indexes), indexes, values);
}

void
progress_end(void)
{
	pgstat_progress_end_command();
}

/* ---------- looking at it ---------- */

/*
 * librdkafka's codes that a run meets while it still goes on (rdkafka.h): its own are negative, those that a broker answers are
 * Kafka's. kseg.so does not link it, so the others stay numbers.
 */
static const struct
{
	int code;
	const char *words;
} kafka_errors[] = {
    {-195, "a broker closed the connection or cannot be reached"},
    {-193, "a broker's name cannot be resolved"},
    {-192, "a message was not acknowledged in time"},
    {-190, "there is no such partition"},
    {-188, "there is no such topic"},
    {-187, "all brokers are down"},
    {-185, "a request was not answered in time"},
    {-181, "TLS failed"},
    {-169, "authentication failed"},
    {3, "a broker knows no such topic or partition"},
    {5, "a partition has no leader"},
    {6, "a broker is no longer a partition's leader"},
    {7, "a broker's replicas did not answer in time"},
    {10, "a message is too large for its topic"},
    {14, "a coordinator is loading"},
    {15, "a coordinator is not available"},
    {16, "a broker is no longer the coordinator"},
    {19, "a partition has too few replicas in sync"},
    {20, "a partition has too few replicas in sync"},
    {29, "no right to a topic"},
    {32, "a message's timestamp is out of the topic's range"},
    {51, "a transaction is still being ended"},
    {56, "a broker's disk failed"},
    {87, "a broker refused a message as invalid"},
};

static char *
progress_kafka_error(int64 code)
{
	for (int i = 0; i < lengthof(kafka_errors); i++)
	{
		if (kafka_errors[i].code == code)
			return psprintf("%s (Kafka error %d)", kafka_errors[i].words, kafka_errors[i].code);
	}
	return psprintf("Kafka error " INT64_FORMAT, code);
}

static char *
progress_last_error(const int64 *params)
{
	if (params[PROGRESS_KIND] == KSEG_SINK_KAFKA)
		return params[PROGRESS_LAST_ERROR] != 0 ? progress_kafka_error(params[PROGRESS_LAST_ERROR]) : NULL;
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
