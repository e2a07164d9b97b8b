/*
 * progress.h
 *	  What other sessions see of a run while it runs: numbers in the backend's own progress slot, without any preload.
 */
#ifndef KSEG_PROGRESS_H
#define KSEG_PROGRESS_H

#include "postgres.h"
#include "utils/uuid.h"

#include "sink/sink.h"

typedef enum KsegPhase
{
	KSEG_PHASE_STARTING,  /* parsing and planning, starting the courier */
	KSEG_PHASE_SENDING,   /* the query runs, events leave */
	KSEG_PHASE_FINISHING, /* the query has ended, events are still on their way */
	KSEG_PHASE_RECORDING  /* all is settled; figures and dead letters are written */
} KsegPhase;

/* Take the slot: one run at a time in a backend. Ends by itself with the transaction. */
extern void progress_start(const pg_uuid_t *run, Oid server, KsegSinkKind kind);
extern void progress_phase(KsegPhase phase);
extern void progress_update(const KsegSink *sink);
extern void progress_end(void);

#endif /* KSEG_PROGRESS_H */
