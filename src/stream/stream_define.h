/*
 * stream_define.h
 *	  What the functions that make and change streams share.
 */
#ifndef KSEG_STREAM_DEFINE_H
#define KSEG_STREAM_DEFINE_H

#include "postgres.h"

#include "stream/stream_entry.h"
#include "stream/stream_query.h"

/*
 * Check the definition as a whole, as its owner, with its search_path: what stream_query_analyze says, the right to use the server and a
 * user mapping for it, the foreign table's options, an owner whom a worker can connect as. Returns the topics that it reads
 * (stream_topics.h). The current role must be allowed to become the owner.
 */
extern List *stream_define_check(const KsegStreamEntry *entry);

/* NOTICE what a stream that is to run waits for: kseg is not preloaded. */
extern void stream_define_tell_preload(const KsegStreamEntry *entry);

/* ERROR unless the current role may become this one: what a stream runs as, it may be made to do anything as. */
extern void stream_define_check_role(Oid role);

#endif /* KSEG_STREAM_DEFINE_H */
