/*
 * json_value.c
 *	  Plain values to JSON: everything that does not hold other values.
 *
 * Owns: one small encoder a type. Refuses: to choose among them, which event_types.c does once a run, and to read values
 * over the writer's limits.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "event/json_value.h"

bool
json_value_oversize(Datum value, int max)
{
	struct varlena *raw = (struct varlena *) DatumGetPointer(value);

	if (VARATT_IS_4B_U(raw))
		return VARSIZE_4B(raw) > max;
	/* A pointer to an external value looks short too. */
	if (VARATT_IS_SHORT(raw) && !VARATT_IS_EXTERNAL(raw))
		return false;
	return toast_raw_datum_size(value) > max;
}

struct varlena *
json_value_open(KsegWriter *writer, Datum value)
{
	if (unlikely(json_value_oversize(value, writer->value_max)))
	{
		json_write_trouble(writer, writer->too_large);
		return NULL;
	}
	return PG_DETOAST_DATUM_PACKED(value);
}

struct varlena *
json_value_open_aligned(KsegWriter *writer, Datum value)
{
	if (unlikely(json_value_oversize(value, writer->container_max)))
	{
		json_write_trouble(writer, writer->too_large);
		return NULL;
	}
	return PG_DETOAST_DATUM(value);
}

/* A string in the database's encoding. */
static void
text_write(KsegWriter *writer, const char *text, int length)
{
	if (unlikely(!json_text_utf8(writer, &text, &length)))
	{
		json_write_trouble(writer, NULL);
		return;
	}
	json_write_string(writer->out, text, length);
	json_canon_text(writer, text, length);
}

void
json_encode_bool(KsegWriter *writer, KsegType *type, Datum value)
{
	bool yes = DatumGetBool(value);

	json_write_bytes(writer->out, yes ? "true" : "false", yes ? 4 : 5);
	json_canon_number(writer, KSEG_CANON_BOOL, yes);
}

void
json_encode_int2(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_int64(writer, DatumGetInt16(value));
}

void
json_encode_int4(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_int64(writer, DatumGetInt32(value));
}

void
json_encode_int8(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_int64(writer, DatumGetInt64(value));
}

void
json_encode_oid(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_int64(writer, DatumGetObjectId(value));
}

void
json_encode_float4(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_float4(writer, DatumGetFloat4(value));
}

void
json_encode_float8(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_float8(writer, DatumGetFloat8(value));
}

void
json_encode_numeric(KsegWriter *writer, KsegType *type, Datum value)
{
	struct varlena *numeric = json_value_open(writer, value);

	if (numeric != NULL)
		json_write_numeric(writer, numeric, false);
}

void
json_encode_text(KsegWriter *writer, KsegType *type, Datum value)
{
	struct varlena *text = json_value_open(writer, value);

	if (text != NULL)
		text_write(writer, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
}

void
json_encode_bpchar(KsegWriter *writer, KsegType *type, Datum value)
{
	struct varlena *text = json_value_open(writer, value);

	if (text != NULL)
		text_write(writer, VARDATA_ANY(text), bpchartruelen(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text)));
}

void
json_encode_name(KsegWriter *writer, KsegType *type, Datum value)
{
	const char *name = NameStr(*DatumGetName(value));

	text_write(writer, name, strlen(name));
}

static char *
hex_write(char *to, const uint8 *bytes, int count)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < count; i++)
	{
		*to++ = digits[bytes[i] >> 4];
		*to++ = digits[bytes[i] & 15];
	}
	return to;
}

void
json_encode_uuid(KsegWriter *writer, KsegType *type, Datum value)
{
	static const int groups[] = {4, 2, 2, 2, 6};
	const uint8 *bytes = DatumGetUUIDP(value)->data;
	char text[2 * UUID_LEN + 4] = {0};
	char *to = text;

	for (int i = 0; i < lengthof(groups); i++)
	{
		if (i > 0)
			*to++ = '-';
		to = hex_write(to, bytes, groups[i]);
		bytes += groups[i];
	}
	json_write_plain(writer, text, sizeof(text));
}

void
json_encode_bytea(KsegWriter *writer, KsegType *type, Datum value)
{
	StringInfo out = writer->out;
	struct varlena *bytes = json_value_open(writer, value);
	int length;
	char *to;

	if (bytes == NULL)
		return;
	length = VARSIZE_ANY_EXHDR(bytes);
	to = json_reserve(out, 2 * length + 5);
	memcpy(to, "\"\\\\x", 4); /* the backslash of \x is escaped */
	to = hex_write(to + 4, (const uint8 *) VARDATA_ANY(bytes), length);
	*to++ = '"';
	/* From the second of the two backslashes on, it is bytea's own text. */
	json_canon_text(writer, NULL, 2 * length + 2);
	writer->canon->at = out->len + 2;
	out->len = to - out->data;
}

void
json_encode_timestamp(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_timestamp(writer, DatumGetTimestamp(value));
}

void
json_encode_date(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_date(writer, DatumGetDateADT(value));
}

void
json_encode_time(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_time(writer, DatumGetTimeADT(value));
}

void
json_encode_timetz(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_timetz(writer, DatumGetTimeTzADTP(value));
}

void
json_encode_interval(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_interval(writer, DatumGetIntervalP(value));
}

/* JSON that is text already. */
static void
document_write(KsegWriter *writer, struct varlena *json)
{
	const char *text = VARDATA_ANY(json);
	int length = VARSIZE_ANY_EXHDR(json);
	int at = writer->out->len;

	if (!json_text_utf8(writer, &text, &length))
	{
		json_write_trouble(writer, NULL);
		return;
	}
	json_write_bytes(writer->out, text, length);
	json_canon_written(writer, KSEG_CANON_JSON, at, 0);
}

void
json_encode_json(KsegWriter *writer, KsegType *type, Datum value)
{
	struct varlena *json = json_value_open(writer, value);

	if (json != NULL)
		document_write(writer, json);
}

void
json_encode_jsonb(KsegWriter *writer, KsegType *type, Datum value)
{
	struct varlena *jsonb = json_value_open_aligned(writer, value);

	if (jsonb != NULL)
		json_write_jsonb(writer, (Jsonb *) jsonb);
}

/* A value that its own function reads: too large, when it is a varlena? */
static bool
function_refuses(KsegWriter *writer, KsegType *type, Datum value)
{
	if (!type->varlena || !json_value_oversize(value, writer->value_max))
	{
		if (type->settings)
			event_settings_enter(writer);
		return false;
	}
	json_write_trouble(writer, writer->too_large);
	return true;
}

void
json_encode_cast(KsegWriter *writer, KsegType *type, Datum value)
{
	struct varlena *json;

	if (function_refuses(writer, type, value))
		return;
	json = json_value_open(writer, FunctionCall1(&type->function, value));
	if (json != NULL)
		document_write(writer, json);
}

void
json_encode_output(KsegWriter *writer, KsegType *type, Datum value)
{
	const char *text;
	size_t length;

	if (function_refuses(writer, type, value))
		return;
	text = OutputFunctionCall(&type->function, value);
	length = strlen(text);
	if (length > writer->value_max)
		json_write_trouble(writer, writer->too_large);
	else
		text_write(writer, text, length);
}

void
json_encode_money(KsegWriter *writer, KsegType *type, Datum value)
{
	json_write_trouble(writer, "money has no form that is the same in every session");
}

/* Encode on the side, and take the quotes away. */
static bool
value_text_encoded(KsegWriter *writer, KsegType *type, Datum value, const char **text, int *length)
{
	StringInfo out = writer->out;
	KsegCanon *canon = writer->canon;
	const char *trouble = writer->trouble;
	StringInfoData side;
	KsegCanon side_canon;
	bool written;

	initStringInfo(&side);
	writer->out = &side;
	writer->canon = &side_canon;
	writer->trouble = NULL;
	type->encode(writer, type, value);
	written = writer->trouble == NULL;
	writer->out = out;
	writer->canon = canon;
	if (trouble != NULL)
		writer->trouble = trouble;
	if (!written)
		return false;
	if (side.data[0] == '"')
		*text = json_unescape(side.data, side.len, length);
	else
	{
		*text = side.data;
		*length = side.len;
	}
	return true;
}

bool
json_value_text(KsegWriter *writer, KsegType *type, Datum value, const char **text, int *length)
{
	/* What most ids are, without a copy. */
	if (type->encode == json_encode_text && !json_value_oversize(value, writer->value_max))
	{
		struct varlena *plain = PG_DETOAST_DATUM_PACKED(value);

		*text = VARDATA_ANY(plain);
		*length = VARSIZE_ANY_EXHDR(plain);
		return json_text_utf8(writer, text, length);
	}
	return value_text_encoded(writer, type, value, text, length);
}
