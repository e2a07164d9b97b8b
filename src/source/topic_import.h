/*
 * topic_import.h
 *	  IMPORT FOREIGN SCHEMA "orders%": a foreign table for each topic whose name is LIKE this, with columns inferred from a
 *	  sample of its newest messages.
 *
 * Owns: the choice of topics, the options of the statement (sample, format, on_error), the text of CREATE FOREIGN TABLE.
 * Refuses: to create anything itself (PostgreSQL runs the statements), to promise that later messages look like the sample.
 */
#ifndef KSEG_TOPIC_IMPORT_H
#define KSEG_TOPIC_IMPORT_H

#include "postgres.h"
#include "foreign/fdwapi.h"

/* Put the callback of IMPORT FOREIGN SCHEMA into the handler's answer. */
extern void topic_import_install(FdwRoutine *routine);

#endif /* KSEG_TOPIC_IMPORT_H */
