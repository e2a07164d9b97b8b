/*
 * stream_hold.h
 *	  A database in which no process of kseg's may be, for a while: DROP DATABASE and its like refuse where one is connected.
 */
#ifndef KSEG_STREAM_HOLD_H
#define KSEG_STREAM_HOLD_H

#include "postgres.h"

/*
 * Until the end of the current (sub)transaction the database's workers and surveys are ended (SIGTERM: a batch under way is rolled
 * back, and nothing is lost) and none is started. Waits until they are gone, five seconds at most: what did not end by then is left to the
 * statement that follows, and its own message. Needs preload. ERRORs: 53400 when more than KSEG_STREAM_SPARE_DATABASES are held.
 */
extern void stream_hold_take(Oid database);

#endif /* KSEG_STREAM_HOLD_H */
