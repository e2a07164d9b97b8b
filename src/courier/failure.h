/*
 * failure.h
 *	  Why a courier ends a run: the first reason, in PostgreSQL's style.
 *
 * Owns: the texts. Refuses: to send them (wire_report.c does, and masks the write key).
 */
#ifndef KSEG_COURIER_FAILURE_H
#define KSEG_COURIER_FAILURE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/wire.h"

typedef struct KsegFailureReport
{
	KsegFailure failure; /* 0: nothing has failed */
	uint32_t status;     /* HTTP status, 0: none */
	char message[256];   /* "could not …", lower case, no period */
	char detail[1024];   /* the other side's words, sentences; may be empty */
	char hint[512];      /* which option to change; may be empty */
} KsegFailureReport;

/*
 * Say why, unless something failed before: the first reason is the one that explains the others. Returns whether it was
 * the first; only then may failure_set_detail and failure_set_hint follow.
 */
extern bool failure_set(KsegFailureReport *report, KsegFailure failure, uint32_t status, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));
extern void failure_set_detail(KsegFailureReport *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
extern void failure_set_hint(KsegFailureReport *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif /* KSEG_COURIER_FAILURE_H */
