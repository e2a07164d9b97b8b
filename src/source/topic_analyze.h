/*
 * topic_analyze.h
 *	  ANALYZE of a foreign table over a topic: statistics from the whole topic when it is small, else from windows at random.
 *
 * Owns: where the sample is taken and how many rows the topic is said to have. Refuses: to fail for a message that a column
 * cannot take: such rows are left out, whatever on_error says.
 */
#ifndef KSEG_TOPIC_ANALYZE_H
#define KSEG_TOPIC_ANALYZE_H

#include "postgres.h"
#include "foreign/fdwapi.h"

/* Put the callback of ANALYZE into the handler's answer. */
extern void topic_analyze_install(FdwRoutine *routine);

#endif /* KSEG_TOPIC_ANALYZE_H */
