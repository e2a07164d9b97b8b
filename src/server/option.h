/*
 * option.h
 *	  Options of servers, user mappings, foreign tables and columns: a table, walked by one loop, both to check them when
 *	  they are set and to read them when they are used.
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
	KSEG_OPTION_SIZE,     /* into an int of bytes; written as bytes or with a unit: 1000000, 64kB, 16MB */
	KSEG_OPTION_CHOICE, /* into a char *, one of choices */
	KSEG_OPTION_CHECKED /* into nothing; its check alone says what is valid, '' too */
} KsegOptionKind;

typedef struct KsegOption
{
	const char *name;
	Oid catalog; /* ForeignServerRelationId, UserMappingRelationId, ForeignTableRelationId or AttributeRelationId */
	KsegOptionKind kind;
	size_t offset;      /* of the value in the struct that is read into */
	const char *preset; /* value when it is not set; NULL: leave the field zero */
	double minimum;     /* of INT, of DURATION in seconds, of SIZE in bytes */
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

/* The value of an option in a list of DefElem, or NULL when it is not there. */
extern const char *option_value(List *options, const char *name);

/* Is this an option of the table, on an object of this catalog? */
extern bool option_is_known(const KsegOption *table, const char *name, Oid catalog);

/*
 * Check the option's value, the path of a file that the server process reads. ERRORs: not superuser (42501), not absolute
 * (22023). object: whose option it is, "kseg_segment server".
 */
extern void option_check_file(const char *name, const char *object, const char *value);

/*
 * The callback of an ErrorContextCallback around whatever else is checked of options: keeps the statement, which may hold a
 * secret, out of the log.
 */
extern void option_hide_statement(void *argument);

/* Fill the fields of this catalog's options in target: presets first, then what is set. Values were checked when set. */
extern void option_read_list(const KsegOption *table, List *options, Oid catalog, void *target);

#endif /* KSEG_OPTION_H */
