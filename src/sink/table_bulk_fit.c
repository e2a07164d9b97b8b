/*
 * table_bulk_fit.c
 *	  May an INSERT's rows be gathered before they go into the table?
 *
 * Owns: that decision, with COPY's reasons (copyfrom.c): whoever can look at the table in the middle of the statement, and would see
 * other rows there than with one INSERT at a time, forbids it. Refuses: to be clever: what it does not know does not fit.
 *
 * Who can look: BEFORE ROW and INSTEAD OF triggers, and volatile functions, in the query, in defaults and in CHECK constraints. Stable
 * and immutable functions, and the query's own scans, see the table as it was before the statement.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "sink/table_bulk.h"

/* ---------- volatile functions ---------- */

/* Volatile, but blind to tables' rows, and common in defaults. (COPY knows only the first, and gives up the others.) */
static const Oid blind_functions[] = {F_NEXTVAL,
                                      F_CURRVAL,
                                      F_LASTVAL,
                                      F_CLOCK_TIMESTAMP,
                                      F_TIMEOFDAY,
                                      F_GEN_RANDOM_UUID,
                                      KSEG_COMPAT_BLIND_FUNCTIONS};

static bool
function_may_look(Oid function, void *context)
{
	for (int i = 0; i < lengthof(blind_functions); i++)
		if (function == blind_functions[i])
			return false;
	return func_volatile(function) == PROVOLATILE_VOLATILE;
}

/* Has the expression or query a function that may look at a table's rows of this very moment? */
static bool
node_may_look(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, function_may_look, context))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, node_may_look, context, 0);
	return expression_tree_walker(node, node_may_look, context);
}

/* PostgreSQL takes CHECK conditions for immutable, but functions in them are often left volatile, and some count rows. */
static bool
check_may_look(Relation relation)
{
	const TupleConstr *constr = RelationGetDescr(relation)->constr;

	for (int i = 0; constr != NULL && i < constr->num_check; i++)
		if (node_may_look(stringToNode(constr->check[i].ccbin), NULL))
			return true;
	return false;
}

/* ---------- the target ---------- */

/*
 * Are the plan's rows the relation's? ModifyTable raises an error if not (ExecCheckPlanOutput); it is left to do so. Dropped and
 * generated columns are NULLs of whatever type.
 */
static bool
rows_fit(Relation relation, const List *targets)
{
	TupleDesc desc = RelationGetDescr(relation);
	int column = 0;
	ListCell *cell;

	if (list_length(targets) != desc->natts)
		return false;
	foreach (cell, targets)
	{
		const TargetEntry *target = lfirst_node(TargetEntry, cell);
		Form_pg_attribute attribute = TupleDescAttr(desc, column++);

		if (target->resjunk)
			return false;
		if (attribute->attisdropped || attribute->attgenerated != '\0')
		{
			if (!IsA(target->expr, Const) || !((Const *) target->expr)->constisnull)
				return false;
		}
		else if (exprType((Node *) target->expr) != attribute->atttypid)
			return false;
	}
	return true;
}

static bool
target_fits(Relation relation, const List *targets)
{
	const TriggerDesc *triggers = relation->trigdesc;

	if (relation->rd_rel->relkind != RELKIND_RELATION)
		return false;
	if (triggers != NULL && (triggers->trig_insert_before_row || triggers->trig_insert_instead_row))
		return false;
	return !check_may_look(relation) && rows_fit(relation, targets);
}

/* ---------- the plan ---------- */

/* The INSERT itself: one target, and nothing to do for a row but to put it there. */
static bool
insert_fits(const PlannedStmt *plan)
{
	const ModifyTable *insert = (const ModifyTable *) plan->planTree;

	if (plan->commandType != CMD_INSERT || plan->hasReturning || plan->hasModifyingCTE ||
	    plan->rowMarks != NIL || plan->utilityStmt != NULL || !IsA(insert, ModifyTable))
		return false;
	return insert->operation == CMD_INSERT && insert->canSetTag && insert->rootRelation == 0 &&
	       list_length(insert->resultRelations) == 1 && insert->onConflictAction == ONCONFLICT_NONE &&
	       insert->withCheckOptionLists == NIL && insert->returningLists == NIL;
}

bool
table_bulk_fits(const PlannedStmt *plan, const Query *query)
{
	const ModifyTable *insert;
	const RangeTblEntry *entry;
	Relation relation;
	bool fits;

	if (!insert_fits(plan) || node_may_look((Node *) query, NULL))
		return false;
	insert = (const ModifyTable *) plan->planTree;
	entry = rt_fetch(linitial_int(insert->resultRelations), plan->rtable);
	relation = table_open(entry->relid, RowExclusiveLock);
	fits = target_fits(relation, outerPlan(insert)->targetlist);
	table_close(relation, NoLock);
	return fits;
}
