/*
 * config_write.h
 *	  Members of the JSON object that CONFIG is. Each is appended behind what is there, with a comma unless it is the first.
 */
#ifndef KSEG_CONFIG_WRITE_H
#define KSEG_CONFIG_WRITE_H

#include "postgres.h"
#include "lib/stringinfo.h"

/* value is in the database's encoding and is written as UTF-8; NULL is written as ''. */
extern void config_text(StringInfo json, const char *name, const char *value);
extern void config_int(StringInfo json, const char *name, int64 value);
/* A value that is JSON already. */
extern void config_json(StringInfo json, const char *name, const char *value);

#endif /* KSEG_CONFIG_WRITE_H */
