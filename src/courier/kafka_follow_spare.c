/*
 * kafka_follow_spare.c
 *	  See kafka_follow_spare.h.
 */
#include "courier/kafka_follow_spare.h"

#include <stdio.h>

#include "courier/clock.h"
#include "courier/kafka_describe.h"
#include "courier/memory.h"

/* A broker that lives is connected to, and answers, within some of these. */
#define SPARE_REACH_MS 2000

/* In the place of a broker that is not spare. */
#define SPARE_LEADS (-1)

void
follow_spare_take(KsegFollowSpare *spare, const struct rd_kafka_metadata *metadata)
{
	spare->count = (uint32_t) metadata->broker_cnt;
	spare->brokers = memory_resize(spare->brokers, (spare->count + 1) * sizeof(int32_t));
	for (uint32_t i = 0; i < spare->count; i++)
		spare->brokers[i] = metadata->brokers[i].id;
}

void
follow_spare_lead(KsegFollowSpare *spare, int32_t broker)
{
	for (uint32_t i = 0; i < spare->count; i++)
	{
		if (spare->brokers[i] == broker)
			spare->brokers[i] = SPARE_LEADS;
	}
}

void
follow_spare_choose(KsegFollowSpare *spare)
{
	spare->spare_count = 0;
	for (uint32_t i = 0; i < spare->count && spare->spare_count < KSEG_FOLLOW_SPARES_MOST; i++)
	{
		if (spare->brokers[i] != SPARE_LEADS)
			spare->spares[spare->spare_count++] = spare->brokers[i];
	}
}

/* A broker's configuration is what can be asked of one broker alone. Whoever may not know it has reached the broker, too. */
static void
spare_ask(rd_kafka_t *rk, int32_t broker, rd_kafka_queue_t *answers)
{
	char name[16];
	KsegKafkaDescribe describe = {
	    .type = RD_KAFKA_RESOURCE_BROKER, .name = name, .broker = broker, .answer_ms = SPARE_REACH_MS};

	snprintf(name, sizeof(name), "%d", broker);
	kafka_describe(rk, &describe, answers);
}

/* An error of the resource (no right to know it) is the broker's answer; one of the whole is that there was none. */
static bool
spare_wait(rd_kafka_queue_t *answers, uint32_t count)
{
	int64_t end_ms = clock_now_ms() + SPARE_REACH_MS;
	bool reached = false;

	for (uint32_t i = 0; i < count && !reached; i++)
	{
		int64_t left_ms = end_ms - clock_now_ms();
		rd_kafka_event_t *event = rd_kafka_queue_poll(answers, left_ms > 0 ? (int) left_ms : 0);

		if (event == NULL)
			return false;
		reached = rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR;
		rd_kafka_event_destroy(event);
	}
	return reached;
}

bool
follow_spare_reach(const KsegFollowSpare *spare, rd_kafka_t *rk)
{
	rd_kafka_queue_t *answers;
	bool reached;

	if (spare->spare_count == 0)
		return false;
	answers = rd_kafka_queue_new(rk);
	for (uint32_t i = 0; i < spare->spare_count; i++)
		spare_ask(rk, spare->spares[i], answers);
	reached = spare_wait(answers, spare->spare_count);
	rd_kafka_queue_destroy(answers);
	return reached;
}
