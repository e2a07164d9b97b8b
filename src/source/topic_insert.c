/*
 * topic_insert.c
 *	  INSERT and COPY into a foreign table over a topic. See topic_insert.h.
 *
 * A statement reads as: plan → row → message into the producer's buffer → … → wait until each is settled. The courier starts with
 * the first row, so that a statement without rows reaches nobody. It belongs to the executor's memory context: an ERROR or a
 * cancel stops it with whatever is in flight.
 */
#include "postgres.h"

#include "commands/explain.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "optimizer/pathnode.h"
#include "parser/parsetree.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "link/link_failure.h"
#include "sink/kafka_producer.h"
#include "source/topic_insert.h"
#include "source/topic_insert_columns.h"
#include "source/topic_insert_plan.h"

/* One relation of one statement that messages are made for. */
typedef struct TopicInsert
{
	MemoryContext context;     /* the executor's */
	MemoryContext row_context; /* reset with each row */
	KsegTopicTable *table;
	KsegKafkaServer *server;
	KsegTopicInsertPlan *plan;
	KsegKafkaProducer *producer; /* NULL: no row has come */
	uint64 rows;
	/* the first message that was refused */
	uint64 refused_row; /* 0: none */
	char *refused_reason;
} TopicInsert;

/* ---------- what a statement says ---------- */

static uint64
insert_acknowledged(const TopicInsert *insert)
{
	return link_status(kafka_producer_link(insert->producer))->sent;
}

static char *
insert_figures_text(const TopicInsert *insert)
{
	const KsegWireStatus *status = link_status(kafka_producer_link(insert->producer));

	return psprintf("Of " UINT64_FORMAT " rows, " UINT64_FORMAT " were acknowledged and " UINT64_FORMAT
	                " refused; what was acknowledged stays in topic \"%s\".",
	                insert->rows, (uint64) status->sent, (uint64) status->rejected, insert->table->topic);
}

/* Every message is settled, and one was refused at least. */
static void
insert_raise_refused(const TopicInsert *insert)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_ERROR),
	                errmsg("row " UINT64_FORMAT " was refused by topic \"%s\": %s", insert->refused_row,
	                       insert->table->topic, insert->refused_reason),
	                errdetail("%s", insert_figures_text(insert))));
}

static void
insert_raise_problem(TopicInsert *insert, const char *problem)
{
	ereport(ERROR,
	        (errcode(ERRCODE_DATA_EXCEPTION),
	         errmsg("row " UINT64_FORMAT " cannot become a message of topic \"%s\": %s", insert->rows,
	                insert->table->topic, problem),
	         insert->rows > 1 ? errdetail("Rows before it were on their way; " UINT64_FORMAT
	                                      " were known to be acknowledged, and these stay in the topic.",
	                                      insert_acknowledged(insert))
	                          : 0));
}

/* The courier has said which message was refused; called from inside the wire, so only noted. */
static void
insert_take_rejected(void *argument, const KsegMessage *message, int code, const char *reason)
{
	TopicInsert *insert = argument;

	if (insert->refused_row != 0)
		return;
	insert->refused_row = message->row;
	insert->refused_reason = MemoryContextStrdup(insert->context, reason);
}

/*
 * Wait until every message is settled, and say what became of them. An ERROR unless all are acknowledged.
 */
static void
insert_settle(TopicInsert *insert)
{
	KsegLinkState state = kafka_producer_finish(insert->producer);

	if (state != KSEG_LINK_DONE)
		link_failure_raise(kafka_producer_link(insert->producer), insert_figures_text(insert),
		                   "Look into the topic for what has arrived before the statement is repeated.");
	if (insert->refused_row != 0)
		insert_raise_refused(insert);
	kafka_producer_close(insert->producer);
}

/* ---------- a statement's steps ---------- */

static void
insert_check_surroundings(void)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("kseg sends nothing from within a security-restricted operation"),
		         errdetail("Index expressions, materialized views and the like must not reach outside.")));
}

static TopicInsert *
insert_begin(EState *estate, ResultRelInfo *result)
{
	MemoryContext previous = MemoryContextSwitchTo(estate->es_query_cxt);
	Relation relation = result->ri_RelationDesc;
	TopicInsert *insert = palloc0(sizeof(TopicInsert));

	insert_check_surroundings();
	insert->context = CurrentMemoryContext;
	insert->row_context = AllocSetContextCreate(CurrentMemoryContext, "kseg insert", ALLOCSET_DEFAULT_SIZES);
	insert->table = topic_table_get(RelationGetRelid(relation));
	insert->server = kafka_server_get_by_oid(insert->table->server, kseg_compat_result_user(result, estate));
	insert->plan = topic_insert_plan_create(insert->table, RelationGetDescr(relation),
	                                        insert->server->max_message_bytes);
	MemoryContextSwitchTo(previous);
	return insert;
}

static void
insert_open_producer(TopicInsert *insert)
{
	KsegProducerOptions options = {.server = insert->server,
	                               .topic = insert->table->topic,
	                               .rejected = insert_take_rejected,
	                               .argument = insert};
	MemoryContext previous = MemoryContextSwitchTo(insert->context);

	insert->producer = kafka_producer_open(&options);
	MemoryContextSwitchTo(previous);
}

/* Write the row's message. ERROR when there is none. */
static void
insert_write(TopicInsert *insert, TupleTableSlot *slot, StringInfo buffer)
{
	MemoryContext previous = MemoryContextSwitchTo(insert->row_context);
	const char *problem = topic_insert_write(insert->plan, slot, insert->rows, buffer);

	if (problem != NULL)
		insert_raise_problem(insert, problem);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(insert->row_context);
}

static void
insert_row(TopicInsert *insert, TupleTableSlot *slot)
{
	StringInfo buffer;
	int start;

	if (insert->producer == NULL)
		insert_open_producer(insert);
	insert->rows++;
	buffer = kafka_producer_buffer(insert->producer);
	start = buffer->len;
	insert_write(insert, slot, buffer);
	/* The run has ended early, or is bound to fail: further rows would only make more of a mess of it. */
	if (!kafka_producer_accept(insert->producer, start) || insert->refused_row != 0)
		insert_settle(insert);
}

static void
insert_end(TopicInsert *insert)
{
	if (insert != NULL && insert->producer != NULL)
		insert_settle(insert);
}

/* ---------- FDW: planning ---------- */

static void
insert_refuse_command(const char *relation, CmdType command)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("cannot %s foreign table \"%s\"", command == CMD_UPDATE ? "update" : "delete from",
	                       relation),
	                errdetail("It is a Kafka topic: messages can be appended, never changed or taken out.")));
}

static void
insert_refuse_conflict(const char *relation, OnConflictAction action)
{
	if (action == ONCONFLICT_NONE)
		return;
	ereport(
	    ERROR,
	    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	     errmsg("INSERT with ON CONFLICT is not possible for foreign table \"%s\"", relation),
	     errdetail("It is a Kafka topic, where nothing conflicts: a second message of a key is a message.")));
}

static List *
insert_plan_modify(PlannerInfo *root, ModifyTable *plan, Index result, int subplan)
{
	RangeTblEntry *entry = planner_rt_fetch(result, root);
	KsegTopicTable *table = topic_table_get(entry->relid);

	if (plan->operation != CMD_INSERT)
		insert_refuse_command(table->name, plan->operation);
	insert_refuse_conflict(table->name, plan->onConflictAction);
	topic_insert_check(table);
	return NIL;
}

/*
 * For views and information_schema, so it must not fail whatever the table's definition is: what else stands in the way of an
 * INSERT is told when one is planned.
 */
static int
insert_is_updatable(Relation relation)
{
	ForeignTable *table = GetForeignTable(RelationGetRelid(relation));
	ListCell *cell;

	foreach (cell, table->options)
	{
		DefElem *element = lfirst_node(DefElem, cell);

		if (strcmp(element->defname, "format") == 0 && strcmp(strVal(element->arg), "debezium") == 0)
			return 0;
	}
	return 1 << CMD_INSERT;
}

/* ---------- FDW: execution ---------- */

static void
insert_begin_modify(ModifyTableState *state, ResultRelInfo *result, List *fdw_private, int subplan,
                    int eflags)
{
	if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) == 0)
		result->ri_FdwState = insert_begin(state->ps.state, result);
}

/* COPY, whose state has no plan, and rows routed to a partition. */
static void
insert_begin_insert(ModifyTableState *state, ResultRelInfo *result)
{
	if (state->ps.plan != NULL)
		insert_refuse_conflict(RelationGetRelationName(result->ri_RelationDesc),
		                       castNode(ModifyTable, state->ps.plan)->onConflictAction);
	result->ri_FdwState = insert_begin(state->ps.state, result);
}

static TupleTableSlot *
insert_exec(EState *estate, ResultRelInfo *result, TupleTableSlot *slot, TupleTableSlot *plan_slot)
{
	insert_row(result->ri_FdwState, slot);
	return slot;
}

static void
insert_end_modify(EState *estate, ResultRelInfo *result)
{
	insert_end(result->ri_FdwState);
}

static void
insert_explain(ModifyTableState *state, ResultRelInfo *result, List *fdw_private, int subplan,
               struct ExplainState *explain)
{
	KsegTopicTable *table = topic_table_get(RelationGetRelid(result->ri_RelationDesc));

	ExplainPropertyText("Kafka Topic", table->topic, explain);
}

void
topic_insert_install(FdwRoutine *routine)
{
	routine->IsForeignRelUpdatable = insert_is_updatable;
	routine->PlanForeignModify = insert_plan_modify;
	routine->BeginForeignModify = insert_begin_modify;
	routine->ExecForeignInsert = insert_exec;
	routine->EndForeignModify = insert_end_modify;
	routine->BeginForeignInsert = insert_begin_insert;
	routine->EndForeignInsert = insert_end_modify;
	routine->ExplainForeignModify = insert_explain;
}
