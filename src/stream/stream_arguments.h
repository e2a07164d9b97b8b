/*
 * stream_arguments.h
 *	  What a stream is made or altered with: the arguments, one by one, within their bounds.
 *
 * Owns: bounds and words, and why they are what they are. Refuses: to judge whether a definition as a whole works (stream_query.c), and
 * to write it (stream_write.c).
 */
#ifndef KSEG_STREAM_ARGUMENTS_H
#define KSEG_STREAM_ARGUMENTS_H

#include "postgres.h"

#include "base/arguments.h"
#include "stream/stream_entry.h"

/* The words of the entry's enums, by their numbers; end with NULL. */
extern const char *const stream_on_conflict_words[];
extern const char *const stream_on_error_words[];
extern const char *const stream_start_words[];

/* Which of the definition's parts an alteration gave. */
typedef struct KsegStreamGiven
{
	bool names; /* query, target or delete_when: names in them are looked up by the search_path of now */
	bool any;   /* anything that a worker must take up */
} KsegStreamGiven;

/* What a stream has when nothing is said: as the SQL function's defaults. */
extern void stream_arguments_preset(KsegStreamEntry *entry);

/*
 * Put the arguments that are given into the entry, palloc'd. NULL leaves what is there; an empty text or array takes key, delete_when,
 * topics or commit_group away. ERRORs 22023, 22004 with the bounds in the hint. start, owner and new_name are the callers'.
 */
extern KsegStreamGiven stream_arguments_take(KsegStreamEntry *entry, const KsegArguments *arguments);

/* ERROR 22023 unless this may be a stream's name. */
extern void stream_arguments_check_name(const char *name);

#endif /* KSEG_STREAM_ARGUMENTS_H */
