/*
 * internal.h
 *	  Statements on kseg's own tables, as their owner.
 *
 * Owns: the switch to the extension's owner and back, for one statement. Refuses: to run while one of the tables has triggers or
 * rules: somebody else's code would run as that owner (run_record.c says the same of runs).
 *
 * Statements name everything with its schema, operators too, so that no search_path changes what they mean. They must not fire
 * deferred triggers: kseg's tables have none.
 */
#ifndef KSEG_STREAM_INTERNAL_H
#define KSEG_STREAM_INTERNAL_H

#include "postgres.h"
#include "executor/spi.h"

/* A statement that is prepared once for a backend's life. Fill text, count and types; plan is internal_execute's. */
typedef struct KsegInternal
{
	const char *text;
	int count;
	const Oid *types;
	SPIPlanPtr plan;
} KsegInternal;

/*
 * Run it as the owner of kseg.stream_entry, in the current transaction. SPI must be connected. Returns SPI's result code (above 0);
 * SPI_processed and SPI_tuptable are as SPI leaves them. nulls as SPI_execute_plan. ERRORs are PostgreSQL's.
 */
extern int internal_execute(KsegInternal *statement, Datum *values, const char *nulls, bool read_only,
                            long limit);

/* The same for a statement that writes or locks, with SPI connected for it alone. Returns the rows that it counts; their values are gone. */
extern uint64 internal_run(KsegInternal *statement, Datum *values, const char *nulls);

#endif /* KSEG_STREAM_INTERNAL_H */
