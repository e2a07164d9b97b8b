/*
 * json_write.h
 *	  The writer: JSON into a StringInfo, and the few primitives that every encoder is made of.
 *
 * Owns: strings and their escapes, UTF-8, digits, and what one value leaves behind for the message id (KsegCanon).
 * Refuses: to know columns, calls and Segment. What cannot be written is written as null and its reason left in
 * writer->trouble: encoders raise no ERROR of their own.
 *
 * Members and elements are written with a comma behind each. Whoever opened the object or array replaces the last comma
 * by the closing bracket: so nobody has to know whether a member is the first.
 */
#ifndef KSEG_JSON_WRITE_H
#define KSEG_JSON_WRITE_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/date.h"
#include "utils/jsonb.h"

/*
 * For Segment a value of more bytes is not even read (detoasted): it can never be part of an event of 32 kB, and the bound
 * keeps the worst event (every byte escaped, a base object, a preview of many) far from StringInfo's limit of 1 GB.
 */
#define KSEG_VALUE_MAX (1024 * 1024)

/* Leads (`"name":`) are padded to whole blocks, so that they are copied in moves of fixed size. */
#define KSEG_LEAD_BLOCK 16

/* Largest integer that every JSON reader takes exactly: 2^53 (IEEE double). */
#define KSEG_INTEGER_MAX INT64CONST(9007199254740992)

/* What class a value is of in the input of the message id (event_id.c, "Recipe 1"). */
typedef enum KsegCanonTag
{
	KSEG_CANON_ABSENT = 0,
	KSEG_CANON_NULL = 'z',
	KSEG_CANON_BOOL = 'b',
	KSEG_CANON_INTEGER = 'i',
	KSEG_CANON_FLOAT4 = 'e',
	KSEG_CANON_FLOAT8 = 'f',
	KSEG_CANON_NUMERIC = 'n',
	KSEG_CANON_TIME = 't',
	KSEG_CANON_TEXT = 's',
	KSEG_CANON_JSON = 'j',
	KSEG_CANON_NESTED = 'v'
} KsegCanonTag;

/* A value as the message id takes it: before formatting where formatting loses something, else where its text lies. */
typedef struct KsegCanon
{
	KsegCanonTag tag;
	int length;       /* texts: bytes */
	int at;           /* texts without data: their place in the writer's out */
	int exact_at;     /* nested: its microseconds in the writer's exact, bytes */
	int exact_length; /* nested: bytes of these */
	int64 number;     /* bool, integer, float (its bits), time (microseconds since 2000-01-01) */
	const char *data; /* texts: UTF-8 in the row's memory, or NULL: at */
} KsegCanon;

/* The day written last, so that most timestamps only write hours and below. */
typedef struct KsegDay
{
	int64 day;  /* since 2000-01-01 */
	int length; /* 0: no day yet */
	char text[16];
} KsegDay;

typedef struct KsegWriter
{
	StringInfo out;
	KsegCanon *canon;      /* where the encoder at work notes the value; never NULL */
	const char *trouble;   /* why the value just written is null; NULL: nothing is wrong */
	int value_max;         /* a plain value of more bytes, its header included, is not read */
	int container_max;     /* nor an array, composite, range or jsonb of more */
	const char *too_large; /* what its trouble then is */
	bool
	    lossless; /* for Kafka: integers of any size are numbers, times have their microseconds, a date is a date */
	int stop;       /* out->len at which arrays and objects are cut short */
	int depth;      /* above 0 inside an array, a composite or a range */
	bool spelled;   /* inside a range, which is a string: NaN and infinity are words there */
	bool convert;   /* the database is not UTF8 */
	Oid conversion; /* its conversion to UTF8; InvalidOid: none needed, only verified */
	int settings;   /* nest level of the fixed settings (event_settings.c); 0: not entered */
	KsegDay day;
	StringInfoData exact; /* int64 microseconds of the row's nested timestamps */
} KsegWriter;

/* Make a writer in the current memory context, for the encoding of this database and for Segment's rules. */
extern void json_writer_init(KsegWriter *writer);

/* Append a JSON string. text is UTF-8. */
extern void json_write_string(StringInfo out, const char *text, int length);

/* `"key":` and what more, for json_write_lead: padded, in the current memory context. key is UTF-8. */
extern const char *json_lead_make(const char *key, const char *more, int *length);
/* Pad what text holds to be a lead. */
extern void json_lead_pad(StringInfo text);

/*
 * The text as UTF-8: itself, or converted into the current memory context. False, with a trouble: no UTF-8 of it.
 * Call json_text_utf8, which is free for UTF8 databases.
 */
extern bool json_text_convert(KsegWriter *writer, const char **text, int *length);

/* Undo json_write_string: the bytes of a JSON string, quotes included, to UTF-8 in the current memory context. */
extern const char *json_unescape(const char *string, int length, int *text_length);

/* Numbers. Each appends and notes the canon. */
extern void json_write_int64(KsegWriter *writer, int64 value);
extern void json_write_float8(KsegWriter *writer, float8 value);
extern void json_write_float4(KsegWriter *writer, float4 value);
/* value is a packed numeric (any header); as_written: no integer becomes a string (inside jsonb). */
extern void json_write_numeric(KsegWriter *writer, struct varlena *value, bool as_written);

/* Times: json_time.c. */
extern void json_write_timestamp(KsegWriter *writer, Timestamp value);
extern void json_write_date(KsegWriter *writer, DateADT value);
extern void json_write_time(KsegWriter *writer, TimeADT value);
extern void json_write_timetz(KsegWriter *writer, TimeTzADT *value);
extern void json_write_interval(KsegWriter *writer, Interval *value);

/* A jsonb without spaces; json_document.c. */
extern void json_write_jsonb(KsegWriter *writer, Jsonb *value);

/* Room for bytes more; returns where they go. The caller moves out->len. */
static inline char *
json_reserve(StringInfo out, int bytes)
{
	if (unlikely(out->maxlen - out->len <= bytes))
		enlargeStringInfo(out, bytes);
	return out->data + out->len;
}

static inline void
json_write_bytes(StringInfo out, const char *bytes, int length)
{
	memcpy(json_reserve(out, length), bytes, length);
	out->len += length;
}

static inline void
json_write_char(StringInfo out, char c)
{
	*json_reserve(out, 1) = c;
	out->len++;
}

/* Append a lead that json_lead_make or json_lead_pad has padded. */
static inline void
json_write_lead(StringInfo out, const char *lead, int length)
{
	char *to = json_reserve(out, length + KSEG_LEAD_BLOCK);

	for (int left = length; left > 0; left -= KSEG_LEAD_BLOCK)
	{
		memcpy(to, lead, KSEG_LEAD_BLOCK);
		to += KSEG_LEAD_BLOCK;
		lead += KSEG_LEAD_BLOCK;
	}
	out->len += length;
}

/* Close what was opened: the comma behind the last member becomes the bracket. */
static inline void
json_write_close(StringInfo out, char bracket)
{
	if (out->data[out->len - 1] == ',')
		out->data[out->len - 1] = bracket;
	else
		json_write_char(out, bracket);
}

/* The value cannot be written. reason is a constant or lives as long as the row. */
static inline void
json_write_trouble(KsegWriter *writer, const char *reason)
{
	if (writer->trouble == NULL)
		writer->trouble = reason;
	json_write_bytes(writer->out, "null", 4);
	writer->canon->tag = KSEG_CANON_NULL;
}

static inline bool
json_text_utf8(KsegWriter *writer, const char **text, int *length)
{
	return likely(!writer->convert) || json_text_convert(writer, text, length);
}

static inline void
json_canon_number(KsegWriter *writer, KsegCanonTag tag, int64 number)
{
	writer->canon->tag = tag;
	writer->canon->number = number;
}

static inline void
json_canon_text(KsegWriter *writer, const char *data, int length)
{
	writer->canon->tag = KSEG_CANON_TEXT;
	writer->canon->data = data;
	writer->canon->length = length;
}

/* The canon is what was written to out since at, less trim bytes (quotes) at either end. */
static inline void
json_canon_written(KsegWriter *writer, KsegCanonTag tag, int at, int trim)
{
	writer->canon->tag = tag;
	writer->canon->data = NULL;
	writer->canon->at = at + trim;
	writer->canon->length = writer->out->len - at - 2 * trim;
}

/* A plain ASCII text that needs no escape, in quotes. */
static inline void
json_write_plain(KsegWriter *writer, const char *text, int length)
{
	int at = writer->out->len;
	char *to = json_reserve(writer->out, length + 2);

	to[0] = '"';
	memcpy(to + 1, text, length);
	to[length + 1] = '"';
	writer->out->len += length + 2;
	json_canon_written(writer, KSEG_CANON_TEXT, at, 1);
}

#endif /* KSEG_JSON_WRITE_H */
