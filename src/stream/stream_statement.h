/*
 * stream_statement.h
 *	  The statement that a stream runs for each batch: prepared once, its plan looked at, run.
 *
 * Owns: the prepared statements (two where keys may come twice in a batch) and which of them is run. Refuses: to know where the rows come
 * from, and transactions.
 */
#ifndef KSEG_STREAM_STATEMENT_H
#define KSEG_STREAM_STATEMENT_H

#include "postgres.h"
#include "executor/spi.h"
#include "nodes/bitmapset.h"

#include "stream/stream_query.h"

/* Prepared statements of a stream: the plain one, and the one that takes the last row of each key (table_statement.h). */
#define KSEG_STATEMENTS 2

typedef struct KsegStreamStatement
{
	KsegStreamQuery *query;
	char *texts[KSEG_STATEMENTS]; /* the second NULL: the first does it always */
	SPIPlanPtr plans[KSEG_STATEMENTS];
	int generations[KSEG_STATEMENTS]; /* of the plans that were looked at; 0: none */
	int last_wins_left;               /* batches for which the second one is run */
} KsegStreamStatement;

/*
 * Analyze the definition and prepare its statements, in the current memory context; free it with stream_statement_free. Needs a
 * transaction and the definition's search_path. ERRORs as stream_query_analyze, and what the parser says.
 */
extern KsegStreamStatement *stream_statement_create(const KsegStreamEntry *entry);

/* The attribute numbers that the plans need of the source. ERRORs: 0A000 when one of them reads it otherwise than once. SPI connected. */
extern Bitmapset *stream_statement_needed(KsegStreamStatement *statement);

/* Has the plan of the statement that is run next been made anew since stream_statement_needed? Locks its relations. SPI connected. */
extern bool stream_statement_is_new(KsegStreamStatement *statement);

/*
 * Would the definition, analyzed as things are now, give the same statements? PostgreSQL plans a changed view or target anew from the same text; the
 * text (types, collations and NULLs of the key's columns are in it) and what a definition may be are this module's. Needs and ERRORs as
 * stream_statement_create; what it makes lives in the current memory context.
 */
extern bool stream_statement_is_current(const KsegStreamStatement *statement, const KsegStreamEntry *entry);

/* Run it. Returns the rows that its command counts. SPI connected, ERRORs are PostgreSQL's. */
extern uint64 stream_statement_run(KsegStreamStatement *statement);

/* A batch is committed: counts towards the return to the plain statement. */
extern void stream_statement_settle(KsegStreamStatement *statement);

/* Does the error mean that a key came twice in the batch, and is there a statement for it? It is the one that is run then. */
extern bool stream_statement_take_last(KsegStreamStatement *statement, int sqlerrcode);

/* May be called with NULL. */
extern void stream_statement_free(KsegStreamStatement *statement);

#endif /* KSEG_STREAM_STATEMENT_H */
