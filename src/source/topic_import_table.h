/*
 * topic_import_table.h
 *	  The CREATE FOREIGN TABLE of a topic whose sample has been read.
 *
 * Owns: the choice of the format, the names and types of columns, and that whatever a topic or a field is called, the statement
 * says just that and nothing else. Refuses: to run it.
 */
#ifndef KSEG_TOPIC_IMPORT_TABLE_H
#define KSEG_TOPIC_IMPORT_TABLE_H

#include "postgres.h"
#include "nodes/pg_list.h"

#include "source/topic_import_sample.h"

/*
 * A name for a table or a column: wished, cut to what PostgreSQL takes, and with a number behind it when one of taken (char *)
 * is the same. Columns must differ in more than upper and lower case, and from the system's columns. palloc'd, and put into
 * taken.
 */
extern char *import_name_of_table(List **taken, const char *wished);
extern char *import_name_of_column(List **taken, const char *wished);

/*
 * The statement, palloc'd. table is its name, topic the topic's (both in the database's encoding). NOTICEs tell what the sample could
 * not: no messages, values that are no JSON, fields left out.
 */
extern char *import_table_write(const char *table, const char *server, const char *topic,
                                const KsegImportShape *shape, const KsegImportOptions *options);

#endif /* KSEG_TOPIC_IMPORT_TABLE_H */
