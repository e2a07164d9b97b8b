/*
 * topic_reread.c
 *	  A message that is at hand, into a record. See topic_reread.h.
 *
 * The wants are read from CONFIG's own JSON (src/README.md), so that what a record holds is said in one place only: topic_row.c and
 * topic_feed.c write it, the courier and this file read it.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "reader/reader.h"
#include "source/topic_reread.h"

/* In front of a RECORDS frame's records: their count, and the number of fields. */
#define REREAD_FRAME_HEAD (2 * sizeof(uint32))

/* Where a field of the record comes from. */
typedef enum RereadField
{
	REREAD_READ, /* the message reader: a path, or a column */
	REREAD_VALUE,
	REREAD_KEY,
	REREAD_HEADERS
} RereadField;

struct KsegTopicReread
{
	MemoryContext context;
	KsegMessageReader *reader; /* NULL: no field is read */
	RereadField *kinds;        /* of each field */
	uint32 fields;
	KsegWant *wants; /* of the fields that are read */
	uint32 want_count;
	KsegText *values; /* of the record under way: of all fields, */
	KsegText *read;   /* and of those that are read */
	StringInfoData frame;
	MemoryContextCallback cleanup;
};

/* ---------- the wants ---------- */

static JsonbValue *
want_member(JsonbContainer *object, const char *name)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, name, (int) strlen(name), NULL);

	if (value == NULL)
		elog(ERROR, "a want has no member \"%s\"", name);
	return value;
}

static int32
want_number(const JsonbValue *value)
{
	return DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(value->val.numeric)));
}

/* Keys go to the reader as UTF-8, and live as long as the reread. */
static KsegPathStep
want_step(const JsonbValue *value)
{
	KsegPathStep step = {{NULL, 0}, 0};
	char *key;

	if (value->type != jbvString)
	{
		step.index = (uint32) want_number(value);
		return step;
	}
	key = pnstrdup(value->val.string.val, value->val.string.len);
	key = pg_server_to_any(key, (int) strlen(key), PG_UTF8);
	step.key = (KsegText){key, (uint32) strlen(key)};
	return step;
}

static KsegPath
want_path(JsonbContainer *steps)
{
	KsegPathStep *list = palloc(sizeof(KsegPathStep) * Max(JsonContainerSize(steps), 1));

	for (uint32 i = 0; i < JsonContainerSize(steps); i++)
		list[i] = want_step(getIthJsonbValueFromContainer(steps, i));
	return (KsegPath){.count = JsonContainerSize(steps), .steps = list};
}

static void
want_paths(KsegWant *want, JsonbContainer *object)
{
	JsonbContainer *paths = want_member(object, "paths")->val.binary.data;
	KsegPath *list = palloc(sizeof(KsegPath) * Max(JsonContainerSize(paths), 1));

	for (uint32 i = 0; i < JsonContainerSize(paths); i++)
		list[i] = want_path(getIthJsonbValueFromContainer(paths, i)->val.binary.data);
	want->path_count = JsonContainerSize(paths);
	want->paths = list;
	want->raw = want_member(object, "raw")->val.boolean;
}

static bool
want_is(const JsonbValue *kind, const char *word)
{
	return (size_t) kind->val.string.len == strlen(word) &&
	       memcmp(kind->val.string.val, word, strlen(word)) == 0;
}

/* Take up the next field. */
static void
reread_add_field(KsegTopicReread *reread, JsonbContainer *object)
{
	const JsonbValue *kind = want_member(object, "kind");
	RereadField *field = &reread->kinds[reread->fields++];
	KsegWant *want = &reread->wants[reread->want_count];

	*field = REREAD_READ;
	if (want_is(kind, "path"))
		want_paths(want, object);
	else if (want_is(kind, "column"))
		want->column = (uint32) want_number(want_member(object, "column"));
	else if (want_is(kind, "value"))
		*field = REREAD_VALUE;
	else if (want_is(kind, "key"))
		*field = REREAD_KEY;
	else if (want_is(kind, "headers"))
		*field = REREAD_HEADERS;
	else
		elog(ERROR, "a want is of no known kind");
	if (*field == REREAD_READ)
		reread->want_count++;
}

static void
reread_take_wants(KsegTopicReread *reread, const char *wants)
{
	char *text = pg_any_to_server(wants, (int) strlen(wants), PG_UTF8);
	Jsonb *json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	uint32 count = JsonContainerSize(&json->root);

	reread->kinds = palloc(sizeof(RereadField) * (count + 1));
	reread->wants = palloc0(sizeof(KsegWant) * (count + 1));
	reread->values = palloc(sizeof(KsegText) * (count + 1));
	reread->read = palloc(sizeof(KsegText) * (count + 1));
	for (uint32 i = 0; i < count; i++)
		reread_add_field(reread, getIthJsonbValueFromContainer(&json->root, i)->val.binary.data);
}

/* ---------- the reader ---------- */

/* The reader's preset would end the process, and with it the whole server's sessions. */
static void
reread_out_of_memory(void)
{
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
	                errdetail("A message could not be read.")));
}

static void
reread_close(void *argument)
{
	KsegTopicReread *reread = argument;

	reader_close(reread->reader);
	reread->reader = NULL;
}

KsegTopicReread *
topic_reread_open(const KsegTopicRequest *request)
{
	KsegTopicReread *reread = palloc0(sizeof(KsegTopicReread));
	bool csv = request->format == KSEG_TOPIC_CSV;
	KsegCsvForm form = {request->delimiter[0], request->quote[0], request->null};

	reread->context = CurrentMemoryContext;
	initStringInfo(&reread->frame);
	reread_take_wants(reread, request->wants);
	if (reread->fields != request->fields)
		elog(ERROR, "%u wants instead of %u", reread->fields, request->fields);
	if (reread->want_count == 0)
		return reread;
	reader_out_of_memory = reread_out_of_memory;
	/* Registered first: with no reader it does nothing. */
	reread->cleanup = (MemoryContextCallback){.func = reread_close, .arg = reread};
	MemoryContextRegisterResetCallback(reread->context, &reread->cleanup);
	reread->reader =
	    reader_open(csv ? KSEG_FORMAT_CSV : KSEG_FORMAT_JSON, reread->wants, reread->want_count, &form);
	return reread;
}

/* ---------- a message ---------- */

/* Take the wanted parts out of the value. Returns what is wrong with it, length 0: nothing. */
static KsegText
reread_read_value(KsegTopicReread *reread, const KsegText *value)
{
	const char *error = "";

	for (uint32 i = 0; i < reread->want_count; i++)
		reread->read[i] = (KsegText){NULL, 0};
	if (reread->reader != NULL && value->data != NULL &&
	    !reader_read(reread->reader, value->data, value->length, reread->read))
		error = reader_error(reread->reader);
	return (KsegText){error, (uint32) strnlen(error, KSEG_RECORD_ERROR_MAX)};
}

static void
reread_gather(KsegTopicReread *reread, const KsegTopicMessage *message)
{
	const KsegText *read = reread->read;

	for (uint32 i = 0; i < reread->fields; i++)
	{
		switch (reread->kinds[i])
		{
			case REREAD_READ:
				reread->values[i] = *read++;
				break;
			case REREAD_VALUE:
				reread->values[i] = message->value;
				break;
			case REREAD_KEY:
				reread->values[i] = message->key;
				break;
			case REREAD_HEADERS:
				reread->values[i] = message->headers;
				break;
		}
	}
}

void
topic_reread_add(KsegTopicReread *reread, const KsegTopicMessage *message, KsegTopicBatch *batch)
{
	KsegRecord record = {.partition = message->partition,
	                     .offset = message->offset,
	                     .timestamp = message->timestamp,
	                     .timestamp_type = message->timestamp == KSEG_NO_TIMESTAMP ? 0 : 1,
	                     .flags = message->value.data == NULL ? KSEG_RECORD_TOMBSTONE : 0};
	KsegFrame frame = {.type = KSEG_FRAME_RECORDS};
	uint8_t *payload;
	size_t size;

	record.error = reread_read_value(reread, &message->value);
	reread_gather(reread, message);
	size = kseg_record_size(reread->values, reread->fields, record.error.length);
	if (size > KSEG_FRAME_MAX - REREAD_FRAME_HEAD)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		                errmsg("the wanted fields of a message come to more than %d bytes", KSEG_FRAME_MAX)));
	resetStringInfo(&reread->frame);
	enlargeStringInfo(&reread->frame, (int) (REREAD_FRAME_HEAD + size));
	payload = (uint8_t *) reread->frame.data;
	payload = kseg_write_u32(kseg_write_u32(payload, 1), reread->fields);
	kseg_record_write(payload, &record, reread->values, reread->fields);
	frame.payload = (uint8_t *) reread->frame.data;
	frame.length = (uint32) (REREAD_FRAME_HEAD + size);
	topic_batch_add(batch, &frame);
}
