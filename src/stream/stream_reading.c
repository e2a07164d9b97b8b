/*
 * stream_reading.c
 *	  What a stream wants to know of each message. See stream_reading.h.
 */
#include "postgres.h"

#include "access/table.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "server/kafka_server.h"
#include "stream/stream_reading.h"

static uint64
digest_add(uint64 digest, const char *text)
{
	if (text == NULL)
		text = "";
	return hash_combine64(digest, hash_bytes_extended((const unsigned char *) text, strlen(text) + 1, 0));
}

/* The beginning of CONFIG has the server and its mapping whole, the password too: it is wiped. */
static uint64
digest_of_server(const KsegKafkaServer *server)
{
	StringInfoData json;
	uint64 digest;

	initStringInfo(&json);
	kafka_server_config(server, "kafka_follow", &json);
	digest = digest_add(0, json.data);
	explicit_bzero(json.data, json.maxlen);
	pfree(json.data);
	return digest;
}

static uint64
digest_of_request(const KsegTopicRequest *request)
{
	uint64 digest = digest_of_server(request->server);

	digest = digest_add(digest, request->topic);
	digest = digest_add(digest, request->delimiter);
	digest = digest_add(digest, request->quote);
	digest = digest_add(digest, request->null);
	digest = digest_add(digest, request->wants);
	return hash_combine64(digest, (uint64) request->format);
}

static void
reading_fill(KsegStreamReading *reading, KsegStreamStatement *statement)
{
	const KsegStreamQuery *query = statement->query;
	Relation source;

	SPI_connect();
	MemoryContextSwitchTo(reading->context);
	reading->needed = stream_statement_needed(statement);
	/* 0 is no column: it makes the set one that is there, for NULL means all. */
	reading->needed = bms_add_member(reading->needed, 0);
	source = table_open(query->source, AccessShareLock);
	reading->table = topic_table_get(query->source);
	reading->row = topic_row_create(reading->table, reading->needed);
	topic_request_of_table(&reading->request, kafka_server_get_by_oid(query->server, GetUserId()),
	                       reading->table);
	topic_feed_request(reading->row, &reading->request);
	reading->digest = digest_of_request(&reading->request);
	table_close(source, NoLock);
	SPI_finish();
}

KsegStreamReading *
stream_reading_create(KsegStreamStatement *statement, MemoryContext parent)
{
	/* The transaction's, until it is whole: an ERROR leaves nothing behind in a session that tries again for weeks. */
	MemoryContext context =
	    AllocSetContextCreate(CurTransactionContext, "kseg stream reading", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	KsegStreamReading *reading = palloc0(sizeof(KsegStreamReading));

	reading->context = context;
	reading_fill(reading, statement);
	MemoryContextSetParent(context, parent);
	MemoryContextSwitchTo(previous);
	return reading;
}

void
stream_reading_free(KsegStreamReading *reading)
{
	if (reading != NULL)
		MemoryContextDelete(reading->context);
}
