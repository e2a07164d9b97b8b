/*
 * kafka_follow_found.h
 *	  What the answers of a survey mean: partitions to take up, gaps, troubles.
 *
 * Owns: the decisions. Refuses: to ask, and to wait.
 */
#ifndef KSEG_COURIER_KAFKA_FOLLOW_FOUND_H
#define KSEG_COURIER_KAFKA_FOLLOW_FOUND_H

#include "courier/kafka_follow_fetch.h"
#include "courier/kafka_follow_survey.h"
#include "courier/kafka_follow_trouble.h"

typedef struct KsegFollowFound
{
	KsegKafkaClient *client;
	const KsegFollowPlan *plan;
	KsegFollowSet *set;
	KsegFollowFetch *fetch;
	KsegFollowSurvey *survey;
	KsegFollowTrouble *trouble;
	bool told;       /* the first PARTITIONS has been sent */
	bool pending;    /* something could not be found out: to be asked again soon */
	int64_t gone_ms; /* since when something that is followed, or has a position, is not there; or none */
} KsegFollowFound;

/*
 * Take what the survey has found (it ended without an error of its own): PARTITIONS is sent for partitions that are new, and they are
 * begun. The courier's failure is set when there is a gap or no access.
 */
extern void follow_found_take(KsegFollowFound *found, int64_t now);

#endif /* KSEG_COURIER_KAFKA_FOLLOW_FOUND_H */
