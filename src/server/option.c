/*
 * option.c
 *	  One loop over a table of options. See option.h.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_attribute.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "lib/stringinfo.h"

#include "base/near_miss.h"
#include "server/option.h"

/* Most names that are offered for a near miss to choose from: more than any table here has. */
#define OPTION_NAMES_MAX 64

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

bool
option_is_known(const KsegOption *table, const char *name, Oid catalog)
{
	return option_find(table, name, catalog) != NULL;
}

/* What to say of a name that belongs to another kind of object, or NULL. */
static const char *
option_misplaced(const KsegOption *table, const char *name)
{
	static const struct
	{
		Oid catalog;
		const char *words;
	} objects[] = {
	    {ForeignServerRelationId, "server"},
	    {UserMappingRelationId, "user mapping"},
	    {ForeignTableRelationId, "foreign table"},
	    {AttributeRelationId, "foreign table's columns"},
	};

	for (int i = 0; i < lengthof(objects); i++)
	{
		if (option_find(table, name, objects[i].catalog) != NULL)
			return psprintf("\"%s\" is an option of the %s.", name, objects[i].words);
	}
	return NULL;
}

static void
option_unknown(const KsegOption *table, const char *name, Oid catalog)
{
	const char *misplaced = option_misplaced(table, name);
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
	near = near_miss_find(name, names);
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

/* How numbers of a kind are written. */
typedef struct OptionUnit
{
	int guc;
	const char *expected; /* with the bounds */
} OptionUnit;

static OptionUnit
option_unit(KsegOptionKind kind)
{
	if (kind == KSEG_OPTION_DURATION)
		return (OptionUnit){GUC_UNIT_S,
		                    "A duration from %g to %g seconds, such as \"0.5\", \"500ms\" or \"10min\"."};
	if (kind == KSEG_OPTION_SIZE)
		return (OptionUnit){GUC_UNIT_BYTE,
		                    "A size from %.0f to %.0f bytes, such as \"1000000\", \"64kB\" or \"16MB\"."};
	return (OptionUnit){0, "A whole number from %.0f to %.0f."};
}

/* The value as a number in the option's unit (DURATION: seconds, SIZE: bytes), in range, or an ERROR. */
static double
option_number(const KsegOption *option, const char *value)
{
	OptionUnit unit = option_unit(option->kind);
	bool whole = option->kind != KSEG_OPTION_DURATION;
	double number;
	char *expected = psprintf(unit.expected, option->minimum, option->maximum);

	if (!parse_real(value, &number, unit.guc, NULL) || isnan(number) || (whole && number != rint(number)) ||
	    number < option->minimum || number > option->maximum)
		option_invalid(option, value, expected);
	pfree(expected);
	return number;
}

/* The choice that is this word in other letters (SASL_SSL, as Kafka's own settings have it), or NULL. */
static const char *
option_same_word(const char *value, const char *const *choices)
{
	for (; *choices != NULL; choices++)
	{
		if (pg_strcasecmp(value, *choices) == 0)
			return *choices;
	}
	return NULL;
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
	near = option_same_word(value, option->choices);
	if (near == NULL)
		near = near_miss_find(value, option->choices);
	option_invalid(option, value,
	               near ? psprintf("Perhaps you meant \"%s\".", near)
	                    : psprintf("Valid values are %s.", all.data));
}

static void
option_check(const KsegOption *option, const char *value)
{
	switch (option->kind)
	{
		case KSEG_OPTION_CHOICE:
			option_check_choice(option, value);
			break;
		case KSEG_OPTION_INT:
		case KSEG_OPTION_DURATION:
		case KSEG_OPTION_SIZE:
			option_number(option, value);
			break;
		case KSEG_OPTION_TEXT:
			if (value[0] == '\0')
				option_invalid(option, value, "The value must not be empty.");
			break;
		case KSEG_OPTION_CHECKED:
			break;
	}
	if (option->check != NULL)
		option->check(value);
}

void
option_check_file(const char *name, const char *object, const char *value)
{
	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("only superusers may set the option \"%s\" of a %s", name, object),
		                errdetail("It names a file that the server process reads.")));
	if (!is_absolute_path(value))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("option \"%s\" must be an absolute path", name)));
}

/* Also of a server's options: a key that was put there by mistake would be logged with the statement. */
void
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
		case KSEG_OPTION_SIZE:
			*(int *) field = (int) option_number(option, value);
			break;
		case KSEG_OPTION_DURATION:
			*(int *) field = (int) rint(option_number(option, value) * 1000);
			break;
		case KSEG_OPTION_CHECKED:
			break;
	}
}

const char *
option_value(List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *element = lfirst_node(DefElem, cell);

		if (strcmp(element->defname, name) == 0)
			return defGetString(element);
	}
	return NULL;
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
