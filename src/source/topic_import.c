/*
 * topic_import.c
 *	  IMPORT FOREIGN SCHEMA: topics into foreign tables. See topic_import.h.
 *
 * The "remote schema" is a LIKE pattern over the names of topics; LIMIT TO and EXCEPT name tables, which are called like their
 * topics. A courier lists the topics, and for each one that is wanted another reads the sample.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_foreign_table.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "link/link.h"
#include "link/link_failure.h"
#include "link/link_text.h"
#include "server/kafka_server.h"
#include "server/option.h"
#include "source/topic_import.h"
#include "source/topic_import_table.h"

/*
 * The sample: a thousand messages show what nearly all have, and cost less than starting the courier that reads them. More than
 * a hundred thousand would be a scan of the topic.
 */
#define IMPORT_SAMPLE_PRESET "1000"
#define IMPORT_SAMPLE_MAX    100000

static const char *const import_formats[] = {"json", "text", "csv", "bytea", "debezium", NULL};
static const char *const import_on_errors[] = {"error", "null", "skip", NULL};

/* One byte of ASCII, as the option of a foreign table. */
static void
import_check_byte(const char *value)
{
	if (strlen(value) != 1 || IS_HIGHBIT_SET(value[0]) || strchr("\r\n", value[0]) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("delimiter and quote are one character of ASCII each, and no line end")));
}

#define IMPORT_OFFSET(field) offsetof(KsegImportOptions, field)

/* Options of the statement; those but sample are passed on to each foreign table. */
static const KsegOption import_options[] = {
    {"sample", ForeignTableRelationId, KSEG_OPTION_INT, IMPORT_OFFSET(sample), IMPORT_SAMPLE_PRESET, 1,
     IMPORT_SAMPLE_MAX},
    {"format", ForeignTableRelationId, KSEG_OPTION_CHOICE, IMPORT_OFFSET(format), NULL, 0, 0, import_formats},
    {"on_error", ForeignTableRelationId, KSEG_OPTION_CHOICE, IMPORT_OFFSET(on_error), NULL, 0, 0,
     import_on_errors},
    {"delimiter", ForeignTableRelationId, KSEG_OPTION_TEXT, IMPORT_OFFSET(delimiter),
     .check = import_check_byte},
    {"quote", ForeignTableRelationId, KSEG_OPTION_TEXT, IMPORT_OFFSET(quote), .check = import_check_byte},
    {"null", ForeignTableRelationId, KSEG_OPTION_TEXT, IMPORT_OFFSET(null)},
    {NULL},
};

/* ---------- topics ---------- */

typedef struct ImportTopic
{
	char *name;
	int partitions;
} ImportTopic;

typedef struct ImportTopics
{
	MemoryContext context;
	List *topics; /* of ImportTopic * */
} ImportTopics;

/* A CHECK frame of the job kafka_topics: name, whether it can be read, number of partitions. */
static void
import_take_frame(void *argument, const KsegFrame *frame)
{
	ImportTopics *topics = argument;
	MemoryContext previous;
	ImportTopic *topic;
	KsegReader reader;
	KsegText name;
	KsegText partitions;
	uint32 readable;

	if (frame == NULL || frame->type != KSEG_FRAME_CHECK)
		return;
	kseg_reader_init(&reader, frame);
	name = kseg_read_text(&reader);
	readable = kseg_read_u32(&reader);
	partitions = kseg_read_text(&reader);
	(void) kseg_read_text(&reader);
	if (!kseg_reader_done(&reader))
		elog(ERROR, "kseg's courier sent a topic that is none");
	if (readable == 0 || name.length == 0)
		return;
	previous = MemoryContextSwitchTo(topics->context);
	topic = palloc(sizeof(ImportTopic));
	topic->name = link_text_to_server(name.data, name.length);
	topic->partitions = atoi(pnstrdup(partitions.data, partitions.length));
	topics->topics = lappend(topics->topics, topic);
	MemoryContextSwitchTo(previous);
}

static int
import_compare_topics(const ListCell *a, const ListCell *b)
{
	return strcmp(((ImportTopic *) lfirst(a))->name, ((ImportTopic *) lfirst(b))->name);
}

/* All topics that the user may see, by name. */
static List *
import_list_topics(const KsegKafkaServer *server)
{
	ImportTopics topics = {.context = CurrentMemoryContext};
	/* Nothing is fed, so credit means nothing. */
	KsegLinkCredit credit = {.lanes = 1};
	StringInfoData config;
	KsegLink *link;

	initStringInfo(&config);
	kafka_server_config(server, "kafka_topics", &config);
	appendStringInfoChar(&config, '}');
	link = link_open(import_take_frame, &topics);
	link_configure(link, config.data, config.len, &credit);
	explicit_bzero(config.data, config.maxlen);
	if (link_finish(link) != KSEG_LINK_DONE)
		link_failure_raise(link, NULL, "Repeat the statement.");
	link_close(link);
	list_sort(topics.topics, import_compare_topics);
	return topics.topics;
}

/* Kafka's own topics (__consumer_offsets, …) are nobody's tables unless they are asked for by name. */
static bool
import_is_wanted(const ImportTopic *topic, const char *pattern)
{
	if (strncmp(topic->name, "__", 2) == 0)
		return strcmp(topic->name, pattern) == 0;
	return DatumGetBool(DirectFunctionCall2Coll(textlike, C_COLLATION_OID, CStringGetTextDatum(topic->name),
	                                            CStringGetTextDatum(pattern)));
}

/* ---------- the statement ---------- */

static List *
import_topics(ImportForeignSchemaStmt *statement, const KsegKafkaServer *server, List *topics,
              const KsegImportOptions *options)
{
	List *commands = NIL;
	List *taken = NIL;
	int matched = 0;
	ListCell *cell;

	foreach (cell, topics)
	{
		const ImportTopic *topic = lfirst(cell);
		KsegImportShape *shape;
		char *table;

		if (!import_is_wanted(topic, statement->remote_schema))
			continue;
		matched++;
		table = import_name_of_table(&taken, topic->name);
		if (!IsImportableForeignTable(table, statement))
			continue;
		shape = import_sample_read(server, topic->name, topic->partitions, options);
		commands =
		    lappend(commands, import_table_write(table, statement->server_name, topic->name, shape, options));
		pfree(shape);
	}
	if (matched == 0)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
		     errmsg("server \"%s\" has no topic like \"%s\"", server->name, statement->remote_schema),
		     errdetail("%d topics are visible to this user.", list_length(topics)),
		     errhint(
		         "The name after IMPORT FOREIGN SCHEMA is a LIKE pattern of topic names: \"orders%%\".")));
	return commands;
}

static List *
import_schema(ImportForeignSchemaStmt *statement, Oid server_oid)
{
	KsegImportOptions options = {0};
	KsegKafkaServer *server;

	option_check_list(import_options, statement->options, ForeignTableRelationId);
	option_read_list(import_options, statement->options, ForeignTableRelationId, &options);
	server = kafka_server_get_by_oid(server_oid, GetUserId());
	return import_topics(statement, server, import_list_topics(server), &options);
}

void
topic_import_install(FdwRoutine *routine)
{
	routine->ImportForeignSchema = import_schema;
}
