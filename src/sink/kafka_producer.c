/*
 * kafka_producer.c
 *	  Messages on their way to Kafka. See kafka_producer.h.
 *
 * The path of a message: written into the buffer behind those before it → accepted, or taken back → buffer full or old? one
 * MESSAGES frame, after credit. Invariant: the buffer holds producer->messages whole messages behind the frame's header and
 * count, and perhaps one that is neither accepted nor taken back yet.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "link/link_text.h"
#include "server/config_write.h"
#include "sink/kafka_producer.h"
#include "sink/sink_clock.h"

/*
 * Messages of a slow query wait in the buffer no longer than this, in ms, on top of the server's linger: no reader waits
 * noticeably longer, and fifty frames a second cost nothing.
 */
#define PRODUCER_FLUSH_MS 20

/* A buffer that one huge message has grown beyond this is given back. */
#define PRODUCER_BUFFER_MAX (4 * KSEG_EVENTS_FRAME)

/* In front of the first message: the frame's header and the count, which are filled in when it is sent. */
#define PRODUCER_HEAD (KSEG_FRAME_HEADER + (int) sizeof(uint32))

/*
 * How long a courier may take to abort its transaction: a little longer than it takes for that itself (KSEG_LEAVE_MS in
 * courier.h), so that it ends by itself.
 */
#define PRODUCER_ABORT_MS 2500

/* "kseg-", 32 digits of 128 random bits, NUL. */
#define TRANSACTIONAL_ID_SIZE 38

struct KsegKafkaProducer
{
	KsegProducerOptions options;
	MemoryContext context;
	MemoryContext frame_context; /* reset after each frame of the courier */
	KsegLink *link;
	StringInfoData buffer;
	uint32 messages;       /* in the buffer */
	uint32 frame_messages; /* in a frame at most */
	int64 flushed_at;
	bool ending;
};

/* ---------- what comes back ---------- */

/* Take a REJECTED frame apart. False: it is none. */
static bool
rejection_read(const KsegFrame *frame, KsegMessage *message, int *code, char **reason)
{
	KsegReader reader;
	KsegText words;
	KsegText bytes;

	kseg_reader_init(&reader, frame);
	(void) kseg_read_u64(&reader); /* the row, which the message has too */
	*code = (int32) kseg_read_u32(&reader);
	words = kseg_read_text(&reader);
	bytes = kseg_read_text(&reader);
	if (!kseg_reader_done(&reader))
		return false;
	*reason = link_text_to_server(words.data, words.length);
	reader =
	    (KsegReader){.at = (const uint8_t *) bytes.data, .end = (const uint8_t *) bytes.data + bytes.length};
	return kseg_message_read(&reader, message) && kseg_reader_done(&reader);
}

static void
producer_take_frame(void *argument, const KsegFrame *frame)
{
	KsegKafkaProducer *producer = argument;
	const KsegProducerOptions *options = &producer->options;
	MemoryContext previous;
	KsegMessage message;
	char *reason;
	int code;

	if (frame == NULL && options->progress != NULL)
		options->progress(options->argument);
	if (frame == NULL || frame->type != KSEG_FRAME_REJECTED)
		return;
	previous = MemoryContextSwitchTo(producer->frame_context);
	if (!rejection_read(frame, &message, &code, &reason))
		elog(ERROR, "kseg's courier sent a rejection that is none");
	options->rejected(options->argument, &message, code, reason);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(producer->frame_context);
}

/* ---------- beginning ---------- */

/*
 * A new one for every transaction: none has to be told from an earlier one of the same id, whose outcome its own run has
 * told already, and Kafka forgets ids that nobody uses.
 */
static void
transactional_id_make(char *id)
{
	uint8 random[16];

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
		                errmsg("could not get random bytes for the id of a transaction of Kafka's")));
	memcpy(id, "kseg-", 5);
	for (int i = 0; i < lengthof(random); i++)
		snprintf(id + 5 + 2 * i, 3, "%02x", random[i]);
}

static void
producer_configure(KsegKafkaProducer *producer)
{
	const KsegKafkaServer *server = producer->options.server;
	KsegLinkCredit credit = {
	    .lanes = 1, .max_events = server->max_queue_messages, .max_bytes = server->max_queue_bytes};
	char id[TRANSACTIONAL_ID_SIZE] = "";
	StringInfoData config;

	if (producer->options.transactional)
		transactional_id_make(id);
	initStringInfo(&config);
	kafka_server_config(server, "kafka_produce", &config);
	config_text(&config, "topic", producer->options.topic);
	config_int(&config, "transactional", producer->options.transactional);
	config_text(&config, "transactional_id", id);
	appendStringInfoChar(&config, '}');
	link_configure(producer->link, config.data, config.len, &credit);
	explicit_bzero(config.data, config.len);
	pfree(config.data);
}

/* An empty buffer with room for a frame. */
static void
buffer_open(StringInfo buffer)
{
	initStringInfo(buffer);
	enlargeStringInfo(buffer, KSEG_EVENTS_FRAME + KSEG_EVENTS_FRAME / 4);
	buffer->len = PRODUCER_HEAD;
}

/* Take back what is behind length, and the memory of one huge message. */
static void
buffer_cut(KsegKafkaProducer *producer, int length)
{
	StringInfo buffer = &producer->buffer;
	StringInfoData small;
	MemoryContext previous;

	buffer->len = length;
	if (buffer->maxlen <= PRODUCER_BUFFER_MAX || length > KSEG_EVENTS_FRAME)
		return;
	previous = MemoryContextSwitchTo(producer->context);
	buffer_open(&small);
	memcpy(small.data, buffer->data, length);
	small.len = length;
	pfree(buffer->data);
	*buffer = small;
	MemoryContextSwitchTo(previous);
}

KsegKafkaProducer *
kafka_producer_open(const KsegProducerOptions *options)
{
	KsegKafkaProducer *producer = palloc0(sizeof(KsegKafkaProducer));

	producer->options = *options;
	producer->context = CurrentMemoryContext;
	producer->frame_context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg rejection", ALLOCSET_DEFAULT_SIZES);
	buffer_open(&producer->buffer);
	/* Half of the bound at most, so that with a small one the next frame can fill while one is in flight. */
	producer->frame_messages = Max(1, options->server->max_queue_messages / 2);
	producer->link = link_open(producer_take_frame, producer);
	producer_configure(producer);
	if (options->transactional)
		link_set_grace(producer->link, PRODUCER_ABORT_MS);
	producer->flushed_at = sink_now();
	return producer;
}

/* ---------- messages ---------- */

/* Feed the buffer to the courier. False: the run has ended. */
static bool
producer_flush(KsegKafkaProducer *producer)
{
	StringInfo buffer = &producer->buffer;
	KsegLinkBatch batch = {.type = KSEG_FRAME_MESSAGES,
	                       .head = buffer,
	                       .events = producer->messages,
	                       .bytes = buffer->len - PRODUCER_HEAD};
	bool alive;

	if (producer->messages == 0)
		alive = link_poll(producer->link);
	else
	{
		kseg_write_u32((uint8 *) buffer->data + KSEG_FRAME_HEADER, producer->messages);
		alive = link_feed(producer->link, &batch);
		producer->messages = 0;
		buffer_cut(producer, PRODUCER_HEAD);
		if (producer->options.progress != NULL)
			producer->options.progress(producer->options.argument);
	}
	producer->flushed_at = sink_now();
	return alive;
}

StringInfo
kafka_producer_buffer(KsegKafkaProducer *producer)
{
	return &producer->buffer;
}

bool
kafka_producer_accept(KsegKafkaProducer *producer, int start)
{
	Assert(producer->buffer.len - start >= KSEG_MESSAGE_HEAD);
	producer->messages++;
	if (producer->buffer.len >= KSEG_EVENTS_FRAME || producer->messages >= producer->frame_messages)
		return producer_flush(producer);
	return kafka_producer_turn(producer);
}

void
kafka_producer_take_back(KsegKafkaProducer *producer, int start)
{
	buffer_cut(producer, start);
}

bool
kafka_producer_turn(KsegKafkaProducer *producer)
{
	if (sink_now() - producer->flushed_at < PRODUCER_FLUSH_MS)
		return true;
	return producer_flush(producer);
}

/* ---------- end ---------- */

KsegLinkState
kafka_producer_finish(KsegKafkaProducer *producer)
{
	KsegLinkState state;

	if (!producer_flush(producer))
		return link_state(producer->link);
	producer->ending = true;
	state = link_finish(producer->link);
	/* Committed: there is nothing left to abort. After FAILED there may be, for the courier says that first. */
	if (state == KSEG_LINK_DONE)
		link_set_grace(producer->link, 0);
	return state;
}

bool
kafka_producer_is_ending(const KsegKafkaProducer *producer)
{
	return producer->ending;
}

KsegLink *
kafka_producer_link(const KsegKafkaProducer *producer)
{
	return producer->link;
}

void
kafka_producer_close(KsegKafkaProducer *producer)
{
	link_close(producer->link);
}
