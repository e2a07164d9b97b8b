/*
 * kafka_conf.c
 *	  The properties of a handle: a table of CONFIG's, a table of kseg's own. See kafka_conf.h.
 */
#include "courier/kafka_conf.h"

#include <stdio.h>
#include <string.h>

#include "courier/kafka_compat.h"
#include "courier/words.h"

/* When a key of CONFIG is a property. */
typedef enum ConfUse
{
	CONF_ALWAYS,
	CONF_TLS,
	CONF_SASL,
	CONF_CONSUMER
} ConfUse;

/* A text of CONFIG: "" leaves librdkafka's own value. */
typedef struct ConfText
{
	const char *property;
	size_t offset;
	ConfUse use;
	const char *option; /* what a user calls it */
} ConfText;

/* A number of CONFIG, held within librdkafka's bounds. */
typedef struct ConfInt
{
	const char *property;
	size_t offset;
	int64_t least;
	int64_t most;
} ConfInt;

#define CONF_AT(name) offsetof(KsegConfig, name)

static const ConfText conf_texts[] = {
    {"bootstrap.servers", CONF_AT(bootstrap_servers), CONF_ALWAYS, "bootstrap_servers"},
    {"client.id", CONF_AT(client_id), CONF_ALWAYS, "client_id"},
    {"security.protocol", CONF_AT(security_protocol), CONF_ALWAYS, "security_protocol"},
    {"sasl.mechanism", CONF_AT(sasl_mechanism), CONF_SASL, "sasl_mechanism"},
    {"sasl.username", CONF_AT(sasl_username), CONF_SASL, "sasl_username"},
    {"sasl.password", CONF_AT(sasl_password), CONF_SASL, "sasl_password"},
    {"ssl.ca.location", CONF_AT(ssl_ca_file), CONF_TLS, "ssl_ca_file"},
    {"ssl.certificate.location", CONF_AT(ssl_certificate_file), CONF_TLS, "ssl_certificate_file"},
    {"ssl.key.location", CONF_AT(ssl_key_file), CONF_TLS, "ssl_key_file"},
    {"ssl.key.password", CONF_AT(ssl_key_password), CONF_TLS, "ssl_key_password"},
    {"isolation.level", CONF_AT(isolation_level), CONF_CONSUMER, "isolation_level"},
};

static const ConfInt conf_ints[] = {
    {"socket.connection.setup.timeout.ms", CONF_AT(connect_timeout_ms), 1000, INT32_MAX},
    {"socket.timeout.ms", CONF_AT(request_timeout_ms), 1000, 300000},
};

/* What every handle has, whatever CONFIG says. */
static const KsegKafkaSetting conf_fixed[] = {
    /* A request is written whole; it must not wait for the acknowledgement of the one before it. */
    {"socket.nagle.disable", "true", false},
    {"socket.keepalive.enable", "true", false},
    /* A broker that comes back is found within a second, not within ten. */
    {"reconnect.backoff.ms", "50", false},
    {"reconnect.backoff.max.ms", "1000", false},
    /* A topic comes into being by its owner's doing, not by a typing error in a query. */
    {"allow.auto.create.topics", "false", false},
    {"ssl.endpoint.identification.algorithm", "https", false},
    {"enable.ssl.certificate.verification", "true", false},
    /* Errors only: the client looks at them while a handle is being made. */
    {"log_level", "3", false},
    /* From 2.5.0 on brokers may ask for clients' metrics; that is nobody's business, and has ended processes. */
    {"enable.metrics.push", "false", true},
};

bool
kafka_conf_has_tls(const KsegConfig *config)
{
	return strcmp(config->security_protocol, "ssl") == 0 ||
	       strcmp(config->security_protocol, "sasl_ssl") == 0;
}

bool
kafka_conf_has_sasl(const KsegConfig *config)
{
	return strncmp(config->security_protocol, "sasl_", 5) == 0;
}

static bool
conf_is_used(const KsegConfig *config, rd_kafka_type_t type, ConfUse use)
{
	return use == CONF_ALWAYS || (use == CONF_TLS && kafka_conf_has_tls(config)) ||
	       (use == CONF_SASL && kafka_conf_has_sasl(config)) ||
	       (use == CONF_CONSUMER && type == RD_KAFKA_CONSUMER);
}

/* librdkafka's words quote the value: they are masked, and said in a detail, which is masked once more. */
static void
conf_fail(KsegCourier *courier, const char *property, const char *option, const char *words)
{
	char copy[512];
	char clean[512];

	if (!failure_set(&courier->failure, KSEG_FAILURE_CONFIG, 0,
	                 "could not use the configuration of the server"))
		return;
	snprintf(copy, sizeof(copy), "%s", words);
	secret_mask(&courier->secret, copy, strlen(copy));
	words_clean(clean, sizeof(clean), copy, strlen(copy));
	failure_set_detail(&courier->failure, "librdkafka does not take the property \"%s\": %s.", property,
	                   clean);
	if (option != NULL)
		failure_set_hint(&courier->failure, "Change the option \"%s\" of the server or of the user mapping.",
		                 option);
}

static bool
conf_set(KsegCourier *courier, rd_kafka_conf_t *conf, const KsegKafkaSetting *setting, const char *option)
{
	char words[512];
	rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, setting->name, setting->value, words, sizeof(words));

	if (result == RD_KAFKA_CONF_OK || (result == RD_KAFKA_CONF_UNKNOWN && setting->where_known))
		return true;
	conf_fail(courier, setting->name, option, words);
	return false;
}

static bool
conf_set_texts(KsegCourier *courier, rd_kafka_conf_t *conf, rd_kafka_type_t type)
{
	const KsegConfig *config = &courier->config;

	for (size_t i = 0; i < sizeof(conf_texts) / sizeof(conf_texts[0]); i++)
	{
		const ConfText *text = &conf_texts[i];
		KsegKafkaSetting setting = {.name = text->property};

		setting.value = *(char *const *) (const void *) ((const char *) config + text->offset);
		if (setting.value[0] != '\0' && conf_is_used(config, type, text->use) &&
		    !conf_set(courier, conf, &setting, text->option))
			return false;
	}
	return true;
}

static bool
conf_set_ints(KsegCourier *courier, rd_kafka_conf_t *conf)
{
	for (size_t i = 0; i < sizeof(conf_ints) / sizeof(conf_ints[0]); i++)
	{
		const ConfInt *number = &conf_ints[i];
		int64_t value = *(const int64_t *) (const void *) ((const char *) &courier->config + number->offset);
		char text[24];
		KsegKafkaSetting setting = {.name = number->property, .value = text};

		value = value < number->least ? number->least : value > number->most ? number->most : value;
		snprintf(text, sizeof(text), "%lld", (long long) value);
		if (!conf_set(courier, conf, &setting, NULL))
			return false;
	}
	return true;
}

static bool
conf_set_all(KsegCourier *courier, rd_kafka_conf_t *conf, const KsegKafkaSetting *settings, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		if (!conf_set(courier, conf, &settings[i], NULL))
			return false;
	}
	return true;
}

/*
 * Without a mechanism librdkafka would take GSSAPI, whose ticket it renews by running a program; OAUTHBEARER connects to
 * wherever it is told. Neither is allowed.
 */
static bool
conf_check_sasl(KsegCourier *courier)
{
	static const char *const allowed[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};

	if (!kafka_conf_has_sasl(&courier->config))
		return true;
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
	{
		if (strcmp(courier->config.sasl_mechanism, allowed[i]) == 0)
			return true;
	}
	conf_fail(courier, "sasl.mechanism", "sasl_mechanism",
	          "kseg uses PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512");
	return false;
}

rd_kafka_conf_t *
kafka_conf_create(KsegCourier *courier, rd_kafka_type_t type, const KsegKafkaSetting *settings, size_t count)
{
	rd_kafka_conf_t *conf;

	if (!conf_check_sasl(courier))
		return NULL;
	conf = rd_kafka_conf_new();
	if (conf_set_all(courier, conf, conf_fixed, sizeof(conf_fixed) / sizeof(conf_fixed[0])) &&
	    conf_set_texts(courier, conf, type) && conf_set_ints(courier, conf) &&
	    conf_set_all(courier, conf, settings, count))
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}
