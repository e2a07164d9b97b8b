/*
 * repeat.h
 *	  Counts rows that are the same event as an earlier row of the run: exactly, in bounded memory.
 *
 * Ids are remembered in a hash table up to a bound. Ids that come after it is full are written to partitions in
 * temporary files (subject to temp_file_limit, removed with the transaction) and counted when the run ends. So an early
 * repeat is known at once and not sent; a late one is sent again under the same messageId, which Segment drops, and is
 * counted by repeat_set_finish.
 */
#ifndef KSEG_REPEAT_H
#define KSEG_REPEAT_H

#include "event/event.h"

typedef struct KsegRepeatSet KsegRepeatSet;

/* In the current memory context; at most about memory_bytes (work_mem * 1024) are used, grown from a few kB. */
extern KsegRepeatSet *repeat_set_create(Size memory_bytes);
/* True: this id was there before. Safe in parallel mode. */
extern bool repeat_set_add(KsegRepeatSet *set, KsegEventId id);
/* How many of the spilled ids were repeats of another id; frees the temporary files. Interruptible. */
extern uint64 repeat_set_finish(KsegRepeatSet *set);

#endif /* KSEG_REPEAT_H */
