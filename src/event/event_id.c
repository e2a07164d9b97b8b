/*
 * event_id.c
 *	  Message ids: 128 bits that are a function of the data, so that a repeated run repeats its ids and Segment drops them.
 *
 * Owns: the recipe. It must never change: ids made by another version would make Segment take old events for new ones.
 * A new recipe gets a new number and is chosen by the user. Refuses: to know how anything is formatted, where formatting
 * loses something.
 *
 * Recipe 1. The id is XXH3 (128 bits, seed 0) of these bytes; integers are little-endian:
 *
 *	  u8       1, the recipe
 *	  16 bytes the namespace (see event_namespace_make; zeros when it is not known)
 *	  text     the call: "track", "identify", …
 *	  then for each part of the event that this row has, in the order of their paths' bytes:
 *	  text     its path in UTF-8: "userId", "event", "timestamp", "properties.total", "context.ip", …
 *	  u8       its class, and its value:
 *	           's' text     strings: text, enums, uuid, ids and names, and what is written by an output function
 *	           'i' i64      integers of any width
 *	           'n' text     numeric as written: 1.0 and 1.00 differ, as they do in the event
 *	           'e' u32 → i64, 'f' u64   the bits of float4 and float8
 *	           'b' i64      0 or 1
 *	           't' i64      timestamptz, timestamp, date: microseconds since 2000-01-01 UTC, before milliseconds are cut
 *	           'j' text     json as it is, jsonb without spaces; of an object's base (path "properties", "traits",
 *	                        "context", or an object nested in them) the members that no column covers, joined by ','
 *	           'v' text     arrays, composites, ranges: the JSON, and then as another text the i64 microseconds of
 *	                        every timestamp inside it
 *	           'z'          null: nulls => 'send', or a value that has no JSON (such a row is never sent)
 *	  text is u32 length, bytes.
 *
 * So columns may come in any order, NULLs that are left out count for nothing, and no two different rows give the same
 * bytes, because everything says how long it is. messageId and integrations are no part of what an event is.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "miscadmin.h"

/* Compiled into this file, so that kseg.so needs no further library at run time. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "event/event_plan.h"

#define RECIPE 1

static char *
u32_write(char *to, uint32 value)
{
#ifdef WORDS_BIGENDIAN
	value = pg_bswap32(value);
#endif
	memcpy(to, &value, sizeof(value));
	return to + sizeof(value);
}

static char *
i64_write(char *to, int64 value)
{
#ifdef WORDS_BIGENDIAN
	value = pg_bswap64(value);
#endif
	memcpy(to, &value, sizeof(value));
	return to + sizeof(value);
}

static void
text_append(StringInfo input, const char *text, int length)
{
	char *to = u32_write(json_reserve(input, sizeof(uint32) + length), length);

	memcpy(to, text, length);
	input->len += sizeof(uint32) + length;
}

/*
 * The namespace keeps two databases, and two sources of one database, from sharing ids, because Segment drops repeated
 * ids across all its customers. A keyed hash, because ids travel where the key does not (preview, dead letters): no id
 * may help anybody to a key. A standby gives the same ids as its primary; a restored dump has another system identifier.
 */
void
event_namespace_make(KsegNamespace *ns, const char *write_key)
{
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	char place[sizeof(int64) + sizeof(uint32)];
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);

	i64_write(place, GetSystemIdentifier());
	u32_write(place + sizeof(int64), MyDatabaseId);
	if (hmac == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (pg_hmac_init(hmac, (const uint8 *) write_key, strlen(write_key)) < 0 ||
	    pg_hmac_update(hmac, (const uint8 *) place, sizeof(place)) < 0 ||
	    pg_hmac_final(hmac, digest, sizeof(digest)) < 0)
	{
		pg_hmac_free(hmac);
		ereport(ERROR,
		        (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute the namespace of message ids")));
	}
	pg_hmac_free(hmac);
	memcpy(ns->hash, digest, sizeof(ns->hash));
	ns->known = true;
}

static int
item_compare(const void *a, const void *b)
{
	return strcmp((*(KsegItem *const *) a)->path, (*(KsegItem *const *) b)->path);
}

void
event_id_prepare(KsegPlan *plan)
{
	const char *call = event_call_name(plan->call);
	StringInfo input = &plan->id_input;

	plan->sorted = palloc(sizeof(KsegItem *) * Max(plan->item_count, 1));
	for (int i = 0; i < plan->item_count; i++)
	{
		KsegItem *item = &plan->items[i];
		StringInfoData prefix;

		initStringInfo(&prefix);
		text_append(&prefix, item->path, strlen(item->path));
		item->prefix = prefix.data;
		item->prefix_length = prefix.len;
		plan->sorted[i] = item;
	}
	qsort(plan->sorted, plan->item_count, sizeof(KsegItem *), item_compare);

	initStringInfo(input);
	json_write_char(input, RECIPE);
	json_write_bytes(input, (const char *) plan->namespace.hash, sizeof(plan->namespace.hash));
	text_append(input, call, strlen(call));
	plan->id_shared = input->len;
}

/* Text of the canon: where it lies, or its place in out. */
static void
canon_text_append(StringInfo input, const KsegCanon *canon, const char *out)
{
	text_append(input, canon->data != NULL ? canon->data : out + canon->at, canon->length);
}

static void
canon_number_append(StringInfo input, int64 number)
{
	i64_write(json_reserve(input, sizeof(int64)), number);
	input->len += sizeof(int64);
}

/* The microseconds of a nested value's timestamps. */
static void
canon_exact_append(StringInfo input, const KsegCanon *canon, const char *exact)
{
	u32_write(json_reserve(input, sizeof(uint32)), canon->exact_length);
	input->len += sizeof(uint32);
	for (int i = 0; i < canon->exact_length; i += sizeof(int64))
	{
		int64 microseconds;

		memcpy(&microseconds, exact + canon->exact_at + i, sizeof(microseconds));
		canon_number_append(input, microseconds);
	}
}

static void
item_append(KsegPlan *plan, const KsegItem *item)
{
	StringInfo input = &plan->id_input;
	const KsegCanon *canon = &item->canon;
	char *to = json_reserve(input, item->prefix_length + 1);

	memcpy(to, item->prefix, item->prefix_length);
	to[item->prefix_length] = canon->tag;
	input->len += item->prefix_length + 1;
	switch (canon->tag)
	{
		case KSEG_CANON_ABSENT:
		case KSEG_CANON_NULL:
			break;
		case KSEG_CANON_BOOL:
		case KSEG_CANON_INTEGER:
		case KSEG_CANON_FLOAT4:
		case KSEG_CANON_FLOAT8:
		case KSEG_CANON_TIME:
			canon_number_append(input, canon->number);
			break;
		case KSEG_CANON_NUMERIC:
		case KSEG_CANON_TEXT:
		case KSEG_CANON_JSON:
			canon_text_append(input, canon, plan->writer.out->data);
			break;
		case KSEG_CANON_NESTED:
			canon_text_append(input, canon, plan->writer.out->data);
			canon_exact_append(input, canon, plan->writer.exact.data);
			break;
	}
}

static KsegEventId
id_of_hash(XXH128_hash_t hash)
{
	KsegEventId id = {hash.low64, hash.high64};

	return id;
}

KsegEventId
event_id_make(KsegPlan *plan)
{
	StringInfo input = &plan->id_input;

	input->len = plan->id_shared;
	for (int i = 0; i < plan->item_count; i++)
	{
		if (plan->sorted[i]->canon.tag != KSEG_CANON_ABSENT)
			item_append(plan, plan->sorted[i]);
	}
	return id_of_hash(XXH3_128bits(input->data, input->len));
}

KsegEventId
event_id_of_text(const char *text, int length)
{
	return id_of_hash(XXH3_128bits(text, length));
}

uint64
event_lane_of_text(const char *text, int length)
{
	return XXH3_64bits(text, length);
}

static char *
hex_spell(char *to, uint64 value)
{
	static const char digits[] = "0123456789abcdef";

	for (int shift = 60; shift >= 0; shift -= 4)
		*to++ = digits[(value >> shift) & 15];
	return to;
}

void
event_id_spell(KsegEventId id, char *text)
{
	memcpy(text, "kseg-", 5);
	hex_spell(hex_spell(text + 5, id.high), id.low);
}
