/*
 * stream_query.h
 *	  A stream's query and target, as they are now: what is read, what is run for each batch.
 *
 * Owns: finding the one source in the query, and the check of a definition. Refuses: to read messages and to write rows. Everything here needs
 * a transaction, the definition's search_path, and runs as the current role.
 */
#ifndef KSEG_STREAM_QUERY_H
#define KSEG_STREAM_QUERY_H

#include "postgres.h"

#include "sink/table_statement.h"
#include "stream/stream_entry.h"

typedef struct KsegStreamQuery
{
	Oid source; /* the foreign table */
	Oid server; /* its server */
	Oid target;
	KsegTableRequest request; /* for table_statement_prepare */
	bool ordered;             /* each row of the query is of one message, which table_order.h can name */
} KsegStreamQuery;

/*
 * Analyze the definition, palloc'd. ERRORs: what query_check and PostgreSQL's parser say of the query; 42P01 no source in it, or no target;
 * 0A000 a second source, the same one twice, a temporary table, the source below an aggregate, DISTINCT, LIMIT, a window or a set operation
 * with on_conflict 'update' (which row of a key is the last would not be known); what table_statement_check says.
 */
extern KsegStreamQuery *stream_query_analyze(const KsegStreamEntry *entry);

/* Set the entry's search_path until the end of the transaction. */
extern void stream_query_set_search_path(const KsegStreamEntry *entry);

#endif /* KSEG_STREAM_QUERY_H */
