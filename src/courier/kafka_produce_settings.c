/*
 * kafka_produce_settings.c
 *	  A producer's properties. See kafka_produce_settings.h.
 */
#include "courier/kafka_produce_settings.h"

#include <stdio.h>

/*
 * Bytes of a batch, before compression. librdkafka alone, 1 M messages of 240 bytes with keys to 4 partitions of one broker, lz4,
 * medians of 5 on a machine that others used: 64 kB 195,000 messages/s, 128 kB and 256 kB 295,000, 512 kB 356,000, 1 MB 322,000.
 * Topics take batches of 1 MB unless somebody has lowered max.message.bytes.
 */
#define SETTINGS_BATCH_BYTES (512 * 1024)

/* librdkafka's limit counts what a record has around key, value and headers: 36 bytes, and some for each header. */
#define SETTINGS_RECORD_ROOM 4096

/* As many as batch.size has room for, not librdkafka's 10,000: messages may be of 20 bytes. */
#define SETTINGS_BATCH_MESSAGES 100000

/*
 * Messages without a key stay with one partition for as long as a batch takes to fill, also when they do not linger; librdkafka
 * takes at most 15 minutes.
 */
#define SETTINGS_STICKY_LEAST_MS 10
#define SETTINGS_STICKY_MOST_MS  900000

/* librdkafka's most for a request. */
#define SETTINGS_REQUEST_MOST_MS 300000

static void
settings_text(KsegProduceSettings *settings, const char *name, const char *value)
{
	settings->settings[settings->count++] = (KsegKafkaSetting){name, value, false};
}

static void
settings_int(KsegProduceSettings *settings, const char *name, int64_t value)
{
	char *text = settings->numbers[settings->count];

	snprintf(text, sizeof(settings->numbers[0]), "%lld", (long long) value);
	settings_text(settings, name, text);
}

static int64_t
settings_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* No batch is larger than a message may be: so who sets max_message_bytes to what a topic takes has batches that it takes. */
int64_t
produce_settings_batch(const KsegConfig *config)
{
	return settings_min(SETTINGS_BATCH_BYTES, config->max_message_bytes);
}

static void
settings_set_delivery(KsegProduceSettings *settings, const KsegConfig *config)
{
	int64_t timeout = config->message_timeout_ms;

	/* Neither a request nor a message may outlive its transaction. */
	if (config->transactional)
	{
		timeout = settings_min(timeout, config->transaction_timeout_ms);
		settings_text(settings, "transactional.id", config->transactional_id);
		settings_int(settings, "transaction.timeout.ms", config->transaction_timeout_ms);
		settings_int(settings, "socket.timeout.ms",
		             settings_min(settings_min(config->request_timeout_ms, SETTINGS_REQUEST_MOST_MS),
		                          config->transaction_timeout_ms));
	}
	settings_text(settings, "enable.idempotence", "true");
	settings_text(settings, "acks", "all");
	settings_text(settings, "max.in.flight.requests.per.connection", "5");
	/* Keys go where Java clients put them. */
	settings_text(settings, "partitioner", "murmur2_random");
	settings_int(settings, "message.timeout.ms", timeout);
	settings_int(settings, "linger.ms", settings_min(config->linger_ms, timeout - 1));
	settings_int(settings, "sticky.partitioning.linger.ms",
	             settings_min(2 * config->linger_ms + SETTINGS_STICKY_LEAST_MS, SETTINGS_STICKY_MOST_MS));
}

static void
settings_set_sizes(KsegProduceSettings *settings, const KsegConfig *config, int64_t batch_bytes)
{
	settings_text(settings, "compression.codec", config->compression);
	settings_int(settings, "message.max.bytes", config->max_message_bytes + SETTINGS_RECORD_ROOM);
	settings_int(settings, "batch.size", batch_bytes);
	settings_int(settings, "batch.num.messages", SETTINGS_BATCH_MESSAGES);
	/* The bounds are the sender's and PostgreSQL's credit; librdkafka never meets its own. */
	settings_int(settings, "queue.buffering.max.messages", config->max_queue_messages);
	settings_int(settings, "queue.buffering.max.kbytes", INT32_MAX);
}

void
produce_settings_fill(KsegProduceSettings *settings, const KsegConfig *config, int64_t batch_bytes)
{
	settings->count = 0;
	settings_set_delivery(settings, config);
	settings_set_sizes(settings, config, batch_bytes);
}
