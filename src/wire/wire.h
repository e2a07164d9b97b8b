/*
 * wire.h
 *	  The wire between PostgreSQL (src/link) and the courier (src/courier): frames on a Unix socket pair.
 *
 * Owns: the frame header, the frame types, the layout of their payloads, and the limits both sides hold to.
 * Refuses: to allocate, to do I/O, to know PostgreSQL, libcurl or librdkafka. Both programs include it.
 *
 * Both ends are one build on one machine, so numbers are in the host's byte order and unaligned (memcpy). Even so
 * nothing a frame says is trusted: every read goes through KsegReader, which never passes the payload's end.
 *
 * The talk of one run:
 *
 *	  PostgreSQL                                  courier
 *	  HELLO (wire version, build)          ──►
 *	                                       ◄──    HELLO (wire version, build, libraries)
 *	  CONFIG (JSON: job, endpoint, key …)  ──►
 *	  EVENTS (lane, rows, joined JSON) …   ──►
 *	                                       ◄──    STATUS (figures, credit) …
 *	                                       ◄──    REJECTED (row, HTTP status, words, event) …
 *	  WAITING (no credit left)             ──►
 *	  END                                  ──►
 *	                                       ◄──    STATUS, DONE     or at any moment   FAILED (reason, words)
 *	  end of file at any moment: the courier leaves at once, whatever is in flight
 *
 * A run to Kafka is the same with MESSAGES in place of EVENTS. A read of a topic (job kafka_consume) sends the other way:
 *
 *	  HELLO, CONFIG                        ──►
 *	                                       ◄──    HELLO, BOUNDS (partitions, first and end offsets)
 *	                                       ◄──    RECORDS (partition, offset, time, wanted fields) …
 *	                                       ◄──    DONE     or at any moment   FAILED
 *	  end of file at any moment: nobody wants more
 *
 * Credit: PostgreSQL counts events and bytes that it has fed and that STATUS has not yet settled, and waits while either
 * is at its bound. So neither side ever holds more than the bound, and nothing is dropped. When it waits it says so
 * (WAITING): all credit may lie in batches none of which is full (8 lanes of up to 2,500 events share 10,000), and a
 * courier that went on waiting for more would send only once every upload_interval.
 *
 * The other way the socket itself is the credit: PostgreSQL reads a frame of RECORDS when it needs one (link_pull), and the
 * courier takes nothing more from librdkafka while its output is not written (KSEG_RECORDS_PENDING).
 */
#ifndef KSEG_WIRE_H
#define KSEG_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Raised whenever a frame's layout or meaning changes; both sides refuse another number. */
#define KSEG_WIRE_VERSION 3

/* The build both programs were made by; a new package installed under a running server differs here. */
#ifndef KSEG_BUILD
#define KSEG_BUILD "unknown"
#endif

/* The descriptor that the courier finds its end of the socket pair at. */
#define KSEG_WIRE_FD 3

/* Bytes of a frame header on the wire. */
#define KSEG_FRAME_HEADER 8

/*
 * Largest Kafka message (key, value and headers) that kseg produces, and largest record that it reads: topics of more
 * than Kafka's default of 1 MB are common, of more than 16 MB they are files, which belong elsewhere.
 */
#define KSEG_MESSAGE_MAX (16 * 1024 * 1024)

/*
 * Largest payload. The largest honest one is one buffer (KSEG_EVENTS_FRAME) plus one Kafka message, or a REJECTED frame
 * that gives one back with words: 1 MiB above KSEG_MESSAGE_MAX is room for both, and still bounds what a mad peer can make
 * us reserve.
 */
#define KSEG_FRAME_MAX (KSEG_MESSAGE_MAX + 1024 * 1024)

/*
 * PostgreSQL hands over a lane's events when they are this many bytes: large enough that a system call costs under
 * 1 % of the encoding (64 kB are some 200 prediction events), small enough to stay in the second level cache.
 */
#define KSEG_EVENTS_FRAME (64 * 1024)

/* Segment's limits (segment.md, "Limits"). */
#define KSEG_EVENT_MAX         (32 * 1024) /* bytes of one event's JSON */
#define KSEG_UPLOAD_MAX        475000 /* bytes of one request body: the official Python library's cap under 500 KB */
#define KSEG_UPLOAD_EVENTS_MAX 2500 /* events in one request */

/*
 * Bytes of events that a lane may have in flight, on average: one body on its way and one that fills. PostgreSQL's credit
 * and the courier's own bound are both this times the lanes.
 */
#define KSEG_LANE_BYTES (2 * KSEG_UPLOAD_MAX)

/* Most lanes of one run: 32 times KSEG_LANE_BYTES are 30 MB in the courier. */
#define KSEG_LANES_MAX 32

typedef enum KsegFrameType
{
	/* both ways */
	KSEG_FRAME_HELLO = 'H', /* u32 wire version; text build; text libraries (courier only, else empty) */
	/* PostgreSQL to courier */
	KSEG_FRAME_CONFIG = 'C', /* JSON object, see src/README.md "What CONFIG says"; carries the write key */
	KSEG_FRAME_EVENTS = 'E', /* u32 count; count × { u64 row; u32 length }; the events' JSON joined by ',' */
	KSEG_FRAME_MESSAGES = 'M',  /* Kafka messages: u32 count; count × message (wire_message.h) */
	KSEG_FRAME_WAITING = 'W',   /* empty: no credit is left until something is settled */
	KSEG_FRAME_END = 'Z',       /* empty: no more events, deliver what is there without waiting for more */
	KSEG_FRAME_COMMITTED = 'O', /* wire_follow.h: positions that are stored */
	/* courier to PostgreSQL */
	KSEG_FRAME_STATUS = 'S', /* KsegWireStatus and lanes × KsegWireLane: cumulative figures, and credit */
	/*
	 * u64 row; u32 status (HTTP's, or librdkafka's rd_kafka_resp_err_t as two's complement); text words; text event (Segment:
	 * its JSON; Kafka: the message as in MESSAGES)
	 */
	KSEG_FRAME_REJECTED = 'R',
	KSEG_FRAME_BOUNDS =
	    'B', /* u32 count; count × { u32 partition; u64 low; u64 start; u64 end }: what will be read */
	KSEG_FRAME_RECORDS = 'V',    /* u32 count; u32 fields; count × record (wire_record.h) */
	KSEG_FRAME_PARTITIONS = 'A', /* wire_follow.h: what is followed from now on */
	KSEG_FRAME_PROGRESS = 'P',   /* wire_follow.h: how far partitions have come without records */
	KSEG_FRAME_TROUBLE =
	    'T', /* text message; text detail; text hint: what is waited for; all empty: it is over */
	KSEG_FRAME_CHECK = 'K', /* text check; u32 ok (0 no, 1 yes, 2 cannot tell); text detail; text hint */
	KSEG_FRAME_DONE = 'D',  /* empty: every event is settled */
	KSEG_FRAME_FAILED = 'F' /* u32 KsegFailure; u32 HTTP status; text message; text detail; text hint */
} KsegFrameType;

/* Why a courier ends a run. What it had not settled by then has an open outcome. */
typedef enum KsegFailure
{
	KSEG_FAILURE_INTERNAL = 1, /* courier's own fault: protocol, memory, a library's setup */
	KSEG_FAILURE_BUILD,        /* another wire version or build */
	KSEG_FAILURE_CONFIG,       /* CONFIG names something that does not work: CA file, endpoint */
	KSEG_FAILURE_AUTH,         /* HTTP 401 or 403 */
	KSEG_FAILURE_REFUSED,      /* an answer that trying again cannot change: 3xx, 404, 501, … */
	KSEG_FAILURE_EXHAUSTED,    /* max_retries or max_retry_age reached */
	KSEG_FAILURE_ADDRESS,      /* the address connected to is not allowed (plaintext beyond loopback) */
	KSEG_FAILURE_GAP           /* what was to be read is not there any more: retention, a topic made anew */
} KsegFailure;

/* One frame inside a caller's buffer; payload points into that buffer and lives as long as it. */
typedef struct KsegFrame
{
	uint8_t type;  /* a KsegFrameType, unchecked */
	uint16_t lane; /* EVENTS: 0 … lanes - 1; otherwise 0 */
	uint32_t length;
	const uint8_t *payload;
} KsegFrame;

/* Figures of a run so far. Cumulative, so that a STATUS frame replaces every earlier one. */
typedef struct KsegWireStatus
{
	uint64_t sent;          /* events in requests answered 200 */
	uint64_t rejected;      /* events refused for good, each told by a REJECTED frame before */
	uint64_t batches;       /* requests answered 200 */
	uint64_t retries;       /* requests tried again (429 waits are not counted, as Segment asks) */
	uint64_t bytes;         /* bytes of the bodies answered 200, before compression */
	uint64_t bytes_on_wire; /* bytes of all bodies transmitted, as compressed, retries included */
	uint32_t last_status;   /* last HTTP status that was not 200; 0: none */
	uint32_t last_error;    /* last CURLcode that was not 0; 0: none */
	uint32_t paused_ms;     /* what is left of a 429's pause, in ms */
	uint32_t lanes;         /* number of KsegWireLane that follow */
} KsegWireStatus;

/* What a lane has let go of so far: credit for PostgreSQL. */
typedef struct KsegWireLane
{
	uint64_t events;   /* events settled (sent or rejected), cumulative */
	uint64_t bytes;    /* bytes of those events as fed, cumulative (commas not counted) */
	uint32_t retrying; /* 1 while the lane's request is being tried again */
	uint32_t unused;
} KsegWireLane;

/* Reads a payload front to back; after a read past the end, failed is true and every value is 0 or empty. */
typedef struct KsegReader
{
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
} KsegReader;

/* A text inside a payload: not terminated by NUL, may hold any byte. */
typedef struct KsegText
{
	const char *data;
	uint32_t length;
} KsegText;

/*
 * Find the next whole frame at the head of buffer.
 * Returns the bytes it takes (header and payload), 0 when more bytes are needed, -1 when no peer of ours wrote this
 * (payload over KSEG_FRAME_MAX). The frame's payload points into buffer.
 */
extern int kseg_frame_parse(const uint8_t *buffer, size_t length, KsegFrame *frame);

/* Write a frame header of KSEG_FRAME_HEADER bytes to out. */
extern void kseg_frame_header(uint8_t *out, KsegFrameType type, uint16_t lane, uint32_t length);

extern void kseg_reader_init(KsegReader *reader, const KsegFrame *frame);
extern uint32_t kseg_read_u32(KsegReader *reader);
extern uint64_t kseg_read_u64(KsegReader *reader);
/* u32 length and bytes. */
extern KsegText kseg_read_text(KsegReader *reader);
/* length bytes in place, or NULL and failed. */
extern const uint8_t *kseg_read_bytes(KsegReader *reader, size_t length);
/* True when everything was read, exactly, and nothing failed. */
extern bool kseg_reader_done(const KsegReader *reader);

/* Writers: out has room for what is written; each returns the byte after it. */
extern uint8_t *kseg_write_u32(uint8_t *out, uint32_t value);
extern uint8_t *kseg_write_u64(uint8_t *out, uint64_t value);
extern uint8_t *kseg_write_text(uint8_t *out, const char *data, size_t length); /* 4 + length bytes */

/*
 * STATUS: the payload's bytes for these lanes, and both directions. Reading takes at most max_lanes into lanes and
 * returns false for a payload that is not a STATUS.
 */
extern size_t kseg_status_size(uint32_t lanes);
extern void kseg_status_write(uint8_t *out, const KsegWireStatus *status, const KsegWireLane *lanes);
extern bool kseg_status_read(const KsegFrame *frame, KsegWireStatus *status, KsegWireLane *lanes,
                             uint32_t max_lanes);

/* Bytes that one event adds to the table at the head of an EVENTS payload: u64 row, u32 length. */
#define KSEG_EVENT_ENTRY 12

/* An EVENTS payload, taken apart by kseg_events_read. */
typedef struct KsegEvents
{
	uint32_t count;
	const uint8_t *entries; /* count × KSEG_EVENT_ENTRY bytes */
	const char *json;       /* the events joined by ',' */
	uint32_t json_length;   /* sum of lengths and count - 1 commas */
} KsegEvents;

/* Take an EVENTS frame apart and check that its lengths add up. False: not what a kseg writes. */
extern bool kseg_events_read(const KsegFrame *frame, KsegEvents *events);

/* Row and length of the index-th entry (index < count). */
extern void kseg_events_entry(const KsegEvents *events, uint32_t index, uint64_t *row, uint32_t *length);

#endif /* KSEG_WIRE_H */
