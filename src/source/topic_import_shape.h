/*
 * topic_import_shape.h
 *	  What a sample of messages says about a topic: what its values are, which fields they have, and of what kinds.
 *
 * Owns: the collection of fields over many values, and the recognition of Debezium's envelope. Refuses: to read topics and to
 * choose names or types of columns. Keeps no value.
 */
#ifndef KSEG_TOPIC_IMPORT_SHAPE_H
#define KSEG_TOPIC_IMPORT_SHAPE_H

#include "postgres.h"

/*
 * Most fields that are collected: a wider message is a map of a thousand things (by user id, say), not a row. The rest is
 * counted as left out.
 */
#define KSEG_IMPORT_FIELDS_MAX 300

/* A member of the values' objects, in the order of first appearance. */
typedef struct KsegImportField
{
	char *key; /* UTF-8 */
	int length;
	int kinds; /* KsegImportKind that were seen */
} KsegImportField;

typedef struct KsegImportFields
{
	MemoryContext context; /* of the keys */
	int count;
	int hint;  /* where the next key is looked for first: keys tend to come in one order */
	bool more; /* there were more than KSEG_IMPORT_FIELDS_MAX */
	KsegImportField fields[KSEG_IMPORT_FIELDS_MAX];
} KsegImportFields;

typedef struct KsegImportShape
{
	/* messages, by their values */
	int tombstones;
	int objects;
	int arrays;
	int scalars;          /* JSON that is neither */
	int lines;            /* of CSV, when that is what was asked for */
	int malformed;        /* no JSON */
	int envelopes;        /* of objects: changes as Debezium tells them */
	bool bytes;           /* some value is no text */
	bool key_bytes;       /* some key is no text */
	KsegImportFields top; /* members of the objects */
	KsegImportFields row; /* members of after and before in Debezium's envelopes */
} KsegImportShape;

/* Make an empty one in the current memory context. */
extern KsegImportShape *import_shape_create(void);

/*
 * Take a value in that is known to be JSON (UTF-8, at most KSEG_READER_DEPTH_MAX deep), or count it as malformed all the same if
 * PostgreSQL does not think so. What is palloc'd besides keys lies in the current memory context, which the caller resets; keys
 * are kept in the shape's.
 */
extern void import_shape_take_json(KsegImportShape *shape, const char *json, int length);

/* Take in the text of a field of a CSV line, or NULL; number from 0. */
extern void import_shape_take_field(KsegImportShape *shape, int number, const char *text);

#endif /* KSEG_TOPIC_IMPORT_SHAPE_H */
