/*
 * wire_follow.c
 *	  Partitions and steps on the wire. See wire_follow.h.
 */
#include "wire/wire_follow.h"

/* A partition's entry without its topic's bytes: u32 index; u32 partition; three u64; u32 length. */
#define PARTITION_HEAD (3 * sizeof(uint32_t) + 3 * sizeof(uint64_t))

size_t
kseg_partition_size(const KsegWirePartition *partition)
{
	return PARTITION_HEAD + partition->topic.length;
}

uint8_t *
kseg_partition_write(uint8_t *out, const KsegWirePartition *partition)
{
	out = kseg_write_u32(out, partition->index);
	out = kseg_write_u32(out, (uint32_t) partition->partition);
	out = kseg_write_u64(out, (uint64_t) partition->low);
	out = kseg_write_u64(out, (uint64_t) partition->start);
	out = kseg_write_u64(out, (uint64_t) partition->end);
	return kseg_write_text(out, partition->topic.data, partition->topic.length);
}

bool
kseg_partition_read(KsegReader *reader, KsegWirePartition *partition)
{
	partition->index = kseg_read_u32(reader);
	partition->partition = (int32_t) kseg_read_u32(reader);
	partition->low = (int64_t) kseg_read_u64(reader);
	partition->start = (int64_t) kseg_read_u64(reader);
	partition->end = (int64_t) kseg_read_u64(reader);
	partition->topic = kseg_read_text(reader);
	return !reader->failed;
}

uint8_t *
kseg_step_write(uint8_t *out, const KsegWireStep *step)
{
	out = kseg_write_u32(out, step->index);
	out = kseg_write_u64(out, (uint64_t) step->next);
	return kseg_write_u64(out, (uint64_t) step->end);
}

bool
kseg_step_read(KsegReader *reader, KsegWireStep *step)
{
	step->index = kseg_read_u32(reader);
	step->next = (int64_t) kseg_read_u64(reader);
	step->end = (int64_t) kseg_read_u64(reader);
	return !reader->failed;
}

/* FNV-1a, 32 bits (Fowler, Noll, Vo): spreads names that differ in their last characters only. */
static uint32_t
follow_hash(const char *topic, size_t length)
{
	uint32_t hash = UINT32_C(2166136261);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t) topic[i]) * UINT32_C(16777619);
	return hash;
}

uint32_t
kseg_follow_worker(const char *topic, size_t topic_length, int32_t partition, uint32_t workers)
{
	return (follow_hash(topic, topic_length) % workers + (uint32_t) partition % workers) % workers;
}
