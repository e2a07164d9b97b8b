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

typedef struct KsegArguments
{
	FunctionCallInfo fcinfo;
	int count;    /* of input arguments */
	char **names; /* of input arguments, in order */
} KsegArguments;

/* In the current memory context. */
extern void arguments_read(KsegArguments *arguments, FunctionCallInfo fcinfo);

/* Each returns NULL, or nothing, when the function has no such argument or it is NULL. palloc'd. */
extern char *arguments_text(const KsegArguments *arguments, const char *name);
extern bool arguments_bool(const KsegArguments *arguments, const char *name);
extern bool arguments_int(const KsegArguments *arguments, const char *name, int *value);
extern bool arguments_int64(const KsegArguments *arguments, const char *name, int64 *value);
extern bool arguments_double(const KsegArguments *arguments, const char *name, double *value);
extern bool arguments_oid(const KsegArguments *arguments, const char *name, Oid *value);
extern bool arguments_interval_ms(const KsegArguments *arguments, const char *name, double *value);
extern List *arguments_text_list(const KsegArguments *arguments, const char *name, bool *given);
extern Jsonb *arguments_object(const KsegArguments *arguments, const char *name);

/* Has the function such an argument at all? */
extern bool arguments_have(const KsegArguments *arguments, const char *name);

/* The index of a value among the choices, which end with NULL; the first one when it is not given. ERROR for another. */
extern int arguments_choice(const KsegArguments *arguments, const char *name, const char *const *choices);

#endif /* KSEG_ARGUMENTS_H */
