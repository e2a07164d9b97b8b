/*
 * table_order.h
 *	  The order of a query's rows: that of one relation in it, by that relation's ctid.
 *
 * Owns: finding the relation in an analyzed query (sub-selects in FROM, views, WITH parts), and bringing its ctid out as one column more
 * of the query, for a statement around it that names kseg_q.kseg_at. Refuses: to know what the relation is.
 *
 * The column is added to the analyzed query, not to its text: views are read with their owners' rights and row security as ever, and no
 * name has to be spelled anew. It cannot come through what makes one row of several: aggregates, GROUP BY, DISTINCT, LIMIT, window
 * functions, UNION and its like; nor from a condition (EXISTS, IN), a recursive WITH, or below a sub-select whose row is taken as a whole.
 */
#ifndef KSEG_TABLE_ORDER_H
#define KSEG_TABLE_ORDER_H

#include "postgres.h"
#include "nodes/parsenodes.h"
#include "parser/parse_node.h"

/* The query's alias in the statement, and the column of order. No column of a query may have the latter's name. */
#define KSEG_TABLE_QUERY "kseg_q"
#define KSEG_TABLE_AT    "kseg_at"

/*
 * Why a row of the query is not of one row of the relation, as the words after "the query": "groups rows"; NULL: each is. as_column: also
 * why the ctid cannot come out as one column more, though each row is.
 */
extern const char *table_order_problem(const Query *query, Oid source, bool as_column);

/*
 * How often the query reads a relation that the function says yes to, within views, sub-selects and WITH parts, too. A WITH part counts
 * as often as it is used.
 */
typedef bool (*KsegTableRelation)(const RangeTblEntry *entry, void *argument);
extern int table_order_count(const Query *query, KsegTableRelation is_one, void *argument);

/* For SPI_prepare_extended: resolves kseg_q.kseg_at. argument: ObjectIdGetDatum(source) as a pointer. */
extern void table_order_parser_setup(ParseState *state, void *argument);

#endif /* KSEG_TABLE_ORDER_H */
