/*
 * result_set.h
 *	  Functions that return rows: a tuplestore, filled at once. PostgreSQL's own helper is younger than 15.0.
 */
#ifndef KSEG_RESULT_SET_H
#define KSEG_RESULT_SET_H

#include "postgres.h"
#include "fmgr.h"
#include "nodes/execnodes.h"

/* Put rows with tuplestore_putvalues(set->setResult, set->setDesc, …); then return (Datum) 0. */
extern ReturnSetInfo *result_set_begin(FunctionCallInfo fcinfo);

#endif /* KSEG_RESULT_SET_H */
