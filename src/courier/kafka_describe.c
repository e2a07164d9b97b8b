/*
 * kafka_describe.c
 *	  See kafka_describe.h.
 */
#include "courier/kafka_describe.h"

void
kafka_describe(rd_kafka_t *rk, const KsegKafkaDescribe *describe, rd_kafka_queue_t *answers)
{
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
	rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(describe->type, describe->name);

	rd_kafka_AdminOptions_set_request_timeout(options, describe->answer_ms, NULL, 0);
	if (describe->broker >= 0)
		rd_kafka_AdminOptions_set_broker(options, describe->broker, NULL, 0);
	rd_kafka_AdminOptions_set_opaque(options, describe->opaque);
	rd_kafka_DescribeConfigs(rk, &resource, 1, options, answers);
	rd_kafka_ConfigResource_destroy(resource);
	rd_kafka_AdminOptions_destroy(options);
}
