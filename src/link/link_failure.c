/*
 * link_failure.c
 *	  ERRORs of a link. See link_failure.h.
 */
#include "postgres.h"

#include "link/link_failure.h"
#include "link/link_text.h"

static const struct
{
	KsegFailure reason;
	int sqlerrcode;
} failure_codes[] = {
    {KSEG_FAILURE_INTERNAL, ERRCODE_INTERNAL_ERROR},
    {KSEG_FAILURE_BUILD, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE},
    {KSEG_FAILURE_CONFIG, ERRCODE_CONFIG_FILE_ERROR},
    {KSEG_FAILURE_AUTH, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION},
    {KSEG_FAILURE_REFUSED, ERRCODE_FDW_ERROR},
    {KSEG_FAILURE_EXHAUSTED, ERRCODE_CONNECTION_FAILURE},
    {KSEG_FAILURE_ADDRESS, ERRCODE_INSUFFICIENT_PRIVILEGE},
    {KSEG_FAILURE_GAP, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE},
};

int
link_failure_code(KsegFailure reason)
{
	for (int i = 0; i < lengthof(failure_codes); i++)
	{
		if (failure_codes[i].reason == reason)
			return failure_codes[i].sqlerrcode;
	}
	return ERRCODE_INTERNAL_ERROR;
}

/* Two parts of a detail with a blank between them; NULL when there is neither. */
static const char *
failure_join(const char *detail, const char *further)
{
	if (detail == NULL || further == NULL)
		return detail != NULL ? detail : further;
	return psprintf("%s %s", detail, further);
}

static const char *
failure_words(const char *words)
{
	return words != NULL && words[0] != '\0' ? link_text_to_server(words, strlen(words)) : NULL;
}

void
link_failure_raise(KsegLink *link, const char *further, const char *lost_hint)
{
	const KsegLinkFailure *failure;
	const char *detail;
	const char *hint;

	if (link_state(link) == KSEG_LINK_LOST)
		ereport(ERROR,
		        (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("kseg's courier was lost"),
		         errdetail("%s", failure_join(psprintf("The process %s.", link_end_words(link)), further)),
		         errhint("%s", lost_hint)));
	failure = link_failure(link);
	detail = failure_join(failure_words(failure->detail), further);
	hint = failure_words(failure->hint);
	ereport(ERROR, (errcode(link_failure_code(failure->reason)),
	                errmsg("%s", failure_words(failure->message) ? failure_words(failure->message)
	                                                             : "kseg's courier gave up"),
	                detail ? errdetail("%s", detail) : 0, hint ? errhint("%s", hint) : 0));
}
