/*
 * stream_health.c
 *	  kseg.health(): what streams need of the server, and whether it is there.
 *
 * Owns: the checks that no table can answer. Those of versions, streams and dead letters are SQL (sql/kseg--*.sql), over views that
 * show everybody his own. Refuses: to repair anything, to start a process, to ask a broker.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"

#include "base/result_set.h"
#include "compat.h"
#include "link/courier_process.h"
#include "stream/stream_shared.h"

/* ok of a row. */
typedef enum HealthOk
{
	HEALTH_BAD,
	HEALTH_GOOD,
	HEALTH_OPEN /* nobody can tell, or it does not matter here */
} HealthOk;

static void
health_put(ReturnSetInfo *result, const char *check, HealthOk ok, const char *detail, const char *hint)
{
	Datum values[4] = {CStringGetTextDatum(check), BoolGetDatum(ok == HEALTH_GOOD),
	                   CStringGetTextDatum(detail)};
	bool nulls[4] = {false, ok == HEALTH_OPEN, false, hint == NULL};

	values[3] = hint == NULL ? (Datum) 0 : CStringGetTextDatum(hint);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Without streams nothing here is missed. */
static void
health_check_preload(ReturnSetInfo *result, bool wanted)
{
	if (stream_shared_is_there())
		health_put(result, "preload", HEALTH_GOOD, "kseg is in shared_preload_libraries", NULL);
	else
		health_put(result, "preload", wanted ? HEALTH_BAD : HEALTH_OPEN,
		           "kseg is not in shared_preload_libraries: no stream runs",
		           "Put kseg into shared_preload_libraries and restart the server.");
}

/* What is said of all slots of the cluster, together. */
typedef struct HealthSlots
{
	pid_t launcher;
	int used;
	int waiting; /* wanted, and without a process */
} HealthSlots;

static HealthSlots
health_count_slots(void)
{
	HealthSlots slots = {0};

	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	slots.launcher = kseg_streams->launcher;
	for (int i = 0; i < kseg_streams->slot_count; i++)
	{
		const KsegStreamSlot *slot = &kseg_streams->slots[i];

		slots.used += slot->used;
		slots.waiting += slot->used && slot->wanted && slot->pid == 0 && slot->state != KSEG_STREAM_RETRYING;
	}
	LWLockRelease(kseg_streams->lock);
	return slots;
}

static void
health_check_launcher(ReturnSetInfo *result, const HealthSlots *slots)
{
	if (RecoveryInProgress())
		health_put(result, "launcher", HEALTH_OPEN,
		           "the server is in recovery: streams run when it is promoted", NULL);
	else if (slots->launcher == 0)
		health_put(
		    result, "launcher", HEALTH_BAD, "kseg's launcher does not run",
		    "The server starts it again by itself within seconds; if not, its log says why. Are all of "
		    "max_worker_processes taken?");
	else
		health_put(result, "launcher", HEALTH_GOOD, psprintf("process %d", (int) slots->launcher), NULL);
}

/* Background workers that live at the moment, of whatever extension, parallel workers too. */
static int
health_count_processes(void)
{
	int count = pgstat_fetch_stat_numbackends();
	int workers = 0;

	for (int i = 1; i <= count; i++)
	{
		LocalPgBackendStatus *local = kseg_compat_backend_status(i);

		workers += local != NULL && local->backendStatus.st_backendType == B_BG_WORKER;
	}
	return workers;
}

static bool
health_is_short_of_workers(void)
{
	bool short_of_workers;

	if (!stream_shared_is_there())
		return false;
	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	short_of_workers = kseg_streams->short_of_workers;
	LWLockRelease(kseg_streams->lock);
	return short_of_workers;
}

static void
health_check_processes(ReturnSetInfo *result, const HealthSlots *slots)
{
	int processes = health_count_processes();
	/* One that only waits for the launcher's next turn lacks nothing. */
	bool enough = !health_is_short_of_workers() && processes < max_worker_processes;

	health_put(result, "worker processes", enough ? HEALTH_GOOD : HEALTH_BAD,
	           psprintf("%d of %d background workers are taken, %d workers of streams wait for one",
	                    processes, max_worker_processes, slots->waiting),
	           enough ? NULL : "Raise max_worker_processes and restart the server.");
}

static void
health_check_slots(ReturnSetInfo *result, const HealthSlots *slots)
{
	bool enough = slots->used < kseg_streams->slot_count;

	health_put(result, "stream workers", enough ? HEALTH_GOOD : HEALTH_BAD,
	           psprintf("%d of %d are taken in all databases", slots->used, kseg_streams->slot_count),
	           enough ? NULL : "Raise kseg.max_stream_workers and restart the server.");
}

static void
health_check_courier(ReturnSetInfo *result)
{
	char *program = courier_process_program();

	if (access(program, X_OK) == 0)
		health_put(result, "courier", HEALTH_GOOD, "the program is there", NULL);
	else
		health_put(result, "courier", HEALTH_BAD,
		           psprintf("the program cannot be started: %s", strerror(errno)),
		           "Install kseg again: kseg-courier belongs beside kseg.so, executable by the server.");
}

PG_FUNCTION_INFO_V1(kseg_sql_health_of_server);

/* health_of_server(wanted boolean) RETURNS SETOF ("check" text, ok boolean, detail text, hint text) */
Datum
kseg_sql_health_of_server(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = result_set_begin(fcinfo);

	health_check_preload(result, PG_GETARG_BOOL(0));
	if (stream_shared_is_there())
	{
		HealthSlots slots = health_count_slots();

		health_check_launcher(result, &slots);
		health_check_processes(result, &slots);
		health_check_slots(result, &slots);
	}
	health_check_courier(result);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(kseg_sql_library_version);

/* library_version() RETURNS text */
Datum
kseg_sql_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(KSEG_VERSION));
}
