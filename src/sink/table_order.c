/*
 * table_order.c
 *	  The order of a query's rows. See table_order.h.
 *
 * Works on what the parser makes of a query, before rules are applied, and opens views itself where the relation is below them, as the
 * rewriter would do a moment later.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/prep.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/rel.h"

#include "compat.h"
#include "sink/table_order.h"

/* Deepest nesting of views that is followed, as a guard against a stack overflow; people's are a handful deep. */
#define ORDER_DEPTH_MAX 100

/* ---------- counting relations ---------- */

typedef struct OrderCount
{
	KsegTableRelation is_one;
	void *argument;
	int count;
	int depth; /* of views */
} OrderCount;

static bool order_count_walker(Node *node, OrderCount *count);

/* A copy of what the view selects, which the caller may change. Its relations are locked as the rewriter locks them. */
static Query *
order_view_query(Oid view)
{
	Relation relation = table_open(view, AccessShareLock);
	Query *query = copyObject(get_view_query(relation));

	table_close(relation, NoLock);
	AcquireRewriteLocks(query, true, false);
	return query;
}

static void
order_count_view(Oid view, OrderCount *count)
{
	if (++count->depth > ORDER_DEPTH_MAX)
		ereport(ERROR, (errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
		                errmsg("the query's views are nested more than %d deep", ORDER_DEPTH_MAX)));
	order_count_walker((Node *) order_view_query(view), count);
	count->depth--;
}

static bool
order_count_walker(Node *node, OrderCount *count)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *entry = (RangeTblEntry *) node;

		if (entry->rtekind == RTE_RELATION && count->is_one(entry, count->argument))
			count->count++;
		/* Before 16 a view's query has entries for the view itself, which it does not read. */
		else if (entry->rtekind == RTE_RELATION && entry->relkind == RELKIND_VIEW && entry->inFromCl)
			order_count_view(entry->relid, count);
		return false;
	}
	if (IsA(node, CommonTableExpr))
	{
		const CommonTableExpr *with = (const CommonTableExpr *) node;
		int before = count->count;

		order_count_walker(with->ctequery, count);
		count->count = before + (count->count - before) * with->cterefcount;
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, order_count_walker, count, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, order_count_walker, count);
}

int
table_order_count(const Query *query, KsegTableRelation is_one, void *argument)
{
	OrderCount count = {.is_one = is_one, .argument = argument};

	order_count_walker((Node *) query, &count);
	return count.count;
}

/* ---------- where it is ---------- */

/* A query and those around it. */
typedef struct OrderLevel
{
	Query *query;
	struct OrderLevel *outer;
} OrderLevel;

/* The WITH part that an entry reads, and the level that it belongs to. */
static CommonTableExpr *
order_with(const RangeTblEntry *entry, OrderLevel *level, OrderLevel **owner)
{
	ListCell *cell;

	for (Index up = entry->ctelevelsup; up > 0 && level != NULL; up--)
		level = level->outer;
	*owner = level;
	if (level == NULL)
		return NULL;
	foreach (cell, level->query->cteList)
	{
		CommonTableExpr *with = lfirst_node(CommonTableExpr, cell);

		if (strcmp(with->ctename, entry->ctename) == 0)
			return with;
	}
	return NULL;
}

/* The query that an entry stands for, with the level around it; false: it stands for none. */
static bool
order_open(const RangeTblEntry *entry, OrderLevel *level, OrderLevel *inner)
{
	CommonTableExpr *with;

	*inner = (OrderLevel){NULL, level};
	if (entry->rtekind == RTE_SUBQUERY)
		inner->query = entry->subquery;
	else if (entry->rtekind == RTE_RELATION && entry->relkind == RELKIND_VIEW)
		inner->query = order_view_query(entry->relid);
	else if (entry->rtekind == RTE_CTE && !entry->self_reference)
	{
		with = order_with(entry, level, &inner->outer);
		inner->query = with == NULL ? NULL : castNode(Query, with->ctequery);
	}
	return inner->query != NULL;
}

static int order_find(OrderLevel *level, Oid source);

/* Does the entry lead to the source? */
static bool
order_leads(const RangeTblEntry *entry, OrderLevel *level, Oid source)
{
	OrderLevel inner;

	if (entry->rtekind == RTE_RELATION && entry->relid == source)
		return true;
	return order_open(entry, level, &inner) && order_find(&inner, source) != 0;
}

/* The numbers of what the query is made of: its FROM items, or the branches of a UNION, which are in no FROM. */
static Relids
order_items(const Query *query)
{
	return query->setOperations == NULL ? kseg_compat_from_items((Node *) query->jointree)
	                                    : bms_add_range(NULL, 1, list_length(query->rtable));
}

/* The number of the item that leads to the source; 0: none. */
static int
order_find(OrderLevel *level, Oid source)
{
	Relids items = order_items(level->query);
	int item = -1;

	check_stack_depth();

	while ((item = bms_next_member(items, item)) >= 0)
	{
		if (order_leads(rt_fetch(item, level->query->rtable), level, source))
			return item;
	}
	return 0;
}

/* ---------- why not ---------- */

/* What makes one row of several here, or takes some away that it cannot name; NULL: nothing. */
static const char *
order_shape_problem(const Query *query)
{
	if (query->setOperations != NULL)
		return "reads the topic in a UNION, INTERSECT or EXCEPT";
	if (query->groupClause != NIL || query->groupingSets != NIL || query->hasAggs ||
	    query->havingQual != NULL)
		return "groups the topic's rows";
	if (query->distinctClause != NIL)
		return "reads the topic with DISTINCT";
	if (query->hasWindowFuncs)
		return "reads the topic with window functions";
	if (query->limitCount != NULL || query->limitOffset != NULL)
		return "reads the topic with LIMIT or OFFSET";
	return NULL;
}

/* A reference to all columns of one FROM item at once. */
typedef struct OrderWhole
{
	int item;
	Index up;
} OrderWhole;

static bool
order_whole_walker(Node *node, OrderWhole *whole)
{
	bool found;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		const Var *var = (const Var *) node;

		return var->varno == whole->item && var->varlevelsup == whole->up &&
		       var->varattno == InvalidAttrNumber;
	}
	if (!IsA(node, Query))
		return expression_tree_walker(node, order_whole_walker, whole);
	whole->up++;
	found = query_tree_walker((Query *) node, order_whole_walker, whole, 0);
	whole->up--;
	return found;
}

/* One column more must not be seen by who takes a sub-select's row as a whole: row_to_json(s). */
static bool
order_is_taken_whole(Query *query, int item)
{
	OrderWhole whole = {.item = item};

	return rt_fetch(item, query->rtable)->rtekind != RTE_RELATION ||
	               rt_fetch(item, query->rtable)->relkind == RELKIND_VIEW
	           ? query_tree_walker(query, order_whole_walker, &whole, 0)
	           : false;
}

static const char *
order_problem(OrderLevel *level, Oid source, bool as_column)
{
	const char *problem = order_shape_problem(level->query);
	OrderLevel inner;
	RangeTblEntry *entry;
	int item;

	if (problem != NULL)
		return problem;
	item = order_find(level, source);
	if (item == 0)
		return "reads the topic in a condition or an expression only";
	if (as_column && order_is_taken_whole(level->query, item))
		return "takes whole rows of a sub-select or view";
	entry = rt_fetch(item, level->query->rtable);
	if (entry->rtekind == RTE_CTE && order_with(entry, level, &inner.outer)->cterecursive)
		return "reads the topic in a recursive WITH";
	return order_open(entry, level, &inner) ? order_problem(&inner, source, as_column) : NULL;
}

const char *
table_order_problem(const Query *query, Oid source, bool as_column)
{
	OrderLevel level = {(Query *) query, NULL};

	return order_problem(&level, source, as_column);
}

/* ---------- bringing it out ---------- */

static AttrNumber order_expose(OrderLevel *level, Oid source);

/* The outer joins on whose nullable side the item is, below this node. False: it is not below. */
static bool
order_nulling_joins(Node *node, int item, Relids *joins)
{
	ListCell *cell;
	JoinExpr *join;
	bool left;

	if (IsA(node, RangeTblRef))
		return ((RangeTblRef *) node)->rtindex == item;
	if (IsA(node, FromExpr))
	{
		foreach (cell, ((FromExpr *) node)->fromlist)
		{
			if (order_nulling_joins(lfirst(cell), item, joins))
				return true;
		}
		return false;
	}
	join = castNode(JoinExpr, node);
	left = order_nulling_joins(join->larg, item, joins);
	if (!left && !order_nulling_joins(join->rarg, item, joins))
		return false;
	if (join->jointype == JOIN_FULL || join->jointype == (left ? JOIN_RIGHT : JOIN_LEFT))
		*joins = bms_add_member(*joins, join->rtindex);
	return true;
}

/* Add the item's column to the query's results. Its number: behind the others, before those that are only sorted by. */
static AttrNumber
order_add_target(Query *query, int item, AttrNumber column)
{
	Var *var = makeVar(item, column, TIDOID, -1, InvalidOid, 0);
	Relids joins = NULL;
	AttrNumber number = 1;
	ListCell *cell;

	order_nulling_joins((Node *) query->jointree, item, &joins);
	kseg_compat_set_nulling_joins(var, joins);
	foreach (cell, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, cell);

		if (target->resjunk)
			target->resno++;
		else
			number++;
	}
	query->targetList = list_insert_nth(query->targetList, number - 1,
	                                    makeTargetEntry((Expr *) var, number, pstrdup(KSEG_TABLE_AT), false));
	return number;
}

/* A sub-select's names are shared with the parser's own, which must not see the new one. */
static void
order_add_name(RangeTblEntry *entry)
{
	entry->eref = copyObject(entry->eref);
	entry->eref->colnames = lappend(entry->eref->colnames, makeString(pstrdup(KSEG_TABLE_AT)));
}

/* A WITH part's columns are listed where it is, and where it is read. */
static void
order_add_with(RangeTblEntry *entry, OrderLevel *level)
{
	OrderLevel *owner;
	CommonTableExpr *with = order_with(entry, level, &owner);

	with->ctecolnames = lappend(with->ctecolnames, makeString(pstrdup(KSEG_TABLE_AT)));
	with->ctecoltypes = lappend_oid(with->ctecoltypes, TIDOID);
	with->ctecoltypmods = lappend_int(with->ctecoltypmods, -1);
	with->ctecolcollations = lappend_oid(with->ctecolcollations, InvalidOid);
	entry->coltypes = lappend_oid(entry->coltypes, TIDOID);
	entry->coltypmods = lappend_int(entry->coltypmods, -1);
	entry->colcollations = lappend_oid(entry->colcollations, InvalidOid);
}

/* The source's ctid as a column of this FROM item. */
static AttrNumber
order_expose_item(OrderLevel *level, int item, Oid source)
{
	RangeTblEntry *entry = rt_fetch(item, level->query->rtable);
	OrderLevel inner;
	AttrNumber number;

	if (entry->rtekind == RTE_RELATION && entry->relid == source)
		return SelfItemPointerAttributeNumber;
	if (!order_open(entry, level, &inner))
		elog(ERROR, "an item of the query's FROM has no query");
	if (entry->rtekind == RTE_RELATION)
	{
		Relation view = table_open(entry->relid, NoLock);

		kseg_compat_open_view(entry, inner.query, RelationIsSecurityView(view));
		table_close(view, NoLock);
	}
	number = order_expose(&inner, source);
	if (entry->rtekind == RTE_CTE)
		order_add_with(entry, level);
	order_add_name(entry);
	return number;
}

/* Add the source's ctid to the query's columns; its number. */
static AttrNumber
order_expose(OrderLevel *level, Oid source)
{
	int item = order_find(level, source);

	if (item == 0)
		elog(ERROR, "the relation %u is not where it was in the query", source);
	return order_add_target(level->query, item, order_expose_item(level, item, source));
}

/* ---------- in a statement ---------- */

/* The column of order, if it is there already: the statement may name it more than once. */
static AttrNumber
order_exposed(const Query *query)
{
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		const TargetEntry *target = lfirst_node(TargetEntry, cell);

		if (!target->resjunk && strcmp(target->resname, KSEG_TABLE_AT) == 0)
			return target->resno;
	}
	return InvalidAttrNumber;
}

static Node *
order_resolve(ParseState *state, ColumnRef *reference, Node *variable)
{
	Oid source = DatumGetObjectId(PointerGetDatum(state->p_ref_hook_state));
	ListCell *cell;

	if (variable != NULL || list_length(reference->fields) != 2 ||
	    strcmp(strVal(linitial(reference->fields)), KSEG_TABLE_QUERY) != 0 ||
	    !IsA(lsecond(reference->fields), String) ||
	    strcmp(strVal(lsecond(reference->fields)), KSEG_TABLE_AT) != 0)
		return NULL;
	foreach (cell, state->p_namespace)
	{
		ParseNamespaceItem *item = lfirst(cell);
		OrderLevel level = {item->p_rte->subquery, NULL};
		AttrNumber number;

		if (item->p_rte->rtekind != RTE_SUBQUERY || strcmp(item->p_names->aliasname, KSEG_TABLE_QUERY) != 0)
			continue;
		number = order_exposed(level.query);
		if (number == InvalidAttrNumber)
		{
			number = order_expose(&level, source);
			order_add_name(item->p_rte);
		}
		return (Node *) makeVar(item->p_rtindex, number, TIDOID, -1, InvalidOid, 0);
	}
	return NULL;
}

void
table_order_parser_setup(ParseState *state, void *argument)
{
	state->p_post_columnref_hook = order_resolve;
	state->p_ref_hook_state = argument;
}
