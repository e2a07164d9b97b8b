/*
 * kafka_options.c
 *	  The options of the wrapper kseg_kafka and the checks of single values. See kafka_options.h.
 */
#include "postgres.h"

#include "catalog/pg_attribute.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "server/bootstrap.h"
#include "server/kafka_options.h"
#include "server/kafka_server.h"
#include "server/topic_path.h"
#include "wire/wire.h"

/* Kafka's Topic.java: MAX_NAME_LENGTH and LEGAL_CHARS. */
#define TOPIC_NAME_MAX 249
#define TOPIC_LETTERS  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* Longest client id taken: it is in every request, and in the names of the brokers' metrics. */
#define CLIENT_ID_MAX 100

static const char *const protocol_choices[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl", NULL};
static const char *const mechanism_choices[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", NULL};
static const char *const compression_choices[] = {"none", "gzip", "snappy", "lz4", "zstd", NULL};
static const char *const isolation_choices[] = {"read_committed", "read_uncommitted", NULL};
static const char *const format_choices[] = {"json", "text", "csv", "bytea", "debezium", NULL};
static const char *const on_error_choices[] = {"error", "null", "skip", NULL};
static const char *const meta_choices[] = {"key",       "value",   "topic", "partition", "offset",
                                           "timestamp", "headers", "error", "op",        "before",
                                           "after",     "source",  NULL};
static const char *const unit_choices[] = {"ms", "us", "ns", NULL};

const char *
kafka_protocol(const char *said, const char *bootstrap_servers)
{
	if (said != NULL)
		return said;
	return bootstrap_is_loopback(bootstrap_servers) ? "plaintext" : "ssl";
}

bool
kafka_protocol_is_sasl(const char *protocol)
{
	return strncmp(protocol, "sasl_", 5) == 0;
}

bool
kafka_protocol_is_tls(const char *protocol)
{
	return strcmp(protocol, "ssl") == 0 || strcmp(protocol, "sasl_ssl") == 0;
}

const char *
kafka_topic_problem(const char *topic)
{
	if (topic[0] == '\0')
		return "A topic's name is not empty.";
	if (strlen(topic) > TOPIC_NAME_MAX)
		return "A topic's name has at most 249 characters.";
	if (strcmp(topic, ".") == 0 || strcmp(topic, "..") == 0)
		return "Neither . nor .. is a topic's name.";
	if (topic[strspn(topic, TOPIC_LETTERS)] != '\0')
		return "A topic's name is of letters and digits of ASCII, dots, underscores and hyphens.";
	return NULL;
}

/* ---------- checks of a value ---------- */

static void
kafka_invalid(const char *option, const char *value, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                value ? errmsg("invalid value for option \"%s\": \"%s\"", option, value)
	                      : errmsg("invalid value for option \"%s\"", option),
	                detail ? errdetail("%s", detail) : 0, hint ? errhint("%s", hint) : 0));
}

static void
kafka_check_bootstrap(const char *value)
{
	pfree(bootstrap_normalize(value));
}

static void
kafka_check_client_id(const char *value)
{
	/* What Kafka lets through into the names of its metrics as it is, and librdkafka into its user agent. */
	if (strlen(value) > CLIENT_ID_MAX || value[strspn(value, TOPIC_LETTERS)] != '\0')
		kafka_invalid("client_id", value, NULL,
		              "It is of letters and digits of ASCII, dots, underscores and hyphens, 100 at most.");
}

static void
kafka_check_acks(const char *value)
{
	/* -1 is Kafka's number for it. */
	if (strcmp(value, "all") != 0 && strcmp(value, "-1") != 0)
		kafka_invalid(
		    "acks", value,
		    "kseg tells a message as sent when all of its partition's replicas in sync have it; with fewer, "
		    "the loss of one broker could lose it.",
		    "Leave the option out, or set it to \"all\".");
}

static void
kafka_check_idempotence(const char *value)
{
	bool on;

	if (!parse_bool(value, &on) || !on)
		kafka_invalid("enable_idempotence", value,
		              "Without it a message that is tried again could be there twice, and out of order.",
		              "Leave the option out, or set it to \"true\".");
}

static void
kafka_check_ca_file(const char *value)
{
	option_check_file("ssl_ca_file", "kseg_kafka server", value);
}

static void
kafka_check_certificate_file(const char *value)
{
	option_check_file("ssl_certificate_file", "kseg_kafka server", value);
}

static void
kafka_check_key_file(const char *value)
{
	option_check_file("ssl_key_file", "kseg_kafka server", value);
}

/*
 * A user name or password travels as UTF-8 and without control characters (RFC 4616, section 2; RFC 4013, section 2.3).
 * Neither is shown. Where the database has no encoding, conversion would find bad bytes later and show some of them.
 */
static void
kafka_check_credential(const char *option, const char *value)
{
	for (const char *at = value; *at != '\0'; at++)
	{
		if ((unsigned char) *at < ' ' || *at == 0x7f)
			kafka_invalid(option, NULL, "There is a control character in it, such as a line's end.", NULL);
	}
	if (!pg_verify_mbstr(GetDatabaseEncoding() == PG_SQL_ASCII ? PG_UTF8 : GetDatabaseEncoding(), value,
	                     strlen(value), true))
		kafka_invalid(option, NULL, "It is not UTF-8.", NULL);
}

static void
kafka_check_username(const char *value)
{
	kafka_check_credential("sasl_username", value);
}

static void
kafka_check_password(const char *value)
{
	kafka_check_credential("sasl_password", value);
}

static void
kafka_check_key_password(const char *value)
{
	kafka_check_credential("ssl_key_password", value);
}

static void
kafka_check_topic(const char *value)
{
	const char *problem = kafka_topic_problem(value);

	if (problem != NULL)
		kafka_invalid("topic", value, problem, NULL);
}

/* The fields of csv are split by one byte, which none of UTF-8's other characters contains. */
static void
kafka_check_csv_character(const char *option, const char *value)
{
	if (strlen(value) != 1 || IS_HIGHBIT_SET(value[0]) || value[0] == '\n' || value[0] == '\r')
		kafka_invalid(option, value, NULL, "It is one character of ASCII, and no line's end.");
}

static void
kafka_check_delimiter(const char *value)
{
	kafka_check_csv_character("delimiter", value);
}

static void
kafka_check_quote(const char *value)
{
	kafka_check_csv_character("quote", value);
}

static void
kafka_check_null(const char *value)
{
	if (strpbrk(value, "\r\n") != NULL)
		kafka_invalid("null", value, NULL, "A field without quotes has no line's end.");
}

static void
kafka_check_path(const char *value)
{
	/* A number for csv is a key by its looks; which of both it is, only the table knows. */
	topic_path_parse(value);
}

/* ---------- the table ---------- */

#define SERVER_OPTION(name, kind, field, preset, minimum, maximum, choices, check)                           \
	{                                                                                                        \
		name, ForeignServerRelationId, kind, offsetof(KsegKafkaServer, field), preset, minimum, maximum,     \
		    choices, false, check                                                                            \
	}
#define SERVER_TEXT(name, field, preset, check)                                                              \
	SERVER_OPTION(name, KSEG_OPTION_TEXT, field, preset, 0, 0, NULL, check)
#define SERVER_CHOICE(name, field, preset, choices)                                                          \
	SERVER_OPTION(name, KSEG_OPTION_CHOICE, field, preset, 0, 0, choices, NULL)
#define SERVER_CHECKED(name, check)                                                                          \
	{                                                                                                        \
		name, ForeignServerRelationId, KSEG_OPTION_CHECKED, 0, NULL, 0, 0, NULL, false, check                \
	}
#define MAPPING_OPTION(name, field, secret, check)                                                           \
	{                                                                                                        \
		name, UserMappingRelationId, KSEG_OPTION_TEXT, offsetof(KsegKafkaServer, field), NULL, 0, 0, NULL,   \
		    secret, check                                                                                    \
	}
#define TABLE_OPTION(name, kind, choices, check)                                                             \
	{                                                                                                        \
		name, ForeignTableRelationId, kind, 0, NULL, 0, 0, choices, false, check                             \
	}
#define COLUMN_OPTION(name, kind, choices, check)                                                            \
	{                                                                                                        \
		name, AttributeRelationId, kind, 0, NULL, 0, 0, choices, false, check                                \
	}

/* Bounds "librdkafka's" are those of its CONFIGURATION.md. */
const KsegOption kafka_options[] = {
    SERVER_TEXT("bootstrap_servers", bootstrap_servers, NULL, kafka_check_bootstrap),
    SERVER_CHOICE("security_protocol", security_protocol, NULL, protocol_choices),
    SERVER_CHOICE("sasl_mechanism", sasl_mechanism, NULL, mechanism_choices),
    SERVER_TEXT("ssl_ca_file", ssl_ca_file, NULL, kafka_check_ca_file),
    SERVER_TEXT("ssl_certificate_file", ssl_certificate_file, NULL, kafka_check_certificate_file),
    SERVER_TEXT("ssl_key_file", ssl_key_file, NULL, kafka_check_key_file),
    SERVER_TEXT("client_id", client_id, "kseg", kafka_check_client_id),
    SERVER_CHECKED("acks", kafka_check_acks),
    SERVER_CHECKED("enable_idempotence", kafka_check_idempotence),
    SERVER_CHOICE("compression", compression, "lz4", compression_choices),
    /* At most a minute: longer, and a slow query's messages would look lost. */
    SERVER_OPTION("linger", KSEG_OPTION_DURATION, linger, "5ms", 0, 60, NULL, NULL),
    /* 5 minutes: a run holds a snapshot, which keeps VACUUM from cleaning. At most 12 hours, as Segment's max_retry_age. */
    SERVER_OPTION("message_timeout", KSEG_OPTION_DURATION, message_timeout, "5min", 0.1, 43200, NULL, NULL),
    /* The preset and the least are librdkafka's; Kafka's brokers take 1 MB unless they are told to take more. */
    SERVER_OPTION("max_message_bytes", KSEG_OPTION_SIZE, max_message_bytes, "1000000", 1000, KSEG_MESSAGE_MAX,
                  NULL, NULL),
    /* The most is librdkafka's; bytes are bounded besides. */
    SERVER_OPTION("max_queue_messages", KSEG_OPTION_INT, max_queue_messages, "100000", 1, 10000000, NULL,
                  NULL),
    /* 16 MB are some 60,000 predictions. librdkafka's own presets (1 GB to send, 64 MB a partition to read) fill machines. */
    SERVER_OPTION("max_queue_bytes", KSEG_OPTION_SIZE, max_queue_bytes, "16MB", 1024 * 1024,
                  1024 * 1024 * 1024, NULL, NULL),
    SERVER_CHOICE("isolation_level", isolation_level, "read_committed", isolation_choices),
    SERVER_OPTION("connect_timeout", KSEG_OPTION_DURATION, connect_timeout, "10", 0.1, 300, NULL, NULL),
    /* The most is librdkafka's (socket.timeout.ms). */
    SERVER_OPTION("request_timeout", KSEG_OPTION_DURATION, request_timeout, "60", 0.1, 300, NULL, NULL),
    /* The least is librdkafka's, the most what brokers grant (transaction.max.timeout.ms). */
    SERVER_OPTION("transaction_timeout", KSEG_OPTION_DURATION, transaction_timeout, "60", 1, 900, NULL, NULL),
    MAPPING_OPTION("sasl_username", sasl_username, true, kafka_check_username),
    MAPPING_OPTION("sasl_password", sasl_password, true, kafka_check_password),
    MAPPING_OPTION("ssl_key_password", ssl_key_password, true, kafka_check_key_password),
    TABLE_OPTION("topic", KSEG_OPTION_CHECKED, NULL, kafka_check_topic),
    TABLE_OPTION("format", KSEG_OPTION_CHOICE, format_choices, NULL),
    TABLE_OPTION("on_error", KSEG_OPTION_CHOICE, on_error_choices, NULL),
    TABLE_OPTION("delimiter", KSEG_OPTION_CHECKED, NULL, kafka_check_delimiter),
    TABLE_OPTION("quote", KSEG_OPTION_CHECKED, NULL, kafka_check_quote),
    TABLE_OPTION("null", KSEG_OPTION_CHECKED, NULL, kafka_check_null),
    COLUMN_OPTION("path", KSEG_OPTION_CHECKED, NULL, kafka_check_path),
    COLUMN_OPTION("meta", KSEG_OPTION_CHOICE, meta_choices, NULL),
    COLUMN_OPTION("unit", KSEG_OPTION_CHOICE, unit_choices, NULL),
    /* The most is what a numeric can have behind its point. */
    {"scale", AttributeRelationId, KSEG_OPTION_INT, 0, NULL, 0, 16383, NULL, false, NULL},
    {NULL},
};
