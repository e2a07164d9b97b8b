/*
 * connect_segment.c
 *	  connect_segment() and COPY kseg.write_key.
 *
 * Owns: which server a write key is for. Refuses: to give a key to another address than the one it was given for. The care
 * for the key on its way is connect.c's.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"

#include "server/connect.h"
#include "server/endpoint.h"
#include "server/option.h"
#include "server/segment_server.h"

/* What the caller said; NULL: not said. */
typedef struct KsegConnectSegment
{
	KsegConnect connect;
	char *write_key;
	char *region;
	char *endpoint;
} KsegConnectSegment;

static char *
segment_server_endpoint(const ForeignServer *server)
{
	const char *endpoint = option_value(server->options, "endpoint");
	const char *region = option_value(server->options, "region");

	return endpoint_normalize(endpoint ? endpoint : endpoint_of_region(region ? region : "us"));
}

/* The server is there already: it must be the one that is meant. */
static void
segment_check_server(const KsegConnectSegment *segment, const ForeignServer *server)
{
	char *is = segment_server_endpoint(server);
	const char *wanted = segment->endpoint ? endpoint_normalize(segment->endpoint)
	                     : segment->region ? endpoint_of_region(segment->region)
	                                       : is;

	if (wanted == NULL || strcmp(is, wanted) != 0)
		ereport(ERROR,
		        (errcode(ERRCODE_DUPLICATE_OBJECT),
		         errmsg("server \"%s\" exists with another endpoint", segment->connect.server),
		         errdetail("It sends to %s.", is),
		         errhint("Choose another name with server => '...', or change it with ALTER SERVER.")));
}

static ForeignServer *
segment_create_server(const KsegConnectSegment *segment)
{
	List *options = connect_add_option(NIL, "endpoint", segment->endpoint);

	return connect_create_server(&segment->connect, connect_add_option(options, "region", segment->region));
}

static void
segment_check_arguments(const KsegConnectSegment *segment)
{
	if (segment->write_key == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("write_key is missing"),
		                errhint("Segment shows a source's write key under Settings, API Keys.")));
	if (segment->region != NULL && segment->endpoint != NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("region and endpoint exclude each other"),
		         errdetail("A region stands for one of Segment's own endpoints.")));
	if (segment_server_key_problem(segment->write_key) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid write_key"),
		                errdetail("%s", segment_server_key_problem(segment->write_key))));
}

/* Server and mapping. Returns what was done, in a sentence without the key. */
static char *
segment_connect(const KsegConnect *connect)
{
	const KsegConnectSegment *segment = (const KsegConnectSegment *) connect;
	ForeignServer *server;
	bool created;
	bool replaced;
	List *options;

	segment_check_arguments(segment);
	server = connect_find_server(connect);
	created = server == NULL;
	if (created)
		server = segment_create_server(segment);
	else
		segment_check_server(segment, server);
	connect_mapping_options(connect, server, &replaced);
	/* A file would go before the key. */
	options = connect_drop_option(NIL, "write_key_file");
	connect_set_mapping(connect, server, connect_add_option(options, "write_key", segment->write_key));
	return psprintf("%s server %s (%s), write key %s for %s", created ? "created" : "kept",
	                quote_identifier(connect->server), segment_server_endpoint(server),
	                replaced ? "replaced" : "set", connect_whose(connect));
}

PG_FUNCTION_INFO_V1(kseg_sql_connect_segment);

/* connect_segment(write_key text, region text, endpoint text, server text, for_role text) RETURNS text */
Datum
kseg_sql_connect_segment(PG_FUNCTION_ARGS)
{
	KsegConnectSegment segment = {
	    .connect = {"connect_segment", KSEG_SEGMENT_WRAPPER, "SELECT kseg.connect_segment(...)"}};
	char *done;

	/* Before anything else: other sessions see this instead of a statement with the key. */
	pgstat_report_activity(STATE_RUNNING, segment.connect.activity);

	segment.write_key = connect_text_argument(fcinfo, 0);
	segment.region = connect_text_argument(fcinfo, 1);
	segment.endpoint = connect_text_argument(fcinfo, 2);
	segment.connect.server = connect_text_argument(fcinfo, 3);
	segment.connect.for_role = connect_text_argument(fcinfo, 4);
	done = connect_guarded(&segment.connect, segment_connect);
	if (connect_is_logged())
		ereport(WARNING, (errmsg("this server logs statements: the write key may now be in its log"),
		                  errhint("Replace the key at Segment, then set it with COPY kseg.write_key "
		                          "(write_key) FROM STDIN, or let "
		                          "a superuser name a file in the user mapping's option write_key_file."),
		                  errhidestmt(true), errhidecontext(true)));
	PG_RETURN_TEXT_P(cstring_to_text(done));
}

#define WRITE_KEY_ACTIVITY "kseg.write_key gets a row, which is not shown"

PG_FUNCTION_INFO_V1(kseg_sql_write_key_begin);

/* BEFORE INSERT trigger of the view kseg.write_key. */
Datum
kseg_sql_write_key_begin(PG_FUNCTION_ARGS)
{
	connect_copy_begin(WRITE_KEY_ACTIVITY);
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(kseg_sql_write_key_insert);

/* INSTEAD OF INSERT trigger of the view kseg.write_key: each row is one connect_segment call. */
Datum
kseg_sql_write_key_insert(PG_FUNCTION_ARGS)
{
	KsegConnectSegment segment = {.connect = {"connect_segment", KSEG_SEGMENT_WRAPPER, WRITE_KEY_ACTIVITY}};
	TriggerData *trigger = connect_copy_trigger(fcinfo);

	segment.write_key = connect_copy_text(trigger, "write_key");
	segment.region = connect_copy_text(trigger, "region");
	segment.endpoint = connect_copy_text(trigger, "endpoint");
	segment.connect.server = connect_copy_text(trigger, "server");
	segment.connect.for_role = connect_copy_text(trigger, "for_role");
	if (segment.connect.server == NULL)
		segment.connect.server = "segment";
	connect_guarded(&segment.connect, segment_connect);
	return PointerGetDatum(trigger->tg_trigtuple);
}
