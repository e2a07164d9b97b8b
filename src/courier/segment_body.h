/*
 * segment_body.h
 *	  The body of one request: head, a range of a batch's events, tail with sentAt; compressed when that is asked.
 *
 * Owns: the tail's text, the compressor, and per lane the memory that a body needs beyond the batch's own. A whole batch
 * is sent from where it was filled, with only the tail written anew for each attempt; a part of one is copied.
 */
#ifndef KSEG_COURIER_SEGMENT_BODY_H
#define KSEG_COURIER_SEGMENT_BODY_H

#include <libdeflate.h>

#include "courier/clock.h"
#include "courier/config.h"
#include "courier/segment_batch.h"

/* What all bodies of a run share. */
typedef struct KsegBodyForm
{
	char *tail; /* ],"sentAt":"…","context":{…}} */
	size_t tail_length;
	size_t sent_at;                           /* where in tail the time stands, KSEG_CLOCK_UTC_LENGTH bytes */
	struct libdeflate_compressor *compressor; /* NULL: compression is none */
} KsegBodyForm;

/* A body as it is to be sent; data lives in the batch or in the KsegBody until the next body_build. */
typedef struct KsegBody
{
	KsegBuffer part;   /* a range that is not the whole batch */
	KsegBuffer packed; /* the compressed body */
	const char *data;
	size_t length;
	size_t plain_length; /* before compression */
} KsegBody;

extern void body_form_open(KsegBodyForm *form, const KsegConfig *config);
extern void body_form_close(KsegBodyForm *form);

/* Bytes of joined events that fit between head and tail. */
extern size_t body_form_room(const KsegBodyForm *form);

/* Make the body for a range of a batch, sent at unix_ms. False: libdeflate could not compress it (no memory). */
extern bool body_build(KsegBody *body, const KsegBodyForm *form, KsegBatch *batch,
                       const KsegBatchRange *range, int64_t unix_ms);
extern void body_free(KsegBody *body);

#endif /* KSEG_COURIER_SEGMENT_BODY_H */
