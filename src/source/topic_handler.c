/*
 * topic_handler.c
 *	  The handler of the wrapper kseg_kafka: which functions of ours PostgreSQL calls for a foreign table. Nothing else.
 */
#include "postgres.h"

#include "fmgr.h"
#include "foreign/fdwapi.h"

#include "source/topic_analyze.h"
#include "source/topic_import.h"
#include "source/topic_insert.h"
#include "source/topic_scan.h"

PG_FUNCTION_INFO_V1(kseg_sql_kafka_handler);

/* HANDLER of kseg_kafka: kseg.kafka_handler() RETURNS fdw_handler. */
Datum
kseg_sql_kafka_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = topic_plan_size;
	routine->GetForeignPaths = topic_plan_paths;
	routine->GetForeignPlan = topic_plan_create;
	routine->BeginForeignScan = topic_scan_begin;
	routine->IterateForeignScan = topic_scan_iterate;
	routine->ReScanForeignScan = topic_scan_again;
	routine->EndForeignScan = topic_scan_end;
	routine->ExplainForeignScan = topic_explain;
	topic_insert_install(routine);
	topic_analyze_install(routine);
	topic_import_install(routine);
	PG_RETURN_POINTER(routine);
}
