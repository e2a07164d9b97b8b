/*
 * topic_pushdown.c
 *	  Conditions that narrow what is read of a topic. See topic_pushdown.h.
 *
 * A condition in a plan is a List of four integers: what it narrows (KsegTopicNarrowed), its operator (a btree strategy, or
 * CONDITION_ANY), the column's type, and that of its operand.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "source/topic_pushdown.h"

/* Beside the btree strategies 1 … 5. */
#define CONDITION_ANY (BTMaxStrategyNumber + 1)

/*
 * Most partitions that a range of their numbers is spelled out as: more than a sensible topic has. Without an upper bound, or
 * with more of them, all are read and filtered.
 */
#define PARTITIONS_SPELLED_MAX 10000

/* A clause taken apart: column operator operand. */
typedef struct Condition
{
	KsegTopicNarrowed narrowed;
	int strategy; /* of btrees, or CONDITION_ANY */
	Oid column;   /* its type */
	Oid type;     /* the operand's; an array's elements' */
	Expr *operand;
} Condition;

/* ---------- finding them ---------- */

/* What a column of this table narrows; false: nothing. */
static bool
column_narrows(const KsegTopicTable *table, Index relid, Node *node, Condition *condition, Oid *family)
{
	const KsegTopicColumn *column;
	Var *var = (Var *) node;

	if (!IsA(node, Var) || var->varno != relid || var->varlevelsup != 0 || var->varattno < 1)
		return false;
	column = &table->columns[var->varattno - 1];
	*family = lookup_type_cache(column->type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	if (column->meta == KSEG_META_PARTITION)
		condition->narrowed = KSEG_NARROWED_PARTITION;
	else if (column->meta == KSEG_META_OFFSET)
		condition->narrowed = KSEG_NARROWED_OFFSET;
	/* A type modifier below 3 rounds the column's milliseconds away. */
	else if (column->meta == KSEG_META_TIMESTAMP && (column->typmod < 0 || column->typmod >= 3))
		condition->narrowed = KSEG_NARROWED_TIME;
	else
		return false;
	return true;
}

/*
 * Operands of another type than the column are compared as that type's operators do: for times that may depend on TimeZone. A
 * timestamp column holds UTC, so that only what has no zone compares with it without one.
 */
static bool
operand_type_fits(Oid column, Oid operand)
{
	if (operand == INT2OID || operand == INT4OID || operand == INT8OID)
		return column == INT4OID || column == INT8OID;
	if (column == TIMESTAMPOID)
		return operand == TIMESTAMPOID || operand == DATEOID;
	return column == TIMESTAMPTZOID &&
	       (operand == TIMESTAMPTZOID || operand == TIMESTAMPOID || operand == DATEOID);
}

/* Can the operand be known before the first row? */
static bool
operand_is_fixed(Node *operand)
{
	return !contain_var_clause(operand) && !contain_volatile_functions(operand) && !contain_subplans(operand);
}

static bool
condition_complete(Condition *condition, Node *column, Node *operand, Oid op, Oid family)
{
	condition->strategy = get_op_opfamily_strategy(op, family);
	condition->column = exprType(column);
	condition->operand = (Expr *) operand;
	return condition->strategy != InvalidStrategy && operand_type_fits(condition->column, condition->type) &&
	       operand_is_fixed(operand);
}

/* column operator operand, or the other way round. */
static bool
condition_of_operator(const KsegTopicTable *table, Index relid, const OpExpr *clause, Condition *condition)
{
	Node *left;
	Node *right;
	Oid op = clause->opno;
	Oid family;

	if (list_length(clause->args) != 2)
		return false;
	left = linitial(clause->args);
	right = lsecond(clause->args);
	if (!column_narrows(table, relid, left, condition, &family))
	{
		Node *swapped = left;

		left = right;
		right = swapped;
		op = get_commutator(op);
		if (!OidIsValid(op) || !column_narrows(table, relid, left, condition, &family))
			return false;
	}
	condition->type = exprType(right);
	return condition_complete(condition, left, right, op, family);
}

/* partition = ANY (array). */
static bool
condition_of_array(const KsegTopicTable *table, Index relid, const ScalarArrayOpExpr *clause,
                   Condition *condition)
{
	Node *array = lsecond(clause->args);
	Oid family;

	if (!clause->useOr || !column_narrows(table, relid, linitial(clause->args), condition, &family) ||
	    condition->narrowed != KSEG_NARROWED_PARTITION)
		return false;
	condition->type = get_element_type(exprType(array));
	if (!condition_complete(condition, linitial(clause->args), array, clause->opno, family) ||
	    condition->strategy != BTEqualStrategyNumber)
		return false;
	condition->strategy = CONDITION_ANY;
	return true;
}

static bool
condition_of_clause(const KsegTopicTable *table, Index relid, Node *clause, Condition *condition)
{
	if (IsA(clause, OpExpr))
		return condition_of_operator(table, relid, (OpExpr *) clause, condition);
	if (IsA(clause, ScalarArrayOpExpr))
		return condition_of_array(table, relid, (ScalarArrayOpExpr *) clause, condition);
	return false;
}

/*
 * The courier is told partitions by their numbers. Where nothing bounds them above there is no list of them: how many a topic has
 * only a broker knows, and the conditions narrow nothing.
 */
static bool
partitions_have_upper_bound(const KsegTopicTable *table, Index relid, List *clauses)
{
	ListCell *cell;

	foreach (cell, clauses)
	{
		Condition condition;

		if (condition_of_clause(table, relid, lfirst(cell), &condition) &&
		    condition.narrowed == KSEG_NARROWED_PARTITION && condition.strategy != BTGreaterStrategyNumber &&
		    condition.strategy != BTGreaterEqualStrategyNumber)
			return true;
	}
	return false;
}

/* The conditions among clauses, as a plan keeps them; and, where wanted, their operands and the clauses that they are of. */
static List *
conditions_find(const KsegTopicTable *table, Index relid, List *clauses, List **operands, List **taken)
{
	bool listed = partitions_have_upper_bound(table, relid, clauses);
	List *conditions = NIL;
	ListCell *cell;

	foreach (cell, clauses)
	{
		Condition condition;

		if (!condition_of_clause(table, relid, lfirst(cell), &condition) ||
		    (condition.narrowed == KSEG_NARROWED_PARTITION && !listed))
			continue;
		conditions = lappend(conditions, list_make4_int(condition.narrowed, condition.strategy,
		                                                condition.column, condition.type));
		*operands = lappend(*operands, condition.operand);
		*taken = lappend(*taken, lfirst(cell));
	}
	return conditions;
}

List *
topic_pushdown_find(const KsegTopicTable *table, Index relid, List *clauses, List **operands)
{
	List *taken = NIL;

	return conditions_find(table, relid, clauses, operands, &taken);
}

List *
topic_pushdown_clauses(const KsegTopicTable *table, Index relid, List *clauses)
{
	List *operands = NIL;
	List *taken = NIL;

	conditions_find(table, relid, clauses, &operands, &taken);
	return taken;
}

/* ---------- their values ---------- */

/* All that is known while the conditions are gone through. Bounds are inclusive; the widest to begin with. */
typedef struct Narrowing
{
	int64 from[KSEG_NARROWED_TIME + 1]; /* by KsegTopicNarrowed; time in milliseconds */
	int64 to[KSEG_NARROWED_TIME + 1];
	List *any; /* of partitions, sorted, without repeats */
	bool any_given;
	bool empty;
} Narrowing;

static int64
integer_of_datum(Datum value, Oid type)
{
	return type == INT2OID   ? DatumGetInt16(value)
	       : type == INT4OID ? DatumGetInt32(value)
	                         : DatumGetInt64(value);
}

/* A time as microseconds since 2000 in UTC; one that the type does not reach is infinite. */
static Timestamp
time_of_datum(Datum value, Oid type, bool column_is_utc)
{
	int overflow = 0;

	if (type == DATEOID && column_is_utc)
		return date2timestamp_opt_overflow(DatumGetDateADT(value), &overflow);
	if (type == DATEOID)
		return date2timestamptz_opt_overflow(DatumGetDateADT(value), &overflow);
	if (type == TIMESTAMPOID && !column_is_utc)
		return timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value), &overflow);
	return DatumGetTimestamp(value);
}

/* Microseconds since 2000 as milliseconds since 1970, rounded down, and whether anything was rounded away. */
static int64
time_to_ms(Timestamp time, bool *exact)
{
	int64 ms = time / 1000;

	*exact = time % 1000 == 0;
	if (!*exact && time < 0)
		ms--;
	return ms + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
}

static void
narrow_from(Narrowing *narrowing, KsegTopicNarrowed what, int64 from)
{
	narrowing->from[what] = Max(narrowing->from[what], from);
}

static void
narrow_to(Narrowing *narrowing, KsegTopicNarrowed what, int64 to)
{
	narrowing->to[what] = Min(narrowing->to[what], to);
}

/*
 * The column is operator value, where value was rounded down unless exact. Columns hold whole numbers, so that "> 1.5" is
 * ">= 2" and "= 1.5" is nothing.
 */
static void
narrow(Narrowing *narrowing, KsegTopicNarrowed what, int strategy, int64 value, bool exact)
{
	bool above = strategy == BTGreaterStrategyNumber || (strategy == BTGreaterEqualStrategyNumber && !exact);
	bool below = strategy == BTLessStrategyNumber && exact;

	if ((above && value == PG_INT64_MAX) || (below && value == PG_INT64_MIN) ||
	    (strategy == BTEqualStrategyNumber && !exact))
		narrowing->empty = true;
	else if (strategy == BTGreaterStrategyNumber || strategy == BTGreaterEqualStrategyNumber)
		narrow_from(narrowing, what, above ? value + 1 : value);
	else if (strategy == BTLessStrategyNumber || strategy == BTLessEqualStrategyNumber)
		narrow_to(narrowing, what, below ? value - 1 : value);
	else
	{
		narrow_from(narrowing, what, value);
		narrow_to(narrowing, what, value);
	}
}

static void
narrow_time(Narrowing *narrowing, int strategy, Timestamp time)
{
	bool upper = strategy == BTLessStrategyNumber || strategy == BTLessEqualStrategyNumber;
	bool exact;
	int64 ms;

	if (TIMESTAMP_NOT_FINITE(time))
	{
		/* Every time is before infinity and after -infinity; in the other direction, and for =, there is none. */
		if (strategy == BTEqualStrategyNumber || upper == TIMESTAMP_IS_NOBEGIN(time))
			narrowing->empty = true;
		return;
	}
	ms = time_to_ms(time, &exact);
	narrow(narrowing, KSEG_NARROWED_TIME, strategy, ms, exact);
}

/* partition = ANY (array): only these, and of those before only these. */
static void
narrow_any(Narrowing *narrowing, Datum value, Oid type)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	List *partitions = NIL;
	int16 length;
	bool by_value;
	char align;
	Datum *elements;
	bool *nulls;
	int count;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		int64 partition;

		if (nulls[i])
			continue;
		partition = integer_of_datum(elements[i], type);
		if (partition >= 0 && partition <= PG_INT32_MAX &&
		    (!narrowing->any_given || list_member_int(narrowing->any, (int) partition)))
			partitions = list_append_unique_int(partitions, (int) partition);
	}
	narrowing->any = partitions;
	narrowing->any_given = true;
}

/* One condition with its value. */
static void
narrow_by(Narrowing *narrowing, const List *condition, Datum value, bool null)
{
	KsegTopicNarrowed what = linitial_int(condition);
	int strategy = lsecond_int(condition);
	Oid column = lthird_int(condition);
	Oid type = lfourth_int(condition);

	if (null) /* every operator here is strict */
		narrowing->empty = true;
	else if (strategy == CONDITION_ANY)
		narrow_any(narrowing, value, type);
	else if (what == KSEG_NARROWED_TIME)
		narrow_time(narrowing, strategy, time_of_datum(value, type, column == TIMESTAMPOID));
	else
		narrow(narrowing, what, strategy, integer_of_datum(value, type), true);
}

/* ---------- the range ---------- */

/* The partitions from … to: those given, or their numbers in turn. */
static void
range_list_partitions(const Narrowing *narrowing, KsegTopicRange *range)
{
	int64 from = narrowing->from[KSEG_NARROWED_PARTITION];
	int64 to = narrowing->to[KSEG_NARROWED_PARTITION];
	ListCell *cell;

	range->partitions = NULL;
	range->partition_count = KSEG_TOPIC_UNBOUNDED;
	if (!narrowing->any_given && (from > to || to - from >= PARTITIONS_SPELLED_MAX))
		return;
	range->partition_count = 0;
	range->partitions =
	    palloc(sizeof(int32) * Max(1, narrowing->any_given ? list_length(narrowing->any) : to - from + 1));
	if (!narrowing->any_given)
	{
		for (int64 partition = from; partition <= to; partition++)
			range->partitions[range->partition_count++] = (int32) partition;
		return;
	}
	foreach (cell, narrowing->any)
	{
		if (lfirst_int(cell) >= from && lfirst_int(cell) <= to)
			range->partitions[range->partition_count++] = lfirst_int(cell);
	}
}

/* An inclusive end as an exclusive one; the widest is none. */
static int64
range_end(int64 to)
{
	return to == PG_INT64_MAX ? KSEG_TOPIC_UNBOUNDED : to + 1;
}

static void
range_of_narrowing(const Narrowing *narrowing, KsegTopicRange *range)
{
	range_list_partitions(narrowing, range);
	/* Offsets begin at 0. So do times, but a broker takes other ones; those before 1970 are left to the filter. */
	range->offset_from = narrowing->from[KSEG_NARROWED_OFFSET] > 0 ? narrowing->from[KSEG_NARROWED_OFFSET]
	                                                               : KSEG_TOPIC_UNBOUNDED;
	range->time_from_ms =
	    narrowing->from[KSEG_NARROWED_TIME] > 0 ? narrowing->from[KSEG_NARROWED_TIME] : KSEG_TOPIC_UNBOUNDED;
	range->offset_to = range_end(narrowing->to[KSEG_NARROWED_OFFSET]);
	range->time_to_ms = narrowing->to[KSEG_NARROWED_TIME] >= 0 ? range_end(narrowing->to[KSEG_NARROWED_TIME])
	                                                           : KSEG_TOPIC_UNBOUNDED;
	range->empty = narrowing->empty || range->partition_count == 0;
	for (int what = KSEG_NARROWED_PARTITION; what <= KSEG_NARROWED_TIME; what++)
		range->empty |= narrowing->from[what] > narrowing->to[what];
}

void
topic_pushdown_evaluate(List *conditions, List *operands, ExprContext *econtext, KsegTopicRange *range)
{
	Narrowing narrowing = {.any = NIL};
	ListCell *condition;
	ListCell *operand;

	narrowing.from[KSEG_NARROWED_TIME] = PG_INT64_MIN;
	narrowing.to[KSEG_NARROWED_PARTITION] = PG_INT32_MAX;
	narrowing.to[KSEG_NARROWED_OFFSET] = narrowing.to[KSEG_NARROWED_TIME] = PG_INT64_MAX;
	forboth(condition, conditions, operand, operands)
	{
		bool null;
		Datum value = ExecEvalExpr((ExprState *) lfirst(operand), econtext, &null);

		narrow_by(&narrowing, lfirst(condition), value, null);
	}
	range_of_narrowing(&narrowing, range);
}

/* ---------- in words ---------- */

KsegTopicNarrowed
topic_pushdown_narrowed(const List *condition)
{
	return linitial_int(condition);
}

char *
topic_pushdown_words(const List *condition, const char *operand)
{
	static const char *const operators[] = {"", "<", "<=", "=", ">=", ">"};

	if (lsecond_int(condition) == CONDITION_ANY)
		return psprintf("= ANY (%s)", operand);
	return psprintf("%s %s", operators[lsecond_int(condition)], operand);
}
