/*
 * kafka_follow_trouble.c
 *	  See kafka_follow_trouble.h.
 */
#include "courier/kafka_follow_trouble.h"

#include <stdio.h>
#include <string.h>

#include "courier/wire_report.h"

void
follow_trouble_set(KsegFollowTrouble *trouble, KsegTroubleKind kind, const char *message, const char *detail,
                   const char *hint)
{
	KsegTroubleWords *words = &trouble->kinds[kind];

	snprintf(words->message, sizeof(words->message), "%s", message);
	snprintf(words->detail, sizeof(words->detail), "%s", detail);
	snprintf(words->hint, sizeof(words->hint), "%s", hint);
}

void
follow_trouble_clear(KsegFollowTrouble *trouble, KsegTroubleKind kind)
{
	trouble->kinds[kind].message[0] = '\0';
}

static const KsegTroubleWords *
trouble_now(const KsegFollowTrouble *trouble)
{
	static const KsegTroubleWords none;

	for (int i = 0; i < KSEG_TROUBLE_KINDS; i++)
	{
		if (trouble->kinds[i].message[0] != '\0')
			return &trouble->kinds[i];
	}
	return &none;
}

/* librdkafka's words for one and the same thing differ in milliseconds that have passed: the message counts. */
bool
follow_trouble_is_news(const KsegFollowTrouble *trouble)
{
	return strcmp(trouble_now(trouble)->message, trouble->told.message) != 0;
}

void
follow_trouble_report(KsegFollowTrouble *trouble, KsegCourier *courier)
{
	trouble->told = *trouble_now(trouble);
	wire_report_trouble(&courier->io, &courier->secret, trouble->told.message, trouble->told.detail,
	                    trouble->told.hint);
}
