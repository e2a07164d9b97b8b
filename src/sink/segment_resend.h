/*
 * segment_resend.h
 *	  Events that are JSON already, to Segment once more.
 *
 * Owns: the link, one buffer, and what comes back. For few events: dead letters that are replayed. All of them go through one lane, so in the
 * order in which they are given. Refuses: to make events (segment_sink.c does), to check Segment's rules, to decide what a refusal
 * means.
 */
#ifndef KSEG_SEGMENT_RESEND_H
#define KSEG_SEGMENT_RESEND_H

#include "postgres.h"

#include "link/link.h"
#include "server/segment_server.h"
#include "sink/letter.h"

typedef struct KsegSegmentResend KsegSegmentResend;

/* An event was refused; letter->row is the number it was given with. Copy what is kept. Must not ERROR. */
typedef void (*KsegResendRejected)(void *argument, const KsegLetter *letter);

/* Start a courier, in the current memory context: it goes with it. ERRORs as link_open. */
extern KsegSegmentResend *segment_resend_open(const KsegSegmentServer *server, const char *write_key,
                                              KsegResendRejected rejected, void *argument);

/* One JSON object in UTF-8, at most KSEG_EVENT_MAX bytes. False: the courier has ended early (the link's state says why). */
extern bool segment_resend_put(KsegSegmentResend *resend, uint64 number, const char *json, uint32 length);

/* Send what is left and wait until all is settled or the courier has given up. */
extern KsegLinkState segment_resend_finish(KsegSegmentResend *resend);

extern KsegLink *segment_resend_link(const KsegSegmentResend *resend);

/* Stop the courier. May be called twice. */
extern void segment_resend_close(KsegSegmentResend *resend);

#endif /* KSEG_SEGMENT_RESEND_H */
