/*
 * stream_failure.c
 *	  What an error of a batch means for its stream. See stream_failure.h.
 *
 * The table is read from the top: a whole SQLSTATE before its class. What is in no line is the surroundings': to wait and to try again
 * loses nothing, and the status shows it.
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "stream/stream_failure.h"

static const struct
{
	const char *sqlstate; /* two letters: the class */
	KsegStreamFault fault;
} failure_rules[] = {
    {"55006", KSEG_FAULT_SURROUNDINGS},                                /* object in use */
    {"55P03", KSEG_FAULT_SURROUNDINGS},                                /* lock_timeout */
    {"55000", KSEG_FAULT_DEFINITION},   {"P0001", KSEG_FAULT_MESSAGE}, /* RAISE of a trigger or function */
    {"P0004", KSEG_FAULT_MESSAGE},                                     /* ASSERT */
    {"21", KSEG_FAULT_MESSAGE},         {"22", KSEG_FAULT_MESSAGE},    {"23", KSEG_FAULT_MESSAGE},
    {"44", KSEG_FAULT_MESSAGE}, /* WITH CHECK OPTION */
    {"54", KSEG_FAULT_MESSAGE}, /* an index entry, a text, a nesting that is too large */
    {"0A", KSEG_FAULT_DEFINITION},      {"28", KSEG_FAULT_DEFINITION}, {"2B", KSEG_FAULT_DEFINITION},
    {"2F", KSEG_FAULT_DEFINITION},      {"34", KSEG_FAULT_DEFINITION}, {"38", KSEG_FAULT_DEFINITION},
    {"39", KSEG_FAULT_DEFINITION},      {"3D", KSEG_FAULT_DEFINITION}, {"3F", KSEG_FAULT_DEFINITION},
    {"42", KSEG_FAULT_DEFINITION},      {"F0", KSEG_FAULT_DEFINITION}, {"HV", KSEG_FAULT_DEFINITION},
    {"P0", KSEG_FAULT_DEFINITION},
};

static bool
failure_is_of(const ErrorData *error, const char *function)
{
	return error->funcname != NULL && strcmp(error->funcname, function) == 0;
}

KsegStreamFault
stream_failure_sort(const ErrorData *error)
{
	const char *sqlstate = unpack_sql_state(error->sqlerrcode);

	/* Of two errors with the same SQLSTATE, the one that names its cause by where it is raised. */
	if (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE && failure_is_of(error, "ExecWithCheckOptions"))
		return KSEG_FAULT_MESSAGE;
	if (error->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED && failure_is_of(error, "PreCommit_Notify"))
		return KSEG_FAULT_SURROUNDINGS; /* the queue of notifications is full */
	for (int i = 0; i < lengthof(failure_rules); i++)
	{
		if (strncmp(sqlstate, failure_rules[i].sqlstate, strlen(failure_rules[i].sqlstate)) == 0)
			return failure_rules[i].fault;
	}
	return KSEG_FAULT_SURROUNDINGS;
}

/* The first wait, and the longest: a server that is away for an hour is asked sixty times, one that restarts within a second. */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   60000

int
stream_failure_backoff_ms(int failures, uint32 salt)
{
	int wait = BACKOFF_FIRST_MS;
	uint32 hash;

	for (int i = 1; i < failures && wait < BACKOFF_MAX_MS; i++)
		wait *= 2;
	wait = Min(wait, BACKOFF_MAX_MS);
	/* Streams that fail together do not come back together. */
	hash = hash_combine(murmurhash32(salt), murmurhash32((uint32) failures));
	return wait - (int) (hash % (uint32) (wait / 4));
}
