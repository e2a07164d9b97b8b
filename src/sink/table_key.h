/*
 * table_key.h
 *	  The key by which a statement finds a table's rows: columns that a unique index is over.
 */
#ifndef KSEG_TABLE_KEY_H
#define KSEG_TABLE_KEY_H

#include "postgres.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

/*
 * A unique index over exactly these columns (of char *, in any order) that ON CONFLICT can use: valid, not deferrable, without condition and
 * expressions. InvalidOid: there is none. The table must be locked. A view has none of its own; PostgreSQL looks below it.
 */
extern Oid table_key_index(Oid table, List *key);

/* Can the table hold several rows whose key has a NULL in it? */
extern bool table_key_keeps_nulls(Oid table, List *key);

/*
 * Append a key column's value, prefix.column, as the table compares it: as its type, by its collation. With the type's modifier where an
 * INSERT rounds by it (numeric(10, 2), timestamp(0)), or a DELETE would not find the row; without it elsewhere: a cast to varchar(3) would cut
 * silently what the INSERT refuses.
 */
extern void table_key_append(StringInfo text, Oid table, const char *prefix, const char *column);

/* Append " OPERATOR(schema.=) ", the equality of the column's type. */
extern void table_key_append_equals(StringInfo text, Oid table, const char *column);

/* May two rows whose key has a NULL in this column be the same (UNIQUE NULLS NOT DISTINCT)? Then equality does not find them. */
extern bool table_key_equates_nulls(Oid table, List *key, const char *column);

#endif /* KSEG_TABLE_KEY_H */
