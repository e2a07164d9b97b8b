/*
 * topic_explain.c
 *	  What EXPLAIN tells of a scan of a topic: the topic, what narrows the read, and with ANALYZE what was read.
 *
 * Contacts nobody. See topic_scan.h.
 */
#include "postgres.h"

#include "commands/explain.h"
#include "utils/ruleutils.h"

#include "compat.h"
#include "source/topic_scan.h"

/* The conditions of one kind, as ">= 10, < 20"; nothing when there is none. */
static void
explain_narrowed(ForeignScanState *node, ExplainState *es, KsegTopicNarrowed narrowed, const char *label)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List *context = set_deparse_context_plan(es->deparse_cxt, (Plan *) plan, NIL);
	StringInfoData text;
	ListCell *condition;
	ListCell *operand;

	initStringInfo(&text);
	forboth(condition, list_nth(plan->fdw_private, KSEG_PLAN_CONDITIONS), operand, plan->fdw_exprs)
	{
		if (topic_pushdown_narrowed(lfirst(condition)) != narrowed)
			continue;
		appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "",
		                 topic_pushdown_words(lfirst(condition),
		                                      deparse_expression(lfirst(operand), context, false, false)));
	}
	if (text.len > 0)
		ExplainPropertyText(label, text.data, es);
}

static void
explain_figures(const KsegTopicScan *scan, ExplainState *es)
{
	uint64 records = scan->records;
	uint64 bytes = scan->bytes;

	if (scan->read != NULL)
	{
		records += topic_read_records(scan->read);
		bytes += topic_read_bytes(scan->read);
	}
	ExplainPropertyUInteger("Kafka Messages Read", NULL, records, es);
	if (es->verbose || es->format != EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyUInteger("Kafka Bytes Taken", NULL, bytes, es);
		ExplainPropertyUInteger("Kafka Reads", NULL, scan->reads, es);
	}
	if (scan->table->on_error == KSEG_TOPIC_ON_ERROR_SKIP)
		ExplainPropertyUInteger("Kafka Rows Skipped", NULL, topic_row_skipped(scan->row), es);
}

void
topic_explain(ForeignScanState *node, ExplainState *es)
{
	const KsegTopicScan *scan = node->fdw_state;

	ExplainPropertyText("Kafka Topic", scan->table->topic, es);
	explain_narrowed(node, es, KSEG_NARROWED_PARTITION, "Kafka Partitions");
	explain_narrowed(node, es, KSEG_NARROWED_OFFSET, "Kafka Offsets");
	explain_narrowed(node, es, KSEG_NARROWED_TIME, "Kafka Time");
	if (es->analyze)
		explain_figures(scan, es);
}
