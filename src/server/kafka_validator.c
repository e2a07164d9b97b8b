/*
 * kafka_validator.c
 *	  The validator of kseg_kafka: options that must go together, and what only superusers may set. See kafka_options.h.
 *
 * PostgreSQL shows a validator all options that an object will have, not those that change. So whoever is refused an option
 * is refused every ALTER of an object that has it, too: nobody keeps what only a superuser could set while turning the rest
 * of the server elsewhere.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"

#include "server/bootstrap.h"
#include "server/kafka_options.h"
#include "server/kafka_property.h"
#include "server/kafka_server.h"

/* An option is missing that another one, or the object, needs. */
static void
kafka_missing(const char *option, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND), errmsg("option \"%s\" is missing", option),
	                detail ? errdetail("%s", detail) : 0, hint ? errhint("%s", hint) : 0));
}

/* An option is there that does nothing beside the others: somebody believes in an effect that it does not have. */
static void
kafka_useless(const char *option, const char *detail, const char *hint)
{
	ereport(ERROR,
	        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("option \"%s\" would have no effect", option),
	         errdetail("%s", detail), hint ? errhint("%s", hint) : 0));
}

/* ---------- servers ---------- */

static void
server_check_plaintext(const char *protocol, const char *bootstrap)
{
	if (kafka_protocol_is_tls(protocol) || bootstrap_is_loopback(bootstrap) || superuser())
		return;
	ereport(
	    ERROR,
	    (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
	     errmsg("only superusers may set security_protocol '%s' with brokers beyond this machine", protocol),
	     kafka_protocol_is_sasl(protocol)
	         ? errdetail(
	               "The password would travel readable (with SCRAM: open to guessing), and the messages too.")
	         : errdetail("Messages would travel readable, and open to change."),
	     errhint("Use security_protocol '%s', or ask a superuser to create the server.",
	             kafka_protocol_is_sasl(protocol) ? "sasl_ssl" : "ssl")));
}

static void
server_check_sasl(List *options, const char *protocol)
{
	const char *mechanism = option_value(options, "sasl_mechanism");

	if (kafka_protocol_is_sasl(protocol) && mechanism == NULL)
		kafka_missing(
		    "sasl_mechanism", psprintf("The security_protocol %s needs one.", protocol),
		    "Brokers know 'PLAIN', 'SCRAM-SHA-256' or 'SCRAM-SHA-512'; their administrator knows which.");
	if (!kafka_protocol_is_sasl(protocol) && mechanism != NULL)
		kafka_useless("sasl_mechanism", psprintf("The security_protocol is %s.", protocol),
		              psprintf("Set security_protocol to '%s'.",
		                       kafka_protocol_is_tls(protocol) ? "sasl_ssl" : "sasl_plaintext"));
}

static void
server_check_tls(List *options, const char *protocol)
{
	static const char *const files[] = {"ssl_ca_file", "ssl_certificate_file", "ssl_key_file"};

	for (int i = 0; i < lengthof(files) && !kafka_protocol_is_tls(protocol); i++)
	{
		if (option_value(options, files[i]) != NULL)
			kafka_useless(files[i], psprintf("The security_protocol is %s.", protocol),
			              psprintf("Set security_protocol to '%s'.",
			                       kafka_protocol_is_sasl(protocol) ? "sasl_ssl" : "ssl"));
	}
	if (option_value(options, "ssl_certificate_file") != NULL &&
	    option_value(options, "ssl_key_file") == NULL)
		kafka_missing("ssl_key_file", "A certificate proves nothing without its key.", NULL);
	if (option_value(options, "ssl_key_file") != NULL &&
	    option_value(options, "ssl_certificate_file") == NULL)
		kafka_missing("ssl_certificate_file", "A key proves nothing without its certificate.", NULL);
}

static void
server_check_bounds(List *options)
{
	KsegKafkaServer server = {0};

	option_read_list(kafka_options, options, ForeignServerRelationId, &server);
	/* librdkafka refuses it too, but only when a run begins. */
	if (server.linger >= server.message_timeout)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("linger must be shorter than message_timeout"),
		                errdetail("A message would be given up before it is sent.")));
	if (server.max_message_bytes > server.max_queue_bytes)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("max_message_bytes is more than max_queue_bytes"),
		                errdetail("The largest message must fit into the queue.")));
}

static void
server_check(List *options)
{
	const char *list = option_value(options, "bootstrap_servers");
	const char *protocol;
	char *bootstrap;

	if (list == NULL)
		kafka_missing("bootstrap_servers", NULL, "Name one or more brokers: bootstrap_servers 'host:9092'.");
	bootstrap = bootstrap_normalize(list);
	protocol = kafka_protocol(option_value(options, "security_protocol"), bootstrap);
	server_check_plaintext(protocol, bootstrap);
	server_check_sasl(options, protocol);
	server_check_tls(options, protocol);
	server_check_bounds(options);
}

/* ---------- user mappings, foreign tables, columns ---------- */

static void
mapping_check(List *options)
{
	bool username = option_value(options, "sasl_username") != NULL;
	bool password = option_value(options, "sasl_password") != NULL;

	if (username && !password)
		kafka_missing("sasl_password", "A user name and a password go together.", NULL);
	if (password && !username)
		kafka_missing("sasl_username", "A user name and a password go together.", NULL);
}

static void
table_check_csv(List *options)
{
	const char *delimiter = option_value(options, "delimiter");
	const char *quote = option_value(options, "quote");
	const char *null = option_value(options, "null");

	/* Presets: as COPY's csv has them, source/topic_table.c. */
	delimiter = delimiter ? delimiter : ",";
	quote = quote ? quote : "\"";
	if (strcmp(delimiter, quote) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("delimiter and quote must be different characters")));
	if (null != NULL && strpbrk(null, psprintf("%s%s", delimiter, quote)) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("null must hold neither the delimiter nor the quote")));
}

static void
table_check(List *options)
{
	static const char *const of_csv[] = {"delimiter", "quote", "null"};
	const char *format = option_value(options, "format");

	if (option_value(options, "topic") == NULL)
		kafka_missing("topic", NULL, "Name the topic: OPTIONS (topic '...').");
	if (format != NULL && strcmp(format, "csv") == 0)
	{
		table_check_csv(options);
		return;
	}
	for (int i = 0; i < lengthof(of_csv); i++)
	{
		if (option_value(options, of_csv[i]) != NULL)
			kafka_useless(of_csv[i], psprintf("The format is %s.", format ? format : "json"),
			              "It is for the format csv.");
	}
}

static void
column_check(List *options)
{
	if (option_value(options, "path") != NULL && option_value(options, "meta") != NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("path and meta exclude each other"),
		         errdetail("A column is a place in the message's value, or something else of the message.")));
}

void
kafka_options_check_together(List *options, Oid catalog)
{
	switch (catalog)
	{
		case ForeignServerRelationId:
			server_check(options);
			break;
		case UserMappingRelationId:
			mapping_check(options);
			break;
		case ForeignTableRelationId:
			table_check(options);
			break;
		case AttributeRelationId:
			column_check(options);
			break;
	}
}

/* ---------- the validator ---------- */

/* May there be a secret in a statement that sets these? Where none belongs, one may have been put by mistake. */
static bool
kafka_options_may_hold_secret(List *options, Oid catalog)
{
	ListCell *cell;

	if (catalog == ForeignServerRelationId || catalog == UserMappingRelationId)
		return true;
	foreach (cell, options)
	{
		if (!option_is_known(kafka_options, lfirst_node(DefElem, cell)->defname, catalog))
			return true;
	}
	return false;
}

PG_FUNCTION_INFO_V1(kseg_sql_kafka_validator);

/* VALIDATOR of kseg_kafka: (options text[], catalog oid), called by PostgreSQL whenever options are set. */
Datum
kseg_sql_kafka_validator(PG_FUNCTION_ARGS)
{
	List *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid catalog = PG_GETARG_OID(1);
	ErrorContextCallback callback = {.previous = error_context_stack, .callback = option_hide_statement};

	/* Other sessions see this instead of a statement with a password, from now on and when the session is idle. */
	if (kafka_options_may_hold_secret(options, catalog))
		pgstat_report_activity(STATE_RUNNING,
		                       "kseg: options of a server or user mapping, which are not shown");
	error_context_stack = &callback;
	kafka_property_refuse(kafka_options, options, catalog);
	option_check_list(kafka_options, options, catalog);
	kafka_options_check_together(options, catalog);
	error_context_stack = callback.previous;
	PG_RETURN_VOID();
}
