/*
 * stream_survey.c
 *	  The survey: a short-lived process in one database that says which of its streams are to run.
 *
 * Owns: reading kseg.stream_entry, the slots that come into being by it, and halting a stream that cannot be run here (a copy's, or one
 * whose owner is gone). Refuses: to start or to end workers (launcher.c).
 *
 * It is the bootstrap superuser's: so it reads one table of kseg's with a plain SELECT and a fixed search_path, and what is written is written by
 * stream_entry.c as that table's owner. It does not hang the database: locks are waited for two seconds, and a hold ends it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/own_version.h"
#include "compat.h"
#include "stream/launcher.h"
#include "stream/stream_entry.h"
#include "stream/stream_shared.h"

/* For each lock: a table that is locked for longer is somebody's who maintains it, and the survey comes again. */
#define SURVEY_LOCK_TIMEOUT "2s"

/* A stream that is enabled and has not halted, as kseg.stream_entry has it. */
typedef struct KsegSurveyed
{
	int64 id;
	char *name;
	Oid owner;
	int workers;
	int64 revision;
	ErrorData *reason;  /* why it cannot run here; NULL: it can */
	const char *halted; /* the word for that */
} KsegSurveyed;

typedef struct KsegSurvey
{
	MemoryContext memory;
	KsegStreamFinding finding;
	char *database;
	char *version; /* of the extension; NULL: there is none */
	List *streams; /* of KsegSurveyed */
} KsegSurvey;

/* Whether this process has told what it found. */
static bool told = false;

/* ---- its place in shared memory */

static void
survey_detach(int code, Datum database)
{
	KsegStreamDatabase *entry;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	entry = stream_shared_database(DatumGetObjectId(database), false);
	if (entry != NULL && entry->survey_pid == MyProcPid)
	{
		entry->survey_pid = 0;
		entry->surveying = false;
		entry->surveyed = GetCurrentTimestamp();
		if (!told && entry->holds == 0) /* a hold's end marks the database: then it is looked at again */
		{
			entry->finding = KSEG_SURVEY_FAILED;
			entry->failures++;
		}
	}
	LWLockRelease(kseg_streams->lock);
	ConditionVariableBroadcast(&kseg_streams->changed);
	stream_shared_wake_launcher();
}

/* Before connecting: whoever holds the database waits for those who have attached only. */
static bool
survey_attach(Oid database)
{
	KsegStreamDatabase *entry;
	bool attached;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	entry = stream_shared_database(database, false);
	attached = entry != NULL && entry->surveying && entry->survey_pid == 0 && entry->holds == 0;
	if (attached)
	{
		entry->survey_pid = MyProcPid;
		strlcpy(entry->error, "the survey ended early; the server's log has why", sizeof(entry->error));
	}
	LWLockRelease(kseg_streams->lock);
	if (attached)
		on_shmem_exit(survey_detach, ObjectIdGetDatum(database));
	return attached;
}

/* ---- what is in the database */

static ErrorData *
survey_reason(int sqlerrcode, char *message, char *hint)
{
	ErrorData *reason = palloc0(sizeof(ErrorData));

	reason->elevel = ERROR;
	reason->sqlerrcode = sqlerrcode;
	reason->message = message;
	reason->hint = hint;
	return reason;
}

/* Why a worker could not connect as this role; NULL: it can. */
static ErrorData *
survey_judge_owner(Oid owner, const char *stream)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner));
	char *name;
	bool may_login;

	if (!HeapTupleIsValid(tuple))
		return survey_reason(ERRCODE_UNDEFINED_OBJECT, pstrdup("the role that the stream ran as is gone"),
		                     psprintf("SELECT kseg.alter_stream(%s, owner => '…'), and start it.",
		                              quote_literal_cstr(stream)));
	name = pstrdup(NameStr(((Form_pg_authid) GETSTRUCT(tuple))->rolname));
	may_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!may_login && KSEG_COMPAT_BYPASS_ROLE_LOGIN == 0)
		return survey_reason(
		    ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
		    psprintf("role \"%s\", which the stream runs as, is not permitted to log in", name),
		    psprintf(
		        "ALTER ROLE %s LOGIN, and start the stream. From PostgreSQL 17 on roles without LOGIN can "
		        "have streams, too.",
		        quote_identifier(name)));
	if (!superuser_arg(owner) && !kseg_compat_may_connect(MyDatabaseId, owner))
		return survey_reason(
		    ERRCODE_INSUFFICIENT_PRIVILEGE,
		    psprintf("role \"%s\", which the stream runs as, may not connect to this database", name),
		    psprintf("GRANT CONNECT ON DATABASE %s TO %s, and start the stream.",
		             quote_identifier(get_database_name(MyDatabaseId)), quote_identifier(name)));
	return NULL;
}

/*
 * A definition that was made elsewhere has come with a copy of its database, and both would write what both read; or with a restored dump, whose
 * other tables may not be there yet.
 */
static void
survey_judge(KsegSurveyed *stream, bool here)
{
	if (here)
	{
		stream->reason = survey_judge_owner(stream->owner, stream->name);
		stream->halted = "failed";
		return;
	}
	stream->reason = survey_reason(
	    ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, pstrdup("the stream came with a copy of its database"),
	    psprintf("If it is to run here, SELECT kseg.start_stream(%s): it goes on from the copy's position.",
	             quote_literal_cstr(stream->name)));
	stream->halted = "copy";
}

static Datum
survey_column(HeapTuple tuple, int column)
{
	bool null;
	Datum value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, column, &null);

	if (null)
		elog(ERROR, "column %d of kseg.stream_entry is null", column);
	return value;
}

static void
survey_read_streams(KsegSurvey *survey)
{
	if (SPI_execute("SELECT id, name, owner, workers, revision, system_identifier, database, entry_table "
	                "FROM kseg.stream_entry WHERE enabled AND halted IS NULL ORDER BY id",
	                true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kseg.stream_entry");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		MemoryContext old = MemoryContextSwitchTo(survey->memory);
		KsegSurveyed *stream = palloc0(sizeof(KsegSurveyed));

		stream->id = DatumGetInt64(survey_column(tuple, 1));
		stream->name = TextDatumGetCString(survey_column(tuple, 2));
		stream->owner = DatumGetObjectId(survey_column(tuple, 3));
		stream->workers = DatumGetInt32(survey_column(tuple, 4));
		stream->revision = DatumGetInt64(survey_column(tuple, 5));
		survey_judge(stream, stream_entry_is_here(DatumGetInt64(survey_column(tuple, 6)),
		                                          DatumGetObjectId(survey_column(tuple, 7)),
		                                          DatumGetObjectId(survey_column(tuple, 8))));
		survey->streams = lappend(survey->streams, stream);
		MemoryContextSwitchTo(old);
	}
}

static void
survey_read_version(KsegSurvey *survey)
{
	const char *version = own_version_get();

	if (version != NULL)
		survey->version = MemoryContextStrdup(survey->memory, version);
}

/* In a transaction of its own. */
static void
survey_read(KsegSurvey *survey)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	survey->database = MemoryContextStrdup(survey->memory, get_database_name(MyDatabaseId));
	survey_read_version(survey);
	if (survey->version == NULL)
		survey->finding = KSEG_SURVEY_NONE;
	else if (!own_version_fits(survey->version))
		survey->finding = KSEG_SURVEY_VERSION;
	else
	{
		survey_read_streams(survey);
		survey->finding = survey->streams == NIL ? KSEG_SURVEY_NONE : KSEG_SURVEY_STREAMS;
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* ---- telling it; the lock is held */

static KsegStreamSlot *
survey_find_slot(int64 stream, int worker)
{
	for (int i = 0; i < kseg_streams->slot_count; i++)
	{
		KsegStreamSlot *slot = &kseg_streams->slots[i];

		if (slot->used && slot->database == MyDatabaseId && slot->stream == stream && slot->worker == worker)
			return slot;
	}
	return NULL;
}

static KsegStreamSlot *
survey_make_slot(int64 stream, int worker)
{
	for (int i = 0; i < kseg_streams->slot_count; i++)
	{
		KsegStreamSlot *slot = &kseg_streams->slots[i];

		if (slot->used)
			continue;
		memset(slot, 0, sizeof(*slot));
		slot->used = true;
		slot->database = MyDatabaseId;
		slot->stream = stream;
		slot->worker = worker;
		slot->state = KSEG_STREAM_WAITING;
		slot->since = GetCurrentTimestamp();
		slot->figures.lag_messages = -1;
		return slot;
	}
	return NULL;
}

/* False: no slot is free. */
static bool
survey_want(const KsegSurveyed *stream, int worker)
{
	KsegStreamSlot *slot = survey_find_slot(stream->id, worker);

	if (slot == NULL)
		slot = survey_make_slot(stream->id, worker);
	if (slot == NULL)
		return false;
	if (slot->revision != stream->revision) /* what failed was another definition */
	{
		slot->failures = 0;
		slot->next_try = 0;
	}
	slot->workers = stream->workers;
	slot->owner = stream->owner;
	strlcpy(slot->name, stream->name, sizeof(slot->name));
	slot->revision = stream->revision;
	slot->wanted = true;
	return true;
}

/*
 * Say of each slot of this database whether it is wanted. Every stream gets its first worker before any gets its second, so that one with many does
 * not keep others from running at all. False: slots are short.
 */
static bool
survey_want_all(const KsegSurvey *survey)
{
	bool enough = true;
	bool more = true;

	for (int i = 0; i < kseg_streams->slot_count; i++)
	{
		if (kseg_streams->slots[i].used && kseg_streams->slots[i].database == MyDatabaseId)
			kseg_streams->slots[i].wanted = false;
	}
	for (int worker = 0; more; worker++)
	{
		ListCell *cell;

		more = false;
		foreach (cell, survey->streams)
		{
			const KsegSurveyed *stream = lfirst(cell);

			if (stream->reason != NULL || worker >= stream->workers)
				continue;
			more = true;
			enough &= survey_want(stream, worker);
		}
	}
	return enough;
}

/* ---- and acting on it */

static void
survey_log(const KsegSurvey *survey, bool other_version, bool short_of_slots)
{
	if (other_version)
		ereport(
		    LOG,
		    (errmsg("kseg: streams of database \"%s\" do not run: the library is of version %s, the "
		            "extension of "
		            "version %s",
		            survey->database, KSEG_VERSION, survey->version),
		     errhint("After ALTER EXTENSION kseg UPDATE, or a restart of the server, both are the same.")));
	if (short_of_slots)
		ereport(LOG,
		        (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), errmsg("kseg: streams wait for a free slot"),
		         errhint("Raise kseg.max_stream_workers (now %d).", kseg_max_stream_workers)));
}

static void
survey_tell(const KsegSurvey *survey)
{
	KsegStreamDatabase *entry;
	bool other_version = false;
	bool short_of_slots = false;
	bool enough;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	enough = survey_want_all(survey);
	entry = stream_shared_database(MyDatabaseId, false);
	if (entry != NULL)
	{
		/* Logged when it begins, not with each survey. */
		other_version = survey->finding == KSEG_SURVEY_VERSION && entry->finding != KSEG_SURVEY_VERSION;
		short_of_slots = !enough && !entry->short_of_slots;
		entry->finding = survey->finding;
		entry->short_of_slots = !enough;
		entry->failures = 0;
		entry->error[0] = '\0';
		strlcpy(entry->extension_version, survey->version != NULL ? survey->version : "",
		        sizeof(entry->extension_version));
	}
	LWLockRelease(kseg_streams->lock);
	told = true;
	stream_shared_wake_launcher();
	survey_log(survey, other_version, short_of_slots);
}

/* Each in a transaction of its own, after what runs was told. */
static void
survey_halt(const KsegSurvey *survey)
{
	ListCell *cell;

	foreach (cell, survey->streams)
	{
		const KsegSurveyed *stream = lfirst(cell);

		if (stream->reason == NULL)
			continue;
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		if (stream_entry_halt(stream->id, stream->revision, stream->halted, stream->reason))
			ereport(LOG, (errmsg("kseg: stream \"%s\" has halted: %s", stream->name, stream->reason->message),
			              errhint("%s", stream->reason->hint)));
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
}

/* Whatever the database, the role or postgresql.conf say. */
static void
survey_set_options(void)
{
	SetConfigOption("search_path", "pg_catalog", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("max_parallel_workers_per_gather", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("role", "none", PGC_SUSET, PGC_S_OVERRIDE);
}

static void
survey_run(Oid database)
{
	KsegSurvey survey = {.memory =
	                         AllocSetContextCreate(TopMemoryContext, "kseg survey", ALLOCSET_SMALL_SIZES)};

	/* Already for what connecting takes. */
	SetConfigOption("lock_timeout", SURVEY_LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	survey_set_options();
	pgstat_report_appname("kseg survey");
	pgstat_report_activity(STATE_RUNNING, "looking for streams");
	survey_read(&survey);
	survey_tell(&survey);
	survey_halt(&survey);
}

/* What the survey failed of, for kseg.health(). */
static void
survey_note_error(Oid database, const char *message)
{
	KsegStreamDatabase *entry;

	LWLockAcquire(kseg_streams->lock, LW_EXCLUSIVE);
	entry = stream_shared_database(database, false);
	if (entry != NULL && entry->survey_pid == MyProcPid)
	{
		Size length = pg_mbcliplen(message, strlen(message), sizeof(entry->error) - 1);

		memcpy(entry->error, message, length);
		entry->error[length] = '\0';
	}
	LWLockRelease(kseg_streams->lock);
}

void
kseg_survey_main(Datum argument)
{
	Oid database = DatumGetObjectId(argument);

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!survey_attach(database))
		proc_exit(0);
	PG_TRY();
	{
		survey_run(database);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		survey_note_error(database, CopyErrorData()->message);
		PG_RE_THROW();
	}
	PG_END_TRY();
	proc_exit(0);
}
