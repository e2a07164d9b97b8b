/*
 * courier_process.h
 *	  The courier as a child process: where its program lies, how it is started and reaped.
 *
 * Owns nothing by itself: the KsegLink that asked keeps pid and socket.
 */
#ifndef KSEG_COURIER_PROCESS_H
#define KSEG_COURIER_PROCESS_H

#include "postgres.h"

/* Where the courier's program should lie: beside kseg.so. Palloc'd. */
extern char *courier_process_program(void);

/*
 * Start the courier that lies beside kseg.so, with one end of a new Unix socket pair as its descriptor KSEG_WIRE_FD.
 * Returns the other end, non-blocking and close-on-exec; *pid is set first. The caller owns both.
 * ERRORs with nothing left behind: 53000 without descriptors or processes, 58P01 when the program is missing.
 */
extern int courier_process_start(pid_t *pid);

/*
 * Let it end by itself for grace_ms, then end it (SIGKILL: it keeps nothing that is worth a goodbye), and reap it. Returns its
 * wait status, -1 if unknown.
 */
extern int courier_process_end(pid_t pid, int grace_ms);

#endif /* KSEG_COURIER_PROCESS_H */
