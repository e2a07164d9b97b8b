/*
 * kseg.h
 *	  Settings of the module, in days; -1: for ever.
 */
#ifndef KSEG_H
#define KSEG_H

extern int kseg_dead_letter_retention;
extern int kseg_run_retention;

#endif /* KSEG_H */
