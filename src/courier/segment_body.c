/*
 * segment_body.c
 *	  Bodies. See segment_body.h.
 */
#include "courier/segment_body.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* Level 1: 1.06 M prediction events a second and core, 4.8 times smaller; higher levels cost more than they save (design.md). */
#define BODY_GZIP_LEVEL 1

static const char body_sent_at[] = "],\"sentAt\":\"";
static const char body_no_time[] = "0000-00-00T00:00:00.000Z";

/* {"library":{"name":…,"version":…}} as JSON text. The caller puts the object, which owns the text. */
static struct json_object *
body_make_context(const KsegConfig *config)
{
	struct json_object *context = json_object_new_object();
	struct json_object *library = json_object_new_object();

	json_object_object_add(library, "name", json_object_new_string(config->library_name));
	json_object_object_add(library, "version", json_object_new_string(config->library_version));
	json_object_object_add(context, "library", library);
	return context;
}

void
body_form_open(KsegBodyForm *form, const KsegConfig *config)
{
	struct json_object *context = body_make_context(config);
	const char *text =
	    json_object_to_json_string_ext(context, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	KsegBuffer tail = {0};

	buffer_append(&tail, body_sent_at, strlen(body_sent_at));
	buffer_append(&tail, body_no_time, KSEG_CLOCK_UTC_LENGTH);
	buffer_append(&tail, "\",\"context\":", strlen("\",\"context\":"));
	buffer_append(&tail, text, strlen(text));
	buffer_append(&tail, "}", 1);
	json_object_put(context);

	form->tail = tail.data;
	form->tail_length = tail.length;
	form->sent_at = strlen(body_sent_at);
	form->compressor =
	    strcmp(config->compression, "gzip") == 0 ? libdeflate_alloc_compressor(BODY_GZIP_LEVEL) : NULL;
}

void
body_form_close(KsegBodyForm *form)
{
	free(form->tail);
	libdeflate_free_compressor(form->compressor);
	*form = (KsegBodyForm){0};
}

size_t
body_form_room(const KsegBodyForm *form)
{
	return KSEG_UPLOAD_MAX - KSEG_BATCH_HEAD_LENGTH - form->tail_length;
}

/* The bytes of the body before compression, without a tail: the batch's own, or a copy of a part. */
static KsegBuffer *
body_find_plain(KsegBody *body, KsegBatch *batch, const KsegBatchRange *range)
{
	size_t events_end = range->offset + range->length;

	if (range->from == 0 && range->to == batch->count)
	{
		batch->body.length = events_end; /* an earlier attempt's tail goes */
		return &batch->body;
	}
	body->part.length = 0;
	buffer_append(&body->part, KSEG_BATCH_HEAD, KSEG_BATCH_HEAD_LENGTH);
	buffer_append(&body->part, batch->body.data + range->offset, range->length);
	return &body->part;
}

static bool
body_pack(KsegBody *body, const KsegBodyForm *form, const KsegBuffer *plain)
{
	size_t bound = libdeflate_gzip_compress_bound(form->compressor, plain->length);

	body->packed.length = 0;
	buffer_reserve(&body->packed, bound);
	body->packed.length = libdeflate_gzip_compress(form->compressor, plain->data, plain->length,
	                                               body->packed.data, body->packed.room);
	body->data = body->packed.data;
	body->length = body->packed.length;
	return body->length > 0;
}

bool
body_build(KsegBody *body, const KsegBodyForm *form, KsegBatch *batch, const KsegBatchRange *range,
           int64_t unix_ms)
{
	KsegBuffer *plain = body_find_plain(body, batch, range);
	size_t tail_at = plain->length;

	buffer_append(plain, form->tail, form->tail_length);
	clock_write_utc(plain->data + tail_at + form->sent_at, unix_ms);
	body->plain_length = plain->length;
	if (form->compressor != NULL)
		return body_pack(body, form, plain);
	body->data = plain->data;
	body->length = plain->length;
	return true;
}

void
body_free(KsegBody *body)
{
	buffer_free(&body->part);
	buffer_free(&body->packed);
	*body = (KsegBody){0};
}
