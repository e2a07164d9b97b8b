/*
 * option.c
 *	  One loop over a table of options. See option.h.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "utils/guc.h"
#include "lib/stringinfo.h"
#include "utils/varlena.h"

#include "server/option.h"

/* Most names that are offered for a near miss to choose from: more than any table here has. */
#define OPTION_NAMES_MAX 64

/*
 * At most 4 edits and at most half the letters, as PostgreSQL's own wrappers offer (contrib/postgres_fdw/option.c); its
 * ClosestMatchState is younger than 15.
 */
#define OPTION_NEAR_MISS 4

const char *
option_near_miss(const char *name, const char *const *names)
{
	int length = strlen(name);
	int best = Min(OPTION_NEAR_MISS, length / 2) + 1;
	const char *near = NULL;

	/* varstr_levenshtein takes no longer strings, and no option has such a name. */
	if (length == 0 || length > 255)
		return NULL;
	for (; *names != NULL; names++)
	{
		int distance =
		    varstr_levenshtein_less_equal(name, length, *names, strlen(*names), 1, 1, 1, best - 1, true);

		if (distance < best)
		{
			best = distance;
			near = *names;
		}
	}
	return near;
}

static const KsegOption *
option_find(const KsegOption *table, const char *name, Oid catalog)
{
	for (const KsegOption *option = table; option->name != NULL; option++)
	{
		if (option->catalog == catalog && strcmp(option->name, name) == 0)
			return option;
	}
	return NULL;
}

/* What to say of a name that belongs to the other kind of object, or NULL. */
static const char *
option_misplaced(const KsegOption *table, const char *name, Oid catalog)
{
	bool mapping = catalog == UserMappingRelationId;

	if (option_find(table, name, mapping ? ForeignServerRelationId : UserMappingRelationId) == NULL)
		return NULL;
	return psprintf("\"%s\" is an option of the %s.", name, mapping ? "server" : "user mapping");
}

static void
option_unknown(const KsegOption *table, const char *name, Oid catalog)
{
	const char *misplaced = option_misplaced(table, name, catalog);
	const char *names[OPTION_NAMES_MAX + 1] = {NULL};
	StringInfoData all;
	const char *near;
	int count = 0;

	initStringInfo(&all);
	for (const KsegOption *option = table; option->name != NULL && count < OPTION_NAMES_MAX; option++)
	{
		if (option->catalog != catalog)
			continue;
		names[count++] = option->name;
		appendStringInfo(&all, "%s%s", all.len > 0 ? ", " : "", option->name);
	}
	near = option_near_miss(name, names);
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", name),
	                misplaced ? errhint("%s", misplaced)
	                : near    ? errhint("Perhaps you meant the option \"%s\".", near)
	                : count   ? errhint("Valid options here are: %s.", all.data)
	                          : errhint("There are no valid options here.")));
}

static void
option_invalid(const KsegOption *option, const char *value, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                option->secret ? errmsg("invalid value for option \"%s\"", option->name)
	                               : errmsg("invalid value for option \"%s\": \"%s\"", option->name, value),
	                errhint("%s", expected)));
}

/* The value as a number in the option's unit (INT: itself, DURATION: seconds), in range, or an ERROR. */
static double
option_number(const KsegOption *option, const char *value)
{
	bool duration = option->kind == KSEG_OPTION_DURATION;
	double number;
	char *expected =
	    psprintf(duration ? "A duration from %g to %g seconds, such as \"0.5\", \"500ms\" or \"10min\"."
	                      : "A whole number from %g to %g.",
	             option->minimum, option->maximum);

	if (!parse_real(value, &number, duration ? GUC_UNIT_S : 0, NULL) || isnan(number) ||
	    (!duration && number != rint(number)) || number < option->minimum || number > option->maximum)
		option_invalid(option, value, expected);
	pfree(expected);
	return number;
}

static void
option_check_choice(const KsegOption *option, const char *value)
{
	StringInfoData all;
	const char *near;

	initStringInfo(&all);
	for (const char *const *choice = option->choices; *choice != NULL; choice++)
	{
		if (strcmp(*choice, value) == 0)
			return;
		appendStringInfo(&all, "%s\"%s\"", all.len > 0 ? ", " : "", *choice);
	}
	near = option_near_miss(value, option->choices);
	option_invalid(option, value,
	               near ? psprintf("Perhaps you meant \"%s\".", near)
	                    : psprintf("Valid values are %s.", all.data));
}

static void
option_check(const KsegOption *option, const char *value)
{
	if (option->kind == KSEG_OPTION_CHOICE)
		option_check_choice(option, value);
	else if (option->kind == KSEG_OPTION_INT || option->kind == KSEG_OPTION_DURATION)
		option_number(option, value);
	else if (value[0] == '\0')
		option_invalid(option, value, "The value must not be empty.");
	if (option->check != NULL)
		option->check(value);
}

/* Also of a server's options: a key that was put there by mistake would be logged with the statement. */
static void
option_hide_statement(void *argument)
{
	errhidestmt(true);
}

void
option_check_list(const KsegOption *table, List *options, Oid catalog)
{
	ErrorContextCallback callback = {.previous = error_context_stack, .callback = option_hide_statement};
	ListCell *cell;

	error_context_stack = &callback;
	foreach (cell, options)
	{
		DefElem *element = lfirst_node(DefElem, cell);
		const KsegOption *option = option_find(table, element->defname, catalog);

		if (option == NULL)
			option_unknown(table, element->defname, catalog);
		else
			option_check(option, defGetString(element));
	}
	error_context_stack = callback.previous;
}

static void
option_store(const KsegOption *option, const char *value, void *target)
{
	char *field = (char *) target + option->offset;

	switch (option->kind)
	{
		case KSEG_OPTION_TEXT:
		case KSEG_OPTION_CHOICE:
			*(char **) field = pstrdup(value);
			break;
		case KSEG_OPTION_INT:
			*(int *) field = (int) option_number(option, value);
			break;
		case KSEG_OPTION_DURATION:
			*(int *) field = (int) rint(option_number(option, value) * 1000);
			break;
	}
}

void
option_read_list(const KsegOption *table, List *options, Oid catalog, void *target)
{
	ListCell *cell;

	for (const KsegOption *option = table; option->name != NULL; option++)
	{
		if (option->catalog == catalog && option->preset != NULL)
			option_store(option, option->preset, target);
	}
	foreach (cell, options)
	{
		DefElem *element = lfirst_node(DefElem, cell);
		const KsegOption *option = option_find(table, element->defname, catalog);

		if (option != NULL)
			option_store(option, defGetString(element), target);
	}
}
