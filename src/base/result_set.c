/*
 * result_set.c
 *	  Functions that return rows. See result_set.h.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "base/result_set.h"

ReturnSetInfo *
result_set_begin(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext previous;
	TupleDesc desc;

	if (set == NULL || !IsA(set, ReturnSetInfo) || (set->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("set-valued function called in context that cannot accept a set"),
		                errhint("Call it in FROM: SELECT * FROM kseg....")));
	previous = MemoryContextSwitchTo(set->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "a kseg function does not return rows as it was declared to");
	set->returnMode = SFRM_Materialize;
	set->setDesc = BlessTupleDesc(desc);
	set->setResult =
	    tuplestore_begin_heap((set->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	MemoryContextSwitchTo(previous);
	return set;
}
