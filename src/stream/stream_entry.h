/*
 * stream_entry.h
 *	  A stream's definition: a row of kseg.stream_entry.
 *
 * Owns: reading it, whether it was made here, and what is written outside of stream_write.c: that a stream has halted, that it has begun, and
 * how many positions it has. Refuses: to judge whether a definition works (stream_query.c).
 *
 * kseg's tables give no right to anybody: reading and writing them is done as their owner, by a switch that lasts for one statement
 * (internal_begin/internal_end of internal.h).
 */
#ifndef KSEG_STREAM_ENTRY_H
#define KSEG_STREAM_ENTRY_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

typedef enum KsegStreamOnConflict
{
	KSEG_ON_CONFLICT_ERROR,
	KSEG_ON_CONFLICT_IGNORE,
	KSEG_ON_CONFLICT_UPDATE
} KsegStreamOnConflict;

/* Where partitions begin that the stream has no position in, the first time it runs. Later ones begin at their first message. */
typedef enum KsegStreamStart
{
	KSEG_START_EARLIEST,
	KSEG_START_LATEST,
	KSEG_START_TIME
} KsegStreamStart;

typedef enum KsegStreamOnError
{
	KSEG_STREAM_DEAD_LETTER, /* a message's own fault makes it a dead letter */
	KSEG_STREAM_STOP         /* it halts the stream */
} KsegStreamOnError;

typedef struct KsegStreamEntry
{
	int64 id;
	char *name;
	Oid owner; /* InvalidOid: there is no such role any more */
	char *owner_name;
	char *query;
	char *search_path; /* as of the definition; query and target are read with it */
	char *target;      /* a table's name as given: 'public.orders' */
	List *key;         /* of char *; NIL: none */
	KsegStreamOnConflict on_conflict;
	char *delete_when; /* an expression over the query's columns; NULL: none */
	KsegStreamStart start;
	TimestampTz start_time; /* of KSEG_START_TIME */
	List *
	    topics; /* of char *, names and ^regular expressions, in place of the foreign table's topic; NIL: that one */
	int batch_rows;
	int batch_interval_ms; /* wait so long for a batch to fill; 0: take what is there */
	int workers;
	KsegStreamOnError on_error;
	double max_dead_letter_rate; /* 0 ... 1: of the last messages */
	char *commit_group;          /* Kafka consumer group that positions are also committed to; NULL: none */
	bool enabled;                /* the user wants it to run */
	char *halted;   /* NULL: no. Else why it stopped by itself: 'failed', 'gap', 'dead_letters', 'copy' */
	bool begun;     /* its first positions are stored */
	int positions;  /* so many were stored: where fewer are there, some are lost */
	int64 revision; /* raised by each change that a worker must take up */
} KsegStreamEntry;

/*
 * The stream of this id or name, palloc'd in the current memory context; NULL: none. Needs a transaction. Whether the current role may
 * see it is the caller's to ask (stream_entry_check_owner).
 */
extern KsegStreamEntry *stream_entry_get(int64 id);
extern KsegStreamEntry *stream_entry_get_by_name(const char *name);

/*
 * Was an entry of these three columns made here: in this cluster, in this database, and in this very table? A restored dump brings it into
 * another table, into the same database, too; ALTER EXTENSION UPDATE and whatever rewrites a table leave it the one it is.
 */
extern bool stream_entry_is_here(int64 system_identifier, Oid database, Oid entry_table);

/* ERRORs: 42501 unless the current role is the owner, belongs to it, or is a superuser. */
extern void stream_entry_check_owner(const KsegStreamEntry *entry);

/*
 * In the current transaction: the stream halts for this reason; NOTIFY kseg_stream. It will not run until start_stream. No-op (false)
 * when its revision is not the given one any more: then somebody has changed it meanwhile.
 */
extern bool stream_entry_halt(int64 id, int64 revision, const char *halted, const ErrorData *error);

/*
 * Keep the definition as it is until the end of the transaction: whoever changes the stream waits, and so does whoever else wants to keep it, for
 * each of them may count positions (stream_entry_add_positions). False: it is not of this revision any more, or gone. Positions that a worker
 * stores because of what it has read of a definition go with it: otherwise they would outlive a reset.
 */
extern bool stream_entry_hold(int64 id, int64 revision);

/* In the current transaction: its first positions are stored, as of this revision (stream_entry_hold): no-op for another. */
extern void stream_entry_set_begun(int64 id, int64 revision);

/*
 * So many of its positions were stored, in the current transaction, which holds the definition (stream_entry_hold, stream_write_lock). Whoever finds
 * fewer than were counted knows that some are lost.
 */
extern void stream_entry_add_positions(int64 id, int count);

/* NOTIFY kseg_stream, '{"stream": …, "state": …, "message": …}' when the transaction commits. message may be NULL; it is for everybody. */
extern void stream_entry_notify(const char *name, const char *state, const char *message);

#endif /* KSEG_STREAM_ENTRY_H */
