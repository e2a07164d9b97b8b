/*
 * topic_insert_columns.h
 *	  What the columns of a foreign table over a topic are to an INSERT.
 *
 * Owns: which column gives which part of a message, which ones nobody may give a value to, at which path a column is written, and
 * whether messages can be made of the table's rows at all. Refuses: to make them.
 */
#ifndef KSEG_TOPIC_INSERT_COLUMNS_H
#define KSEG_TOPIC_INSERT_COLUMNS_H

#include "postgres.h"

#include "source/topic_table.h"

/* Is it a column that nobody may give a value to? In other formats than json, the value is the other columns'. */
extern bool topic_insert_is_read_only(const KsegTopicTable *table, const KsegTopicColumn *column);

/* The column of this kind that gives a message its part, or NULL. KSEG_META_NONE: the first one. */
extern const KsegTopicColumn *topic_insert_find_column(const KsegTopicTable *table, KsegTopicMeta meta);

/* The first path that has only keys: members can be written, elements of an array cannot. NULL: there is none. */
extern const KsegTopicPath *topic_insert_path(const KsegTopicColumn *column);

/* ERROR (0A000, 42P16, 42804) with the column and a hint when no message can be made from any row of this table. */
extern void topic_insert_check(const KsegTopicTable *table);

#endif /* KSEG_TOPIC_INSERT_COLUMNS_H */
