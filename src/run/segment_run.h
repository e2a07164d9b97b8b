/*
 * segment_run.h
 *	  One execution of a segment_*_from_query function.
 */
#ifndef KSEG_SEGMENT_RUN_H
#define KSEG_SEGMENT_RUN_H

#include "postgres.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "run/arguments.h"
#include "sink/segment_sink.h"

/* Why a run failed: events with an open outcome. Strings hold no secret. */
typedef struct KsegRunFailure
{
	int sqlerrcode;
	const char *message;
	const char *detail; /* NULL: none */
	const char *hint;   /* NULL: none */
} KsegRunFailure;

typedef struct KsegRun
{
	pg_uuid_t id;
	const char *role; /* who called */
	TimestampTz started;
	TimestampTz ended;
	const KsegRunArguments *arguments;
	const KsegSegmentServer *server;
	KsegSegmentSink *sink;
	Tuplestorestate *letters; /* NULL: nothing can be written here */
	TupleDesc letter_desc;
	KsegFigures figures;
	KsegRunFailure *failure; /* NULL: none */
} KsegRun;

/* run_record.c: write the run and its dead letters into kseg's tables, as the extension's owner. Must be writable. */
extern void run_record(const KsegRun *run);

/* run_failure.c: what the end of a sink means; NULL when all was delivered. In the current memory context. */
extern KsegRunFailure *run_failure_of_link(KsegLink *link);
extern KsegRunFailure *run_failure_of_timeout(int timeout_ms);
/* One line of figures for a DETAIL. */
extern char *run_figures_text(const KsegRun *run);
/* ERROR for a failed run, with id, figures and first problem in the DETAIL. */
extern void run_raise_failure(const KsegRun *run);
/* The one WARNING of a run with events that were not accepted. */
extern void run_warn(const KsegRun *run);

#endif /* KSEG_SEGMENT_RUN_H */
