/*
 * connect_kafka.c
 *	  connect_kafka() and COPY kseg.kafka_password.
 *
 * Owns: which server a password is for, and what protocol goes with one. Refuses: to give a password to other brokers, or by
 * another protocol, than it was given for. The care for the password on its way is connect.c's.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"

#include "server/bootstrap.h"
#include "server/connect.h"
#include "server/kafka_options.h"
#include "server/kafka_server.h"

/* What the caller said; NULL: not said. */
typedef struct KsegConnectKafka
{
	KsegConnect connect;
	char *bootstrap_servers;
	char *security_protocol;
	char *sasl_mechanism;
	char *sasl_username;
	char *sasl_password;
	char *ssl_key_password;
} KsegConnectKafka;

/* How a server connects: "sasl_ssl, SCRAM-SHA-512". */
static char *
kafka_manner(const char *protocol, const char *mechanism)
{
	return mechanism == NULL ? pstrdup(protocol) : psprintf("%s, %s", protocol, mechanism);
}

static char *
kafka_server_words(const ForeignServer *server)
{
	char *bootstrap = bootstrap_normalize(option_value(server->options, "bootstrap_servers"));

	return psprintf(
	    "%s, %s", bootstrap,
	    kafka_manner(kafka_protocol(option_value(server->options, "security_protocol"), bootstrap),
	                 option_value(server->options, "sasl_mechanism")));
}

static const char *
kafka_server_protocol(const ForeignServer *server)
{
	return kafka_protocol(option_value(server->options, "security_protocol"),
	                      bootstrap_normalize(option_value(server->options, "bootstrap_servers")));
}

static bool
kafka_differs(const char *wanted, const char *is)
{
	return wanted != NULL && (is == NULL || strcmp(wanted, is) != 0);
}

/* The server is there already: it must be the one that is meant. */
static void
kafka_check_server(const KsegConnectKafka *kafka, const ForeignServer *server)
{
	const char *bootstrap = option_value(server->options, "bootstrap_servers");
	const char *wanted = kafka->bootstrap_servers ? bootstrap_normalize(kafka->bootstrap_servers) : NULL;

	if (bootstrap == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
		                errmsg("server \"%s\" has no option \"bootstrap_servers\"", kafka->connect.server)));
	if (kafka_differs(wanted, bootstrap_normalize(bootstrap)) ||
	    kafka_differs(kafka->security_protocol, kafka_server_protocol(server)) ||
	    kafka_differs(kafka->sasl_mechanism, option_value(server->options, "sasl_mechanism")))
		ereport(ERROR,
		        (errcode(ERRCODE_DUPLICATE_OBJECT),
		         errmsg("server \"%s\" exists with other brokers or another protocol", kafka->connect.server),
		         errdetail("It connects to %s.", kafka_server_words(server)),
		         errhint("Choose another name with server => '...', or change it with ALTER SERVER.")));
}

/*
 * The protocol of a new server: a password without a word on the protocol is for SASL, and there too plaintext stays on
 * this machine.
 */
static const char *
kafka_new_protocol(const KsegConnectKafka *kafka)
{
	const char *preset = kafka_protocol(NULL, bootstrap_normalize(kafka->bootstrap_servers));

	if (kafka->security_protocol != NULL || kafka->sasl_username == NULL)
		return kafka->security_protocol;
	return strcmp(preset, "plaintext") == 0 ? "sasl_plaintext" : "sasl_ssl";
}

static ForeignServer *
kafka_create_server(const KsegConnectKafka *kafka)
{
	List *options;

	if (kafka->bootstrap_servers == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("bootstrap_servers is missing"),
		                errdetail("There is no server \"%s\" yet.", kafka->connect.server),
		                errhint("Name one or more brokers: bootstrap_servers => 'host:9092'.")));
	options = connect_add_option(NIL, "bootstrap_servers", kafka->bootstrap_servers);
	options = connect_add_option(options, "security_protocol", kafka_new_protocol(kafka));
	options = connect_add_option(options, "sasl_mechanism", kafka->sasl_mechanism);
	return connect_create_server(&kafka->connect, options);
}

/* A password belongs to a user, who may be in the mapping already, and to a protocol that asks for both. */
static void
kafka_check_login(const KsegConnectKafka *kafka, const ForeignServer *server, List *there)
{
	const char *protocol = kafka_server_protocol(server);
	bool sasl = kafka_protocol_is_sasl(protocol);

	if ((kafka->sasl_username != NULL || kafka->sasl_password != NULL) && !sasl)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		     errmsg("sasl_username and sasl_password would have no effect"),
		     errdetail("The security_protocol is %s.", protocol),
		     errhint(
		         "Say security_protocol => 'sasl_ssl' for a new server, or change it with ALTER SERVER.")));
	/* Without a password there is only one thing to do for such a server: set the password of the client's key. */
	if (sasl && kafka->sasl_password == NULL && kafka->ssl_key_password == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("sasl_password is missing"),
		                errdetail("The security_protocol is %s.", protocol)));
	if (kafka->sasl_password != NULL && kafka->sasl_username == NULL &&
	    option_value(there, "sasl_username") == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("sasl_username is missing"),
		                errdetail("The security_protocol is %s.", protocol)));
	if (kafka->sasl_username != NULL && kafka->sasl_password == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("sasl_password is missing")));
}

/* What was done to the mapping, in words without a secret. */
static char *
kafka_mapping_words(const KsegConnectKafka *kafka, List *there, bool exists)
{
	const char *whose = connect_whose(&kafka->connect);

	if (kafka->sasl_password != NULL)
		return psprintf("password %s for %s",
		                option_value(there, "sasl_password") != NULL ? "replaced" : "set", whose);
	if (kafka->ssl_key_password != NULL)
		return psprintf("password of the client's key %s for %s",
		                option_value(there, "ssl_key_password") != NULL ? "replaced" : "set", whose);
	return psprintf("user mapping %s for %s", exists ? "kept" : "created", whose);
}

/* Server and mapping. Returns what was done, in a sentence without the password. */
static char *
kafka_connect(const KsegConnect *connect)
{
	const KsegConnectKafka *kafka = (const KsegConnectKafka *) connect;
	ForeignServer *server = connect_find_server(connect);
	bool created = server == NULL;
	List *options = NIL;
	List *there;
	bool exists;

	if (created)
		server = kafka_create_server(kafka);
	else
		kafka_check_server(kafka, server);
	there = connect_mapping_options(connect, server, &exists);
	kafka_check_login(kafka, server, there);
	options = connect_add_option(options, "sasl_username", kafka->sasl_username);
	options = connect_add_option(options, "sasl_password", kafka->sasl_password);
	options = connect_add_option(options, "ssl_key_password", kafka->ssl_key_password);
	connect_set_mapping(connect, server, options);
	return psprintf("%s server %s (%s), %s", created ? "created" : "kept", quote_identifier(connect->server),
	                kafka_server_words(server), kafka_mapping_words(kafka, there, exists));
}

PG_FUNCTION_INFO_V1(kseg_sql_connect_kafka);

/*
 * connect_kafka(bootstrap_servers text, security_protocol text, sasl_mechanism text, sasl_username text, sasl_password text,
 * server text, for_role text) RETURNS text
 */
Datum
kseg_sql_connect_kafka(PG_FUNCTION_ARGS)
{
	KsegConnectKafka kafka = {
	    .connect = {"connect_kafka", KSEG_KAFKA_WRAPPER, "SELECT kseg.connect_kafka(...)"}};
	char *done;

	/* Before anything else: other sessions see this instead of a statement with the password. */
	pgstat_report_activity(STATE_RUNNING, kafka.connect.activity);

	kafka.bootstrap_servers = connect_text_argument(fcinfo, 0);
	kafka.security_protocol = connect_text_argument(fcinfo, 1);
	kafka.sasl_mechanism = connect_text_argument(fcinfo, 2);
	kafka.sasl_username = connect_text_argument(fcinfo, 3);
	kafka.sasl_password = connect_text_argument(fcinfo, 4);
	kafka.connect.server = connect_text_argument(fcinfo, 5);
	kafka.connect.for_role = connect_text_argument(fcinfo, 6);
	done = connect_guarded(&kafka.connect, kafka_connect);
	if (kafka.sasl_password != NULL && connect_is_logged())
		ereport(WARNING,
		        (errmsg("this server logs statements: the password may now be in its log"),
		         errhint("Change the password at the brokers, then set it with COPY kseg.kafka_password "
		                 "(server, sasl_username, sasl_password) FROM STDIN."),
		         errhidestmt(true), errhidecontext(true)));
	PG_RETURN_TEXT_P(cstring_to_text(done));
}

#define KAFKA_PASSWORD_ACTIVITY "kseg.kafka_password gets a row, which is not shown"

PG_FUNCTION_INFO_V1(kseg_sql_kafka_password_begin);

/* BEFORE INSERT trigger of the view kseg.kafka_password. */
Datum
kseg_sql_kafka_password_begin(PG_FUNCTION_ARGS)
{
	connect_copy_begin(KAFKA_PASSWORD_ACTIVITY);
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(kseg_sql_kafka_password_insert);

/* INSTEAD OF INSERT trigger of the view kseg.kafka_password: each row is one connect_kafka call. */
Datum
kseg_sql_kafka_password_insert(PG_FUNCTION_ARGS)
{
	KsegConnectKafka kafka = {.connect = {"connect_kafka", KSEG_KAFKA_WRAPPER, KAFKA_PASSWORD_ACTIVITY}};
	TriggerData *trigger = connect_copy_trigger(fcinfo);

	kafka.bootstrap_servers = connect_copy_text(trigger, "bootstrap_servers");
	kafka.security_protocol = connect_copy_text(trigger, "security_protocol");
	kafka.sasl_mechanism = connect_copy_text(trigger, "sasl_mechanism");
	kafka.sasl_username = connect_copy_text(trigger, "sasl_username");
	kafka.sasl_password = connect_copy_text(trigger, "sasl_password");
	kafka.ssl_key_password = connect_copy_text(trigger, "ssl_key_password");
	kafka.connect.server = connect_copy_text(trigger, "server");
	kafka.connect.for_role = connect_copy_text(trigger, "for_role");
	if (kafka.connect.server == NULL)
		kafka.connect.server = "kafka";
	connect_guarded(&kafka.connect, kafka_connect);
	return PointerGetDatum(trigger->tg_trigtuple);
}
