/*
 * kafka_server.c
 *	  Servers of the wrapper kseg_kafka as they are used. See kafka_server.h; their options are in kafka_options.c.
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "server/bootstrap.h"
#include "server/config_write.h"
#include "server/kafka_options.h"
#include "server/kafka_server.h"
#include "server/server_lookup.h"

static const KsegServerWords kafka_words = {KSEG_KAFKA_WRAPPER,
                                            "kseg.connect_kafka(bootstrap_servers => '...'"};

static void
kafka_server_check_login(const KsegKafkaServer *server)
{
	if (!kafka_protocol_is_sasl(server->security_protocol) ||
	    (server->sasl_username != NULL && server->sasl_password != NULL))
		return;
	ereport(ERROR,
	        (errcode(ERRCODE_UNDEFINED_OBJECT),
	         errmsg("the user mapping for server \"%s\" has no user name and password", server->name),
	         errdetail("Its security_protocol is %s.", server->security_protocol),
	         errhint("Set sasl_username and sasl_password in it: with kseg.connect_kafka, or, out of the "
	                 "server's log, COPY kseg.kafka_password.")));
}

/* The server with this mapping, after all that is known about rights. */
static KsegKafkaServer *
kafka_server_read(const ForeignServer *server, const UserMapping *mapping)
{
	KsegKafkaServer *result = palloc0(sizeof(KsegKafkaServer));

	result->oid = server->serverid;
	result->name = pstrdup(server->servername);
	option_read_list(kafka_options, server->options, ForeignServerRelationId, result);
	option_read_list(kafka_options, mapping->options, UserMappingRelationId, result);
	/* The validator demands it, but a catalog can be edited. */
	if (result->bootstrap_servers == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
		                errmsg("server \"%s\" has no option \"bootstrap_servers\"", result->name)));
	result->bootstrap_servers = bootstrap_normalize(result->bootstrap_servers);
	result->security_protocol = pstrdup(kafka_protocol(result->security_protocol, result->bootstrap_servers));
	result->mapping_of_public = !OidIsValid(mapping->userid);
	kafka_server_check_login(result);
	return result;
}

KsegKafkaServer *
kafka_server_get(const char *name, bool missing_ok)
{
	ForeignServer *server = server_lookup(name, &kafka_words, missing_ok);
	UserMapping *mapping;

	if (server == NULL)
		return NULL;
	mapping = server_lookup_mapping(server, GetUserId(), &kafka_words, missing_ok);
	return mapping == NULL ? NULL : kafka_server_read(server, mapping);
}

KsegKafkaServer *
kafka_server_get_by_oid(Oid server, Oid user)
{
	ForeignServer *found = GetForeignServer(server);

	return kafka_server_read(found, server_lookup_mapping(found, user, &kafka_words, false));
}

bool
kafka_server_is_one(const char *name)
{
	const char *wrapper = server_lookup_wrapper(name);

	return wrapper != NULL && strcmp(wrapper, KSEG_KAFKA_WRAPPER) == 0;
}

/* The passwords go only where the protocol has a use for them. */
static void
kafka_config_login(const KsegKafkaServer *server, StringInfo json)
{
	bool sasl = kafka_protocol_is_sasl(server->security_protocol);
	bool tls = kafka_protocol_is_tls(server->security_protocol);

	config_text(json, "sasl_mechanism", sasl ? server->sasl_mechanism : NULL);
	config_text(json, "sasl_username", sasl ? server->sasl_username : NULL);
	config_text(json, "sasl_password", sasl ? server->sasl_password : NULL);
	config_text(json, "ssl_ca_file", server->ssl_ca_file);
	config_text(json, "ssl_certificate_file", server->ssl_certificate_file);
	config_text(json, "ssl_key_file", server->ssl_key_file);
	config_text(json, "ssl_key_password", tls ? server->ssl_key_password : NULL);
}

bool
kafka_server_is_plaintext_anywhere(const KsegKafkaServer *server)
{
	return !kafka_protocol_is_tls(server->security_protocol) &&
	       !bootstrap_is_loopback(server->bootstrap_servers);
}

void
kafka_server_config(const KsegKafkaServer *server, const char *job, StringInfo json)
{
	appendStringInfoChar(json, '{');
	config_text(json, "job", job);
	config_text(json, "bootstrap_servers", server->bootstrap_servers);
	config_text(json, "security_protocol", server->security_protocol);
	config_int(json, "plaintext_anywhere", kafka_server_is_plaintext_anywhere(server));
	kafka_config_login(server, json);
	config_text(json, "client_id", server->client_id);
	config_text(json, "isolation_level", server->isolation_level);
	config_text(json, "compression", server->compression);
	config_int(json, "linger_ms", server->linger);
	config_int(json, "message_timeout_ms", server->message_timeout);
	config_int(json, "max_message_bytes", server->max_message_bytes);
	config_int(json, "max_queue_messages", server->max_queue_messages);
	config_int(json, "max_queue_bytes", server->max_queue_bytes);
	config_int(json, "connect_timeout_ms", server->connect_timeout);
	config_int(json, "request_timeout_ms", server->request_timeout);
	config_int(json, "transaction_timeout_ms", server->transaction_timeout);
}
