/*
 * stream_fault.h
 *	  Named points at which a test kills or stops a worker and what it depends on, and limits that a test shortens. Compiled in with
 *	  -DKSEG_FAULTS only.
 *
 * KSEG_FAULT_POINT("before commit") does nothing unless the file $PGDATA/kseg_fault names this point as "POINT ACTION [COUNT]", one a line; it
 * acts the COUNT-th time (1) it is passed. ACTION is
 *	  kill        SIGKILL to itself
 *	  stop        SIGSTOP to itself: the test does what it wants done at the point, and lets it go on (SIGCONT)
 *	  error       ERROR XX000
 *	  exit        exit code 1, without a panic
 *	  courier     SIGKILL to its courier, which is dead when the worker goes on
 *	  postmaster  the same to the postmaster: the worker goes on until it finds that out by itself
 * The line is taken out of the file when it has acted, so that the next process passes.
 *
 * KSEG_FAULT_LIMIT("stop limit", ms) is ms, unless a line of the file says "stop limit is OTHER". Such a line stays.
 */
#ifndef KSEG_STREAM_FAULT_H
#define KSEG_STREAM_FAULT_H

#ifdef KSEG_FAULTS
extern void stream_fault_point(const char *name);
extern int stream_fault_limit(const char *name, int limit);
#define KSEG_FAULT_POINT(name)        stream_fault_point(name)
#define KSEG_FAULT_LIMIT(name, limit) stream_fault_limit(name, limit)
#else
#define KSEG_FAULT_POINT(name)        ((void) 0)
#define KSEG_FAULT_LIMIT(name, limit) (limit)
#endif

#endif /* KSEG_STREAM_FAULT_H */
