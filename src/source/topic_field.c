/*
 * topic_field.c
 *	  One field of a message into a column's type. See topic_field.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "compat.h"
#include "source/topic_field.h"

/* The one column of what json_to_record returns. */
#define RECORD_COLUMN "value"

bool
topic_field_is_raw(Oid type, Oid base_type)
{
	return base_type == JSONOID || base_type == JSONBOID || type_is_rowtype(base_type) ||
	       OidIsValid(get_element_type(base_type));
}

/* ---------- beforehand ---------- */

static void
field_prepare_record(KsegTopicField *field)
{
	TupleDesc desc = CreateTemplateTupleDesc(1);

	TupleDescInitEntry(desc, 1, RECORD_COLUMN, field->type, field->typmod, 0);
	TupleDescInitEntryCollation(desc, 1, get_typcollation(field->type));
	fmgr_info(F_JSON_TO_RECORD, &field->input);
	field->result.type = T_ReturnSetInfo;
	field->result.expectedDesc = BlessTupleDesc(desc);
}

void
topic_field_prepare(KsegTopicField *field, Oid type, Oid base_type, int32 typmod)
{
	Oid input;

	field->type = type;
	field->typmod = typmod;
	field->literal = topic_literal_of_type(type, typmod);
	field->record =
	    field->json && topic_field_is_raw(type, base_type) && base_type != JSONOID && base_type != JSONBOID;
	if (field->record)
		field_prepare_record(field);
	else
	{
		getTypeInputInfo(type, &input, &field->ioparam);
		fmgr_info(input, &field->input);
	}
}

/* ---------- bytes into text ---------- */

static bool
field_wrong(KsegTopicProblem *problem, int sqlerrcode, const char *reason)
{
	problem->sqlerrcode = sqlerrcode;
	problem->reason = reason;
	return false;
}

/* In the database's own encoding: the bytes must be text in it. */
static bool
field_check_bytes(const char *text, uint32 length, KsegTopicProblem *problem)
{
	int encoding = GetDatabaseEncoding() == PG_SQL_ASCII ? PG_SQL_ASCII : PG_UTF8;

	if (pg_verify_mbstr(encoding, text, length, true))
		return true;
	return field_wrong(problem, ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
	                   encoding == PG_UTF8 ? "the bytes are no text in UTF-8"
	                                       : "text cannot have a byte of zero");
}

/* From UTF-8 into another encoding of the database's. */
static bool
field_convert(const char **text, uint32 *length, KsegTopicProblem *problem)
{
	Oid conversion = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	/* A message has at most KSEG_MESSAGE_MAX bytes, so that this stays below MaxAllocSize. */
	int room = *length * MAX_CONVERSION_GROWTH + 1;
	char *converted = palloc(room);
	int taken;

	if (!OidIsValid(conversion))
		elog(ERROR, "no conversion from UTF8 to %s", GetDatabaseEncodingName());
	taken = pg_do_encoding_conversion_buf(conversion, PG_UTF8, GetDatabaseEncoding(), (unsigned char *) *text,
	                                      *length, (unsigned char *) converted, room, true);
	if (taken < *length)
		return field_wrong(problem, ERRCODE_UNTRANSLATABLE_CHARACTER,
		                   psprintf("it has a character that the database's encoding %s has not",
		                            GetDatabaseEncodingName()));
	*text = converted;
	*length = strlen(converted);
	return true;
}

/* Make text of the database's encoding of a field's bytes. */
static bool
field_to_text(const KsegTopicField *field, const char **text, uint32 *length, KsegTopicProblem *problem)
{
	if (field->unchecked && !field_check_bytes(*text, *length, problem))
		return false;
	if (GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII)
		return true;
	return field_convert(text, length, problem);
}

/* ---------- text into a value ---------- */

/* json_to_record of {"value": the field}: PostgreSQL's own reading of arrays and composites, in every version. */
static Datum
field_read_record(KsegTopicField *field, const char *text, bool *null)
{
	LOCAL_FCINFO(call, 1);
	TupleDesc desc = field->result.expectedDesc;
	HeapTupleHeader header;
	HeapTupleData tuple;
	Datum value;

	InitFunctionCallInfoData(*call, &field->input, 1, InvalidOid, NULL, (Node *) &field->result);
	call->args[0].value = CStringGetTextDatum(psprintf("{\"" RECORD_COLUMN "\":%s}", text));
	call->args[0].isnull = false;
	header = (HeapTupleHeader) DatumGetPointer(FunctionCallInvoke(call));
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	tuple.t_data = header;
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	heap_deform_tuple(&tuple, desc, &value, null);
	return value;
}

static Datum
field_call(KsegTopicField *field, char *text, bool *null)
{
	*null = false;
	return field->record ? field_read_record(field, text, null)
	                     : InputFunctionCall(&field->input, text, field->ioparam, field->typmod);
}

/* Is this error a fault of the text, rather than of the world around it? As design.md sorts failures. */
static bool
error_is_texts_own(int sqlerrcode)
{
	static const int worlds[] = {
	    MAKE_SQLSTATE('0', '8', '0', '0', '0'), MAKE_SQLSTATE('2', '5', '0', '0', '0'),
	    MAKE_SQLSTATE('4', '0', '0', '0', '0'), MAKE_SQLSTATE('5', '3', '0', '0', '0'),
	    MAKE_SQLSTATE('5', '5', '0', '0', '0'), MAKE_SQLSTATE('5', '7', '0', '0', '0'),
	    MAKE_SQLSTATE('5', '8', '0', '0', '0'), MAKE_SQLSTATE('X', 'X', '0', '0', '0')};

	for (int i = 0; i < lengthof(worlds); i++)
	{
		if (ERRCODE_TO_CATEGORY(sqlerrcode) == worlds[i])
			return false;
	}
	return true;
}

/* Take the error that has just been caught, into context: its text may become a problem. */
static ErrorData *
field_take_error(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	return error;
}

/* An error that was taken becomes a problem; one of another kind goes on its way. */
static void
field_sort_error(ErrorData *error, KsegTopicProblem *problem)
{
	if (!error_is_texts_own(error->sqlerrcode))
		ReThrowError(error);
	field_wrong(problem, error->sqlerrcode, error->message);
}

/* After a problem nothing but an ERROR may follow. */
static bool
field_read_hard(KsegTopicField *field, char *text, Datum *value, bool *null, KsegTopicProblem *problem)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		*value = field_call(field, text, null);
	}
	PG_CATCH();
	{
		field_sort_error(field_take_error(context), problem);
	}
	PG_END_TRY();
	return problem->reason == NULL;
}

/* A subtransaction takes what the function had begun when it failed; without a write it costs no transaction id. */
static bool
field_read_in_subtransaction(KsegTopicField *field, char *text, Datum *value, bool *null,
                             KsegTopicProblem *problem)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	if (!kseg_compat_subtransaction_allowed())
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("a parallel query cannot read such a column with on_error 'null' or 'skip'"),
		                errhint("SET max_parallel_workers_per_gather = 0, or set on_error to 'error'.")));
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		*value = field_call(field, text, null);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		error = field_take_error(context);
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	/* Only now: an error that left with the subtransaction still open would leave the session in it. */
	if (error != NULL)
		field_sort_error(error, problem);
	return problem->reason == NULL;
}

static bool
field_read_soft(KsegTopicField *field, char *text, Datum *value, bool *null, KsegTopicProblem *problem)
{
	ErrorData *error;

	if (field->record || !kseg_compat_has_soft_errors())
		return field_read_in_subtransaction(field, text, value, null, problem);
	*null = false;
	if (kseg_compat_input_soft(&field->input, text, field->ioparam, field->typmod, value, &error))
		return true;
	return field_wrong(problem, error->sqlerrcode, error->message);
}

bool
topic_field_read(KsegTopicField *field, const char *text, uint32 length, bool soft, Datum *value, bool *null,
                 KsegTopicProblem *problem)
{
	char *terminated;

	*null = false;
	problem->reason = NULL;
	if (field->bytes)
		return topic_literal_read(KSEG_LITERAL_TEXT, -1, text, length, value);
	if ((field->unchecked || GetDatabaseEncoding() != PG_UTF8) &&
	    !field_to_text(field, &text, &length, problem))
		return false;
	if (field->debezium != NULL && !topic_debezium_text(field->debezium, &text, &length, problem))
		return false;
	if (likely(topic_literal_read(field->literal, field->typmod, text, length, value)))
		return true;
	if (field->json && length == 4 && memcmp(text, "null", 4) == 0)
	{
		*null = true;
		return true;
	}
	terminated = pnstrdup(text, length);
	return soft ? field_read_soft(field, terminated, value, null, problem)
	            : field_read_hard(field, terminated, value, null, problem);
}
