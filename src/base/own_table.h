/*
 * own_table.h
 *	  The tables that the extension keeps for itself.
 *
 * Owns: whom their statements are run as. Refuses: to run them.
 */
#ifndef KSEG_OWN_TABLE_H
#define KSEG_OWN_TABLE_H

#include "postgres.h"

/*
 * The owner of a table of kseg's. Its triggers and rules would run as that owner, who may be a superuser, with rows that anybody may
 * give: kseg makes none, so whoever was given the right to (ALTER DEFAULT PRIVILEGES, say) gets nothing by it. Needs a transaction.
 * ERRORs: 42P01 the table is missing; 55000 it has triggers or rules.
 */
extern Oid own_table_owner(const char *name);

#endif /* KSEG_OWN_TABLE_H */
