/*
 * stream_failure.h
 *	  What an error of a batch means for its stream. A pure function of the error.
 */
#ifndef KSEG_STREAM_FAILURE_H
#define KSEG_STREAM_FAILURE_H

#include "postgres.h"

typedef enum KsegStreamFault
{
	KSEG_FAULT_MESSAGE,      /* a message's own: isolate it, keep it as a dead letter */
	KSEG_FAULT_SURROUNDINGS, /* wait and try again; nothing becomes a dead letter */
	KSEG_FAULT_DEFINITION,   /* trying again cannot help: the stream halts */
	KSEG_FAULT_GAP           /* what was to be read next is gone: the stream halts as 'gap' */
} KsegStreamFault;

/*
 * By SQLSTATE: 21, 22, 23, 44, 54, P0001, P0004 and a row that row security refuses (42501 from ExecWithCheckOptions) are a message's;
 * 08, 25, 40, 53, 55006, 55P03, 57, 58, 72, XX and what is in no list the surroundings'; 0A, 28, 2B, 2F, 34, 38, 39, 3D, 3F, 42, 55000, F0, HV,
 * the rest of P0 the definition's.
 */
extern KsegStreamFault stream_failure_sort(const ErrorData *error);

/* When to try again after so many failures in a row: 0.1 s doubled up to 60 s, less up to a quarter by a hash of salt. In ms. */
extern int stream_failure_backoff_ms(int failures, uint32 salt);

#endif /* KSEG_STREAM_FAILURE_H */
