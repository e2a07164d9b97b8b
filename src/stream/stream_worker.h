/*
 * stream_worker.h
 *	  A stream's worker: a background process that reads batches and applies them.
 *
 * Owns: one worker's life and its turns (stream_worker.c: life and loop; stream_turn.c: a turn; stream_apply.c: a batch's transaction).
 * Refuses: to start others, and to decide whether it should run at all: the launcher does.
 */
#ifndef KSEG_STREAM_WORKER_H
#define KSEG_STREAM_WORKER_H

#include "postgres.h"

/* bgw_function_name of a worker, and what bgw_extra has. */
#define KSEG_STREAM_WORKER_MAIN "kseg_stream_worker_main"
typedef struct KsegStreamWorkerArgument
{
	Oid database;
	Oid owner;
	int64 stream;
	int32 worker;
	int32 slot; /* index in kseg_streams->slots: taken by the launcher for it */
} KsegStreamWorkerArgument;

extern PGDLLEXPORT void kseg_stream_worker_main(Datum argument);

#endif /* KSEG_STREAM_WORKER_H */
