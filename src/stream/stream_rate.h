/*
 * stream_rate.h
 *	  How many rows a second a stream has written of late. Pure arithmetic.
 *
 * A mean over the past in which a second counts the less the longer it is ago (e-fold in KSEG_RATE_SECONDS). Written by the worker with each batch,
 * read by whoever looks, with the time of the look: so it falls while nothing comes. The past is as long as the worker has lived,
 * so a young one's is no lower for the time before.
 */
#ifndef KSEG_STREAM_RATE_H
#define KSEG_STREAM_RATE_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* A look at the status every few seconds sees what goes on now, and not each batch's ups and downs. */
#define KSEG_RATE_SECONDS 10.0

typedef struct KsegStreamRate
{
	TimestampTz began; /* of the past that is looked at */
	TimestampTz noted; /* of value: the last batch, or began */
	double value;      /* as if there had been nothing before began */
} KsegStreamRate;

extern void stream_rate_begin(KsegStreamRate *rate, TimestampTz now);

/* So many rows came since the last call. */
extern void stream_rate_add(KsegStreamRate *rate, uint64 rows, TimestampTz now);

extern double stream_rate_get(const KsegStreamRate *rate, TimestampTz now);

#endif /* KSEG_STREAM_RATE_H */
