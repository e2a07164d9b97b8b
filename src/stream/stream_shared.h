/*
 * stream_shared.h
 *	  Shared memory of streams: what should run, what runs, how it does.
 *
 * Owns: the slots (one for each worker of each stream), the databases that ask for attention, and the holds under which a database
 * must have no worker. Refuses: to read tables and to start processes (launcher.c), and to keep anything that a restart of the server
 * should survive: that is in kseg.stream_entry and kseg.position_entry.
 *
 * Exists only when kseg is in shared_preload_libraries: stream_shared_is_there. One LWLock guards everything; whoever holds it does
 * nothing but copy. Surveys make slots, the launcher frees them; a worker writes to its own slot only, between stream_shared_attach and
 * its end.
 *
 * The desired state is level, not edge: a short-lived process in each database (stream_survey.c) reads kseg.stream_entry and writes
 * `wanted` and `revision` into the slots; the launcher starts what is wanted and does not run, and tells what is not wanted any more,
 * or wanted otherwise, to end.
 */
#ifndef KSEG_STREAM_SHARED_H
#define KSEG_STREAM_SHARED_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#include "stream/stream_rate.h"

/* Most bytes of an error's text that a slot keeps: its message, detail and hint, cut. */
#define KSEG_STREAM_ERROR_MAX 1024
#define KSEG_STREAM_NAME_MAX  NAMEDATALEN

/* Databases that are remembered beside one for each slot: so many may be held, or wait for a survey, at once. 20 kB. */
#define KSEG_STREAM_SPARE_DATABASES 64

/* A worker's state, as kseg.stream_status shows it (stream_state_name). */
typedef enum KsegStreamState
{
	KSEG_STREAM_WAITING,  /* for a background worker: max_worker_processes, or the launcher's next turn */
	KSEG_STREAM_STARTING, /* asked for, not there yet */
	KSEG_STREAM_RUNNING,
	KSEG_STREAM_RETRYING, /* an error of the surroundings: next_try says when */
	KSEG_STREAM_STOPPING, /* told to end, finishes its batch */
	KSEG_STREAM_ENDED     /* its process has ended by itself; the launcher decides what next */
} KsegStreamState;

/* Figures of one worker since its process began, unless said. */
typedef struct KsegStreamFigures
{
	uint64 messages;     /* read and settled */
	uint64 rows;         /* inserted, updated or deleted, as the command's tag counts */
	uint64 batches;      /* committed */
	uint64 dead_letters; /* kept */
	uint64 bytes;        /* of the records' frames */
	int64 lag_messages;  /* end of the log less position, all partitions; -1: not known */
	TimestampTz oldest;  /* time of the oldest message that has come and is not settled; 0: none */
	TimestampTz newest;  /* time of the newest message that is settled; 0: none */
	TimestampTz settled; /* when the last batch was committed; 0: none */
	KsegStreamRate rows_per_second;
} KsegStreamFigures;

typedef struct KsegStreamSlot
{
	bool used;
	/* written by the survey and the launcher */
	Oid database;
	int64 stream; /* kseg.stream_entry.id */
	int32 worker; /* 0 ... workers - 1 */
	int32 workers;
	Oid owner;                       /* whom the worker connects as */
	char name[KSEG_STREAM_NAME_MAX]; /* the stream's, cut: for process titles and logs */
	int64 revision;                  /* of the definition, as wanted */
	bool wanted;
	/* written by the launcher and the worker */
	KsegStreamState state;
	TimestampTz since;      /* when the state began */
	pid_t pid;              /* 0: none */
	int64 running_revision; /* of the definition that the process read */
	bool stop;              /* the process is to end after its batch */
	bool was_ready;         /* ENDED: it had begun to work, or has left an error that says why not */
	int failures;           /* one after the other; a committed batch sets it to 0 */
	TimestampTz next_try;   /* 0: at once */
	/* written by the worker */
	char error[KSEG_STREAM_ERROR_MAX]; /* the last one, "" when there was none; no secret */
	char sqlstate[6];
	TimestampTz error_at;
	char trouble[KSEG_STREAM_ERROR_MAX]; /* what it waits for now (no broker), "" when nothing */
	KsegStreamFigures figures;
} KsegStreamSlot;

/* What a database's survey found. */
typedef enum KsegStreamFinding
{
	KSEG_SURVEY_UNKNOWN, /* not looked at yet */
	KSEG_SURVEY_NONE,    /* no extension, or no stream */
	KSEG_SURVEY_STREAMS,
	KSEG_SURVEY_VERSION, /* the extension's version is not the library's: nothing is run */
	KSEG_SURVEY_FAILED   /* could not be surveyed: error has why */
} KsegStreamFinding;

typedef struct KsegStreamDatabase
{
	Oid database; /* InvalidOid: free */
	bool dirty;   /* to be surveyed */
	bool surveying;
	pid_t survey_pid; /* 0: none */
	int holds;        /* while above 0 no worker may be in it (stream_hold.h) */
	KsegStreamFinding finding;
	bool short_of_slots;  /* streams wait because kseg.max_stream_workers slots are in use */
	TimestampTz surveyed; /* when the last survey ended */
	int failures;         /* surveys that failed, one after the other */
	char extension_version[32];
	char error[256];
} KsegStreamDatabase;

typedef struct KsegStreamShared
{
	LWLock *lock;
	pid_t launcher; /* 0: none */
	int database_count;
	int slot_count;
	bool all_dirty; /* look at every database anew (start; more databases than entries) */
	bool
	    short_of_workers; /* the last background worker that was asked for was refused: max_worker_processes */
	ConditionVariable changed; /* a worker or a survey has ended */
	KsegStreamDatabase *databases;
	KsegStreamSlot *slots;
} KsegStreamShared;

/* NULL when kseg is not preloaded. */
extern KsegStreamShared *kseg_streams;

static inline bool
stream_shared_is_there(void)
{
	return kseg_streams != NULL;
}

/* For _PG_init while shared_preload_libraries are loaded: settings, hooks, the request for memory, the launcher. */
extern void stream_shared_init(void);

/*
 * Have the launcher look at the current database when (and only if) the transaction commits. Does nothing without preload. What
 * stream_* functions call after they have changed kseg.stream_entry.
 */
extern void stream_shared_mark_dirty_at_commit(void);

/* The same for any database, and for each database that has workers. */
extern void stream_shared_mark_database_at_commit(Oid database);
extern void stream_shared_mark_used_at_commit(void);

/* The same at once, from anywhere; sets the launcher's latch. */
extern void stream_shared_mark_dirty(Oid database);
extern void stream_shared_mark_used_dirty(void);

/*
 * For a worker, before it connects to its database: take the slot that the launcher has started it for, until the process ends (on_shmem_exit,
 * so that nobody who sees pid = 0 can find the process in the database any more). NULL: it must not run, and leaves with proc_exit(0). The slot
 * has the worker's pid then, state STARTING, running_revision as wanted (the worker sets the one it reads), figures of 0 and no trouble. When
 * the process ends, its state becomes ENDED, or WAITING if it had to end (stop, a newer revision, a hold). While it runs it does not write STOPPING over.
 */
extern KsegStreamSlot *stream_shared_attach(int32 slot, Oid database, int64 stream, int32 worker);

/* Wake the launcher, or a worker by its pid. */
extern void stream_shared_wake_launcher(void);
extern void stream_shared_wake(pid_t pid);

/* A copy of the slot for (database, stream, worker). False: there is none. */
extern bool stream_shared_get(Oid database, int64 stream, int32 worker, KsegStreamSlot *copy);

/* Copies of all used slots of a database (InvalidOid: of all), palloc'd. */
extern KsegStreamSlot *stream_shared_list(Oid database, int *count);

extern const char *stream_state_name(KsegStreamState state);

/*
 * For whoever holds the lock (launcher, survey, holds). The entry of a database; NULL: there is none, and with make, none is free: entries
 * that say nothing any more are taken for others, so that there is always one while fewer than KSEG_STREAM_SPARE_DATABASES are held or dirty.
 */
extern KsegStreamDatabase *stream_shared_database(Oid database, bool make);

/* For whoever holds the lock: may no process of kseg's be in this database now? */
extern bool stream_shared_is_held(Oid database);

/* Settings (stream_shared_init): most workers of streams in the cluster. */
extern int kseg_max_stream_workers;

#endif /* KSEG_STREAM_SHARED_H */
