/*
 * topic_path.h
 *	  The column option "path": where in a message's value a column lies.
 *
 * Owns: its syntax, in both directions. Refuses: to know messages, columns and formats.
 *
 *	  paths = path { "," path }               tried in order; blanks around a path count for nothing
 *	  path  = step { step }
 *	  step  = [ "." ] key | "[" number "]"    a dot before each key but one at the beginning; numbers from 0
 *	  key   = characters other than . , [ ] " and blanks | '"' any characters, a quote as "" '"'
 *
 * A path without quotes does not begin with $, nor is * a key: those are other languages' words for the value and for
 * all members, which here would silently be keys that nobody has.
 */
#ifndef KSEG_TOPIC_PATH_H
#define KSEG_TOPIC_PATH_H

#include "postgres.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

/* One step: a member of an object, or an element of an array. */
typedef struct KsegTopicStep
{
	char *key; /* in the database's encoding, may be ''; NULL: an array's element */
	int index; /* of the element, from 0 */
} KsegTopicStep;

typedef struct KsegTopicPath
{
	int count; /* at least 1, at most KSEG_PATH_STEPS_MAX */
	KsegTopicStep steps[FLEXIBLE_ARRAY_MEMBER];
} KsegTopicPath;

/*
 * The paths of an option's text, in order: a List of KsegTopicPath *, at least one, palloc'd in the current context.
 * ERROR 22023, with the text and the character's number (from 1) in the detail: not of the syntax, or more than
 * KSEG_WANT_PATHS_MAX paths or KSEG_PATH_STEPS_MAX steps (reader.h).
 */
extern List *topic_path_parse(const char *text);

/* The same option for csv: a field's number, from 1. ERROR 22023 for anything else. */
extern int topic_path_parse_field(const char *text);

/* The path of one member at the top level, palloc'd: what a column's name means without the option. */
extern KsegTopicPath *topic_path_of_key(const char *key);

/* path behind these keys of objects (debezium's "after", …), palloc'd; steps are shared. */
extern KsegTopicPath *topic_path_below(const KsegTopicPath *path, int count, const char *const *keys);

/* Append a key to a path's text, with its dot, and quoted when it must be: the reverse of parsing. */
extern void topic_path_append_key(StringInfo text, const char *key);

/* Append the path as CONFIG has it: a JSON array of keys and numbers in UTF-8, ["a","b",0]. */
extern void topic_path_append_json(StringInfo json, const KsegTopicPath *path);

#endif /* KSEG_TOPIC_PATH_H */
