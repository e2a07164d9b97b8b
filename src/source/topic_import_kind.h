/*
 * topic_import_kind.h
 *	  What a text or a JSON value looks like, and which type of column fits all that were seen.
 *
 * Owns: the kinds, how a text is recognised, the type for a set of kinds. Refuses: to know messages and columns.
 */
#ifndef KSEG_TOPIC_IMPORT_KIND_H
#define KSEG_TOPIC_IMPORT_KIND_H

#include "postgres.h"

/* Sets of these: what has been seen of a field. NULL is of no kind. */
typedef enum KsegImportKind
{
	KSEG_IMPORT_BOOLEAN = 1 << 0,
	KSEG_IMPORT_INTEGER = 1 << 1, /* fits bigint */
	KSEG_IMPORT_NUMBER = 1 << 2,  /* any other number */
	KSEG_IMPORT_INSTANT = 1 << 3, /* ISO 8601 date and time with a zone */
	KSEG_IMPORT_CLOCK = 1 << 4,   /* the same without one */
	KSEG_IMPORT_DATE = 1 << 5,
	KSEG_IMPORT_UUID = 1 << 6,
	KSEG_IMPORT_TEXT = 1 << 7,
	KSEG_IMPORT_NESTED = 1 << 8 /* an object or array */
} KsegImportKind;

/* The kind of a JSON number (its token), and of a JSON string's or a CSV field's text. */
extern KsegImportKind import_kind_of_number(const char *token, int length);
extern KsegImportKind import_kind_of_text(const char *text, int length);

/* The same of a CSV field, where numbers and booleans are texts too. */
extern KsegImportKind import_kind_of_field(const char *text, int length);

/*
 * The name of the type that takes every kind of the set: "bigint", "timestamp with time zone", …; "text" for strings that differ
 * and for nothing but NULL. What differs otherwise is jsonb, which keeps it as it is, or in CSV text.
 */
extern const char *import_kind_type(int kinds, bool csv);

#endif /* KSEG_TOPIC_IMPORT_KIND_H */
