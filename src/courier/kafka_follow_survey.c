/*
 * kafka_follow_survey.c
 *	  Questions to the brokers while topics are followed. See kafka_follow_survey.h.
 *
 * Times of offsets have the meanings that kafka_consume_bounds.c tells of.
 */
#include "courier/kafka_follow_survey.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "courier/kafka_consume_same.h"
#include "courier/memory.h"

#define SURVEY_EARLIEST (-2)
#define SURVEY_LATEST   (-1)

/*
 * How long one question may take: brokers that live answer within milliseconds, or within the second that a Fetch on the same
 * connection may wait for news (fetch.wait.max.ms). Who takes longer is away, for the time being.
 */
#define SURVEY_ASK_MS 5000

/*
 * So many topics are asked for one by one. A list of all topics is longer than any of these answers, but each answer may have to wait
 * behind a Fetch.
 */
#define SURVEY_NAMES_MOST 8

/* ---------- topics ---------- */

static void
survey_forget(KsegFollowSurvey *survey)
{
	for (uint32_t i = 0; i < survey->topic_count; i++)
	{
		free(survey->topics[i].name);
		free(survey->topics[i].leaders);
	}
	free(survey->topics);
	free(survey->asks);
	survey->topics = NULL;
	survey->asks = NULL;
	survey->topic_count = survey->ask_count = 0;
	survey->error = RD_KAFKA_RESP_ERR_NO_ERROR;
	survey->verified = false;
	survey->anew = NULL;
}

const KsegFoundTopic *
follow_survey_topic(const KsegFollowSurvey *survey, const char *name)
{
	for (uint32_t i = 0; i < survey->topic_count; i++)
	{
		if (strcmp(survey->topics[i].name, name) == 0)
			return &survey->topics[i];
	}
	return NULL;
}

static KsegFoundTopic *
survey_add_topic(KsegFollowSurvey *survey, const char *name, rd_kafka_resp_err_t error)
{
	KsegFoundTopic *found;

	survey->topics = memory_resize(survey->topics, (survey->topic_count + 1) * sizeof(*survey->topics));
	found = &survey->topics[survey->topic_count++];
	*found = (KsegFoundTopic){.name = memory_copy_text(name, strlen(name)), .error = error};
	return found;
}

/* LEADER_NOT_AVAILABLE is a topic, too. A partition's number is not its place in the answer. */
static void
survey_take_topic(KsegFollowSurvey *survey, const struct rd_kafka_metadata_topic *topic)
{
	KsegFoundTopic *found;

	if (follow_survey_topic(survey, topic->topic) != NULL)
		return;
	found = survey_add_topic(survey, topic->topic,
	                         topic->err == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ? RD_KAFKA_RESP_ERR_NO_ERROR
	                                                                              : topic->err);
	found->partition_count = topic->partition_cnt;
	found->leaders = memory_resize(NULL, ((size_t) topic->partition_cnt + 1) * sizeof(int32_t));
	for (int i = 0; i < topic->partition_cnt; i++)
		found->leaders[i] = -1;
	for (int i = 0; i < topic->partition_cnt; i++)
	{
		const struct rd_kafka_metadata_partition *partition = &topic->partitions[i];

		if (partition->id >= 0 && partition->id < topic->partition_cnt)
			found->leaders[partition->id] = partition->leader;
	}
}

/* All topics that there are, and a word of each name that is not among them. */
static void
survey_ask_all(KsegFollowSurvey *survey)
{
	const struct rd_kafka_metadata *metadata;
	const KsegFollowPlan *plan = survey->plan;

	survey->error = rd_kafka_metadata(survey->set->rk, 1, NULL, &metadata, SURVEY_ASK_MS);
	if (survey->error != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	follow_spare_take(&survey->spare, metadata);
	for (int i = 0; i < metadata->topic_cnt; i++)
	{
		if (follow_plan_has_topic(plan, metadata->topics[i].topic))
			survey_take_topic(survey, &metadata->topics[i]);
	}
	rd_kafka_metadata_destroy(metadata);
	for (uint32_t i = 0; i < plan->selector_count; i++)
	{
		const KsegFollowSelector *selector = &plan->selectors[i];

		if (!selector->is_pattern && follow_survey_topic(survey, selector->text) == NULL)
			survey_add_topic(survey, selector->text, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	}
}

/* One topic. A handle of one that is not followed is given back: of one that there is not, librdkafka would go on asking. */
static void
survey_ask_name(KsegFollowSurvey *survey, const char *name)
{
	const KsegFollowTopic *followed = follow_set_topic(survey->set, name);
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_t *rkt =
	    followed != NULL ? followed->rkt : rd_kafka_topic_new(survey->set->rk, name, NULL);

	if (rkt == NULL)
	{
		survey_add_topic(survey, name, RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION);
		return;
	}
	survey->error = rd_kafka_metadata(survey->set->rk, 0, rkt, &metadata, SURVEY_ASK_MS);
	if (survey->error == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		follow_spare_take(&survey->spare, metadata);
		if (metadata->topic_cnt == 1)
			survey_take_topic(survey, &metadata->topics[0]);
		else
			survey_add_topic(survey, name, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
		rd_kafka_metadata_destroy(metadata);
	}
	if (followed == NULL)
		rd_kafka_topic_destroy(rkt);
}

static void
survey_find_topics(KsegFollowSurvey *survey)
{
	const KsegFollowPlan *plan = survey->plan;

	survey_forget(survey);
	if (plan->has_patterns || plan->selector_count > SURVEY_NAMES_MOST)
		survey_ask_all(survey);
	else
	{
		for (uint32_t i = 0; i < plan->selector_count && survey->error == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
			survey_ask_name(survey, plan->selectors[i].text);
	}
}

/* Which brokers lead nothing of what is followed. */
static void
survey_choose_spares(KsegFollowSurvey *survey)
{
	for (uint32_t i = 0; i < survey->topic_count; i++)
	{
		const KsegFoundTopic *found = &survey->topics[i];

		for (int32_t j = 0; j < found->partition_count; j++)
		{
			if (follow_plan_has_partition(survey->plan, found->name, j))
				follow_spare_lead(&survey->spare, found->leaders[j]);
		}
	}
	follow_spare_choose(&survey->spare);
}

/* Who does not answer may be a leader that stands still, and the only broker that is connected to. */
static void
survey_ask_topics(KsegFollowSurvey *survey)
{
	survey_find_topics(survey);
	if (survey->error != RD_KAFKA_RESP_ERR_NO_ERROR && follow_spare_reach(&survey->spare, survey->set->rk))
		survey_find_topics(survey);
	if (survey->error == RD_KAFKA_RESP_ERR_NO_ERROR)
		survey_choose_spares(survey);
}

/* ---------- offsets ---------- */

/* A question of an offset by time, of one partition. */
typedef struct SurveyQuestion
{
	const char *topic;
	int32_t partition;
	int32_t leader;
	int64_t time;
	int64_t *answer;
	rd_kafka_resp_err_t *error; /* when this is not NO_ERROR the question is not asked */
} SurveyQuestion;

/* All questions to this leader, in one request. */
static void
survey_ask_leader(const KsegFollowSurvey *survey, const SurveyQuestion *questions, uint32_t count,
                  int32_t leader)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int) count);
	rd_kafka_resp_err_t error;

	for (uint32_t i = 0; i < count; i++)
	{
		if (questions[i].leader == leader && *questions[i].error == RD_KAFKA_RESP_ERR_NO_ERROR)
			rd_kafka_topic_partition_list_add(list, questions[i].topic, questions[i].partition)->offset =
			    questions[i].time;
	}
	error = list->cnt > 0 ? rd_kafka_offsets_for_times(survey->set->rk, list, SURVEY_ASK_MS)
	                      : RD_KAFKA_RESP_ERR_NO_ERROR;
	for (uint32_t i = 0; i < count; i++)
	{
		const rd_kafka_topic_partition_t *answer;

		if (questions[i].leader != leader || *questions[i].error != RD_KAFKA_RESP_ERR_NO_ERROR)
			continue;
		answer = rd_kafka_topic_partition_list_find(list, questions[i].topic, questions[i].partition);
		*questions[i].error = error != RD_KAFKA_RESP_ERR_NO_ERROR ? error : answer->err;
		*questions[i].answer = answer->offset;
	}
	rd_kafka_topic_partition_list_destroy(list);
}

static int
survey_compare_leaders(const void *a, const void *b)
{
	const SurveyQuestion *one = a;
	const SurveyQuestion *other = b;

	return (one->leader > other->leader) - (one->leader < other->leader);
}

static void
survey_ask_questions(const KsegFollowSurvey *survey, SurveyQuestion *questions, uint32_t count)
{
	uint32_t next;

	qsort(questions, count, sizeof(*questions), survey_compare_leaders);
	for (uint32_t i = 0; i < count; i = next)
	{
		for (next = i + 1; next < count && questions[next].leader == questions[i].leader;)
			next++;
		survey_ask_leader(survey, questions + i, next - i, questions[i].leader);
	}
}

/* One time, asked for each of the asks; answers are put at this place in each. */
typedef struct SurveyPass
{
	KsegFollowSurvey *survey;
	int64_t time;
	size_t place;
	rd_kafka_resp_err_t *errors; /* of each ask */
	pthread_t thread;
	bool started; /* the thread */
} SurveyPass;

static void *
survey_run_pass(void *argument)
{
	SurveyPass *pass = argument;
	KsegFollowSurvey *survey = pass->survey;
	SurveyQuestion *questions = memory_resize(NULL, survey->ask_count * sizeof(*questions));

	for (uint32_t i = 0; i < survey->ask_count; i++)
	{
		KsegFollowAsk *ask = &survey->asks[i];

		questions[i] = (SurveyQuestion){.topic = ask->topic,
		                                .partition = ask->partition,
		                                .leader = ask->leader,
		                                .time = pass->time,
		                                .answer = (int64_t *) (void *) ((char *) ask + pass->place),
		                                .error = &pass->errors[i]};
	}
	survey_ask_questions(survey, questions, survey->ask_count);
	free(questions);
	return NULL;
}

/*
 * All passes at once: each may have to wait behind a Fetch for a second, but together they wait for the same one. What cannot
 * have a thread is asked after the others.
 */
static void
survey_run_passes(KsegFollowSurvey *survey, SurveyPass *passes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
	{
		passes[i].survey = survey;
		passes[i].errors = memory_resize(NULL, survey->ask_count * sizeof(*passes[i].errors));
		for (uint32_t j = 0; j < survey->ask_count; j++)
			passes[i].errors[j] = survey->asks[j].error;
		passes[i].started = pthread_create(&passes[i].thread, NULL, survey_run_pass, &passes[i]) == 0;
	}
	for (uint32_t i = 0; i < count; i++)
	{
		if (passes[i].started)
			pthread_join(passes[i].thread, NULL);
		else
			survey_run_pass(&passes[i]);
		for (uint32_t j = 0; j < survey->ask_count; j++)
		{
			if (passes[i].errors[j] != RD_KAFKA_RESP_ERR_NO_ERROR)
				survey->asks[j].error = passes[i].errors[j];
		}
		free(passes[i].errors);
	}
}

/* ---------- which partitions ---------- */

static void
survey_choose(KsegFollowSurvey *survey, const KsegFoundTopic *found, int32_t partition)
{
	const KsegFollowTopic *topic = follow_set_topic(survey->set, found->name);
	KsegFollowPartition *followed = topic != NULL ? follow_set_partition(topic, partition) : NULL;
	int32_t leader = found->leaders[partition];

	if (!follow_plan_has_partition(survey->plan, found->name, partition) ||
	    (followed != NULL && !followed->asked))
		return;
	survey->asks = memory_resize(survey->asks, (survey->ask_count + 1) * sizeof(*survey->asks));
	survey->asks[survey->ask_count++] = (KsegFollowAsk){
	    .topic = found->name,
	    .partition = partition,
	    .leader = leader,
	    .followed = followed,
	    .error = leader < 0 ? RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE : RD_KAFKA_RESP_ERR_NO_ERROR};
}

static void
survey_ask_partitions(KsegFollowSurvey *survey)
{
	bool by_time = survey->plan->start == KSEG_FOLLOW_TIMESTAMP && !survey->plan->begun;
	SurveyPass passes[] = {
	    {.time = SURVEY_EARLIEST, .place = offsetof(KsegFollowAsk, low)},
	    {.time = SURVEY_LATEST, .place = offsetof(KsegFollowAsk, end)},
	    /* Negative times have other meanings, and nothing is older than 1970. */
	    {.time = survey->plan->start_ms < 0 ? 0 : survey->plan->start_ms,
	     .place = offsetof(KsegFollowAsk, timed)},
	};
	SurveyPass mark = {.time = survey->mark_ms, .place = offsetof(KsegFollowAsk, marked)};

	for (uint32_t i = 0; i < survey->topic_count; i++)
	{
		for (int32_t j = 0;
		     survey->topics[i].error == RD_KAFKA_RESP_ERR_NO_ERROR && j < survey->topics[i].partition_count;
		     j++)
			survey_choose(survey, &survey->topics[i], j);
	}
	if (survey->ask_count == 0)
		return;
	survey_run_passes(survey, passes, by_time ? 3 : 2);
	/* After the end is known: where no message is as late as the mark, those to come lie behind it (consume_same_first). */
	survey_run_passes(survey, &mark, 1);
}

/* ---------- the same topics? ---------- */

typedef struct SurveyCheck
{
	KsegFollowPartition *partition;
	int64_t answer;
	rd_kafka_resp_err_t error;
} SurveyCheck;

/* A mark at offset 0 can show nothing: it is to be set anew, now that there are messages before it. */
static bool
survey_marks_anew(const KsegFollowPartition *partition)
{
	return partition->mark_first == 0;
}

static uint32_t
survey_gather_checks(KsegFollowSurvey *survey, SurveyCheck *checks, SurveyQuestion *questions)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < survey->set->count; i++)
	{
		KsegFollowPartition *partition = survey->set->partitions[i];
		const KsegFoundTopic *found = follow_survey_topic(survey, partition->topic->name);

		if (found == NULL || partition->partition >= found->partition_count ||
		    found->leaders[partition->partition] < 0)
		{
			survey->verified = false;
			continue;
		}
		checks[count] = (SurveyCheck){.partition = partition};
		questions[count] =
		    (SurveyQuestion){.topic = partition->topic->name,
		                     .partition = partition->partition,
		                     .leader = found->leaders[partition->partition],
		                     .time = survey_marks_anew(partition) ? survey->mark_ms : partition->mark_ms,
		                     .answer = &checks[count].answer,
		                     .error = &checks[count].error};
		count++;
	}
	return count;
}

static void
survey_judge(KsegFollowSurvey *survey, const SurveyCheck *check)
{
	KsegFollowPartition *partition = check->partition;

	if (check->error != RD_KAFKA_RESP_ERR_NO_ERROR)
		survey->verified = false;
	else if (survey_marks_anew(partition))
		partition->asked_remark = consume_same_first(check->answer, partition->asked_next);
	else if (consume_same_is_changed(check->answer, partition->mark_first))
		survey->anew = partition;
}

static void
survey_verify(KsegFollowSurvey *survey)
{
	SurveyCheck *checks = memory_resize(NULL, (survey->set->count + 1) * sizeof(*checks));
	SurveyQuestion *questions = memory_resize(NULL, (survey->set->count + 1) * sizeof(*questions));
	uint32_t count;

	survey->verified = true;
	count = survey_gather_checks(survey, checks, questions);
	survey_ask_questions(survey, questions, count);
	for (uint32_t i = 0; i < count; i++)
		survey_judge(survey, &checks[i]);
	free(checks);
	free(questions);
}

/* ---------- the whole ---------- */

void
follow_survey_ask(void *argument)
{
	KsegFollowSurvey *survey = argument;

	survey_ask_topics(survey);
	if (survey->error != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	survey_ask_partitions(survey);
	if (survey->verify)
		survey_verify(survey);
}
