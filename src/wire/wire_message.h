/*
 * wire_message.h
 *	  A Kafka message on the wire, from PostgreSQL to the courier: one element of a MESSAGES frame.
 *
 * Owns: its layout, both directions. Refuses: to allocate, to know Kafka's protocol.
 *
 * Layout (host's byte order, unaligned): u64 row; i64 timestamp; i32 partition; u32 key; u32 value; u32 headers; u16 topic;
 * u16 zero; then the bytes of topic, key, value, headers. key and value are lengths, or KSEG_NO_BYTES for NULL.
 */
#ifndef KSEG_WIRE_MESSAGE_H
#define KSEG_WIRE_MESSAGE_H

#include "wire/wire.h"

/* A length that stands for NULL: no key, a tombstone, a header without value, a field that is not there. */
#define KSEG_NO_BYTES UINT32_MAX

/* Bytes in front of the texts. */
#define KSEG_MESSAGE_HEAD 36

#define KSEG_PARTITION_BY_KEY (-1) /* murmur2 of the key; without a key the producer chooses */
#define KSEG_NO_TIMESTAMP     (-1)

typedef struct KsegMessage
{
	uint64_t row;      /* number in the query's result, from 1 */
	int64_t timestamp; /* ms since 1970, or KSEG_NO_TIMESTAMP: the producer's clock */
	int32_t partition; /* or KSEG_PARTITION_BY_KEY */
	KsegText topic;    /* length 0: CONFIG's topic */
	KsegText key;      /* data NULL: no key */
	KsegText value;    /* data NULL: a tombstone */
	KsegText headers;  /* see kseg_header_next; length 0: none */
	uint32_t size;     /* bytes of the whole message on the wire: what credit counts */
} KsegMessage;

/* Write the fixed part to out (KSEG_MESSAGE_HEAD bytes); the texts follow it in the order of the layout. */
extern void kseg_message_head(uint8_t *out, const KsegMessage *message);

/* Read the next message. False: nothing that kseg writes (reader->failed), texts point into the payload. */
extern bool kseg_message_read(KsegReader *reader, KsegMessage *message);

/* One header of a message: u32 name length; u32 value length or KSEG_NO_BYTES; name; value. */
typedef struct KsegHeader
{
	KsegText name;
	KsegText value; /* data NULL: no value */
} KsegHeader;

#define KSEG_HEADER_HEAD 8

/* Take the next header from the front of rest. False at the end, or (rest->data NULL then) when it is malformed. */
extern bool kseg_header_next(KsegText *rest, KsegHeader *header);

#endif /* KSEG_WIRE_MESSAGE_H */
