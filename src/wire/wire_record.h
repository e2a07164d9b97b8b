/*
 * wire_record.h
 *	  A message of a topic on the wire, from the courier to PostgreSQL: one element of a RECORDS frame.
 *
 * Owns: its layout, both directions. Refuses: to allocate, to know what a field means.
 *
 * Layout (host's byte order, unaligned): u32 size of the whole record; i32 partition; i64 offset; i64 timestamp; u8 timestamp
 * type; u8 flags; u16 length of the error's text; fields × u32 length or KSEG_NO_BYTES; the fields' bytes; the error's text.
 * The number of fields is the RECORDS frame's: as many as CONFIG has wants, in their order.
 */
#ifndef KSEG_WIRE_RECORD_H
#define KSEG_WIRE_RECORD_H

#include "wire/wire.h"
#include "wire/wire_message.h"

/* Bytes in front of the lengths. */
#define KSEG_RECORD_HEAD 28

/* Most fields of a record: PostgreSQL's limit of columns (MaxHeapAttributeNumber, htup_details.h). */
#define KSEG_FIELDS_MAX 1600

/* A frame of RECORDS is sent when it has this many bytes: as KSEG_EVENTS_FRAME, some 500 records of five fields. */
#define KSEG_RECORDS_FRAME (64 * 1024)

/*
 * The courier takes nothing more from librdkafka while this many bytes of output are not written: four frames, so that
 * one can fill while PostgreSQL works on another, and a cursor that nobody fetches from holds next to nothing.
 */
#define KSEG_RECORDS_PENDING (4 * KSEG_RECORDS_FRAME)

/* Flags of a record. */
#define KSEG_RECORD_TOMBSTONE 1 /* the message's value is NULL */

typedef struct KsegRecord
{
	int32_t partition;
	int64_t offset;
	int64_t timestamp;      /* ms since 1970, or KSEG_NO_TIMESTAMP */
	uint8_t timestamp_type; /* rd_kafka_timestamp_type_t: 0 none, 1 CreateTime, 2 LogAppendTime */
	uint8_t flags;
	KsegText
	    error; /* why the value's fields are NULL: "malformed JSON at byte 17: …"; length 0: nothing is wrong */
	const uint8_t *lengths; /* fields × u32, for kseg_record_length */
	const uint8_t *bytes;   /* of the first field */
} KsegRecord;

/* Read the next record of so many fields and check that its lengths add up. False: nothing that kseg writes. */
extern bool kseg_record_read(KsegReader *reader, uint32_t fields, KsegRecord *record);

/* The record at a place where kseg_record_read has found one before: nothing is checked again. */
extern void kseg_record_at(const uint8_t *at, uint32_t fields, KsegRecord *record);

/* Pass over the next record and say which message it is. False: it is not as long as it says. */
extern bool kseg_record_skip(KsegReader *reader, int32_t *partition, int64_t *offset);

/* Length of the index-th field, or KSEG_NO_BYTES. The bytes of fields follow each other. */
static inline uint32_t
kseg_record_length(const KsegRecord *record, uint32_t index)
{
	uint32_t length;

	__builtin_memcpy(&length, record->lengths + sizeof(length) * index, sizeof(length));
	return length;
}

/*
 * Bytes that a record takes, and writing it: out has that much room. values has data NULL for NULL; error at most
 * KSEG_RECORD_ERROR_MAX bytes.
 */
#define KSEG_RECORD_ERROR_MAX 1000
extern size_t kseg_record_size(const KsegText *values, uint32_t fields, uint32_t error_length);
extern void kseg_record_write(uint8_t *out, const KsegRecord *record, const KsegText *values,
                              uint32_t fields);

#endif /* KSEG_WIRE_RECORD_H */
