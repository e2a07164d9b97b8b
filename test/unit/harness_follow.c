/*
 * harness_follow.c
 *	  Topics followed through a courier. See harness_follow.h.
 */
#include "harness_follow.h"

/* ---------- CONFIG ---------- */

HarnessFollowConfig
harness_follow_defaults(const HarnessKafka *kafka, const char *topics)
{
	HarnessFollowConfig config = {.common = harness_kafka_defaults(kafka),
	                              .topics = topics,
	                              .positions = "[]",
	                              .start = "earliest",
	                              .group = "",
	                              .workers = 1,
	                              .pending_bytes = 1024 * 1024,
	                              .alive_ms = 60000};

	config.common.job = "kafka_follow";
	return config;
}

void
harness_follow_begin(HarnessFollow *follow, const HarnessFollowConfig *config)
{
	HarnessKafkaConfig common = config->common;
	char more[2048];

	snprintf(more, sizeof(more),
	         ",\"format\":\"json\",\"delimiter\":\",\",\"quote\":\"'\",\"null\":\"\",\"wants\":[{\"kind\":"
	         "\"value\"}],\"topics\":%s,\"positions\":%s,\"begun\":%d,\"start\":\"%s\",\"start_ms\":0,"
	         "\"workers\":%d,\"worker\":%d,\"commit_group\":\"%s\",\"pending_bytes\":%d,\"discovery_ms\":200,"
	         "\"alive_ms\":%d",
	         config->topics, config->positions, config->begun, config->start, config->workers, config->worker,
	         config->group, config->pending_bytes, config->alive_ms);
	common.more = more;
	memset(follow, 0, sizeof(*follow));
	follow->ordered = true;
	harness_kafka_begin(&follow->harness, &common);
}

/* ---------- what comes ---------- */

static void
take_partitions(HarnessFollow *follow, KsegReader *reader)
{
	uint32_t count = kseg_read_u32(reader);

	follow->told++;
	for (uint32_t i = 0; i < count; i++)
	{
		KsegWirePartition *partition = &follow->partitions[follow->count];

		if (follow->count == HARNESS_PARTITIONS_MAX || !kseg_partition_read(reader, partition) ||
		    partition->index != follow->count)
			tap_die("PARTITIONS are none");
		follow->next[follow->count] = partition->start;
		follow->end[follow->count++] = partition->end;
	}
}

static void
take_records(HarnessFollow *follow, const HarnessFrame *frame)
{
	HarnessRecords records = harness_records_of(frame);
	KsegRecord record;

	while (harness_records_next(&records, &record))
	{
		if ((uint32_t) record.partition >= follow->count)
			tap_die("RECORDS are of a partition that nobody has told of");
		follow->ordered = follow->ordered && record.offset == follow->next[record.partition];
		follow->next[record.partition] = record.offset + 1;
		follow->records[record.partition]++;
	}
}

static void
take_progress(HarnessFollow *follow, KsegReader *reader)
{
	uint32_t count = kseg_read_u32(reader);

	follow->alive += count == 0;
	for (uint32_t i = 0; i < count; i++)
	{
		KsegWireStep step;

		if (!kseg_step_read(reader, &step) || step.index >= follow->count ||
		    step.next < follow->next[step.index])
			tap_die("PROGRESS is none, or goes back");
		follow->next[step.index] = step.next;
		follow->end[step.index] = step.end;
	}
}

static void
take_trouble(HarnessFollow *follow, KsegReader *reader)
{
	KsegText message = kseg_read_text(reader);

	kseg_read_text(reader);
	kseg_read_text(reader);
	snprintf(follow->trouble, sizeof(follow->trouble), "%.*s", (int) message.length, message.data);
	follow->troubles++;
}

/* A frame of anything but records. */
static void
take_words(HarnessFollow *follow, const HarnessFrame *frame)
{
	KsegReader reader = harness_frame_reader(frame);

	if (frame->type == KSEG_FRAME_PARTITIONS)
		take_partitions(follow, &reader);
	else if (frame->type == KSEG_FRAME_PROGRESS)
		take_progress(follow, &reader);
	else if (frame->type == KSEG_FRAME_TROUBLE)
		take_trouble(follow, &reader);
	else
		tap_die("a frame %c that has no place there", frame->type);
	if (!kseg_reader_done(&reader))
		tap_die("a frame %c that does not end where it should", frame->type);
}

void
harness_follow_take(HarnessFollow *follow, int64_t deadline, const char *what)
{
	const HarnessFrame *frame = harness_peek_frame(&follow->harness, deadline, what);

	follow->failed = frame->type == KSEG_FRAME_FAILED;
	if (follow->failed)
		return;
	follow->harness.frame_next++;
	if (frame->type == KSEG_FRAME_RECORDS)
		take_records(follow, frame);
	else
		take_words(follow, frame);
}

HarnessFailure
harness_follow_expect_failed(HarnessFollow *follow)
{
	harness_follow_wait(follow, follow->failed);
	return harness_expect_failed(&follow->harness);
}

/* ---------- what has come ---------- */

int
harness_follow_index(const HarnessFollow *follow, const char *topic, int32_t partition)
{
	for (uint32_t i = 0; i < follow->count; i++)
	{
		const KsegWirePartition *entry = &follow->partitions[i];

		if (entry->partition == partition && entry->topic.length == strlen(topic) &&
		    memcmp(entry->topic.data, topic, entry->topic.length) == 0)
			return (int) i;
	}
	return -1;
}

int64_t
harness_follow_records(const HarnessFollow *follow)
{
	int64_t sum = 0;

	for (uint32_t i = 0; i < follow->count; i++)
		sum += follow->records[i];
	return sum;
}
