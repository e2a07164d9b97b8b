/*
 * topic_table.h
 *	  A foreign table over a Kafka topic, as its options and columns say it.
 *
 * Owns: reading the options of table and columns into one struct, and the checks that the validator cannot make because it sees
 * one object at a time: how many columns take the value, which types metadata fit into. Refuses: to connect, to read or write
 * messages.
 */
#ifndef KSEG_TOPIC_TABLE_H
#define KSEG_TOPIC_TABLE_H

#include "postgres.h"
#include "access/attnum.h"
#include "nodes/pg_list.h"

#include "server/topic_path.h"
#include "source/topic_debezium.h"

typedef enum KsegTopicFormat
{
	KSEG_TOPIC_JSON,
	KSEG_TOPIC_TEXT,
	KSEG_TOPIC_CSV,
	KSEG_TOPIC_BYTEA,
	KSEG_TOPIC_DEBEZIUM
} KsegTopicFormat;

/* What becomes of a message that a column cannot take. */
typedef enum KsegTopicOnError
{
	KSEG_TOPIC_ON_ERROR_ERROR, /* the query fails */
	KSEG_TOPIC_ON_ERROR_NULL,  /* the column is NULL */
	KSEG_TOPIC_ON_ERROR_SKIP   /* the row is left out */
} KsegTopicOnError;

/* What a column shows of a message. */
typedef enum KsegTopicMeta
{
	KSEG_META_NONE, /* a field of the value (text, bytea: the value) */
	KSEG_META_KEY,
	KSEG_META_VALUE, /* the whole value as it is */
	KSEG_META_TOPIC,
	KSEG_META_PARTITION,
	KSEG_META_OFFSET,
	KSEG_META_TIMESTAMP,
	KSEG_META_HEADERS,
	KSEG_META_ERROR, /* what was wrong with the row, under on_error 'null' */
	KSEG_META_OP,    /* these four: of Debezium's envelope */
	KSEG_META_BEFORE,
	KSEG_META_AFTER,
	KSEG_META_SOURCE
} KsegTopicMeta;

typedef struct KsegTopicColumn
{
	AttrNumber number; /* from 1 */
	bool dropped;      /* then nothing else is set but number */
	const char *name;
	Oid type;
	int32 typmod;
	Oid base_type; /* below domains: type itself when it is none */
	KsegTopicMeta meta;
	bool path_given;  /* there is the option path; without it csv_field and paths hold the default */
	uint32 csv_field; /* csv: the field's number from 0 */
	/*
	 * json, debezium (there op, before, after and source too): KsegTopicPath *, tried in order, the column's name without the
	 * option; debezium's lead through its envelope. NIL otherwise.
	 */
	List *paths;
	int64 per_second; /* debezium: what numbers of a time count, by the option unit; 0: not said */
	int scale; /* debezium: of decimals that come as bytes, by the option; KSEG_DEBEZIUM_NO_SCALE: not said */
} KsegTopicColumn;

typedef struct KsegTopicTable
{
	Oid relation;
	Oid server;
	const char *name; /* the foreign table's, without schema */
	const char *topic;
	KsegTopicFormat format;
	KsegTopicOnError on_error;
	const char *delimiter; /* these three of csv: one byte, one byte, any text ('' is the preset) */
	const char *quote;
	const char *null;
	int column_count;         /* dropped ones too: the relation's natts */
	KsegTopicColumn *columns; /* of attribute i + 1 */
} KsegTopicTable;

/*
 * Read and check a foreign table's definition, in the current memory context. The relation must be locked by the caller. ERRORs
 * with the column's name and a hint: 42804 a type that cannot hold its metadata; 42P16 text or bytea without exactly one column for
 * the value, an option that the format has no use for; 22023 a path that is none; HV00J no topic.
 */
extern KsegTopicTable *topic_table_get(Oid relation);

/* How the column's values come, without a schema. */
extern KsegDebezium topic_debezium_of_column(const KsegTopicColumn *column);

/* The word for it in the options: "json", "offset", … For messages. */
extern const char *topic_format_name(KsegTopicFormat format);
extern const char *topic_meta_name(KsegTopicMeta meta);

#endif /* KSEG_TOPIC_TABLE_H */
