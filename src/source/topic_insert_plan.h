/*
 * topic_insert_plan.h
 *	  A row of a foreign table over a topic becomes a message.
 *
 * Owns: the value as CSV or text, when a row is a tombstone, and what is wrong with a row. Refuses: to send. What columns are is
 * topic_insert_columns.h's, the JSON and the message's layout are event/message.h's.
 *
 * The value of a message, by the table's format:
 *
 *	  json         the columns with paths, each at its first path that has keys only (NULL is written as null); or a column
 *	               with meta 'value', as it is, when that is not NULL. With such a column, a row that is NULL there and in
 *	               every path is a tombstone: what a SELECT shows of one, so that rows read and written again stay what they are.
 *	  text, bytea  the column without meta; NULL is a tombstone
 *	  csv          the columns without meta as one line (RFC 4180) without line end, in the order of their fields
 *	  debezium     none: such messages are a connector's to make
 */
#ifndef KSEG_TOPIC_INSERT_PLAN_H
#define KSEG_TOPIC_INSERT_PLAN_H

#include "postgres.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"

#include "source/topic_table.h"

typedef struct KsegTopicInsertPlan KsegTopicInsertPlan;

/*
 * Make a plan in the current memory context. table and desc (the relation's) must outlive it. ERRORs as topic_insert_check and
 * message_plan_create.
 */
extern KsegTopicInsertPlan *topic_insert_plan_create(const KsegTopicTable *table, TupleDesc desc,
                                                     int max_message_bytes);

/*
 * Append the row's message to out. row counts from 1. Returns NULL, or what is wrong with the row ("column \"x\": NaN has no
 * JSON form"), in the current memory context; then what was appended is to be taken back. ERROR 428C9 for a value in a column
 * that only the broker fills.
 */
extern const char *topic_insert_write(KsegTopicInsertPlan *plan, TupleTableSlot *slot, uint64 row,
                                      StringInfo out);

#endif /* KSEG_TOPIC_INSERT_PLAN_H */
