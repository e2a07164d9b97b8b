/*
 * table_bulk.c
 *	  Run an INSERT … SELECT with rows inserted many at a time. See table_bulk.h.
 *
 * Owns: the loop that stands in for ModifyTable's own (ExecModifyTable and ExecInsert, nodeModifyTable.c), and its buffer. A row's path:
 *
 *	  plan → slot of the buffer → generated columns → constraints → [full?] table_multi_insert → indexes → AFTER ROW triggers queued
 *
 * The order of the steps is COPY's (CopyFrom, copyfrom.c). Everything before and after the rows is the executor's: ExecutorStart, Finish, End.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "sink/table_bulk.h"

/* COPY's own limits (copyfrom.c): some eight pages, each filled at once; only the first and the last are touched twice. */
#define BULK_ROWS  1000
#define BULK_BYTES 65535

typedef struct KsegBulk
{
	ModifyTableState *node;
	ResultRelInfo *target;
	BulkInsertState state;
	TupleDesc desc; /* of the slots: a copy, for a relation's own counts its users, slot by slot */
	int count;
	Size bytes;
	int *place;                       /* the caller's, see table_bulk_run; never NULL */
	TupleTableSlot *slots[BULK_ROWS]; /* made when first needed */
	int places[BULK_ROWS];            /* where each row came from */
} KsegBulk;

/*
 * The caller's place, on its way from table_bulk_run through the executor to bulk_execute, which takes it. There is no field for it:
 * the node is the executor's.
 */
static int *bulk_place;

/* ---------- the buffer ---------- */

static KsegBulk *
bulk_begin(ModifyTableState *node)
{
	static int nowhere;
	KsegBulk *bulk = palloc0(sizeof(KsegBulk));

	bulk->node = node;
	bulk->target = node->resultRelInfo;
	bulk->place = bulk_place != NULL ? bulk_place : &nowhere;
	bulk_place = NULL;
	if (bulk->target->ri_RelationDesc->rd_rel->relhasindex && bulk->target->ri_IndexRelationDescs == NULL)
		ExecOpenIndices(bulk->target, false);
	bulk->state = GetBulkInsertState();
	bulk->desc = CreateTupleDescCopy(RelationGetDescr(bulk->target->ri_RelationDesc));
	return bulk;
}

/* After an ERROR the transaction's end does the same: the pin belongs to its resource owner. */
static void
bulk_end(KsegBulk *bulk)
{
	FreeBulkInsertState(bulk->state);
	table_finish_bulk_insert(bulk->target->ri_RelationDesc, 0);
	for (int i = 0; i < BULK_ROWS && bulk->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(bulk->slots[i]);
	pfree(bulk);
}

/* Bytes of a materialized row, to bound the buffer; a slot of an access method that is not known here is measured by its values. */
static Size
slot_size(TupleTableSlot *slot)
{
	if (TTS_IS_BUFFERTUPLE(slot) || TTS_IS_HEAPTUPLE(slot))
		return ((HeapTupleTableSlot *) slot)->tuple->t_len;
	slot_getallattrs(slot);
	return heap_compute_data_size(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);
}

/* ---------- rows into the table ---------- */

/* The indexes of a row that the table has, and its triggers. */
static void
bulk_finish_row(KsegBulk *bulk, TupleTableSlot *slot)
{
	ResultRelInfo *target = bulk->target;
	EState *estate = bulk->node->ps.state;
	List *recheck = NIL;

	/* Expressions of indexes and WHEN conditions leave their work here. */
	ResetPerTupleExprContext(estate);
	if (target->ri_NumIndices > 0)
		recheck = kseg_compat_insert_index_tuples(target, slot, estate);
	ExecARInsertTriggers(estate, target, slot, recheck, bulk->node->mt_transition_capture);
	list_free(recheck);
	ExecClearTuple(slot);
}

static void
bulk_flush(KsegBulk *bulk)
{
	EState *estate = bulk->node->ps.state;
	int place = *bulk->place;
	MemoryContext previous;

	if (bulk->count == 0)
		return;
	*bulk->place = -1;
	/* It may leave something behind, says COPY. */
	previous = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
	table_multi_insert(bulk->target->ri_RelationDesc, bulk->slots, bulk->count, estate->es_output_cid, 0,
	                   bulk->state);
	MemoryContextSwitchTo(previous);
	for (int i = 0; i < bulk->count; i++)
	{
		*bulk->place = bulk->places[i];
		bulk_finish_row(bulk, bulk->slots[i]);
	}
	estate->es_processed += bulk->count;
	bulk->count = 0;
	bulk->bytes = 0;
	*bulk->place = place;
}

/* ---------- rows from the plan ---------- */

/*
 * The row in the buffer's next free slot, one of the table's own kind: its values as they are, without copies of what they point to.
 * They live until the plan is asked for its next row.
 */
static TupleTableSlot *
bulk_take(KsegBulk *bulk, TupleTableSlot *row)
{
	Relation relation = bulk->target->ri_RelationDesc;
	TupleTableSlot *slot = bulk->slots[bulk->count];

	if (slot == NULL)
		slot = MakeSingleTupleTableSlot(bulk->desc, table_slot_callbacks(relation));
	bulk->slots[bulk->count] = slot;
	slot_getallattrs(row);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->tts_values, sizeof(Datum) * bulk->desc->natts);
	memcpy(slot->tts_isnull, row->tts_isnull, sizeof(bool) * bulk->desc->natts);
	ExecStoreVirtualTuple(slot);
	/* Generated columns and constraints may ask for it. */
	slot->tts_tableOid = RelationGetRelid(relation);
	return slot;
}

/* What is wrong with a row by itself is said while the row is the plan's newest. */
static void
bulk_check(KsegBulk *bulk, TupleTableSlot *slot)
{
	Relation relation = bulk->target->ri_RelationDesc;
	const TupleConstr *constr = RelationGetDescr(relation)->constr;
	EState *estate = bulk->node->ps.state;

	if (constr != NULL)
	{
		if (constr->has_generated_stored)
			ExecComputeStoredGenerated(bulk->target, estate, slot, CMD_INSERT);
		ExecConstraints(bulk->target, slot, estate);
	}
	if (relation->rd_rel->relispartition)
		ExecPartitionCheck(bulk->target, slot, estate, true);
}

static void
bulk_receive(KsegBulk *bulk, TupleTableSlot *row)
{
	TupleTableSlot *slot = bulk_take(bulk, row);

	bulk_check(bulk, slot);
	ExecMaterializeSlot(slot);
	bulk->places[bulk->count++] = *bulk->place;
	bulk->bytes += slot_size(slot);
	if (bulk->count == BULK_ROWS || bulk->bytes >= BULK_BYTES)
		bulk_flush(bulk);
}

/* ---------- the node ---------- */

/* The rows of the plan into the table. The buffer goes with the query's memory. */
static void
bulk_insert(ModifyTableState *node)
{
	KsegBulk *bulk = bulk_begin(node);
	TupleTableSlot *row;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(node->ps.state);
		row = ExecProcNode(outerPlanState(node));
		if (TupIsNull(row))
			break;
		bulk_receive(bulk, row);
	}
	bulk_flush(bulk);
	/* What fails from here on (AFTER triggers, foreign keys with them) is not the last row's fault more than another's. */
	*bulk->place = -1;
	bulk_end(bulk);
}

/* In ExecModifyTable's place. */
static TupleTableSlot *
bulk_execute(PlanState *state)
{
	ModifyTableState *node = castNode(ModifyTableState, state);
	EState *estate = node->ps.state;

	if (node->mt_done)
		return NULL;
	ExecBSInsertTriggers(estate, node->rootResultRelInfo);
	node->fireBSTriggers = false;
	bulk_insert(node);
	ExecASInsertTriggers(estate, node->rootResultRelInfo, node->mt_transition_capture);
	node->mt_done = true;
	return NULL;
}

/* SPI's words: which way a statement goes changes nothing that a user sees. */
static void
bulk_error_context(void *source_text)
{
	errcontext("SQL statement \"%s\"", (const char *) source_text);
}

/* Runs with the active snapshot. */
static uint64
bulk_run_plan(PlannedStmt *plan, const char *source_text, int *place)
{
	QueryDesc *query = CreateQueryDesc(plan, source_text, GetActiveSnapshot(), InvalidSnapshot, None_Receiver,
	                                   NULL, NULL, 0);
	uint64 rows;

	ExecutorStart(query, 0);
	ExecSetExecProcNode(query->planstate, bulk_execute);
	bulk_place = place;
	kseg_compat_executor_run(query);
	rows = query->estate->es_processed;
	ExecutorFinish(query);
	ExecutorEnd(query);
	FreeQueryDesc(query);
	return rows;
}

uint64
table_bulk_run(PlannedStmt *plan, const char *source_text, int *place)
{
	ErrorContextCallback callback = {error_context_stack, bulk_error_context,
	                                 unconstify(char *, source_text)};
	uint64 rows;

	error_context_stack = &callback;
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	rows = bulk_run_plan(plan, source_text, place);
	PopActiveSnapshot();
	/* What comes after in this transaction sees the rows. */
	CommandCounterIncrement();
	error_context_stack = callback.previous;
	return rows;
}
