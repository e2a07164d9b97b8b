/*
 * run_failure.c
 *	  What a failed run tells its caller.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "link/link_failure.h"
#include "link/link_text.h"
#include "run/run.h"

static KsegRunFailure *
failure_make(int sqlerrcode, const char *message, const char *detail, const char *hint)
{
	KsegRunFailure *failure = palloc(sizeof(KsegRunFailure));

	failure->sqlerrcode = sqlerrcode;
	failure->message = link_text_to_server(message, strlen(message));
	failure->detail =
	    detail != NULL && detail[0] != '\0' ? link_text_to_server(detail, strlen(detail)) : NULL;
	failure->hint = hint != NULL && hint[0] != '\0' ? link_text_to_server(hint, strlen(hint)) : NULL;
	return failure;
}

KsegRunFailure *
run_failure_of_link(KsegLink *link)
{
	const KsegLinkFailure *failure = link_failure(link);

	if (link_state(link) == KSEG_LINK_FAILED)
		return failure_make(link_failure_code(failure->reason), failure->message, failure->detail,
		                    failure->hint);
	if (link_state(link) == KSEG_LINK_LOST)
		return failure_make(ERRCODE_CONNECTION_FAILURE, "kseg's courier was lost",
		                    psprintf("The process %s.", link_end_words(link)), NULL);
	return NULL;
}

KsegRunFailure *
run_failure_of_timeout(int timeout_ms)
{
	return failure_make(ERRCODE_QUERY_CANCELED, "the run was stopped by its timeout",
	                    psprintf("timeout is %g seconds.", timeout_ms / 1000.0),
	                    "Raise timeout, or send fewer rows with row_limit or a WHERE clause.");
}

char *
run_figures_text(const KsegRun *run)
{
	const KsegFigures *figures = &run->figures;
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(
	    &text,
	    "Run %s: " UINT64_FORMAT " rows, " UINT64_FORMAT " sent, " UINT64_FORMAT " repeated, " UINT64_FORMAT
	    " invalid, " UINT64_FORMAT " rejected, " UINT64_FORMAT " open, " UINT64_FORMAT " retries.",
	    DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&run->id))), figures->rows, figures->sent,
	    figures->repeated, figures->invalid, figures->rejected, figures->open, figures->retries);
	if (figures->first_problem != NULL)
		appendStringInfo(&text, " First problem: %s.", figures->first_problem);
	return text.data;
}

void
run_raise_failure(const KsegRun *run)
{
	const KsegRunFailure *failure = run->failure;

	ereport(ERROR, (errcode(failure->sqlerrcode), errmsg("%s", failure->message),
	                errdetail("%s%s%s", failure->detail ? failure->detail : "", failure->detail ? " " : "",
	                          run_figures_text(run)),
	                failure->hint ? errhint("%s", failure->hint) : 0));
}

void
run_warn(const KsegRun *run)
{
	const KsegFigures *figures = &run->figures;
	uint64 lost = figures->invalid + figures->rejected;
	bool kept =
	    run->letters != NULL && (run->arguments->on_invalid != KSEG_ON_INVALID_SKIP || figures->rejected > 0);
	char *id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&run->id)));

	if (lost == 0)
		return;
	ereport(WARNING,
	        (errcode(ERRCODE_WARNING),
	         errmsg(UINT64_FORMAT " of " UINT64_FORMAT " rows were not delivered: " UINT64_FORMAT
	                              " invalid, " UINT64_FORMAT " rejected",
	                lost, figures->rows, figures->invalid, figures->rejected),
	         errdetail("First problem: %s.", figures->first_problem ? figures->first_problem : "unknown"),
	         kept ? errhint("They are kept: SELECT * FROM kseg.dead_letter WHERE run = '%s'.", id) : 0));
}
