/*
 * kafka_arguments.h
 *	  What a run to Kafka, or a preview of one, was called with.
 */
#ifndef KSEG_KAFKA_ARGUMENTS_H
#define KSEG_KAFKA_ARGUMENTS_H

#include "event/message.h"
#include "run/run_arguments.h"

typedef struct KsegKafkaArguments
{
	KsegRunArguments run;
	KsegMessageMapping mapping; /* without max_message_bytes, which is the server's */
	bool transactional;
} KsegKafkaArguments;

/* Everything that it takes, checked (22023 and 22004 with hints), in the current memory context. */
extern void kafka_arguments_read(KsegKafkaArguments *kafka, FunctionCallInfo fcinfo);

#endif /* KSEG_KAFKA_ARGUMENTS_H */
