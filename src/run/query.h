/*
 * query.h
 *	  Run the caller's query: one SELECT (query_check), truly read-only, streamed into a DestReceiver.
 */
#ifndef KSEG_QUERY_H
#define KSEG_QUERY_H

#include "postgres.h"
#include "tcop/dest.h"

/*
 * Run it as the current user with the active snapshot. Rows go to the receiver as they come; parallel plans included.
 * Anything that would write fails, also inside volatile functions: the transaction is read-only meanwhile.
 */
extern void query_execute(const char *query, DestReceiver *receiver);

#endif /* KSEG_QUERY_H */
