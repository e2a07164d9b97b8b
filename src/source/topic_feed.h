/*
 * topic_feed.h
 *	  What a foreign table shows while a stream applies a batch: the batch's records instead of the topic.
 *
 * Owns: the feed of this backend (one at most) and the conversion of its records by the foreign table's columns. A scan of the feed's
 * table (topic_scan.c) asks for it when it begins; no courier is started then, and conditions that would narrow a read stay what they
 * always are, filters.
 *
 * A slot's ctid is the record's place in the batch (topic_feed_tid): the statement of a stream sorts by it.
 */
#ifndef KSEG_TOPIC_FEED_H
#define KSEG_TOPIC_FEED_H

#include "postgres.h"
#include "nodes/bitmapset.h"
#include "nodes/plannodes.h"
#include "storage/itemptr.h"

#include "source/topic_batch.h"
#include "source/topic_row.h"
#include "source/topic_table.h"

/* Where the records of one index come from: RECORDS of a stream have an index where others have a partition (wire_follow.h). */
typedef struct KsegFeedPartition
{
	const char *topic;
	int32 partition;
} KsegFeedPartition;

/* A message that the table's columns cannot take, under the table's on_error 'error'. Called while the statement runs: copy and return. */
typedef void (*KsegFeedProblem)(void *argument, int index, int sqlerrcode, const char *reason);

typedef struct KsegTopicFeed
{
	const KsegTopicTable *table;
	const Bitmapset *needed; /* attribute numbers that row converts */
	KsegTopicRow *row;
	const KsegTopicBatch *batch;
	int from; /* the scan gives records from ... to - 1 */
	int to;
	const KsegFeedPartition *partitions; /* by index */
	int partition_count;
	KsegFeedProblem problem;
	void *argument;
	int at; /* set by the scan: the record that it gave last, -1: none. After an ERROR: the suspect */
	const char *place; /* these two are topic_feed.c's: the row's topic, */
	int reported; /* and the last record with a problem: a scan that is done again does not report it again */
} KsegTopicFeed;

/* From now on scans of feed->table->relation read the feed; NULL: none does. Not undone by an ERROR: the caller's PG_CATCH does. */
extern void topic_feed_set(KsegTopicFeed *feed);

/* The feed for this relation, or NULL. */
extern KsegTopicFeed *topic_feed_get(Oid relation);

/*
 * From now on plans of this backend expect so many rows of a topic, whatever is in it: a batch's. 0: what the statistics say.
 */
extern void topic_feed_expect(double rows);
extern double topic_feed_expected(void);

/*
 * Of the scan (topic_scan.c): convert the index-th record, in the current memory context, and note it as feed->at before anything
 * can fail. False: the row is left out. As topic_row_convert otherwise.
 */
extern bool topic_feed_convert(KsegTopicFeed *feed, int index, Datum *values, bool *nulls);

/*
 * Attribute numbers of the relation's columns that a plan needs (KSEG_PLAN_NEEDED of its ForeignScan), and how many of its scans are of
 * this relation, sub-plans included. The set lives in the current memory context and is never NULL (0, which is no column, is in it).
 */
extern Bitmapset *topic_feed_needed(const PlannedStmt *plan, Oid relation, int *scans);

/*
 * Put the row's wants into the request, with three fields more at the end: the value, the key and the headers of each message as they
 * are. They cost some 2 % and are what a dead letter is made of.
 */
extern void topic_feed_request(const KsegTopicRow *row, KsegTopicRequest *request);
#define KSEG_FEED_FIELDS 3 /* after the row's */

/* Those three of a record with so many fields; data is NULL for NULL. */
extern void topic_feed_message(const KsegRecord *record, uint32 fields, KsegText *value, KsegText *key,
                               KsegText *headers);

/* The place of the index-th record as a tid, in the same order. */
extern void topic_feed_tid(int index, ItemPointer tid);

#endif /* KSEG_TOPIC_FEED_H */
