/*
 * json_document.h
 *	  JSON objects that come as text, taken apart into their members.
 *
 * Owns: finding members and telling which of two of the same name counts (the last). Refuses: to check the syntax: the
 * text comes from a json value or from json_write_jsonb, and is JSON.
 */
#ifndef KSEG_JSON_DOCUMENT_H
#define KSEG_JSON_DOCUMENT_H

#include "event/json_write.h"

/* A piece of a document; not terminated by NUL. */
typedef struct KsegSpan
{
	const char *data;
	int length;
} KsegSpan;

typedef struct KsegMember
{
	KsegSpan key;   /* as written, in its quotes */
	KsegSpan name;  /* the key's UTF-8 without quotes and escapes */
	KsegSpan value; /* as written, without space around it */
	bool hidden;    /* a later member has the same name */
} KsegMember;

/* Is the document an object? */
extern bool json_document_is_object(KsegSpan document);

/*
 * The members of one object, or of several where the later ones count (layers), in order, as an array in the current
 * memory context. layers with length 0 are skipped; the others must be objects.
 */
extern KsegMember *json_document_members(const KsegSpan *layers, int layer_count, int *count);

#endif /* KSEG_JSON_DOCUMENT_H */
