/*
 * process.h
 *	  What kind of process a courier is.
 *
 * Owns: everything the courier is or has from its start: descriptors, signals, its death with its parent, its place in
 * the order of what the kernel kills. Refuses: to need any of it: where the kernel forbids a step the courier works on,
 * but for the descriptors and the parent.
 */
#ifndef KSEG_COURIER_PROCESS_H
#define KSEG_COURIER_PROCESS_H

#include <stdbool.h>

/* Was this process started by a kseg.so, with a Unix stream socket as wire_fd? */
extern bool process_has_wire(int wire_fd);

/*
 * Let go of everything inherited but wire_fd, and take on what a courier is. False: the parent has already gone, or
 * descriptors could not be closed; leave.
 */
extern bool process_isolate(int wire_fd);

#endif /* KSEG_COURIER_PROCESS_H */
