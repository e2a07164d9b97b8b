/*
 * test_server.c
 *	  test_server(server): a courier reaches the other side and says in rows what it found.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "link/link.h"
#include "link/link_text.h"
#include "run/result_set.h"
#include "run/segment_run.h"
#include "server/segment_server.h"

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

static void
check_configure(KsegLink *link, const KsegSegmentServer *server)
{
	KsegLinkCredit credit = {.lanes = server->connections, .max_events = 1, .max_bytes = KSEG_EVENT_MAX};
	char *write_key = segment_server_write_key(server);
	StringInfoData config;

	initStringInfo(&config);
	segment_server_config(server, write_key, "segment_test", &config);
	link_configure(link, config.data, config.len, &credit);
	explicit_bzero(config.data, config.len);
	explicit_bzero(write_key, strlen(write_key));
}

PG_FUNCTION_INFO_V1(kseg_sql_test_server);

/* test_server(server text) RETURNS SETOF (check text, ok bool, detail text, hint text) */
Datum
kseg_sql_test_server(PG_FUNCTION_ARGS)
{
	KsegSegmentServer *server;
	KsegRunFailure *volatile failure;
	ReturnSetInfo *result;
	KsegLink *link;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("server must not be NULL")));
	if (InSecurityRestrictedOperation())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("kseg sends nothing from within a security-restricted operation")));
	server = segment_server_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
	result = result_set_begin(fcinfo);
	link = link_open(check_take_frame, result);
	PG_TRY();
	{
		check_configure(link, server);
		link_finish(link);
		failure = run_failure_of_link(link);
	}
	PG_FINALLY();
	{
		link_close(link);
	}
	PG_END_TRY();
	if (failure != NULL)
		ereport(ERROR, (errcode(failure->sqlerrcode), errmsg("%s", failure->message),
		                failure->detail ? errdetail("%s", failure->detail) : 0,
		                failure->hint ? errhint("%s", failure->hint) : 0));
	return (Datum) 0;
}
