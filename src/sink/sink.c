/*
 * sink.c
 *	  What Segment's sink and Kafka's do alike. See sink.h.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sink/sink.h"

/* The executor's end; what is left in buffers is sink_finish's, where waiting costs no executor. */
static void
sink_shutdown(DestReceiver *receiver)
{
}

void
sink_init(KsegSink *sink, const KsegSinkMethods *methods, const KsegSinkOptions *options,
          bool (*receive)(TupleTableSlot *slot, DestReceiver *receiver),
          void (*startup)(DestReceiver *receiver, int operation, TupleDesc desc))
{
	sink->receiver.receiveSlot = receive;
	sink->receiver.rStartup = startup;
	sink->receiver.rShutdown = sink_shutdown;
	sink->receiver.rDestroy = sink_shutdown;
	sink->receiver.mydest = DestTuplestore; /* anything but DestNone, which SPI takes for "discard" */
	sink->methods = methods;
	sink->options = *options;
	sink->context = CurrentMemoryContext;
	sink->letter_context =
	    AllocSetContextCreate(CurrentMemoryContext, "kseg dead letter", ALLOCSET_DEFAULT_SIZES);
}

void
sink_take_letter(KsegSink *sink, const KsegLetter *letter)
{
	MemoryContext previous = MemoryContextSwitchTo(sink->letter_context);
	char *reason = letter_reason(letter);

	if (sink->first_problem == NULL)
		sink->first_problem = MemoryContextStrdup(sink->context, reason);
	if (sink->options.letters != NULL &&
	    (letter->rejected || sink->options.on_invalid != KSEG_ON_INVALID_SKIP))
		letter_keep(letter, reason, sink->options.letters, sink->options.letter_desc);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(sink->letter_context);
}

void
sink_take_invalid(KsegSink *sink, const KsegLetter *letter)
{
	sink->invalid++;
	if (sink->options.on_invalid == KSEG_ON_INVALID_ERROR)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_DATA_EXCEPTION), errmsg("%s", letter_reason(letter)),
		     errhint(
		         "Mend the row, or call with on_invalid => 'dead_letter' or 'skip' to send the others.")));
	sink_take_letter(sink, letter);
}
