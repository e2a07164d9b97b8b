/*
 * kseg.c
 *	  Module load: settings, and what streams need of a preloaded library. Nothing else.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "kseg.h"
#include "stream/stream_shared.h"

PG_MODULE_MAGIC;

/* Days of a thousand years. */
#define KSEG_RETENTION_MAX 365000

int kseg_dead_letter_retention = 30;
int kseg_run_retention = 90;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	/* pg_upgrade loads libraries to see whether they load; there is nothing to set up in that server. */
	if (IsBinaryUpgrade)
		return;

	/*
	 * At most a thousand years: a day before PostgreSQL's first one (4714 BC) would be an error of every run.
	 *
	 * 30 days: time enough to look at a monthly job's letters, and no longer than people's data has to be kept.
	 */
	DefineCustomIntVariable(
	    "kseg.dead_letter_retention", "Days that kseg keeps dead letters; -1 keeps them for ever.",
	    "Older ones are removed when a later run records something, and every hour while a stream of their "
	    "database runs.",
	    &kseg_dead_letter_retention, 30, -1, KSEG_RETENTION_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	/* 90 days: a quarter, to compare a monthly job with the ones before. A run's row has about 200 bytes. */
	DefineCustomIntVariable("kseg.run_retention",
	                        "Days that kseg keeps the figures of runs; -1 keeps them for ever.",
	                        "Older ones are removed when a later run records something.", &kseg_run_retention,
	                        90, -1, KSEG_RETENTION_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	/* Shared memory, hooks and the launcher: only the postmaster can have them. Without them everything works but streams. */
	if (process_shared_preload_libraries_in_progress)
		stream_shared_init();
	MarkGUCPrefixReserved("kseg");
}
