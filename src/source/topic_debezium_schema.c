/*
 * topic_debezium_schema.c
 *	  The schema that Kafka Connect's JsonConverter puts beside each message (schemas.enable): how the row's members come. See
 *	  topic_debezium.h.
 *
 * A schema is some kilobytes, and the same in one message after the other. So it is read once and remembered as text.
 *
 * It is a JSON array of {"field": "price", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters":
 * {"scale": "2"}, …}: org.apache.kafka.connect.json.JsonSchema.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "source/topic_debezium.h"

#define DECIMAL "org.apache.kafka.connect.data.Decimal"

/* Schema names (io.debezium.time, org.apache.kafka.connect.data) of what counts parts of a second. */
static const struct
{
	const char *name;
	int64 per_second;
} units[] = {
    {"io.debezium.time.Time", 1000},
    {"io.debezium.time.MicroTime", 1000000},
    {"io.debezium.time.NanoTime", 1000000000},
    {"io.debezium.time.Timestamp", 1000},
    {"io.debezium.time.MicroTimestamp", 1000000},
    {"io.debezium.time.NanoTimestamp", 1000000000},
    {"io.debezium.time.MicroDuration", 1000000},
    {"io.debezium.time.NanoDuration", 1000000000},
    {"org.apache.kafka.connect.data.Time", 1000},
    {"org.apache.kafka.connect.data.Timestamp", 1000},
};

typedef struct SchemaMember
{
	const char *name; /* in the database's encoding, as the text of the schema is when it is read */
	KsegDebezium *debezium;
	KsegDebezium preset; /* without a schema */
} SchemaMember;

struct KsegDebeziumSchema
{
	List *members; /* of SchemaMember * */
	MemoryContext context;
	char *text; /* the last one; NULL: none */
	uint32 length;
};

void
topic_debezium_schema_want(StringInfo wants)
{
	/* after, before: the same members. The envelope's fields are in the order in which Debezium makes it. */
	appendStringInfoString(wants, "{\"kind\":\"path\",\"raw\":true,\"paths\":[[\"schema\",\"fields\",1,"
	                              "\"fields\"],[\"schema\",\"fields\",0,\"fields\"]]}");
}

KsegDebeziumSchema *
topic_debezium_schema_create(void)
{
	KsegDebeziumSchema *schema = palloc0(sizeof(KsegDebeziumSchema));

	schema->context = CurrentMemoryContext;
	return schema;
}

void
topic_debezium_schema_add(KsegDebeziumSchema *schema, const char *name, KsegDebezium *debezium)
{
	SchemaMember *member = palloc(sizeof(SchemaMember));

	member->name = name;
	member->debezium = debezium;
	member->preset = *debezium;
	schema->members = lappend(schema->members, member);
}

/* A text of an object, palloc'd; NULL: there is none of this name. */
static char *
object_text(JsonbContainer *object, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, key, strlen(key), NULL);

	return value == NULL || value->type != jbvString ? NULL
	                                                 : pnstrdup(value->val.string.val, value->val.string.len);
}

/* The scale of a decimal, from its parameters. One beyond any range stays beyond (strtol), for decimal_text to refuse. */
static int
field_scale(JsonbContainer *field)
{
	JsonbValue *parameters = getKeyJsonValueFromContainer(field, "parameters", strlen("parameters"), NULL);
	char *scale = NULL;

	if (parameters != NULL && parameters->type == jbvBinary &&
	    JsonContainerIsObject(parameters->val.binary.data))
		scale = object_text(parameters->val.binary.data, "scale");
	return scale != NULL ? (int) Max(Min(strtol(scale, NULL, 10), PG_INT32_MAX), -PG_INT32_MAX) : 0;
}

/* How the member of this field comes: what the name of its schema says, and nothing but that. */
static void
member_learn(SchemaMember *member, JsonbContainer *field)
{
	char *name = object_text(field, "name");

	member->debezium->scale =
	    name != NULL && strcmp(name, DECIMAL) == 0 ? field_scale(field) : KSEG_DEBEZIUM_NO_SCALE;
	for (int i = 0; name != NULL && i < lengthof(units); i++)
	{
		if (strcmp(units[i].name, name) == 0)
			member->debezium->per_second = units[i].per_second;
	}
}

static void
schema_learn_field(KsegDebeziumSchema *schema, JsonbContainer *field)
{
	char *name = JsonContainerIsObject(field) ? object_text(field, "field") : NULL;
	ListCell *cell;

	foreach (cell, schema->members)
	{
		SchemaMember *member = lfirst(cell);

		if (name != NULL && strcmp(name, member->name) == 0)
			member_learn(member, field);
	}
}

static void
schema_learn_fields(KsegDebeziumSchema *schema, const char *text)
{
	Jsonb *fields = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));

	for (uint32 i = 0; JB_ROOT_IS_ARRAY(fields) && i < JB_ROOT_COUNT(fields); i++)
	{
		JsonbValue *field = getIthJsonbValueFromContainer(&fields->root, i);

		if (field->type == jbvBinary)
			schema_learn_field(schema, field->val.binary.data);
	}
}

void
topic_debezium_schema_learn(KsegDebeziumSchema *schema, const char *text, uint32 length)
{
	MemoryContext old;
	ListCell *cell;

	if (likely(text == NULL ? schema->text == NULL
	                        : schema->text != NULL && schema->length == length &&
	                              memcmp(schema->text, text, length) == 0))
		return;
	foreach (cell, schema->members)
		*((SchemaMember *) lfirst(cell))->debezium = ((SchemaMember *) lfirst(cell))->preset;
	if (schema->text != NULL)
		pfree(schema->text);
	schema->text = NULL;
	if (text == NULL)
		return;
	schema_learn_fields(schema, pnstrdup(text, length));
	old = MemoryContextSwitchTo(schema->context);
	schema->text = pnstrdup(text, length);
	schema->length = length;
	MemoryContextSwitchTo(old);
}
