/*
 * query.h
 *	  Run the caller's query: one SELECT, truly read-only, streamed into a DestReceiver.
 */
#ifndef KSEG_QUERY_H
#define KSEG_QUERY_H

#include "postgres.h"
#include "tcop/dest.h"

/*
 * ERROR unless the text is one SELECT (VALUES and TABLE are). Positions in errors point into the query's text, not into
 * the statement around it.
 */
extern void query_check(const char *query);

/*
 * Run it as the current user with the active snapshot. Rows go to the receiver as they come; parallel plans included.
 * Anything that would write fails, also inside volatile functions: the transaction is read-only meanwhile.
 */
extern void query_execute(const char *query, DestReceiver *receiver);

#endif /* KSEG_QUERY_H */
