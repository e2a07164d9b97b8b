/*
 * link_failure.h
 *	  What a statement says when its courier has ended the talk early, or itself.
 *
 * Owns: SQLSTATEs by reason, and the ERROR made of the courier's words. Refuses: to decide whether an ERROR is wanted.
 */
#ifndef KSEG_LINK_FAILURE_H
#define KSEG_LINK_FAILURE_H

#include "postgres.h"

#include "link/link.h"

/* Class 08 is what may be tried again; 28, 42 and HV want a human. */
extern int link_failure_code(KsegFailure reason);

/*
 * Raise the ERROR of a link whose state is FAILED or LOST. further is put behind the detail (figures of the statement, one
 * sentence or more) and may be NULL; lost_hint is what to do when the courier was lost.
 */
extern void link_failure_raise(KsegLink *link, const char *further, const char *lost_hint);

#endif /* KSEG_LINK_FAILURE_H */
