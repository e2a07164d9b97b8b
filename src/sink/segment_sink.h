/*
 * segment_sink.h
 *	  A DestReceiver that sends a query's rows to Segment.
 *
 * Owns: the path of a row (plan, repeat, lane, frame), and Segment's part of a run's figures. See sink.h for what it refuses.
 */
#ifndef KSEG_SEGMENT_SINK_H
#define KSEG_SEGMENT_SINK_H

#include "postgres.h"

#include "event/event.h"
#include "server/segment_server.h"
#include "sink/sink.h"

typedef struct KsegSegmentDelivery
{
	const KsegMapping *mapping;
	const KsegSegmentServer *server;
	const char *write_key;
} KsegSegmentDelivery;

/* A sink in the current memory context, which must live as long as the run; so must what delivery points to. */
extern KsegSink *segment_sink_create(const KsegSegmentDelivery *delivery, const KsegSinkOptions *options);

#endif /* KSEG_SEGMENT_SINK_H */
