/*
 * wire_follow.h
 *	  The talk of the job kafka_follow: topics without an end.
 *
 *	  PostgreSQL                                  courier
 *	  HELLO, CONFIG                        ──►
 *	                                       ◄──    HELLO, PARTITIONS (again whenever there are more)
 *	                                       ◄──    RECORDS, PROGRESS, TROUBLE … for ever
 *	  COMMITTED                            ──►
 *	                                       ◄──    FAILED at any moment: GAP, AUTH, CONFIG, REFUSED, INTERNAL
 *	  end of file at any moment: the courier leaves
 *
 * Every partition that is followed has an index, from 0 in the order in which PARTITIONS names them; it never changes while the
 * courier lives. In RECORDS of this job a record's `partition` is the index. A partition's PARTITIONS entry comes before its first
 * record. Brokers that are away are no failure: the courier tries for ever, and says TROUBLE meanwhile.
 *
 * Owns: the layout, both directions. Refuses: to allocate.
 */
#ifndef KSEG_WIRE_FOLLOW_H
#define KSEG_WIRE_FOLLOW_H

#include "wire/wire.h"

/* PARTITIONS: u32 count; count × { u32 index; u32 partition; u64 low; u64 start; u64 end; text topic }. The first one may be empty. */
typedef struct KsegWirePartition
{
	uint32_t index;
	int32_t partition;
	int64_t low;
	int64_t start;
	int64_t end;
	KsegText topic;
} KsegWirePartition;

extern size_t kseg_partition_size(const KsegWirePartition *partition);
extern uint8_t *kseg_partition_write(uint8_t *out, const KsegWirePartition *partition);
extern bool kseg_partition_read(KsegReader *reader, KsegWirePartition *partition);

/*
 * PROGRESS and COMMITTED: u32 count; count × step. PROGRESS: nothing before next will come any more (what was not handed over is
 * transaction markers, compacted, aborted), end is the log's as last heard. COMMITTED: next is stored; end is 0.
 */
typedef struct KsegWireStep
{
	uint32_t index;
	int64_t next;
	int64_t end;
} KsegWireStep;
#define KSEG_WIRE_STEP_SIZE 20

extern uint8_t *kseg_step_write(uint8_t *out, const KsegWireStep *step);
extern bool kseg_step_read(KsegReader *reader, KsegWireStep *step);

/* TROUBLE: text message; text detail; text hint. All "": it is over. */

/*
 * The worker, of so many, that follows this partition: partitions of a topic go round, and topics begin at different workers, so that
 * many topics of one partition are spread, too.
 */
extern uint32_t kseg_follow_worker(const char *topic, size_t topic_length, int32_t partition,
                                   uint32_t workers);

#endif /* KSEG_WIRE_FOLLOW_H */
