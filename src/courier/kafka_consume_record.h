/*
 * kafka_consume_record.h
 *	  A message of a topic to a record of a RECORDS frame.
 *
 * Owns: the message reader, and the frame that is being filled. Refuses: to choose messages, and to judge a value that cannot be
 * read: the record says why, and PostgreSQL decides (the foreign table's on_error).
 *
 * A field is copied once, from librdkafka's buffer into the frame; texts with escapes and headers twice.
 */
#ifndef KSEG_COURIER_KAFKA_CONSUME_RECORD_H
#define KSEG_COURIER_KAFKA_CONSUME_RECORD_H

#include <librdkafka/rdkafka.h>

#include "courier/kafka_consume_plan.h"
#include "courier/memory.h"
#include "courier/wire_io.h"

typedef struct KsegRecordWriter
{
	const KsegConsumePlan *plan;
	KsegWireIo *io;
	KsegMessageReader *reader; /* NULL: nothing of the value is wanted */
	KsegText *read;            /* what the reader found, plan->want_count */
	KsegText *values;          /* of all fields, plan->field_count */
	KsegBuffer headers;        /* of the message at hand, as JSON */
	uint32_t count;            /* records in the frame that is being filled */
} KsegRecordWriter;

extern void consume_record_open(KsegRecordWriter *writer, const KsegConsumePlan *plan, KsegWireIo *io);
extern void consume_record_close(KsegRecordWriter *writer);

/*
 * Put a message into the frame that is being filled, as one of this partition (by the number that the job gives it). A frame that would grow beyond KSEG_RECORDS_FRAME is ended first. A record
 * that no frame can hold has an error instead of its fields.
 */
extern void consume_record_put(KsegRecordWriter *writer, const rd_kafka_message_t *message,
                               int32_t partition);

/* End the frame that is being filled, if there is one: PostgreSQL is to have it. */
extern void consume_record_end_frame(KsegRecordWriter *writer);

/* A message's headers as JSON text: see kafka_consume_headers.c. Appends to out. */
extern void consume_headers_write(KsegBuffer *out, const rd_kafka_headers_t *headers);

#endif /* KSEG_COURIER_KAFKA_CONSUME_RECORD_H */
