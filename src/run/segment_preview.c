/*
 * segment_preview.c
 *	  segment_preview(query, …): the exact JSON of each row, its bytes and its problems. Sends nothing, starts no courier.
 *
 * It is the path of a run up to the lane's buffer: same arguments, same query execution, same plan and writer.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/query_text.h"
#include "base/result_set.h"
#include "event/event.h"
#include "event/repeat.h"
#include "run/query.h"
#include "run/segment_arguments.h"
#include "server/segment_server.h"

typedef struct KsegPreview
{
	DestReceiver receiver; /* first */
	const KsegSegmentArguments *arguments;
	KsegNamespace ns;
	MemoryContext context;
	MemoryContext row_context;
	KsegPlan *plan;
	KsegRepeatSet *repeats;
	ReturnSetInfo *result;
	StringInfoData event;
	uint64 rows;
} KsegPreview;

/* UTF-8, as it would be sent, in the database's encoding, as it can be shown. */
static Datum
preview_text(const char *text)
{
	return CStringGetTextDatum(pg_any_to_server(text, strlen(text), PG_UTF8));
}

/* The row's problems (in the database's encoding already) as text[], or NULL when there are none. */
static Datum
preview_problems(KsegPreview *preview, bool repeated)
{
	int count;
	const KsegProblem *problems = event_problems(preview->plan, &count);
	Datum *texts = palloc(sizeof(Datum) * (count + 1));

	for (int i = 0; i < count; i++)
		texts[i] = CStringGetTextDatum(
		    problems[i].column == NULL ? problems[i].text
		                               : psprintf("column \"%s\": %s", problems[i].column, problems[i].text));
	if (repeated)
		texts[count++] = CStringGetTextDatum("the same event as an earlier row: it is sent once");
	if (count == 0)
		return (Datum) 0;
	return PointerGetDatum(construct_array(texts, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
preview_put(KsegPreview *preview, bool repeated)
{
	const char *id = event_message_id(preview->plan);
	Datum values[5];
	bool nulls[5] = {false};

	values[0] = CStringGetTextDatum(event_call_name(preview->arguments->mapping.call));
	nulls[1] = id == NULL;
	values[1] = id == NULL ? (Datum) 0 : preview_text(id);
	values[2] = preview_text(preview->event.data);
	values[3] = Int32GetDatum(preview->event.len);
	values[4] = preview_problems(preview, repeated);
	nulls[4] = values[4] == (Datum) 0;
	tuplestore_putvalues(preview->result->setResult, preview->result->setDesc, values, nulls);
}

static bool
preview_receive(TupleTableSlot *slot, DestReceiver *receiver)
{
	KsegPreview *preview = (KsegPreview *) receiver;
	MemoryContext previous = MemoryContextSwitchTo(preview->row_context);
	bool valid;

	preview->rows++;
	resetStringInfo(&preview->event);
	event_begin(preview->plan, slot, preview->rows);
	valid = event_write(preview->plan, &preview->event);
	preview_put(preview, valid && repeat_set_add(preview->repeats, event_id(preview->plan)));
	MemoryContextSwitchTo(previous);
	MemoryContextReset(preview->row_context);
	return preview->arguments->run.row_limit == 0 || preview->rows < preview->arguments->run.row_limit;
}

static void
preview_startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
	KsegPreview *preview = (KsegPreview *) receiver;
	MemoryContext previous = MemoryContextSwitchTo(preview->context);

	preview->plan = event_plan_create(&preview->arguments->mapping, desc, &preview->ns);
	preview->repeats = repeat_set_create((Size) work_mem * 1024);
	initStringInfo(&preview->event);
	MemoryContextSwitchTo(previous);
}

static void
preview_shutdown(DestReceiver *receiver)
{
}

/* Message ids carry the write key in their namespace; without a server that may be used there are none to show. */
static void
preview_find_namespace(KsegPreview *preview)
{
	KsegSegmentServer *server = segment_server_get(preview->arguments->run.server, true);
	char *write_key;

	preview->ns.known = false;
	if (server == NULL || (server->write_key == NULL && server->write_key_file == NULL))
	{
		ereport(NOTICE, (errmsg("message ids are not shown, because they depend on the write key"),
		                 errdetail("Role \"%s\" has no write key for a server \"%s\".",
		                           GetUserNameFromId(GetUserId(), false), preview->arguments->run.server)));
		return;
	}
	write_key = segment_server_write_key(server);
	event_namespace_make(&preview->ns, write_key);
	explicit_bzero(write_key, strlen(write_key));
}

PG_FUNCTION_INFO_V1(kseg_sql_segment_preview);

/*
 * segment_preview(query text, call text, …as the calls…, row_limit bigint)
 * RETURNS SETOF (type text, message_id text, event text, bytes int, problems text[])
 */
Datum
kseg_sql_segment_preview(PG_FUNCTION_ARGS)
{
	KsegSegmentArguments arguments;
	KsegPreview *preview = palloc0(sizeof(KsegPreview));

	segment_arguments_of_preview(&arguments, fcinfo);
	query_check(arguments.run.query);
	preview->receiver.receiveSlot = preview_receive;
	preview->receiver.rStartup = preview_startup;
	preview->receiver.rShutdown = preview_shutdown;
	preview->receiver.rDestroy = preview_shutdown;
	preview->receiver.mydest = DestTuplestore; /* anything but DestNone, which SPI takes for "discard" */
	preview->arguments = &arguments;
	preview->context = CurrentMemoryContext;
	preview->row_context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg preview row", ALLOCSET_DEFAULT_SIZES);
	preview_find_namespace(preview);
	preview->result = result_set_begin(fcinfo);
	query_execute(arguments.run.query, &preview->receiver);
	/* It may have spilled to files, which a transaction must not leave open. */
	(void) repeat_set_finish(preview->repeats);
	return (Datum) 0;
}
