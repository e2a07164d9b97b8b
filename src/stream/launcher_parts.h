/*
 * launcher_parts.h
 *	  What the launcher's files share: its own memory, which goes with its process.
 *
 * launcher.c: life and loop. launcher_slot.c: one worker's slot, from what is wanted to a process and back. launcher_survey.c: which
 * databases there are, and which is looked at next.
 */
#ifndef KSEG_LAUNCHER_PARTS_H
#define KSEG_LAUNCHER_PARTS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"

#include "stream/stream_shared.h"

/* What only this launcher knows of a slot. A launcher that is started anew knows none of it, and goes by shared memory. */
typedef struct KsegLauncherSlot
{
	BackgroundWorkerHandle *handle; /* of the process that was asked for last; NULL: none */
	TimestampTz told;               /* since when its process is to end; 0: it is not */
	TimestampTz pressed;            /* when it was last sent SIGTERM for that; 0: never */
} KsegLauncherSlot;

typedef struct KsegLauncher
{
	TimestampTz now;  /* of this turn */
	TimestampTz wake; /* when the next turn is due, latch or not; 0: never */
	KsegLauncherSlot *slots;

	/* the survey that is under way, one at a time in the whole cluster */
	Oid surveying; /* database; InvalidOid: none */
	BackgroundWorkerHandle *survey;
	TimestampTz survey_asked;
	TimestampTz made_room; /* when a worker was last told to end so that a survey can run */

	List *known;  /* of Oid: databases that were there at the last look */
	List *unseen; /* of Oid: those of them that are still to be surveyed for the first time */

	/* RegisterDynamicBackgroundWorker says no */
	int refused;               /* so many times, one after the other */
	TimestampTz refused_until; /* 0: ask */
	TimestampTz told_refused;  /* when that was logged; 0: never */
	MemoryContext memory;      /* of all this */
} KsegLauncher;

/* The next turn is due at this time at the latest. */
extern void launcher_wake_at(KsegLauncher *launcher, TimestampTz when);

/*
 * Ask the postmaster for a process of kseg's: its function, name, main argument and extra bytes. NULL: there is none to be had now; what else
 * asks in this turn is refused at once, and the launcher asks again later.
 */
extern BackgroundWorkerHandle *launcher_ask(KsegLauncher *launcher, BackgroundWorker *worker);

/* Bring one slot closer to what is wanted. */
extern void launcher_tend_slot(KsegLauncher *launcher, int index);

/* At the start, the lock held: a survey that the launcher before this one has asked for goes on if its process is there. */
extern void launcher_adopt_survey(KsegLauncher *launcher);

/* Watch the survey that is under way, or begin the next one. */
extern void launcher_tend_surveys(KsegLauncher *launcher);

#endif /* KSEG_LAUNCHER_PARTS_H */
