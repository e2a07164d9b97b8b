/*
 * table_bulk.h
 *	  INSERT … SELECT into a plain table by table_multi_insert, as COPY does it: many rows a page, one WAL record a page.
 *
 * Owns: the decision whether an INSERT's plan may go this way (table_bulk_fit.c), and running it so (table_bulk.c). Refuses: whatever
 * COPY would have to treat row by row (BEFORE ROW and INSTEAD OF triggers, foreign tables, views, volatile functions, which may look
 * at the rows inserted so far), partitioned targets, ON CONFLICT, RETURNING, MERGE, row security that is in force; the executor's
 * ModifyTable does these.
 *
 * How: the plan is started as any INSERT's: the executor locks, checks rights, opens the target and its triggers, and ends it all. Only
 * the ModifyTable node's own loop is another. It gathers rows that have passed the constraints, and puts them into the table and its
 * indexes many at a time. Hooks of the executor (pg_stat_statements, auto_explain) see the INSERT that it is.
 */
#ifndef KSEG_TABLE_BULK_H
#define KSEG_TABLE_BULK_H

#include "postgres.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

/*
 * May this plan be run by table_bulk_run? query is what it was planned from, after rewriting (of a CachedPlanSource: the one member of
 * query_list; where rules made two statements out of one, there is nothing to ask). Looks at the target's relation as it is now, and
 * locks it as the INSERT would: ask anew for each plan, right before it is run the first time.
 */
extern bool table_bulk_fits(const PlannedStmt *plan, const Query *query);

/*
 * Run it in the current transaction, with a snapshot of its own and as a command of its own, as SPI does; permissions are checked as for
 * the INSERT. Returns rows inserted. AFTER triggers have fired or are deferred when it returns. ERRORs are PostgreSQL's, with the same
 * SQLSTATEs as the INSERT's; where a batch has several wrong rows it may be another of them that is told.
 *
 * place, unless NULL, is where the caller keeps which record the query reads just now (KsegTopicFeed.at). Rows wait before they are
 * inserted; to have it right all the same, it is set to each row's own place while that row is put into the indexes. After an ERROR
 * it is the suspect, or -1 where rows went in together (a full disk, a deferred or AFTER trigger, foreign keys): no one is suspect then.
 */
extern uint64 table_bulk_run(PlannedStmt *plan, const char *source_text, int *place);

#endif /* KSEG_TABLE_BULK_H */
