/*
 * stream_replay.h
 *	  Dead letters once more: of a stream, of a run.
 */
#ifndef KSEG_STREAM_REPLAY_H
#define KSEG_STREAM_REPLAY_H

#include "postgres.h"

#include "stream/replay_letter.h"

/*
 * Apply a stream's letters, each in a subtransaction of its own, as the stream's owner. A letter that fails by its own fault stays, with
 * the new reason. ERRORs: no such stream (42704), not its owner (42501), and whatever is no letter's fault: then nothing has happened.
 */
extern void replay_stream(const char *stream, KsegReplay *replay);

/*
 * Send a run's letters to their server again, as the current role. One that the other side refuses stays, with the new reason. ERRORs: as
 * those of a run whose server cannot be reached; what had been sent by then stays sent, and the letters stay, too.
 */
extern void replay_run(KsegReplay *replay);

#endif /* KSEG_STREAM_REPLAY_H */
