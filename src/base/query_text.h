/*
 * query_text.h
 *	  The text of a query that somebody gives: is it one SELECT, and what does the parser make of it?
 *
 * Positions in errors point into that text, not into the statement around it.
 */
#ifndef KSEG_QUERY_TEXT_H
#define KSEG_QUERY_TEXT_H

#include "postgres.h"
#include "nodes/parsenodes.h"

/* ERROR unless the text is one SELECT (VALUES and TABLE are) that neither writes nor locks rows: 42601, 0A000. */
extern void query_check(const char *query);

/* The same, and the statement alone, without a semicolon and what follows it, palloc'd: to be put into parentheses, on lines of its own. */
extern char *query_check_statement(const char *query);

/* ERROR (42601) unless the text is one expression: one that stays inside parentheses around it, on lines of its own. */
extern void query_check_expression(const char *expression, const char *what);

/* What the parser makes of one SELECT, views not opened. Names are looked up as the current role, by the search_path. */
extern Query *query_analyze(const char *query);

#endif /* KSEG_QUERY_TEXT_H */
