/*
 * reader_parts.h
 *	  What the reader's own files know of each other. Nobody else includes this.
 *
 * Owns: the reader's memory and the tree of wanted paths. Refuses: nothing; see reader.h for what the whole refuses.
 */
#ifndef KSEG_READER_PARTS_H
#define KSEG_READER_PARTS_H

#include "reader/reader.h"
#include "reader/reader_scan.h"

/* What a wanted place of a JSON value holds. */
typedef enum KsegJsonKind
{
	KSEG_JSON_NULL,
	KSEG_JSON_PLAIN,  /* number, true, false, object, array: taken as it stands */
	KSEG_JSON_STRING, /* without escapes: taken without its quotes */
	KSEG_JSON_ESCAPED /* a string with escapes */
} KsegJsonKind;

typedef struct KsegPathNode KsegPathNode;

/* A place in an object's table of wanted keys; child NULL: an empty one. */
typedef struct KsegKeySlot
{
	uint64_t head; /* paths_key_head */
	const char *key;
	uint32_t length;
	KsegPathNode *child;
} KsegKeySlot;

typedef struct KsegIndexSlot
{
	uint32_t index;
	KsegPathNode *child;
} KsegIndexSlot;

/*
 * A place in a JSON value that some path ends at or passes through. Nodes lie in one array, depth first, so all that lies
 * below a node follows it, up to below_end.
 */
struct KsegPathNode
{
	uint64_t seen; /* the turn (KsegMessageReader.turn) in which it was met, else an older one */
	/* The value there, as it stands: */
	const char *start;
	uint32_t length;
	KsegJsonKind kind;
	KsegText text; /* an escaped string's text; data NULL until somebody asks for it */
	/* What is wanted below: */
	KsegKeySlot *keys; /* open addressing; NULL: no key */
	uint32_t key_count;
	uint32_t key_shift; /* 64 - log2 of the table's slots */
	uint32_t index_count;
	KsegIndexSlot *indexes; /* ascending */
	KsegPathNode *below_end;
	KsegPathNode *parent;
};

/* The wanted paths of all fields as one tree, and for each field its ends in order. */
typedef struct KsegPathTree
{
	KsegPathNode *nodes; /* the first one is the whole value; NULL: nothing is wanted */
	uint32_t node_count;
	KsegPathNode **ends; /* the first field's paths, the second's, … */
	KsegKeySlot *key_slots;
	KsegIndexSlot *index_slots;
	char *key_bytes;
} KsegPathTree;

/* A field of the result. */
typedef struct KsegWantedField
{
	uint32_t number; /* in the caller's order */
	uint32_t path_count;
	KsegPathNode **ends; /* path_count of them */
	uint32_t column;
	bool raw;
} KsegWantedField;

struct KsegMessageReader
{
	/* The value that is read: a copy with padding, so that no search must ask where it ends. */
	const char *start;
	const char *end; /* here is a zero byte */
	char *copy;
	size_t copy_room;
	/* Texts without escapes or doubled quotes; as long as the value at most, so it never grows in the middle of one. */
	char *texts;
	size_t texts_room;
	size_t texts_length;
	uint64_t turn; /* counts the values read; 64 bits never come round */
	KsegPathTree tree;
	KsegWantedField *fields; /* JSON: in the caller's order; CSV: by ascending column */
	uint32_t field_count;
	KsegFormat format;
	KsegScanSet csv;
	char *csv_null;
	size_t csv_null_length;
	char error[201];
};

/* realloc that ends the program when there is no memory. */
extern void *reader_resize(void *memory, size_t size);

/* Make sure that texts has room for all that the value can hold. Before the first text of a value is written. */
extern void reader_reserve_texts(KsegMessageReader *reader);

/* Note what is wrong, "malformed JSON at byte N: words" with N from 1, and return NULL. */
extern const char *reader_fail(KsegMessageReader *reader, const char *at, const char *words);

/* Make the tree of these wants' paths; and free it. */
extern void paths_open(KsegPathTree *tree, const KsegWant *wants, uint32_t count);
extern void paths_close(KsegPathTree *tree);

/* The node below this one for a member's key (in padded memory), or NULL. */
extern KsegPathNode *paths_find_key(const KsegPathNode *node, const char *key, size_t length);

/* Read the reader's value; false after reader_fail. Both write only fields that are there. */
extern bool json_read(KsegMessageReader *reader, KsegText *fields);
extern bool csv_read(KsegMessageReader *reader, KsegText *fields);

/* The first byte in padded memory that is not strict UTF-8, or is zero: the padding when all is well. */
extern const char *utf8_find_error(const char *at);

#endif /* KSEG_READER_PARTS_H */
