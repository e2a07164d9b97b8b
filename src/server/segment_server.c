/*
 * segment_server.c
 *	  Servers of the wrapper kseg_segment. See segment_server.h.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "access/reloptions.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/builtins.h"

#include "server/config_write.h"
#include "server/endpoint.h"
#include "server/option.h"
#include "server/segment_server.h"
#include "server/server_lookup.h"
#include "wire/wire.h"

/* Longest write key taken: Segment's have 32 characters, compatible receivers' up to about 60. */
#define WRITE_KEY_MAX 256

static const char *const region_choices[] = {"us", "eu", NULL};
static const char *const compression_choices[] = {"gzip", "none", NULL};

static void
segment_check_ca_file(const char *value)
{
	option_check_file("ca_file", "kseg_segment server", value);
}

static void
segment_check_write_key_file(const char *value)
{
	option_check_file("write_key_file", "kseg_segment user mapping", value);
}

const char *
segment_server_key_problem(const char *write_key)
{
	size_t length = strlen(write_key);

	if (length == 0)
		return "The write key is empty.";
	if (length > WRITE_KEY_MAX)
		return "The write key is longer than 256 characters.";
	for (size_t i = 0; i < length; i++)
	{
		/* It becomes the user name of HTTP Basic authentication: RFC 7617 forbids ':' there. */
		if (write_key[i] <= ' ' || write_key[i] >= 0x7f || write_key[i] == ':')
			return "A write key is of printable ASCII characters without blanks and colons.";
	}
	return NULL;
}

static void
segment_check_write_key(const char *value)
{
	const char *problem = segment_server_key_problem(value);

	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid value for option \"write_key\""), errdetail("%s", problem)));
}

#define SERVER_OPTION(name, kind, field, preset, minimum, maximum, choices, check)                           \
	{                                                                                                        \
		name, ForeignServerRelationId, kind, offsetof(KsegSegmentServer, field), preset, minimum, maximum,   \
		    choices, false, check                                                                            \
	}
#define MAPPING_OPTION(name, field, secret, check)                                                           \
	{                                                                                                        \
		name, UserMappingRelationId, KSEG_OPTION_TEXT, offsetof(KsegSegmentServer, field), NULL, 0, 0, NULL, \
		    secret, check                                                                                    \
	}

/*
 * Presets and bounds. upload_*, max_queue_size and max_retries carry the names of Segment's official libraries; the
 * libraries' own upload_size is 100, which makes 25 times the requests of Segment's limit of 2,500.
 */
static const KsegOption segment_options[] = {
    SERVER_OPTION("endpoint", KSEG_OPTION_TEXT, endpoint, NULL, 0, 0, NULL, endpoint_check),
    SERVER_OPTION("region", KSEG_OPTION_CHOICE, region, "us", 0, 0, region_choices, NULL),
    SERVER_OPTION("upload_size", KSEG_OPTION_INT, upload_size, "2500", 1, KSEG_UPLOAD_EVENTS_MAX, NULL, NULL),
    /* At most a minute: longer, and a slow query's events would look lost. */
    SERVER_OPTION("upload_interval", KSEG_OPTION_DURATION, upload_interval, "0.5", 0.001, 60, NULL, NULL),
    /* At most a million: bytes in flight are bounded besides (segment_sink.c), so more would never be reached. */
    SERVER_OPTION("max_queue_size", KSEG_OPTION_INT, max_queue_size, "10000", 1, 1000000, NULL, NULL),
    SERVER_OPTION("connections", KSEG_OPTION_INT, connections, "4", 1, KSEG_LANES_MAX, NULL, NULL),
    SERVER_OPTION("compression", KSEG_OPTION_CHOICE, compression, "gzip", 0, 0, compression_choices, NULL),
    /* The official Python library gives up after 15 s; twice that leaves room for a slow line with 475,000 bytes. */
    SERVER_OPTION("request_timeout", KSEG_OPTION_DURATION, request_timeout, "30", 0.1, 600, NULL, NULL),
    SERVER_OPTION("max_retries", KSEG_OPTION_INT, max_retries, "10", 0, 1000, NULL, NULL),
    /* 10 minutes: a run holds a snapshot, which keeps VACUUM from cleaning. Segment's libraries: at most 12 hours. */
    SERVER_OPTION("max_retry_age", KSEG_OPTION_DURATION, max_retry_age, "10min", 0, 43200, NULL, NULL),
    SERVER_OPTION("ca_file", KSEG_OPTION_TEXT, ca_file, NULL, 0, 0, NULL, segment_check_ca_file),
    MAPPING_OPTION("write_key", write_key, true, segment_check_write_key),
    MAPPING_OPTION("write_key_file", write_key_file, false, segment_check_write_key_file),
    {NULL},
};

PG_FUNCTION_INFO_V1(kseg_sql_segment_validator);

/* VALIDATOR of kseg_segment: (options text[], catalog oid), called by PostgreSQL whenever options are set. */
Datum
kseg_sql_segment_validator(PG_FUNCTION_ARGS)
{
	List *options = untransformRelOptions(PG_GETARG_DATUM(0));

	/*
	 * Other sessions see this instead of a statement with a key, from now on and when the session is idle. Of servers
	 * too: a key that was given there by mistake is refused, but was in the statement.
	 */
	pgstat_report_activity(STATE_RUNNING, "kseg: options of a server or user mapping, which are not shown");
	option_check_list(segment_options, options, PG_GETARG_OID(1));
	PG_RETURN_VOID();
}

KsegSegmentServer *
segment_server_get(const char *name, bool missing_ok)
{
	static const KsegServerWords words = {KSEG_SEGMENT_WRAPPER, "kseg.connect_segment(write_key => '...'"};
	ForeignServer *server = server_lookup(name, &words, missing_ok);
	UserMapping *mapping;
	KsegSegmentServer *result;

	if (server == NULL)
		return NULL;
	mapping = server_lookup_mapping(server, GetUserId(), &words, missing_ok);
	if (mapping == NULL)
		return NULL;
	result = palloc0(sizeof(KsegSegmentServer));
	result->oid = server->serverid;
	result->name = pstrdup(server->servername);
	option_read_list(segment_options, server->options, ForeignServerRelationId, result);
	option_read_list(segment_options, mapping->options, UserMappingRelationId, result);
	result->endpoint =
	    endpoint_normalize(result->endpoint ? result->endpoint : endpoint_of_region(result->region));
	return result;
}

/* The first line, without blanks at its end, into line of size bytes. ERRORs name the file, never what is in it. */
static void
segment_read_line(const char *path, char *line, size_t size)
{
	FILE *file = AllocateFile(path, PG_BINARY_R);
	const char *end;
	size_t length;

	if (file == NULL)
		ereport(ERROR,
		        (errcode_for_file_access(), errmsg("could not open the write key file \"%s\": %m", path),
		         errhint("It must be readable by the operating system user of the server.")));
	length = fread(line, 1, size - 1, file);
	if (ferror(file))
		ereport(ERROR,
		        (errcode_for_file_access(), errmsg("could not read the write key file \"%s\": %m", path)));
	FreeFile(file);
	line[length] = '\0';
	end = memchr(line, '\n', length);
	if (end != NULL)
		length = end - line;
	for (size_t i = 0; i < length; i++)
	{
		/* What is behind a NUL belongs to the line too, and no key has such a character. */
		if (line[i] == '\0')
			line[i] = '\001';
	}
	while (length > 0 && isspace((unsigned char) line[length - 1]))
		length--;
	line[length] = '\0';
}

/* The key in the file's first line, without blanks around it. */
static char *
segment_read_key_file(const char *path)
{
	char line[WRITE_KEY_MAX + 3];
	char *key;

	segment_read_line(path, line, sizeof(line));
	key = pstrdup(line + strspn(line, " \t"));
	explicit_bzero(line, sizeof(line));
	if (segment_server_key_problem(key) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("the write key file \"%s\" does not hold a write key in its first line", path),
		                errdetail("%s", segment_server_key_problem(key))));
	return key;
}

char *
segment_server_write_key(const KsegSegmentServer *server)
{
	if (server->write_key_file != NULL)
		return segment_read_key_file(server->write_key_file);
	if (server->write_key == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
		                errmsg("the user mapping for server \"%s\" has no write key", server->name),
		                errhint("Say SELECT kseg.connect_segment(write_key => '...', server => %s).",
		                        quote_literal_cstr(server->name))));
	return pstrdup(server->write_key);
}

void
segment_server_config(const KsegSegmentServer *server, const char *write_key, const char *job,
                      StringInfo json)
{
	bool segments_own = strcmp(server->endpoint, endpoint_of_region(server->region)) == 0;

	appendStringInfoChar(json, '{');
	config_text(json, "job", job);
	config_text(json, "endpoint", server->endpoint);
	config_text(json, "key_endpoint", segments_own ? "https://cdn.segment.com" : "");
	config_text(json, "write_key", write_key);
	config_text(json, "compression", server->compression);
	config_text(json, "ca_file", server->ca_file ? server->ca_file : "");
	config_text(json, "library_name", "kseg");
	config_text(json, "library_version", KSEG_VERSION);
	config_int(json, "lanes", server->connections);
	config_int(json, "upload_size", server->upload_size);
	config_int(json, "upload_interval_ms", server->upload_interval);
	config_int(json, "request_timeout_ms", server->request_timeout);
	config_int(json, "max_retries", server->max_retries);
	config_int(json, "max_retry_age_ms", server->max_retry_age);
	appendStringInfoChar(json, '}');
}
