/*
 * table_statement.h
 *	  The statement that puts a query's rows into a table: INSERT, with ON CONFLICT and DELETE for keys.
 *
 * Owns: its text, and the checks that the target allows it: columns, key, rights. Refuses: to run it, and to know where the query's rows
 * come from.
 *
 * The text, for key and on_conflict 'update' (identifiers quoted):
 *
 *	  INSERT INTO target (c, …) SELECT c, … FROM (query) kseg_q ON CONFLICT (key) DO UPDATE SET c = EXCLUDED.c, …
 *
 * With `last_wins` the rows are cut to the last one of each key first: SELECT DISTINCT ON (key) … ORDER BY key, kseg_q.kseg_at DESC NULLS
 * LAST. Without it PostgreSQL raises 21000 when a batch has a key twice, and the caller runs it again with it: most batches have none, and
 * sorting is not free. Rows whose key has a NULL are all kept where the unique index keeps them apart, too. Which of several rows
 * of one message with the same key is the last is not defined.
 *
 * With delete_when: WITH the last rows AS MATERIALIZED, DELETE those for which it is true, INSERT … the others. A NULL in the key of a row to
 * delete matches nothing; delete_when that is NULL deletes nothing. Each key is in one of both only, so their order does not matter.
 *
 * on_conflict 'ignore': ON CONFLICT (key) DO NOTHING. Of rows with the same key in one batch the one that the scan gives first stays.
 */
#ifndef KSEG_TABLE_STATEMENT_H
#define KSEG_TABLE_STATEMENT_H

#include "postgres.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"

typedef enum KsegTableConflict
{
	KSEG_TABLE_CONFLICT_ERROR,
	KSEG_TABLE_CONFLICT_IGNORE,
	KSEG_TABLE_CONFLICT_UPDATE
} KsegTableConflict;

typedef struct KsegTableRequest
{
	const char *query; /* text of one SELECT without a semicolon; its columns go by name */
	List *columns;     /* of char *: the query's result columns */
	List *types;       /* of Oid: theirs */
	Oid source; /* the relation whose ctid orders the query's rows (table_order.h); InvalidOid: they come in order */
	Oid target;
	List *key; /* of char *; NIL: none */
	KsegTableConflict on_conflict;
	const char *delete_when; /* NULL: none. Columns that only it uses need not be the target's */
} KsegTableRequest;

/*
 * ERRORs, as the current role: 42703 a column that the target does not have ("Perhaps you meant"), or a key column that the query does
 * not have; 42701 a column twice; 42804 types that do not fit; 42P10 no unique index over exactly the key (partial and expression indexes are
 * none; deferrable ones neither); 23502 a column that is NOT NULL without default and missing; 428C9 a generated column; 42501 without a
 * right that the statement needs; 42809 a target that rows cannot go into, or not together with a position; 22023 delete_when or
 * on_conflict without key; and what the planner says of the statement. SPI need not be connected.
 */
extern void table_statement_check(const KsegTableRequest *request);

/* The text, palloc'd. last_wins: see above; only with KSEG_TABLE_CONFLICT_UPDATE, and implied by delete_when. */
extern char *table_statement_build(const KsegTableRequest *request, bool last_wins);

/*
 * Prepare it: SPI_prepare of the text alone does not know kseg_at. SPI must be connected; the plan is the caller's (SPI_keepplan) and
 * finds what has changed by itself, as any plan does. After its execution SPI_processed counts rows inserted, updated and deleted; SPI's
 * result is SPI_OK_INSERT, with delete_when SPI_OK_SELECT.
 */
extern SPIPlanPtr table_statement_prepare(const KsegTableRequest *request, bool last_wins);

#endif /* KSEG_TABLE_STATEMENT_H */
