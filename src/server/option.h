/*
 * option.h
 *	  Options of servers and user mappings: a table, walked by one loop, both to check them when they are set and to read
 *	  them when they are used.
 *
 * Owns: the kinds of options and their parsing. Refuses: to know what an option means.
 */
#ifndef KSEG_OPTION_H
#define KSEG_OPTION_H

#include "postgres.h"
#include "nodes/pg_list.h"

typedef enum KsegOptionKind
{
	KSEG_OPTION_TEXT,     /* into a char * */
	KSEG_OPTION_INT,      /* into an int */
	KSEG_OPTION_DURATION, /* into an int of milliseconds; written as seconds or with a unit: 0.5, 500ms, 10min */
	KSEG_OPTION_CHOICE    /* into a char *, one of choices */
} KsegOptionKind;

typedef struct KsegOption
{
	const char *name;
	Oid catalog; /* ForeignServerRelationId or UserMappingRelationId */
	KsegOptionKind kind;
	size_t offset;      /* of the value in the struct that is read into */
	const char *preset; /* value when it is not set; NULL: leave the field zero */
	double minimum;     /* of INT, or of DURATION in seconds */
	double maximum;
	const char *const *choices;       /* of CHOICE, ends with NULL */
	bool secret;                      /* its value never appears in a message */
	void (*check)(const char *value); /* further checks of a value that is being set; NULL: none */
} KsegOption;

/*
 * Check a list of DefElem as set on an object of this catalog. ERRORs: an unknown option (HV00D, "Perhaps you meant"),
 * a value that is none (22023) or out of range. The statement of such an error is kept out of the log (errhidestmt).
 */
extern void option_check_list(const KsegOption *table, List *options, Oid catalog);

/* Fill the fields of this catalog's options in target: presets first, then what is set. Values were checked when set. */
extern void option_read_list(const KsegOption *table, List *options, Oid catalog, void *target);

/* The name among names (ends with NULL) that a typing error away from this one, or NULL. palloc's nothing. */
extern const char *option_near_miss(const char *name, const char *const *names);

#endif /* KSEG_OPTION_H */
