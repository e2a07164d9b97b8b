/*
 * stream_fault.h
 *	  Named points at which a test kills or stops a worker. Compiled in with -DKSEG_FAULTS only.
 *
 * KSEG_FAULT_POINT("before commit") does nothing unless the file $PGDATA/kseg_fault names this point as "POINT ACTION [COUNT]", one a line:
 * ACTION is kill (SIGKILL to itself), stop (SIGSTOP to itself), error (ERROR XX000) or panic-free exit (exit); the COUNT-th time (1) it is passed. The
 * line is taken out of the file when it has acted, so that the next process passes.
 */
#ifndef KSEG_STREAM_FAULT_H
#define KSEG_STREAM_FAULT_H

#ifdef KSEG_FAULTS
extern void stream_fault_point(const char *name);
#define KSEG_FAULT_POINT(name) stream_fault_point(name)
#else
#define KSEG_FAULT_POINT(name) ((void) 0)
#endif

#endif /* KSEG_STREAM_FAULT_H */
