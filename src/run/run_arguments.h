/*
 * run_arguments.h
 *	  What every run was called with, whatever its sink.
 */
#ifndef KSEG_RUN_ARGUMENTS_H
#define KSEG_RUN_ARGUMENTS_H

#include "base/arguments.h"
#include "sink/sink.h"

/* What every run was called with. */
typedef struct KsegRunArguments
{
	const char *query;
	const char *server;
	KsegOnInvalid on_invalid;
	bool report;      /* on_failure => 'report' */
	uint64 row_limit; /* 0: none */
	int timeout;      /* ms of the whole run; 0: none */
} KsegRunArguments;

/*
 * What runs and previews take alike, checked (22023 and 22004 with hints). The query comes from query, or from relation as
 * SELECT * FROM its quoted name; server is the one that an argument not given means.
 */
extern void arguments_of_run(KsegRunArguments *run, const KsegArguments *arguments, const char *server);

#endif /* KSEG_RUN_ARGUMENTS_H */
