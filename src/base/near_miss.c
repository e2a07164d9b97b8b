/*
 * near_miss.c
 *	  "Perhaps you meant": the name that is a typing error away from another. See near_miss.h.
 */
#include "postgres.h"

#include "utils/varlena.h"

#include "base/near_miss.h"

/*
 * At most 4 edits and at most half the letters, as PostgreSQL's own wrappers offer (contrib/postgres_fdw/option.c); its
 * ClosestMatchState is younger than 15.
 */
#define NEAR_MISS_EDITS 4

const char *
near_miss_find(const char *name, const char *const *names)
{
	int length = strlen(name);
	int best = Min(NEAR_MISS_EDITS, length / 2) + 1;
	const char *near = NULL;

	/* varstr_levenshtein takes no longer strings, and nothing of ours has such a name. */
	if (length == 0 || length > 255)
		return NULL;
	for (; *names != NULL; names++)
	{
		int distance =
		    varstr_levenshtein_less_equal(name, length, *names, strlen(*names), 1, 1, 1, best - 1, true);

		if (distance < best)
		{
			best = distance;
			near = *names;
		}
	}
	return near;
}
