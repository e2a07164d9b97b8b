/*
 * launcher_survey.c
 *	  Which databases there are, and which of them is surveyed next: one at a time in the whole cluster.
 *
 * Owns: reading pg_database, and the entries of databases that are gone. Refuses: to look into a database (stream_survey.c does).
 *
 * A database is surveyed when it is new to the launcher, when it is marked dirty, and again after a minute while it has workers, so that what
 * no mark tells (a role's right taken away, a row changed by hand) is found. Templates and databases that allow no connections have no streams;
 * nor has what an interrupted DROP DATABASE has left.
 */
#include "postgres.h"

#include <signal.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "stream/launcher_parts.h"

/* A look at what no mark tells. */
#define SURVEY_AGAIN_MS 60000
/* One that has failed is tried again after so long, doubled up to SURVEY_AGAIN_MS. */
#define SURVEY_FAILED_MS 5000
/* Between two workers that make room for one survey: the postmaster has seen the first one's end meanwhile. */
#define SURVEY_ROOM_MS 500
/* It takes milliseconds, and waits two seconds for a lock at most. One that takes this long would keep the other databases waiting. */
#define SURVEY_MAX_MS 20000

/* datconnlimit of a database whose DROP DATABASE was interrupted; nobody can connect to it. DATCONNLIMIT_INVALID_DB, from 15.4 on. */
#define SURVEY_INVALID_LIMIT (-2)

/* ---- the databases of the cluster */

/* Databases that may have streams, in the launcher's memory. */
static List *
survey_read_databases(KsegLauncher *launcher)
{
	List *databases = NIL;
	Relation relation;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		if (form->datistemplate || !form->datallowconn || form->datconnlimit == SURVEY_INVALID_LIMIT)
			continue;
		old = MemoryContextSwitchTo(launcher->memory);
		databases = lappend_oid(databases, form->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return databases;
}

/* A database that is gone, or may have no streams any more: its workers end, its entry goes with the last of them. The lock is held. */
static void
survey_forget_database(KsegStreamDatabase *entry)
{
	bool used = false;

	for (int i = 0; i < kseg_streams->slot_count; i++)
	{
		KsegStreamSlot *slot = &kseg_streams->slots[i];

		if (!slot->used || slot->database != entry->database)
			continue;
		slot->wanted = false;
		used = true;
	}
	entry->dirty = false;
	entry->finding = KSEG_SURVEY_NONE;
	entry->short_of_slots = false;
	if (!used && entry->holds == 0 && !entry->surveying)
		memset(entry, 0, sizeof(*entry));
}

/* Look at pg_database: what is new is to be surveyed, and all of it when somebody says so; what is gone is forgotten. */
static void
survey_look(KsegLauncher *launcher)
{
	List *databases = survey_read_databases(launcher);
	MemoryContext old = MemoryContextSwitchTo(launcher->memory);

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	if (kseg_streams->all_dirty)
	{
		kseg_streams->all_dirty = false;
		list_free(launcher->known);
		launcher->known = NIL;
	}
	for (int i = 0; i < kseg_streams->database_count; i++)
	{
		KsegStreamDatabase *entry = &kseg_streams->databases[i];

		if (OidIsValid(entry->database) && !list_member_oid(databases, entry->database))
			survey_forget_database(entry);
	}
	LWLockRelease(kseg_streams->lock);
	launcher->unseen =
	    list_concat_unique_oid(launcher->unseen, list_difference_oid(databases, launcher->known));
	list_free(launcher->known);
	launcher->known = databases;
	MemoryContextSwitchTo(old);
}

/* ---- which is next */

/* When a database is due by itself; 0: never. The lock is held. */
static TimestampTz
survey_due(const KsegStreamDatabase *entry)
{
	int wait = SURVEY_FAILED_MS;

	if (entry->finding == KSEG_SURVEY_FAILED)
	{
		for (int i = 1; i < entry->failures && wait < SURVEY_AGAIN_MS; i++)
			wait *= 2;
		return TimestampTzPlusMilliseconds(entry->surveyed, Min(wait, SURVEY_AGAIN_MS));
	}
	if (entry->finding != KSEG_SURVEY_STREAMS)
		return 0;
	for (int i = 0; i < kseg_streams->slot_count; i++)
	{
		if (kseg_streams->slots[i].used && kseg_streams->slots[i].database == entry->database)
			return TimestampTzPlusMilliseconds(entry->surveyed, SURVEY_AGAIN_MS);
	}
	return 0;
}

/*
 * A database that is marked, or due; InvalidOid: none, and the launcher wakes when one will be due. *marked: the former. The lock is held.
 */
static Oid
survey_find(KsegLauncher *launcher, bool *marked)
{
	Oid due = InvalidOid;

	*marked = false;
	for (int i = 0; i < kseg_streams->database_count; i++)
	{
		const KsegStreamDatabase *entry = &kseg_streams->databases[i];
		TimestampTz when;

		if (!OidIsValid(entry->database) || entry->holds > 0)
			continue;
		if (entry->dirty)
		{
			*marked = true;
			return entry->database;
		}
		when = survey_due(entry);
		if (when != 0 && when <= launcher->now)
			due = entry->database;
		else if (when != 0)
			launcher_wake_at(launcher, when);
	}
	return due;
}

static bool
survey_is_needed(KsegLauncher *launcher)
{
	bool marked;
	bool needed;

	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	needed = kseg_streams->all_dirty || OidIsValid(survey_find(launcher, &marked));
	LWLockRelease(kseg_streams->lock);
	return needed || launcher->unseen != NIL;
}

/* The next database, its entry marked as being surveyed; InvalidOid: none. Those that somebody has marked come first: he waits. */
static Oid
survey_take_next(KsegLauncher *launcher, bool *marked)
{
	KsegStreamDatabase *entry = NULL;
	Oid database;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	database = survey_find(launcher, marked);
	if (!*marked && launcher->unseen != NIL)
		database = linitial_oid(launcher->unseen);
	if (OidIsValid(database))
	{
		launcher->unseen = list_delete_oid(launcher->unseen, database);
		entry = stream_shared_database(database, true);
	}
	/* A hold's end marks it. Without an entry (all are held or dirty) it comes with the next look at all. */
	if (entry == NULL || entry->holds > 0)
	{
		kseg_streams->all_dirty |= OidIsValid(database) && entry == NULL;
		database = InvalidOid;
	}
	else
	{
		entry->dirty = false;
		entry->surveying = true;
	}
	LWLockRelease(kseg_streams->lock);
	return database;
}

/* ---- starting and watching one */

/*
 * No background worker is free for a survey that somebody waits for (stop_stream, say). If streams of this very database have them all,
 * nothing would ever change: one of them makes room, and is started again after the survey. The lock is held.
 */
static pid_t
survey_make_room(Oid database)
{
	for (int i = kseg_streams->slot_count - 1; i >= 0; i--)
	{
		KsegStreamSlot *slot = &kseg_streams->slots[i];

		if (!slot->used || slot->database != database || slot->pid == 0)
			continue;
		if (slot->stop)
			return 0; /* there will be room when it has finished its batch */
		slot->stop = true;
		slot->state = KSEG_STREAM_STOPPING;
		return slot->pid;
	}
	return 0;
}

static void
survey_note_refused(KsegLauncher *launcher, Oid database, bool marked)
{
	KsegStreamDatabase *entry;
	pid_t making_room = 0;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	entry = stream_shared_database(database, false);
	if (entry != NULL)
	{
		entry->surveying = false;
		entry->dirty = marked || entry->finding == KSEG_SURVEY_UNKNOWN;
	}
	if (marked && launcher->now >= TimestampTzPlusMilliseconds(launcher->made_room, SURVEY_ROOM_MS))
	{
		making_room = survey_make_room(database);
		launcher->made_room = launcher->now;
	}
	LWLockRelease(kseg_streams->lock);
	stream_shared_wake(making_room);
}

static void
survey_begin(KsegLauncher *launcher)
{
	BackgroundWorker worker = {0};
	bool marked;
	Oid database = survey_take_next(launcher, &marked);

	if (!OidIsValid(database))
		return;
	strlcpy(worker.bgw_name, "kseg survey", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "kseg survey", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "kseg_survey_main", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	launcher->survey = launcher_ask(launcher, &worker);
	if (launcher->survey == NULL)
	{
		survey_note_refused(launcher, database, marked);
		return;
	}
	launcher->surveying = database;
	launcher->survey_asked = launcher->now;
	launcher_wake_at(launcher, TimestampTzPlusMilliseconds(launcher->now, SURVEY_MAX_MS));
}

/* Whether its process has ended without having come to life, so that nobody says so in shared memory. */
static bool
survey_has_not_come(const KsegLauncher *launcher, const KsegStreamDatabase *entry)
{
	pid_t pid;

	return entry->survey_pid == 0 && launcher->survey != NULL &&
	       GetBackgroundWorkerPid(launcher->survey, &pid) == BGWH_STOPPED;
}

static void
survey_press(const KsegLauncher *launcher)
{
	const KsegStreamDatabase *entry;

	if (launcher->survey != NULL)
	{
		TerminateBackgroundWorker(launcher->survey);
		return;
	}
	/* It clears the pid before it ends, under this lock: it is that process still. */
	LWLockAcquire(kseg_streams->lock, LW_SHARED);
	entry = stream_shared_database(launcher->surveying, false);
	if (entry != NULL && entry->survey_pid != 0)
		kill(entry->survey_pid, SIGTERM);
	LWLockRelease(kseg_streams->lock);
}

/* Look after the one that is under way; false when it is over. */
static bool
survey_watch(KsegLauncher *launcher)
{
	KsegStreamDatabase *entry;
	TimestampTz late = TimestampTzPlusMilliseconds(launcher->survey_asked, SURVEY_MAX_MS);
	bool over;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	entry = stream_shared_database(launcher->surveying, false);
	over = entry == NULL || !entry->surveying;
	if (!over && survey_has_not_come(launcher, entry))
	{
		entry->surveying = false;
		entry->surveyed = launcher->now;
		/* Kept out by a hold, its end marks the database; otherwise it could not be started. */
		if (entry->holds == 0)
		{
			entry->finding = KSEG_SURVEY_FAILED;
			entry->failures++;
			strlcpy(entry->error, "the survey could not be started; the server's log has why",
			        sizeof(entry->error));
		}
		over = true;
	}
	LWLockRelease(kseg_streams->lock);
	if (!over)
	{
		if (launcher->now >= late)
		{
			survey_press(launcher);
			late = TimestampTzPlusMilliseconds(launcher->now, SURVEY_MAX_MS);
		}
		launcher_wake_at(launcher, late);
		return true;
	}
	if (launcher->survey != NULL)
		pfree(launcher->survey);
	launcher->survey = NULL;
	launcher->surveying = InvalidOid;
	return false;
}

void
launcher_adopt_survey(KsegLauncher *launcher)
{
	for (int i = 0; i < kseg_streams->database_count; i++)
	{
		KsegStreamDatabase *entry = &kseg_streams->databases[i];

		if (!entry->surveying)
			continue;
		if (entry->survey_pid == 0)
			entry->surveying = false; /* one that comes yet finds that it is not expected */
		else
			launcher->surveying = entry->database;
		launcher->survey_asked = GetCurrentTimestamp();
	}
}

void
launcher_tend_surveys(KsegLauncher *launcher)
{
	if (OidIsValid(launcher->surveying) && survey_watch(launcher))
		return;
	if (!survey_is_needed(launcher))
		return;
	survey_look(launcher);
	survey_begin(launcher);
}
