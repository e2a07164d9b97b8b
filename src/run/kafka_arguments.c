/*
 * kafka_arguments.c
 *	  What a run to Kafka was called with. See kafka_arguments.h.
 */
#include "postgres.h"

#include "run/kafka_arguments.h"

static const char *const nulls_choices[] = {"send", "omit", NULL};

/* Arguments that name a column, or the topic, and where they go. */
static const struct
{
	const char *name;
	size_t offset; /* of a const char * in KsegMessageMapping */
} mapping_arguments[] = {
    {"topic", offsetof(KsegMessageMapping, topic)},
    {"key", offsetof(KsegMessageMapping, key)},
    {"value", offsetof(KsegMessageMapping, value)},
    {"headers", offsetof(KsegMessageMapping, headers)},
    {"partition", offsetof(KsegMessageMapping, partition)},
    {"event_time", offsetof(KsegMessageMapping, event_time)},
};

void
kafka_arguments_read(KsegKafkaArguments *kafka, FunctionCallInfo fcinfo)
{
	KsegArguments arguments;
	bool given;

	memset(kafka, 0, sizeof(*kafka));
	arguments_read(&arguments, fcinfo);
	arguments_of_run(&kafka->run, &arguments, "kafka");
	for (int i = 0; i < lengthof(mapping_arguments); i++)
		*(const char **) ((char *) &kafka->mapping + mapping_arguments[i].offset) =
		    arguments_text(&arguments, mapping_arguments[i].name);
	kafka->mapping.exclude = arguments_text_list(&arguments, "exclude", &given);
	kafka->mapping.omit_nulls = arguments_choice(&arguments, "nulls", nulls_choices) == 1;
	kafka->transactional = arguments_bool(&arguments, "transactional");
}
