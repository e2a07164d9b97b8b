/*
 * stream_write.h
 *	  Writing streams' definitions: rows of kseg.stream_entry and the positions that go with them.
 *
 * Owns: the statements, the lock under which a definition is changed, and telling the launcher. Refuses: to judge a definition and who may
 * change it.
 *
 * Whoever changes a stream holds its row locked (FOR UPDATE) to the end of the transaction, so that two who change it do so one after the
 * other, and a worker that stores first positions does not do so in between.
 */
#ifndef KSEG_STREAM_WRITE_H
#define KSEG_STREAM_WRITE_H

#include "postgres.h"

#include "stream/stream_entry.h"

/* Store a new stream; sets its id. False: there is one of this name. */
extern bool stream_write_new(KsegStreamEntry *entry);

/*
 * Lock the stream of this name and read it as it is then, palloc'd. ERRORs: 42704 there is none ("Perhaps you meant"), 42501 unless it is
 * the current role's to manage; before anything else 55000 when the extension is of another version, 42501 in a security-restricted operation.
 */
extern KsegStreamEntry *stream_write_lock(const char *name);

/* Write the definition of a locked stream; its revision is raised. Name and owner are part of it. */
extern void stream_write_definition(const KsegStreamEntry *entry);

/* A locked stream has another name since stream_write_definition: its dead letters follow. Waits for the batch under way. */
extern void stream_write_renamed(const KsegStreamEntry *entry, const char *old_name);

/* Store these positions (of KsegPosition *) of a stream that is locked, or new, and has none. */
extern void stream_write_positions(const KsegStreamEntry *entry, List *positions);

/*
 * Start a locked stream: it is wanted, and no halt is left of it. What is a copy belongs to this database from now on. Its revision is
 * raised, so that a worker that waits to try again does so now.
 */
extern void stream_write_started(const KsegStreamEntry *entry);

extern void stream_write_stopped(const KsegStreamEntry *entry);

/*
 * A locked stream begins anew by entry's start and these positions (of KsegPosition *). Waits for the batch under way, which holds the
 * rows of its positions. A gap is settled by it.
 */
extern void stream_write_reset(const KsegStreamEntry *entry, List *positions);

/* Remove a locked stream and its positions; waits likewise. */
extern void stream_write_dropped(const KsegStreamEntry *entry);

/* Is there a stream of this name? */
extern bool stream_write_exists(const char *name);

/* ERROR 42710. */
extern void stream_write_refuse_name(const char *name);

#endif /* KSEG_STREAM_WRITE_H */
