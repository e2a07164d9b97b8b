/*
 * launcher.h
 *	  The static background worker that keeps streams running: it compares what is wanted with what runs, and starts and stops.
 *
 * Owns: the slots of shared memory (making and freeing them), starting surveys and workers, backing off. Refuses: to connect to a database
 * with streams (stream_survey.c does, for a moment) and to read tables there; it looks at pg_database only.
 */
#ifndef KSEG_LAUNCHER_H
#define KSEG_LAUNCHER_H

#include "postgres.h"

/* For stream_shared_init: have the postmaster start the launcher when recovery has finished. */
extern void launcher_register(void);

extern PGDLLEXPORT void kseg_launcher_main(Datum argument);

/* The short-lived process in one database; bgw_main_arg is that database's OID. */
extern PGDLLEXPORT void kseg_survey_main(Datum argument);

#endif /* KSEG_LAUNCHER_H */
