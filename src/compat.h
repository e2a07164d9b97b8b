/*
 * compat.h
 *	  The differences between PostgreSQL 15, 16, 17 and 18: the only place that tests PG_VERSION_NUM.
 *
 * Each entry names the upstream commit or release that made the difference. Code elsewhere uses the newest spelling, or
 * a kseg_compat_ name where the spelling would mislead on an older version.
 */
#ifndef KSEG_COMPAT_H
#define KSEG_COMPAT_H

#include "postgres.h"

#include "catalog/pg_foreign_server.h"

#if PG_VERSION_NUM < 150000
#error "kseg needs PostgreSQL 15 or later"
#endif

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/wait_event.h"
#include "utils/memutils.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h" /* 18: 393e0d231, WaitEventSet left latch.h */
#endif

/*
 * PG_FUNCTION_INFO_V1 marks functions for export only from 16 on (089480c07); kseg.map does the exporting on every
 * version, so nothing is needed here.
 */

/* 17 (50c67c201): a WaitEventSet belongs to a resource owner, NULL for none, instead of to a memory context. */
static inline WaitEventSet *
kseg_compat_create_wait_event_set(int events)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, events);
#else
	return CreateWaitEventSet(TopMemoryContext, events);
#endif
}

/* 17 (c9af05465): extensions may name their wait events. Before that every one of them reads "Extension". */
static inline uint32
kseg_compat_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* 16 (c727f511b): one object_aclcheck instead of a function for each kind of object. */
static inline AclResult
kseg_compat_server_aclcheck(Oid server, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, server, role, ACL_USAGE);
#else
	return pg_foreign_server_aclcheck(server, role, ACL_USAGE);
#endif
}

/* 16 (afbfc0298): the same for ownership. */
static inline bool
kseg_compat_server_ownercheck(Oid server, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(ForeignServerRelationId, server, role);
#else
	return pg_foreign_server_ownercheck(server, role);
#endif
}

/* 16 (d7e39d72c, and the renaming that followed it): look-ups by index and by backend id are told apart. From 1. */
static inline LocalPgBackendStatus *
kseg_compat_backend_status(int index)
{
#if PG_VERSION_NUM >= 160000
	return pgstat_get_local_beentry_by_index(index);
#else
	return pgstat_fetch_stat_local_beentry(index);
#endif
}

/* 17: intervals may be infinite (519fc1bd9). */
#if PG_VERSION_NUM < 170000
#define INTERVAL_NOT_FINITE(i) false
#define INTERVAL_IS_NOBEGIN(i) false
#endif

#endif /* KSEG_COMPAT_H */
