/*
 * kafka_failure.c
 *	  Errors sorted by tables, and their words. See kafka_failure.h.
 */
#include "courier/kafka_failure.h"

#include <string.h>

#include "courier/kafka_compat.h"
#include "courier/kafka_conf.h"

typedef struct FailureSort
{
	rd_kafka_resp_err_t error;
	KsegFailure failure;
} FailureSort;

/* Every error that trying again cannot change; others are the environment's. */
static const FailureSort failure_sorts[] = {
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, KSEG_FAILURE_AUTH},
    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, KSEG_FAILURE_AUTH},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, KSEG_FAILURE_AUTH},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, KSEG_FAILURE_AUTH},
    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, KSEG_FAILURE_AUTH},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, KSEG_FAILURE_AUTH},
    {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KSEG_FAILURE_AUTH},
    {RD_KAFKA_RESP_ERR_SECURITY_DISABLED, KSEG_FAILURE_AUTH},
    {RD_KAFKA_RESP_ERR__SSL, KSEG_FAILURE_CONFIG},
    {RD_KAFKA_RESP_ERR__INVALID_ARG, KSEG_FAILURE_CONFIG},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_PRODUCER_FENCED, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR__FENCED, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR__FATAL, KSEG_FAILURE_REFUSED},
    {RD_KAFKA_RESP_ERR__STATE, KSEG_FAILURE_INTERNAL},
    {RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED, KSEG_FAILURE_INTERNAL},
    {RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, KSEG_FAILURE_INTERNAL},
    {RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, KSEG_FAILURE_GAP},
    {RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, KSEG_FAILURE_GAP},
    {RD_KAFKA_RESP_ERR__NO_OFFSET, KSEG_FAILURE_GAP},
};

KsegFailure
kafka_failure_sort(rd_kafka_resp_err_t error)
{
	for (size_t i = 0; i < sizeof(failure_sorts) / sizeof(failure_sorts[0]); i++)
	{
		if (failure_sorts[i].error == error)
			return failure_sorts[i].failure;
	}
	return KSEG_FAILURE_EXHAUSTED;
}

bool
kafka_failure_is_own(rd_kafka_resp_err_t error)
{
	return error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || error == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
	       error == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP || error == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE ||
	       error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

bool
kafka_failure_is_topic(rd_kafka_resp_err_t error)
{
	return error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION ||
	       error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

/* ---------- words ---------- */

static const char *
failure_message(KsegFailure failure)
{
	switch (failure)
	{
		case KSEG_FAILURE_AUTH:
			return "could not use Kafka: access is denied";
		case KSEG_FAILURE_CONFIG:
			return "could not make a trusted connection to a Kafka broker";
		case KSEG_FAILURE_REFUSED:
			return "could not go on with Kafka: it refused for good";
		case KSEG_FAILURE_GAP:
			return "could not read on: messages are gone";
		case KSEG_FAILURE_EXHAUSTED:
			return "could not reach Kafka";
		default:
			return "could not use librdkafka";
	}
}

static const char *
failure_hint_auth(const KsegKafkaClient *client, rd_kafka_resp_err_t error)
{
	if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
		return "Grant the Kafka user the operations that it needs on the topic: Write and Describe to "
		       "produce, Read "
		       "and Describe to read.";
	if (error == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
		return "Grant the Kafka user Write and Describe on transactional ids that begin with kseg.";
	if (error == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
		return "Grant the Kafka user IdempotentWrite on the cluster, or Write on the topic.";
	if (KSEG_KAFKA_SCRAM_IS_OLD(rd_kafka_version()) &&
	    strncmp(client->courier->config.sasl_mechanism, "SCRAM", 5) == 0)
		return "Check \"sasl_username\" and \"sasl_password\" of the user mapping. librdkafka before 2.6.1 "
		       "does not "
		       "pass SCRAM with brokers from 3.7.2 on; PLAIN over sasl_ssl works.";
	return "Check \"sasl_username\" and \"sasl_password\" of the user mapping, and the server option "
	       "\"sasl_mechanism\".";
}

/* TLS was begun, and the other side does not know it. */
static bool
failure_is_plaintext(const KsegKafkaClient *client)
{
	const char *words = client->cause_words;

	return strstr(words, "PLAINTEXT") != NULL || strstr(words, "unexpected eof") != NULL ||
	       (strstr(words, "Disconnected") != NULL && strstr(words, "state SSL_HANDSHAKE") != NULL);
}

static const char *
failure_hint_tls(const KsegKafkaClient *client)
{
	if (failure_is_plaintext(client))
		return "Check the server option \"security_protocol\": the broker may speak plaintext on this port.";
	if (strstr(client->cause_words, "SSL alert") != NULL)
		return "The broker does not accept this client's certificate, or wants one: the server options "
		       "\"ssl_certificate_file\" and \"ssl_key_file\" name it, in PEM.";
	return "The server option \"ssl_ca_file\" names the authorities to trust, in PEM; without it the "
	       "system's are "
	       "trusted. Each broker's host must be one that its certificate names.";
}

static const char *
failure_hint_connection(const KsegKafkaClient *client)
{
	if (strstr(client->cause_words, "security.protocol") != NULL)
		return "Check the server option \"security_protocol\": the broker may speak TLS or SASL on this "
		       "port.";
	if (failure_is_plaintext(client))
		return "Check the server option \"security_protocol\": the broker may speak plaintext on this port.";
	if (strstr(client->courier->config.security_protocol, "plaintext") != NULL)
		return "Check the server options \"bootstrap_servers\" and \"security_protocol\" (the brokers may "
		       "speak TLS or SASL), "
		       "and that the brokers are up and can be reached from this machine by the names that they "
		       "advertise; "
		       "\"connect_timeout\" is how long a first answer may take.";
	return "Check the server option \"bootstrap_servers\", and that the brokers are up and can be reached "
	       "from this "
	       "machine by the names that they advertise; \"connect_timeout\" is how long a first answer may "
	       "take.";
}

/*
 * What a producer hears whose transaction Kafka has ended: as if there were a newer one of its id. There is none, for each run has
 * an id of its own.
 */
static bool
failure_is_ended_transaction(rd_kafka_resp_err_t error)
{
	return error == RD_KAFKA_RESP_ERR_PRODUCER_FENCED || error == RD_KAFKA_RESP_ERR__FENCED ||
	       error == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH ||
	       error == RD_KAFKA_RESP_ERR_INVALID_TXN_STATE ||
	       error == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING;
}

static const char *
failure_hint_refused(const KsegKafkaClient *client, rd_kafka_resp_err_t error)
{
	if (client->courier->config.transactional && failure_is_ended_transaction(error))
		return "Kafka aborts a transaction that lasts longer than the server option \"transaction_timeout\": "
		       "raise it, or make the query faster.";
	return "kseg.test_server() says what can be reached; Kafka's own log may say more.";
}

const char *
kafka_failure_hint(const KsegKafkaClient *client, rd_kafka_resp_err_t error)
{
	switch (kafka_failure_sort(error))
	{
		case KSEG_FAILURE_AUTH:
			return failure_hint_auth(client, error);
		case KSEG_FAILURE_CONFIG:
			return failure_hint_tls(client);
		case KSEG_FAILURE_EXHAUSTED:
			return failure_hint_connection(client);
		case KSEG_FAILURE_REFUSED:
			return failure_hint_refused(client, error);
		default:
			return "";
	}
}

void
kafka_failure_set(KsegKafkaClient *client, rd_kafka_resp_err_t error, const char *words, const char *message)
{
	KsegFailureReport *report = &client->courier->failure;
	char fatal[KSEG_KAFKA_WORDS_MAX];
	rd_kafka_resp_err_t reason = kafka_client_read_fatal(client, fatal);
	KsegFailure failure;

	/* What has ended the handle explains what came of it, such as messages that were purged. */
	if (reason != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		error = reason;
		words = fatal;
	}
	failure = kafka_failure_sort(error);
	if (!failure_set(report, failure, (uint32_t) error, "%s",
	                 message != NULL ? message : failure_message(failure)))
		return;
	failure_set_detail(report, "librdkafka says: %s.",
	                   words != NULL ? words : kafka_client_why(client, error));
	failure_set_hint(report, "%s", kafka_failure_hint(client, error));
}

void
kafka_failure_set_no_topic(KsegKafkaClient *client, rd_kafka_resp_err_t error, const char *topic)
{
	KsegFailureReport *report = &client->courier->failure;

	if (!failure_set(report, KSEG_FAILURE_REFUSED, (uint32_t) error, "could not use topic \"%s\"", topic))
		return;
	if (error == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
	{
		failure_set_detail(report, "No topic can have this name.");
		failure_set_hint(
		    report, "Names of topics have 1 to 249 characters of a-z, A-Z, 0-9, \".\", \"_\" and \"-\".");
		return;
	}
	failure_set_detail(report, "There is no such topic, or the Kafka user may not see it.");
	failure_set_hint(report, "Create the topic first, as kseg never does; kseg.test_server() lists topics.");
}
