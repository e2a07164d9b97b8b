/*
 * run.h
 *	  One execution of a *_from_query function: what runs to Segment and to Kafka have in common.
 *
 * A run is begun, attempted, ended and returned:
 *
 *	  run_begin      may it be here at all? its id, who called, where dead letters go
 *	  (the caller finds the server and fills in what differs)
 *	  run_attempt    the sink, the query, the delivery, in a subtransaction that is over when it returns
 *	  run_end        a failure is an ERROR, or it is recorded like any other run; one WARNING for rows that were not delivered
 */
#ifndef KSEG_RUN_H
#define KSEG_RUN_H

#include "postgres.h"
#include "fmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "run/run_arguments.h"
#include "sink/sink.h"

/* Why a run failed: events with an open outcome. Strings hold no secret. */
typedef struct KsegRunFailure
{
	int sqlerrcode;
	const char *message;
	const char *detail; /* NULL: none */
	const char *hint;   /* NULL: none */
} KsegRunFailure;

typedef struct KsegRun KsegRun;

struct KsegRun
{
	pg_uuid_t id;
	const char *role; /* who called */
	TimestampTz started;
	TimestampTz ended;
	const KsegRunArguments *arguments;
	KsegSink *sink;
	Tuplestorestate *letters; /* NULL: nothing can be written here */
	TupleDesc letter_desc;
	KsegFigures figures;
	KsegRunFailure *failure; /* NULL: none */

	/* Filled in by the caller between run_begin and run_attempt. */
	const char *call; /* as it is recorded */
	const char *server;
	Oid server_oid;
	/* Make the sink, in the current memory context. */
	KsegSink *(*create_sink)(const KsegRun *run, const KsegSinkOptions *options);
	/* What a repeat of the run does, after the courier has failed or was lost; NULL: nothing that need be said. */
	const char *(*repeat_hint)(const KsegRun *run, KsegLinkState state);
	void *argument; /* for these two */
};

/* ERRORs: a security-restricted operation, a run inside another's query, nowhere to keep dead letters, no single SELECT. */
extern void run_begin(KsegRun *run, const KsegRunArguments *arguments);

/* Deliver, with the courier stopped and the timeout off whichever way it ends. Fills figures and failure; ERRORs of the query. */
extern void run_attempt(KsegRun *run);

/* ERROR for a failed run unless it is to be reported; record it; warn. */
extern void run_end(KsegRun *run);

/* What a run returns as first_problem: NULL, when there is none. */
extern const char *run_first_problem(const KsegRun *run);
/* How long it took, palloc'd. */
extern Interval *run_elapsed(const KsegRun *run);

/* run_record.c: write the run and its dead letters into kseg's tables, as the extension's owner. Must be writable. */
extern void run_record(const KsegRun *run);

/* run_failure.c: what the end of a link means; NULL when all was delivered. In the current memory context. */
extern KsegRunFailure *run_failure_of_link(KsegLink *link);
extern KsegRunFailure *run_failure_of_timeout(int timeout_ms);
/* One line of figures for a DETAIL. */
extern char *run_figures_text(const KsegRun *run);
/* ERROR for a failed run, with id, figures and first problem in the DETAIL. */
extern void run_raise_failure(const KsegRun *run);
/* The one WARNING of a run with events that were not accepted. */
extern void run_warn(const KsegRun *run);

#endif /* KSEG_RUN_H */
