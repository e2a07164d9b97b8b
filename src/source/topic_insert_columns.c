/*
 * topic_insert_columns.c
 *	  What columns are to an INSERT. See topic_insert_columns.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "source/topic_insert_columns.h"

/* ---------- what columns are ---------- */

/* Does a message take it from a column? */
static bool
insert_is_role(KsegTopicMeta meta)
{
	switch (meta)
	{
		case KSEG_META_VALUE:
		case KSEG_META_KEY:
		case KSEG_META_PARTITION:
		case KSEG_META_HEADERS:
		case KSEG_META_TIMESTAMP:
			return true;
		default:
			return false;
	}
}

bool
topic_insert_is_read_only(const KsegTopicTable *table, const KsegTopicColumn *column)
{
	if (column->dropped || column->meta == KSEG_META_NONE)
		return false;
	return !insert_is_role(column->meta) ||
	       (column->meta == KSEG_META_VALUE && table->format != KSEG_TOPIC_JSON);
}

const KsegTopicColumn *
topic_insert_find_column(const KsegTopicTable *table, KsegTopicMeta meta)
{
	for (int i = 0; i < table->column_count; i++)
	{
		const KsegTopicColumn *column = &table->columns[i];

		if (!column->dropped && column->meta == meta && !topic_insert_is_read_only(table, column))
			return column;
	}
	return NULL;
}

const KsegTopicPath *
topic_insert_path(const KsegTopicColumn *column)
{
	ListCell *cell;

	foreach (cell, column->paths)
	{
		const KsegTopicPath *path = lfirst(cell);
		bool keys = true;

		for (int i = 0; i < path->count; i++)
			keys = keys && path->steps[i].key != NULL;
		if (keys)
			return path;
	}
	return NULL;
}

/* ---------- can messages be made at all? ---------- */

static void
insert_check_roles(const KsegTopicTable *table)
{
	for (int i = 0; i < table->column_count; i++)
	{
		const KsegTopicColumn *column = &table->columns[i];

		if (column->dropped || column->meta == KSEG_META_NONE || topic_insert_is_read_only(table, column) ||
		    topic_insert_find_column(table, column->meta) == column)
			continue;
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
		         errmsg("cannot insert into foreign table \"%s\": it has two columns for the message's %s",
		                table->name, topic_meta_name(column->meta)),
		         errdetail("These are \"%s\" and \"%s\".",
		                   topic_insert_find_column(table, column->meta)->name, column->name)));
	}
}

/* A message is made of jsonb (message.h). Both types can be read. */
static void
insert_check_headers(const KsegTopicTable *table)
{
	const KsegTopicColumn *column = topic_insert_find_column(table, KSEG_META_HEADERS);

	if (column == NULL || column->base_type == JSONBOID)
		return;
	ereport(ERROR,
	        (errcode(ERRCODE_DATATYPE_MISMATCH),
	         errmsg("cannot insert into foreign table \"%s\": column \"%s\" has the headers as type %s",
	                table->name, column->name, format_type_be(column->type)),
	         errhint("ALTER FOREIGN TABLE %s ALTER COLUMN %s TYPE jsonb.", quote_identifier(table->name),
	                 quote_identifier(column->name))));
}

static void
insert_check_paths(const KsegTopicTable *table)
{
	for (int i = 0; i < table->column_count; i++)
	{
		const KsegTopicColumn *column = &table->columns[i];

		if (column->dropped || column->meta != KSEG_META_NONE || topic_insert_path(column) != NULL)
			continue;
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("cannot insert into foreign table \"%s\": column \"%s\" lies in an array",
		                table->name, column->name),
		         errdetail("A column is written at its first path that has no index; this one has none."),
		         errhint("Write through another foreign table over the topic that has the array as one jsonb "
		                 "column.")));
	}
}

/* Two columns of one field of a CSV line. */
static void
insert_check_csv(const KsegTopicTable *table)
{
	for (int i = 0; i < table->column_count; i++)
	{
		for (int j = 0; j < i; j++)
		{
			const KsegTopicColumn *one = &table->columns[j];
			const KsegTopicColumn *other = &table->columns[i];

			if (one->dropped || other->dropped || one->meta != KSEG_META_NONE ||
			    other->meta != KSEG_META_NONE || one->csv_field != other->csv_field)
				continue;
			ereport(
			    ERROR,
			    (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			     errmsg(
			         "cannot insert into foreign table \"%s\": columns \"%s\" and \"%s\" are both field %u",
			         table->name, one->name, other->name, one->csv_field + 1)));
		}
	}
}

void
topic_insert_check(const KsegTopicTable *table)
{
	if (table->format == KSEG_TOPIC_DEBEZIUM)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		     errmsg("cannot insert into foreign table \"%s\" of format debezium", table->name),
		     errdetail("Its messages are changes that a connector has captured; kseg does not make them up."),
		     errhint("Write through another foreign table over the topic, of format json.")));
	insert_check_roles(table);
	insert_check_headers(table);
	if (topic_insert_find_column(table, KSEG_META_NONE) == NULL &&
	    topic_insert_find_column(table, KSEG_META_VALUE) == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
		                errmsg("cannot insert into foreign table \"%s\": no column has the message's value",
		                       table->name),
		                errhint("Add a column without the option meta, or one with meta 'value'.")));
	if (table->format == KSEG_TOPIC_JSON)
		insert_check_paths(table);
	if (table->format == KSEG_TOPIC_CSV)
		insert_check_csv(table);
}
