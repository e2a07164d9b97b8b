/*
 * test_server.c
 *	  test_server(server): a courier reaches the other side and says in rows what it found.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/result_set.h"
#include "link/link.h"
#include "link/link_failure.h"
#include "link/link_text.h"
#include "server/kafka_server.h"
#include "server/segment_server.h"
#include "server/server_lookup.h"

/* CHECK's second field. */
#define CHECK_CANNOT_TELL 2

static Datum
check_text(KsegText text, bool *null)
{
	*null = text.length == 0;
	return *null ? (Datum) 0 : CStringGetTextDatum(link_text_to_server(text.data, text.length));
}

static void
check_put(ReturnSetInfo *result, const KsegFrame *frame)
{
	KsegReader reader;
	Datum values[4];
	bool nulls[4];
	uint32 ok;

	kseg_reader_init(&reader, frame);
	values[0] = check_text(kseg_read_text(&reader), &nulls[0]);
	ok = kseg_read_u32(&reader);
	values[1] = BoolGetDatum(ok == 1);
	nulls[1] = ok == CHECK_CANNOT_TELL;
	values[2] = check_text(kseg_read_text(&reader), &nulls[2]);
	values[3] = check_text(kseg_read_text(&reader), &nulls[3]);
	if (kseg_reader_done(&reader))
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
check_take_frame(void *argument, const KsegFrame *frame)
{
	if (frame != NULL && frame->type == KSEG_FRAME_CHECK)
		check_put((ReturnSetInfo *) argument, frame);
}

/* A row of our own, before the courier's. hint NULL: none. */
static void
check_put_own(ReturnSetInfo *result, const char *check, const char *detail, const char *hint)
{
	Datum values[4] = {CStringGetTextDatum(check), BoolGetDatum(hint == NULL), CStringGetTextDatum(detail)};
	bool nulls[4] = {false, false, false, hint == NULL};

	if (hint != NULL)
		values[3] = CStringGetTextDatum(hint);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ---------- Segment ---------- */

/* The server as it is, before a courier is started for it; returns what check_start_… needs. */
static void *
check_find_segment(const char *name, ReturnSetInfo *result)
{
	return segment_server_get(name, false);
}

static void
check_start_segment(KsegLink *link, const void *found)
{
	const KsegSegmentServer *server = found;
	KsegLinkCredit credit = {.lanes = server->connections, .max_events = 1, .max_bytes = KSEG_EVENT_MAX};
	char *write_key = segment_server_write_key(server);
	StringInfoData config;

	initStringInfo(&config);
	segment_server_config(server, write_key, "segment_test", &config);
	link_configure(link, config.data, config.len, &credit);
	explicit_bzero(config.data, config.len);
	explicit_bzero(write_key, strlen(write_key));
}

/* ---------- Kafka ---------- */

static void *
check_find_kafka(const char *name, ReturnSetInfo *result)
{
	KsegKafkaServer *server = kafka_server_get(name, false);
	bool readable = kafka_server_is_plaintext_anywhere(server);

	check_put_own(result, "user mapping",
	              psprintf("%s, %s",
	                       server->mapping_of_public
	                           ? "of every role with USAGE"
	                           : psprintf("of role \"%s\"", GetUserNameFromId(GetUserId(), false)),
	                       server->sasl_username ? "with a user name and a password" : "without a password"),
	              NULL);
	check_put_own(
	    result, "protocol", psprintf("%s to %s", server->security_protocol, server->bootstrap_servers),
	    readable ? "Everybody on the way can read and change the messages: set security_protocol to 'ssl' or "
	               "'sasl_ssl'."
	             : NULL);
	return server;
}

static void
check_start_kafka(KsegLink *link, const void *found)
{
	KsegLinkCredit credit = {.lanes = 1, .max_events = 1, .max_bytes = KSEG_MESSAGE_MAX};
	StringInfoData config;

	initStringInfo(&config);
	kafka_server_config(found, "kafka_test", &config);
	appendStringInfoChar(&config, '}');
	link_configure(link, config.data, config.len, &credit);
	explicit_bzero(config.data, config.len);
}

/* ---------- a server of any wrapper ---------- */

/* How the servers of a wrapper are tested. */
typedef struct KsegServerTest
{
	const char *wrapper;
	void *(*find)(const char *name, ReturnSetInfo *result);
	void (*start)(KsegLink *link, const void *found);
} KsegServerTest;

static const KsegServerTest server_tests[] = {
    {KSEG_SEGMENT_WRAPPER, check_find_segment, check_start_segment},
    {KSEG_KAFKA_WRAPPER, check_find_kafka, check_start_kafka},
};

static const KsegServerTest *
check_test_of(const char *name)
{
	const char *wrapper = server_lookup_wrapper(name);

	if (wrapper == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("server \"%s\" does not exist", name),
		                errhint("Create it with kseg.connect_segment or kseg.connect_kafka.")));
	for (int i = 0; i < lengthof(server_tests); i++)
	{
		if (strcmp(server_tests[i].wrapper, wrapper) == 0)
			return &server_tests[i];
	}
	ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
	                errmsg("server \"%s\" is not a server of kseg's wrappers", name)));
}

PG_FUNCTION_INFO_V1(kseg_sql_test_server);

/* test_server(server text) RETURNS SETOF (check text, ok bool, detail text, hint text) */
Datum
kseg_sql_test_server(PG_FUNCTION_ARGS)
{
	const KsegServerTest *test;
	ReturnSetInfo *result;
	KsegLink *link;
	void *found;
	char *name;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("server must not be NULL")));
	if (InSecurityRestrictedOperation())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("kseg sends nothing from within a security-restricted operation")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	test = check_test_of(name);
	result = result_set_begin(fcinfo);
	found = test->find(name, result);
	link = link_open(check_take_frame, result);
	PG_TRY();
	{
		test->start(link, found);
		if (link_finish(link) != KSEG_LINK_DONE)
			link_failure_raise(link, NULL, "Repeat the test.");
	}
	PG_FINALLY();
	{
		link_close(link);
	}
	PG_END_TRY();
	return (Datum) 0;
}
