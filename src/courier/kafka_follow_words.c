/*
 * kafka_follow_words.c
 *	  See kafka_follow_words.h.
 */
#include "courier/kafka_follow_words.h"

#include <stdio.h>
#include <string.h>

#include "courier/kafka_failure.h"
#include "courier/words.h"

/* The user decides what to do about messages that nobody has any more. */
#define WORDS_GAP_HINT                                                                                       \
	"Retention, DeleteRecords or a topic made anew took away what was to be read next. Say where to go on "  \
	"with kseg.reset_stream(), then start the stream."

/* False: something else has failed before. The caller adds a detail. */
static bool
words_set_gap(KsegKafkaClient *client, const char *topic)
{
	KsegFailureReport *report = &client->courier->failure;

	if (!failure_set(report, KSEG_FAILURE_GAP, (uint32_t) RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
	                 "could not read on in topic \"%s\": messages are gone", topic))
		return false;
	failure_set_hint(report, "%s", WORDS_GAP_HINT);
	return true;
}

void
follow_words_gap(KsegKafkaClient *client, const char *topic, int32_t partition, int64_t wanted, int64_t low,
                 int64_t end)
{
	char there[120];

	if (low == end)
		snprintf(there, sizeof(there), "The partition is empty, and its next offset is %lld",
		         (long long) end);
	else
		snprintf(there, sizeof(there), "The partition has the offsets %lld to %lld", (long long) low,
		         (long long) end - 1);
	if (words_set_gap(client, topic))
		failure_set_detail(&client->courier->failure, "Partition %d was to be read at offset %lld. %s: %s.",
		                   partition, (long long) wanted, there,
		                   wanted < low ? "what comes before is deleted"
		                                : "the topic was made anew, or its log has lost its end");
}

void
follow_words_gone(KsegKafkaClient *client, const char *topic, int32_t partition, int64_t wanted,
                  int32_t partition_count)
{
	char there[80] = "There is no such topic any more";

	if (partition_count > 0)
		snprintf(there, sizeof(there), "The topic has only %d partitions now", partition_count);
	if (words_set_gap(client, topic))
		failure_set_detail(&client->courier->failure, "Partition %d was to be read at offset %lld. %s.",
		                   partition, (long long) wanted, there);
}

void
follow_words_anew(KsegKafkaClient *client, const KsegFollowPartition *partition, int64_t time_ms)
{
	char was[KSEG_CLOCK_UTC_LENGTH + 1] = "";
	char is[KSEG_CLOCK_UTC_LENGTH + 1] = "";

	clock_write_utc(was, partition->seen_time);
	clock_write_utc(is, time_ms);
	if (words_set_gap(client, partition->topic->name))
		failure_set_detail(&client->courier->failure,
		                   "Partition %d was to be read at offset %lld, behind a message of %s; the message "
		                   "at offset %lld is now one of %s: the topic was deleted and made anew.",
		                   partition->partition, (long long) partition->next, was,
		                   (long long) partition->seen_offset, is);
}

void
follow_words_changed(KsegKafkaClient *client, const KsegFollowPartition *partition)
{
	if (words_set_gap(client, partition->topic->name))
		failure_set_detail(
		    &client->courier->failure,
		    "Partition %d, read up to offset %lld, has newer messages where older ones were: the topic was "
		    "deleted and made anew while it was followed, so what was read last may be of both.",
		    partition->partition, (long long) partition->next);
}

void
follow_words_denied(KsegKafkaClient *client, const char *topic, rd_kafka_resp_err_t error)
{
	char message[320];

	snprintf(message, sizeof(message), "could not read topic \"%s\"", topic);
	kafka_failure_set(client, error, rd_kafka_err2str(error), message);
}

void
follow_words_unreadable(KsegKafkaClient *client, const KsegFollowPartition *partition,
                        rd_kafka_resp_err_t error, const char *words)
{
	KsegFailureReport *report = &client->courier->failure;
	char clean[KSEG_KAFKA_WORDS_MAX];

	if (!failure_set(report, KSEG_FAILURE_REFUSED, (uint32_t) error, "could not read on in topic \"%s\"",
	                 partition->topic->name))
		return;
	words_clean(clean, sizeof(clean), words, strlen(words));
	failure_set_detail(report, "Partition %d at offset %lld: %s.", partition->partition,
	                   (long long) partition->next, clean);
	failure_set_hint(report, "%s", kafka_failure_hint(client, error));
}
