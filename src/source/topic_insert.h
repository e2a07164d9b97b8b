/*
 * topic_insert.h
 *	  INSERT and COPY into a foreign table over a topic: each row is produced as one message.
 *
 * Owns: which column becomes what of a message, the FDW callbacks for modification, and what a statement says when a message was
 * refused. Refuses: UPDATE, DELETE, ON CONFLICT, and tables from which no message can be made (debezium, paths with indexes).
 *
 * PostgreSQL's transaction ends at the socket: what was acknowledged stays in the topic when the transaction rolls back. A
 * statement does not end before every one of its messages is acknowledged or refused.
 */
#ifndef KSEG_TOPIC_INSERT_H
#define KSEG_TOPIC_INSERT_H

#include "postgres.h"
#include "foreign/fdwapi.h"

/* Put the callbacks of INSERT, COPY FROM and tuple routing into the handler's answer. */
extern void topic_insert_install(FdwRoutine *routine);

#endif /* KSEG_TOPIC_INSERT_H */
