/*
 * segment_arguments.c
 *	  What a call to Segment was called with. See segment_arguments.h.
 */
#include "postgres.h"

#include "run/segment_arguments.h"

static const char *const nulls_choices[] = {"omit", "send", NULL};
static const char *const call_choices[] = {"track",  "identify", "group", "page",
                                           "screen", "alias",    NULL}; /* as KsegCall */

/* Arguments that name a column or a constant, and where they go. */
static const struct
{
	const char *name;
	size_t offset; /* of a const char * in KsegMapping */
} mapping_arguments[] = {
    {"event", offsetof(KsegMapping, event)},
    {"event_column", offsetof(KsegMapping, event_column)},
    {"user_id", offsetof(KsegMapping, user_id)},
    {"anonymous_id", offsetof(KsegMapping, anonymous_id)},
    {"group_id", offsetof(KsegMapping, group_id)},
    {"previous_id", offsetof(KsegMapping, previous_id)},
    {"name", offsetof(KsegMapping, name)},
    {"category", offsetof(KsegMapping, category)},
    {"event_time", offsetof(KsegMapping, event_time)},
    {"message_id", offsetof(KsegMapping, message_id)},
};

static void
arguments_of_mapping(KsegMapping *mapping, const KsegArguments *arguments)
{
	bool given;

	for (int i = 0; i < lengthof(mapping_arguments); i++)
		*(const char **) ((char *) mapping + mapping_arguments[i].offset) =
		    arguments_text(arguments, mapping_arguments[i].name);
	mapping->properties = arguments_text_list(arguments, "properties", &mapping->has_properties);
	if (!mapping->has_properties)
		mapping->properties = arguments_text_list(arguments, "traits", &mapping->has_properties);
	mapping->exclude = arguments_text_list(arguments, "exclude", &given);
	mapping->context = arguments_object(arguments, "context");
	mapping->integrations = arguments_object(arguments, "integrations");
	mapping->send_nulls = arguments_choice(arguments, "nulls", nulls_choices) == 1;
	if (mapping->event != NULL && mapping->event_column != NULL)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("event and event_column exclude each other"),
		     errhint("event is the same name for every row; event_column names the column that has it.")));
	if (mapping->event != NULL && mapping->event[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("event must not be empty")));
}

void
segment_arguments_of_run(KsegSegmentArguments *segment, FunctionCallInfo fcinfo, KsegCall call)
{
	KsegArguments arguments;

	memset(segment, 0, sizeof(*segment));
	arguments_read(&arguments, fcinfo);
	segment->mapping.call = call;
	arguments_of_run(&segment->run, &arguments, "segment");
	arguments_of_mapping(&segment->mapping, &arguments);
}

void
segment_arguments_of_preview(KsegSegmentArguments *segment, FunctionCallInfo fcinfo)
{
	KsegArguments arguments;

	memset(segment, 0, sizeof(*segment));
	arguments_read(&arguments, fcinfo);
	segment->mapping.call = (KsegCall) arguments_choice(&arguments, "call", call_choices);
	arguments_of_run(&segment->run, &arguments, "segment");
	arguments_of_mapping(&segment->mapping, &arguments);
}
