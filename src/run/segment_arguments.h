/*
 * segment_arguments.h
 *	  What a call to Segment, or a preview of one, was called with.
 */
#ifndef KSEG_SEGMENT_ARGUMENTS_H
#define KSEG_SEGMENT_ARGUMENTS_H

#include "event/event.h"
#include "run/run_arguments.h"

typedef struct KsegSegmentArguments
{
	KsegRunArguments run;
	KsegMapping mapping;
} KsegSegmentArguments;

/* Everything that it takes, checked (22023 and 22004 with hints), in the current memory context. */
extern void segment_arguments_of_run(KsegSegmentArguments *segment, FunctionCallInfo fcinfo, KsegCall call);
extern void segment_arguments_of_preview(KsegSegmentArguments *segment, FunctionCallInfo fcinfo);

#endif /* KSEG_SEGMENT_ARGUMENTS_H */
