/*
 * stream_slot.h
 *	  A worker's own slot in shared memory: what it is told, and what it tells.
 *
 * Owns: every write of a worker to its slot (stream_shared.h says which fields are whose). Refuses: to look at other slots.
 */
#ifndef KSEG_STREAM_SLOT_H
#define KSEG_STREAM_SLOT_H

#include "postgres.h"

#include "stream/stream_shared.h"
#include "stream/stream_worker.h"

/*
 * Take the slot that the launcher has given this process, until the process ends however it ends: then the slot says so, and the launcher
 * is woken. False: it is not this worker's any more, or another process has it.
 */
extern bool stream_slot_take(const KsegStreamWorkerArgument *argument);

/* Is the process to end: told to stop, or a newer definition than this revision is wanted? revision 0: none was read yet. */
extern bool stream_slot_is_over(int64 revision);

/* The definition that runs from now on. */
extern void stream_slot_set_revision(int64 revision);

/* It runs. What failed before is not forgotten by that, but by stream_slot_settle. */
extern void stream_slot_set_running(void);

/*
 * Note an error and that it is tried again after a while, which is longer for each failure in a row. Returns when. *first: it is the first
 * one after a success.
 */
extern TimestampTz stream_slot_set_retrying(const ErrorData *error, bool *first);

/* Note an error that is not tried again: of a dead letter, or one after which the process ends. */
extern void stream_slot_set_error(const ErrorData *error);

/* What is waited for outside; "" nothing. Copied only when it is another than before. */
extern void stream_slot_set_trouble(const char *trouble);

/*
 * A batch, or a part of one, was committed: these figures are added, lag replaces what was there. With a lag of 0 nothing is left that could be
 * the oldest. Returns how many failures in a row it ends.
 */
typedef struct KsegStreamSettled
{
	uint64 messages;
	uint64 rows;
	uint64 dead_letters;
	uint64 bytes;
	int64 lag_messages; /* -1: not known */
	TimestampTz newest; /* 0: none with a time */
} KsegStreamSettled;
extern int stream_slot_settle(const KsegStreamSettled *settled);

/* The log's end has moved, messages have come, or nothing is left: how far it is behind, alone. Fields as in KsegStreamFigures. */
extern void stream_slot_set_lag(int64 lag_messages, TimestampTz oldest);

/* The time of the oldest message as it was told last; 0: none. */
extern TimestampTz stream_slot_get_oldest(void);

#endif /* KSEG_STREAM_SLOT_H */
