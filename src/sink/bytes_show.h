/*
 * bytes_show.h
 *	  Bytes of a Kafka message as people see them.
 */
#ifndef KSEG_BYTES_SHOW_H
#define KSEG_BYTES_SHOW_H

#include "postgres.h"

#include "wire/wire.h"

/*
 * The first limit bytes as text in the database's encoding, or, when they are no UTF-8 text, as bytea is written ("\x…");
 * "..." behind them when there are more. palloc'd.
 */
extern char *bytes_show(KsegText bytes, int limit);

#endif /* KSEG_BYTES_SHOW_H */
