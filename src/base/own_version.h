/*
 * own_version.h
 *	  The version of the extension in this database, and that of the loaded library.
 *
 * Owns: the comparison. Refuses: to guess what another version's tables are like: what needs them asks first.
 */
#ifndef KSEG_OWN_VERSION_H
#define KSEG_OWN_VERSION_H

#include "postgres.h"

/* The extension's, palloc'd; NULL: this database has none. Needs a transaction. */
extern char *own_version_get(void);

/*
 * Are both the same? They are not between the installation of another version and ALTER EXTENSION kseg UPDATE, nor between that and a restart
 * of a server that has the library preloaded. version is what own_version_get says, and not NULL.
 */
extern bool own_version_fits(const char *version);

/* Before kseg's tables are read or written by what a user calls. ERRORs: 55000 unless both are the same. */
extern void own_version_check(void);

#endif /* KSEG_OWN_VERSION_H */
