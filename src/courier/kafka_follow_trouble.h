/*
 * kafka_follow_trouble.h
 *	  What a follow waits for: said when it begins, changes and ends.
 *
 * Owns: the words of every kind of trouble there is at the moment, and which of them PostgreSQL was told last. Refuses: to end
 * anything: a trouble passes.
 */
#ifndef KSEG_COURIER_KAFKA_FOLLOW_TROUBLE_H
#define KSEG_COURIER_KAFKA_FOLLOW_TROUBLE_H

#include "courier/kafka_client.h"

/* The first of them that there is, is told: it explains those after it. */
typedef enum KsegTroubleKind
{
	KSEG_TROUBLE_BROKERS, /* none answers */
	KSEG_TROUBLE_OFFSETS, /* where partitions begin cannot be found out */
	KSEG_TROUBLE_LEADERS, /* partitions without a leader */
	KSEG_TROUBLE_TOPICS,  /* there is no such topic (yet) */
	KSEG_TROUBLE_GROUP,   /* positions cannot be committed to the group */
	KSEG_TROUBLE_KINDS
} KsegTroubleKind;

typedef struct KsegTroubleWords
{
	char message[320]; /* "" none. As an error's: lower case, no period */
	char detail[1024];
	char hint[512];
} KsegTroubleWords;

typedef struct KsegFollowTrouble
{
	KsegTroubleWords kinds[KSEG_TROUBLE_KINDS];
	KsegTroubleWords told;
} KsegFollowTrouble;

/* There is this trouble: what is told of it. detail and hint may be "". */
extern void follow_trouble_set(KsegFollowTrouble *trouble, KsegTroubleKind kind, const char *message,
                               const char *detail, const char *hint);

/* It is over, or never was. */
extern void follow_trouble_clear(KsegFollowTrouble *trouble, KsegTroubleKind kind);

/* What is to be told is not what was told last. */
extern bool follow_trouble_is_news(const KsegFollowTrouble *trouble);

/* Tell it: a TROUBLE frame. No frame may be being filled. */
extern void follow_trouble_report(KsegFollowTrouble *trouble, KsegCourier *courier);

#endif /* KSEG_COURIER_KAFKA_FOLLOW_TROUBLE_H */
