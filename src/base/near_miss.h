/*
 * near_miss.h
 *	  "Perhaps you meant": the name that is a typing error away from another.
 */
#ifndef KSEG_NEAR_MISS_H
#define KSEG_NEAR_MISS_H

#include "postgres.h"

/* The name among names (ends with NULL) that is a typing error away from this one, or NULL. palloc's nothing. */
extern const char *near_miss_find(const char *name, const char *const *names);

#endif /* KSEG_NEAR_MISS_H */
