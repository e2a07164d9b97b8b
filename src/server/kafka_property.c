/*
 * kafka_property.c
 *	  librdkafka's properties against kseg's own options. See kafka_property.h.
 */
#include "postgres.h"

#include "nodes/parsenodes.h"

#include "server/kafka_property.h"

#define RUNS_PROGRAMS   "it runs a program"
#define LOADS_LIBRARIES "it loads libraries into the process"
#define READS_FILES     "it reads files of the server's machine"
#define REACHES_HOSTS   "it reaches hosts other than the brokers"
#define LOGS_ALL        "it writes what passes, secrets too, to a log"
#define UNCHECKS        "it turns off the check that a broker is the one that is meant"
#define HOLDS_KEYS      "every role can read a server's options, and this one holds a key"
#define NO_GROUPS       "kseg joins no consumer group, a query reads what it asks for"

/* In the order of CONFIGURATION.md of librdkafka; names of Java's client beside them. */
static const struct
{
	const char *property; /* a "*" at its end or beginning stands for anything */
	const char *ours;     /* NULL: there is none */
	const char *reason;   /* against it */
} properties[] = {
    {"metadata.broker.list", "bootstrap_servers", NULL},
    {"message.max.bytes", "max_message_bytes", NULL},
    {"max.request.size", "max_message_bytes", NULL},
    {"max.in.flight*", NULL, "with more than 5 in flight a partition's order would be lost"},
    {"debug", NULL, LOGS_ALL},
    {"socket.timeout.ms", "request_timeout", NULL},
    {"request.timeout.ms", "request_timeout", NULL},
    {"socket.connection.setup.timeout.ms", "connect_timeout", NULL},
    {"enable.ssl.certificate.verification", NULL, UNCHECKS},
    {"ssl.endpoint.identification.algorithm", NULL, UNCHECKS},
    {"ssl.key.location", "ssl_key_file", NULL},
    {"ssl.key.pem", NULL, HOLDS_KEYS},
    {"ssl.certificate.location", "ssl_certificate_file", NULL},
    {"ssl.ca.location", "ssl_ca_file", NULL},
    {"ssl.keystore.*", NULL, READS_FILES},
    {"ssl.truststore.*", NULL, READS_FILES},
    {"ssl.engine.*", NULL, LOADS_LIBRARIES},
    {"ssl.providers", NULL, LOADS_LIBRARIES},
    {"sasl.mechanisms", "sasl_mechanism", NULL},
    {"sasl.kerberos.kinit.cmd", NULL, RUNS_PROGRAMS},
    {"sasl.kerberos.keytab", NULL, READS_FILES},
    {"sasl.jaas.config", NULL, HOLDS_KEYS},
    {"sasl.oauthbearer.*", NULL, REACHES_HOSTS},
    {"plugin.library.paths", NULL, LOADS_LIBRARIES},
    {"group.*", NULL, NO_GROUPS},
    {"auto.offset.reset", NULL, NO_GROUPS},
    {"enable.auto.*", NULL, NO_GROUPS},
    {"auto.commit.*", NULL, NO_GROUPS},
    {"transactional.id", NULL, "each run with transactional => true has one of its own"},
    {"queue.buffering.max.messages", "max_queue_messages", NULL},
    {"queue.buffering.max.kbytes", "max_queue_bytes", NULL},
    {"buffer.memory", "max_queue_bytes", NULL},
    {"queue.buffering.max.ms", "linger", NULL},
    {"linger.ms", "linger", NULL},
    {"retries", NULL, "a message is tried again until message_timeout has passed"},
    {"message.send.max.retries", NULL, "a message is tried again until message_timeout has passed"},
    {"compression.codec", "compression", NULL},
    {"compression.type", "compression", NULL},
    {"request.required.acks", "acks", NULL},
    {"message.timeout.ms", "message_timeout", NULL},
    {"delivery.timeout.ms", "message_timeout", NULL},
    {"transaction.timeout.ms", "transaction_timeout", NULL},
    {"partitioner*", NULL, "kseg partitions by murmur2, as Java's client does"},
    {"*.location", NULL, READS_FILES},
    {"*.file", NULL, READS_FILES},
};

/* name with one character in place of dots, underscores and hyphens, in lower case; palloc'd. */
static char *
property_spell(const char *name, char separator)
{
	char *spelt = pstrdup(name);

	for (char *at = spelt; *at != '\0'; at++)
		*at = strchr("._-", *at) != NULL ? separator : pg_tolower((unsigned char) *at);
	return spelt;
}

static bool
property_matches(const char *pattern, const char *name)
{
	size_t length = strlen(pattern);
	size_t name_length = strlen(name);

	if (pattern[0] == '*')
		return name_length >= length - 1 && strcmp(name + name_length - (length - 1), pattern + 1) == 0;
	if (pattern[length - 1] == '*')
		return strncmp(name, pattern, length - 1) == 0;
	return strcmp(name, pattern) == 0;
}

/* Is this an option of anything in the table? */
static bool
property_is_option(const KsegOption *table, const char *name)
{
	for (; table->name != NULL; table++)
	{
		if (strcmp(table->name, name) == 0)
			return true;
	}
	return false;
}

static void
property_raise(const char *name, const char *ours, const char *reason)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", name),
	                reason ? errdetail("kseg does not take librdkafka's property %s: %s.",
	                                   property_spell(name, '.'), reason)
	                       : 0,
	                ours ? errhint("Perhaps you meant the option \"%s\".", ours) : 0));
}

/* A name that is no option here. */
static void
property_refuse_one(const KsegOption *table, const char *name)
{
	char *property = property_spell(name, '.');
	char *ours = property_spell(name, '_');

	if (strcmp(name, ours) != 0 && property_is_option(table, ours))
		property_raise(name, ours, NULL);
	/* An option of another kind of object: option_check_list says whose. */
	if (property_is_option(table, name))
		return;
	for (int i = 0; i < lengthof(properties); i++)
	{
		if (property_matches(properties[i].property, property))
			property_raise(name, properties[i].ours, properties[i].reason);
	}
	if (strchr(name, '.') != NULL)
		property_raise(name, NULL, "it has options of its own, with underscores, and passes no other on");
}

void
kafka_property_refuse(const KsegOption *table, List *options, Oid catalog)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *element = lfirst_node(DefElem, cell);

		if (!option_is_known(table, element->defname, catalog))
			property_refuse_one(table, element->defname);
	}
}
