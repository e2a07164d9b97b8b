/*
 * arguments.h
 *	  The named arguments of a kseg function, found by their names in pg_proc.
 *
 * Functions share most of their arguments but not their positions; a name says what is meant in one place for all.
 */
#ifndef KSEG_ARGUMENTS_H
#define KSEG_ARGUMENTS_H

#include "postgres.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "sink/sink.h"

typedef struct KsegArguments
{
	FunctionCallInfo fcinfo;
	int count;    /* of input arguments */
	char **names; /* of input arguments, in order */
} KsegArguments;

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

/* In the current memory context. */
extern void arguments_read(KsegArguments *arguments, FunctionCallInfo fcinfo);

/* Each returns NULL, or nothing, when the function has no such argument or it is NULL. palloc'd. */
extern char *arguments_text(const KsegArguments *arguments, const char *name);
extern bool arguments_bool(const KsegArguments *arguments, const char *name);
extern bool arguments_int64(const KsegArguments *arguments, const char *name, int64 *value);
extern List *arguments_text_list(const KsegArguments *arguments, const char *name, bool *given);
extern Jsonb *arguments_object(const KsegArguments *arguments, const char *name);

/* The index of a value among the choices, which end with NULL; the first one when it is not given. ERROR for another. */
extern int arguments_choice(const KsegArguments *arguments, const char *name, const char *const *choices);

/*
 * What runs and previews take alike, checked (22023 and 22004 with hints). The query comes from query, or from relation as
 * SELECT * FROM its quoted name; server is the one that an argument not given means.
 */
extern void arguments_of_run(KsegRunArguments *run, const KsegArguments *arguments, const char *server);

#endif /* KSEG_ARGUMENTS_H */
