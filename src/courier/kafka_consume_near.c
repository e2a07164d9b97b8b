/*
 * kafka_consume_near.c
 *	  How far two names are apart. See kafka_consume_near.h.
 */
#include "courier/kafka_consume_near.h"

#include <ctype.h>
#include <string.h>

/* Kafka's longest name of a topic (org.apache.kafka.common.internals.Topic). */
#define NEAR_NAME_MAX 249

/* As PostgreSQL judges names of options (ClosestMatchState's use in foreign.c): four changes, and half of the name. */
#define NEAR_DISTANCE_MAX 4

static uint32_t
near_least(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t least = a < b ? a : b;

	return least < c ? least : c;
}

static uint32_t
near_differs(char a, char b)
{
	return tolower((unsigned char) a) != tolower((unsigned char) b);
}

/* Levenshtein's distance, with one row of his table. */
static uint32_t
near_count(const char *wanted, size_t wanted_length, const char *name, size_t name_length)
{
	uint32_t row[NEAR_NAME_MAX + 1];

	for (size_t j = 0; j <= name_length; j++)
		row[j] = (uint32_t) j;
	for (size_t i = 1; i <= wanted_length; i++)
	{
		uint32_t diagonal = row[0];

		row[0] = (uint32_t) i;
		for (size_t j = 1; j <= name_length; j++)
		{
			uint32_t above = row[j];

			row[j] =
			    near_least(above + 1, row[j - 1] + 1, diagonal + near_differs(wanted[i - 1], name[j - 1]));
			diagonal = above;
		}
	}
	return row[name_length];
}

uint32_t
consume_near_distance(const char *wanted, const char *name)
{
	size_t wanted_length = strlen(wanted);
	size_t name_length = strlen(name);
	uint32_t distance;

	if (wanted_length > NEAR_NAME_MAX || name_length > NEAR_NAME_MAX)
		return KSEG_NEAR_FAR;
	distance = near_count(wanted, wanted_length, name, name_length);
	return distance > NEAR_DISTANCE_MAX || distance > wanted_length / 2 ? KSEG_NEAR_FAR : distance;
}
