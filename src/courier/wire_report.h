/*
 * wire_report.h
 *	  What the courier tells PostgreSQL, as frames.
 *
 * Owns: the layout of every frame that leaves, and that no text that quotes others holds the write key. Refuses: to decide when.
 */
#ifndef KSEG_COURIER_WIRE_REPORT_H
#define KSEG_COURIER_WIRE_REPORT_H

#include "courier/failure.h"
#include "courier/secret.h"
#include "courier/wire_io.h"

/* CHECK's ok. */
typedef enum KsegCheckResult
{
	KSEG_CHECK_NO = 0,
	KSEG_CHECK_YES = 1,
	KSEG_CHECK_CANNOT_TELL = 2
} KsegCheckResult;

extern void wire_report_hello(KsegWireIo *io, const char *libraries);
extern void wire_report_status(KsegWireIo *io, const KsegWireStatus *status, const KsegWireLane *lanes);
extern void wire_report_done(KsegWireIo *io);
extern void wire_report_failed(KsegWireIo *io, const KsegSecret *secret, const KsegFailureReport *report);

/* words have been masked and cleaned by answer_read_words; event is the user's own and goes back as it came. */
extern void wire_report_rejected(KsegWireIo *io, uint64_t row, uint32_t status, const char *words,
                                 const char *event, uint32_t event_length);

extern void wire_report_check(KsegWireIo *io, const KsegSecret *secret, const char *check, KsegCheckResult ok,
                              const char *detail, const char *hint);

/* TROUBLE; all "": it is over. */
extern void wire_report_trouble(KsegWireIo *io, const KsegSecret *secret, const char *message,
                                const char *detail, const char *hint);

#endif /* KSEG_COURIER_WIRE_REPORT_H */
