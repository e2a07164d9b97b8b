/*
 * reader.h
 *	  The message reader: one pass over a message's value that takes only the wanted fields.
 *
 * Owns: JSON (RFC 8259) and CSV (RFC 4180) as they come from Kafka, the paths of wanted fields, and what is wrong with a
 * value. Refuses: to know PostgreSQL, Kafka or the wire's frames, and to make a tree of what nobody wants. Plain C: it is
 * unit-tested and fuzzed on its own, and could run on either side of the wire.
 *
 * The whole value is checked, wanted or not: one JSON text and nothing behind it, at most READER_DEPTH_MAX deep, strict
 * UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF); in strings \u0000 and lone surrogates are
 * errors, because no text of PostgreSQL's can hold them. A key that comes twice: the last one wins, as in jsonb. A byte order
 * mark is an error.
 */
#ifndef KSEG_READER_H
#define KSEG_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/wire.h"

/*
 * Deepest nesting of arrays and objects: what Jackson, the JSON library of Kafka's Java clients, takes up to 2.14 without
 * asking is more, but no message of people's is beyond 64, and a recursive reader must end before its stack does.
 */
#define KSEG_READER_DEPTH_MAX 64

/* Most paths of one want that are tried, most steps of a path. More would be a mistake in an option's text. */
#define KSEG_WANT_PATHS_MAX 16
#define KSEG_PATH_STEPS_MAX KSEG_READER_DEPTH_MAX

/* One step of a path: a member's key, or (key.data NULL) an array's index from 0. */
typedef struct KsegPathStep
{
	KsegText key; /* as UTF-8, without escapes */
	uint32_t index;
} KsegPathStep;

typedef struct KsegPath
{
	uint32_t count; /* 0: the whole value */
	const KsegPathStep *steps;
} KsegPath;

typedef enum KsegFormat
{
	KSEG_FORMAT_JSON,
	KSEG_FORMAT_CSV
} KsegFormat;

/* A field that somebody wants. */
typedef struct KsegWant
{
	/*
	 * JSON: tried in order, the first that is there counts, also as null. A path ends at whatever lies there: a string comes
	 * unescaped, numbers, true and false as they stand, null as absent, objects and arrays as their JSON text.
	 */
	uint32_t path_count;
	const KsegPath *paths;
	bool
	    raw; /* JSON: strings too as they stand in the value, with quotes and escapes; null as the text null */
	uint32_t column; /* CSV: number from 0 */
} KsegWant;

typedef struct KsegCsvForm
{
	char delimiter; /* one byte of ASCII, neither quote nor line end */
	char quote;
	const char *null; /* an unquoted field with this text is NULL; never NULL itself */
} KsegCsvForm;

typedef struct KsegMessageReader KsegMessageReader;

/*
 * Called when there is no memory; must not return. The preset ends the program. Whoever sets another that leaves by longjmp may go on
 * with a reader whose reader_read was left, and close it; what reader_open had got by then is lost.
 */
extern void (*reader_out_of_memory)(void);

/* Make a reader for these wants (copied). csv may be NULL for JSON. Never NULL: see reader_out_of_memory. */
extern KsegMessageReader *reader_open(KsegFormat format, const KsegWant *wants, uint32_t count,
                                      const KsegCsvForm *csv);
extern void reader_close(KsegMessageReader *reader);

/*
 * Read one value. fields gets count texts, data NULL where absent or null; they lie in the reader's own memory, until the
 * next reader_read (value is no longer needed). Returns false when the value is not what the format says: then every field
 * is NULL, and reader_error says why ("malformed JSON at byte 17: expected \":\"", bytes counted from 1, no period, ASCII, at
 * most 200 bytes). CSV: a record with fewer fields than are wanted is such a value, further fields are not.
 */
extern bool reader_read(KsegMessageReader *reader, const char *value, size_t length, KsegText *fields);
extern const char *reader_error(const KsegMessageReader *reader);

/* Is this strict UTF-8 without NUL bytes? As PostgreSQL's text wants it. */
extern bool reader_is_text(const char *bytes, size_t length);

#endif /* KSEG_READER_H */
