/*
 * client_admin.c: topics are made, changed and removed by librdkafka's admin calls: a hundred times quicker than Kafka's own tools,
 * which start a Java for each.
 *
 * Owns the order of things: a call returns when every address that answers shows what was done (await), because a test's next step
 * may ask another broker.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One admin call: where it is sent from, how its answer comes. */
typedef struct Admin
{
	rd_kafka_t *handle;
	rd_kafka_AdminOptions_t *options;
	rd_kafka_queue_t *queue;
} Admin;

static Admin
admin_begin(const Client *client, rd_kafka_admin_op_t operation)
{
	rd_kafka_conf_t *conf = client_conf();
	Admin admin;
	char reason[512];

	client_conf_finish(conf, client);
	admin.handle = client_handle(RD_KAFKA_PRODUCER, conf);
	admin.options = rd_kafka_AdminOptions_new(admin.handle, operation);
	admin.queue = rd_kafka_queue_new(admin.handle);
	if (rd_kafka_AdminOptions_set_request_timeout(admin.options, CLIENT_PATIENCE_MS, reason,
	                                              sizeof(reason)) != 0)
		client_fail("%s", reason);
	/* The broker answers when its controller has done it; without this it answers at once. Not every call has it. */
	if (operation == RD_KAFKA_ADMIN_OP_CREATETOPICS || operation == RD_KAFKA_ADMIN_OP_DELETETOPICS ||
	    operation == RD_KAFKA_ADMIN_OP_CREATEPARTITIONS || operation == RD_KAFKA_ADMIN_OP_DELETERECORDS)
		if (rd_kafka_AdminOptions_set_operation_timeout(admin.options, CLIENT_PATIENCE_MS, reason,
		                                                sizeof(reason)) != 0)
			client_fail("%s", reason);
	return admin;
}

/* Waits for the answer; fails the program when the call as a whole failed. */
static rd_kafka_event_t *
admin_answer(const Admin *admin)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, CLIENT_PATIENCE_MS);

	if (event == NULL)
		client_fail("no answer in %d ms", CLIENT_PATIENCE_MS);
	if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
		client_fail("%s", rd_kafka_event_error_string(event));
	return event;
}

/* Fails the program when a topic's own result is an error. */
static void
topics_check(const rd_kafka_topic_result_t **results, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (rd_kafka_topic_result_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
			client_fail("topic %s: %s", rd_kafka_topic_result_name(results[i]),
			            rd_kafka_topic_result_error_string(results[i])
			                ? rd_kafka_topic_result_error_string(results[i])
			                : rd_kafka_err2str(rd_kafka_topic_result_error(results[i])));
}

/* Waits until one address shows so many partitions of the topic (0: none), and each has a leader that says so too. An address that
 * does not answer is passed over. */
static void
await_at(const Client *client, char *address, const char *topic, int partitions)
{
	/* A handle of its own that knows this address only: it connects to others no sooner than it must. */
	Client there = {
	    .bootstrap = address, .properties = client->properties, .properties_count = client->properties_count};
	rd_kafka_conf_t *conf = client_conf();
	rd_kafka_t *handle;
	long long end = client_now_ms() + CLIENT_PATIENCE_MS;
	int seen;

	client_conf_finish(conf, &there);
	handle = client_handle(RD_KAFKA_PRODUCER, conf);
	while (client_partitions(handle, topic, &seen) == RD_KAFKA_RESP_ERR_NO_ERROR && seen != partitions)
	{
		if (client_now_ms() > end)
			client_fail("waited in vain for topic %s with %d partitions at %s", topic, partitions, address);
		usleep(5000);
	}
	for (int i = 0; i < seen; i++)
	{
		int64_t low, high;

		client_watermarks(handle, topic, i, &low, &high);
	}
}

static void
await(const Client *client, const char *topic, int partitions)
{
	char *addresses = strdup(client->bootstrap);

	for (char *address = strtok(addresses, ","); address != NULL; address = strtok(NULL, ","))
		await_at(client, address, topic, partitions);
	free(addresses);
}

/* Splits "name=value" in place. */
static char *
value_of(char *setting)
{
	char *value = strchr(setting, '=');

	if (value == NULL)
		client_fail("no value: %s", setting);
	*value++ = '\0';
	return value;
}

void
client_topic_create(const Client *client, int count, char **arguments)
{
	Admin admin = admin_begin(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	char reason[512];
	const rd_kafka_topic_result_t **results;
	size_t results_count;
	int partitions = (int) client_number(arguments[1]);
	rd_kafka_event_t *event;
	rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(
	    arguments[0], partitions, (int) client_number(arguments[2]), reason, sizeof(reason));

	if (topic == NULL)
		client_fail("%s", reason);
	for (int i = 3; i < count; i++)
	{
		const char *value = value_of(arguments[i]);

		if (rd_kafka_NewTopic_set_config(topic, arguments[i], value) != RD_KAFKA_RESP_ERR_NO_ERROR)
			client_fail("not taken: %s", arguments[i]);
	}
	rd_kafka_CreateTopics(admin.handle, &topic, 1, admin.options, admin.queue);
	event = admin_answer(&admin);
	results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &results_count);
	topics_check(results, results_count);
	await(client, arguments[0], partitions);
}

void
client_topic_delete(const Client *client, int count, char **arguments)
{
	Admin admin = admin_begin(client, RD_KAFKA_ADMIN_OP_DELETETOPICS);
	rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(arguments[0]);
	rd_kafka_event_t *event;
	const rd_kafka_topic_result_t **results;
	size_t results_count;

	(void) count;
	rd_kafka_DeleteTopics(admin.handle, &topic, 1, admin.options, admin.queue);
	event = admin_answer(&admin);
	results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &results_count);
	topics_check(results, results_count);
	await(client, arguments[0], 0);
}

void
client_topic_grow(const Client *client, int count, char **arguments)
{
	Admin admin = admin_begin(client, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS);
	int partitions = (int) client_number(arguments[1]);
	char reason[512];
	const rd_kafka_topic_result_t **results;
	size_t results_count;
	rd_kafka_event_t *event;
	rd_kafka_NewPartitions_t *wanted =
	    rd_kafka_NewPartitions_new(arguments[0], partitions, reason, sizeof(reason));

	(void) count;
	if (wanted == NULL)
		client_fail("%s", reason);
	rd_kafka_CreatePartitions(admin.handle, &wanted, 1, admin.options, admin.queue);
	event = admin_answer(&admin);
	results = rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event),
	                                                  &results_count);
	topics_check(results, results_count);
	await(client, arguments[0], partitions);
}

void
client_topic_configure(const Client *client, int count, char **arguments)
{
	Admin admin = admin_begin(client, RD_KAFKA_ADMIN_OP_ALTERCONFIGS);
	rd_kafka_ConfigResource_t *topic = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, arguments[0]);
	const rd_kafka_ConfigResource_t **results;
	rd_kafka_event_t *event;
	size_t results_count;

	for (int i = 1; i < count; i++)
	{
		const char *value = value_of(arguments[i]);

		if (rd_kafka_ConfigResource_set_config(topic, arguments[i], value) != RD_KAFKA_RESP_ERR_NO_ERROR)
			client_fail("not taken: %s", arguments[i]);
	}
	rd_kafka_AlterConfigs(admin.handle, &topic, 1, admin.options, admin.queue);
	event = admin_answer(&admin);
	results =
	    rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &results_count);
	for (size_t i = 0; i < results_count; i++)
		if (rd_kafka_ConfigResource_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
			client_fail("topic %s: %s", arguments[0], rd_kafka_ConfigResource_error_string(results[i]));
}

void
client_records_delete(const Client *client, int count, char **arguments)
{
	Admin admin = admin_begin(client, RD_KAFKA_ADMIN_OP_DELETERECORDS);
	rd_kafka_topic_partition_list_t *before = rd_kafka_topic_partition_list_new(1);
	rd_kafka_DeleteRecords_t *wanted;
	rd_kafka_event_t *event;
	const rd_kafka_topic_partition_list_t *results;

	(void) count;
	rd_kafka_topic_partition_list_add(before, arguments[0], (int32_t) client_number(arguments[1]))->offset =
	    client_number(arguments[2]);
	wanted = rd_kafka_DeleteRecords_new(before);
	rd_kafka_DeleteRecords(admin.handle, &wanted, 1, admin.options, admin.queue);
	event = admin_answer(&admin);
	results = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
	for (int i = 0; i < results->cnt; i++)
		if (results->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
			client_fail("partition %d: %s", results->elems[i].partition,
			            rd_kafka_err2str(results->elems[i].err));
}
