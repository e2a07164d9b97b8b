/*
 * event_tree.c
 *	  The objects of an event: properties or traits, context, integrations, and what nests in them.
 *
 * Owns: where a column that is no field goes: "a.b" nests, context_x goes under context, everything else is a property or
 * a trait. Refuses: a path with an empty part, a column that is a value and an object at once, and any property of an
 * alias, which has none.
 */
#include "postgres.h"

#include "event/event_tree.h"

#define CONTEXT_PREFIX "context_"

static KsegNode *
node_create(const char *parent_path, const char *key, bool object)
{
	KsegNode *node = palloc0(sizeof(KsegNode));

	node->key = key;
	node->path = parent_path == NULL ? key : psprintf("%s.%s", parent_path, key);
	node->object = object;
	return node;
}

static KsegNode *
node_find_child(const KsegNode *node, const char *key)
{
	ListCell *cell;

	foreach (cell, node->children)
	{
		KsegNode *child = lfirst(cell);

		if (strcmp(child->key, key) == 0)
			return child;
	}
	return NULL;
}

/* The name of a column below a node, for messages: its own, or that of the first one inside it. */
static const char *
node_column_name(const KsegNode *node)
{
	while (node->object)
		node = linitial(node->children);
	return node->column.name;
}

static void
node_refuse_nesting(const char *inner, const char *outer)
{
	ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_COLUMN),
	                errmsg("column \"%s\" would nest inside column \"%s\"", inner, outer),
	                errhint("A dot in a column's name nests it: \"a.b\" is b inside of a.")));
}

/* The child object of this key, made when it is not there. */
static KsegNode *
node_step(KsegNode *node, const char *key, const char *column)
{
	KsegNode *child = node_find_child(node, key);

	if (child == NULL)
	{
		child = node_create(node->path, key, true);
		child->hashed = node->hashed;
		node->children = lappend(node->children, child);
	}
	if (!child->object)
		node_refuse_nesting(column, child->column.name);
	return child;
}

/* Put column i at path below node. */
static void
node_place(KsegSorting *sorting, KsegNode *node, const char *path, int i)
{
	const char *column = result_column_name(&sorting->result, i);
	char *key = pstrdup(result_name_utf8(path));
	KsegNode *leaf;

	for (;;)
	{
		char *dot = strchr(key, '.');

		if (dot != NULL)
			*dot = '\0';
		if (key[0] == '\0')
			ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
			                errmsg("column \"%s\" has an empty part in its path", column),
			                errhint("A dot in a column's name nests it: \"a.b\" is b inside of a.")));
		if (dot == NULL)
			break;
		node = node_step(node, key, column);
		key = dot + 1;
	}
	leaf = node_find_child(node, key);
	if (leaf != NULL)
		node_refuse_nesting(node_column_name(leaf), column);
	leaf = node_create(node->path, key, false);
	leaf->hashed = node->hashed;
	result_column_open(&sorting->result, i, &leaf->column);
	node->children = lappend(node->children, leaf);
}

static KsegNode *
root_create(KsegSorting *sorting, KsegField field, Jsonb *constant)
{
	KsegNode *root = node_create(NULL, event_field_name(field), true);

	root->column = sorting->columns->fields[field];
	root->constant = constant;
	root->hashed = field != KSEG_FIELD_INTEGRATIONS;
	root->keep_empty = field == KSEG_FIELD_PROPERTIES || field == KSEG_FIELD_TRAITS;
	return root;
}

static bool
name_is_context(const char *name)
{
	size_t prefix = strlen(CONTEXT_PREFIX);

	return strncmp(name, CONTEXT_PREFIX, prefix) == 0 && name[prefix] != '\0';
}

/* Columns that are neither fields nor listed, so they go where their name says. */
static void
rest_place(KsegSorting *sorting, int i)
{
	const char *name = result_column_name(&sorting->result, i);
	KsegColumns *columns = sorting->columns;

	if (name_is_context(name))
		node_place(sorting, columns->context, name + strlen(CONTEXT_PREFIX), i);
	else if (sorting->mapping->has_properties)
		return;
	else if (columns->properties == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("column \"%s\" has no place in a call of type alias", name),
		                errhint("Leave it out with exclude.")));
	else
		node_place(sorting, columns->properties, name, i);
}

void
event_tree_grow(KsegSorting *sorting)
{
	const KsegMapping *mapping = sorting->mapping;
	KsegColumns *columns = sorting->columns;
	KsegCall call = mapping->call;

	if (call == KSEG_CALL_IDENTIFY || call == KSEG_CALL_GROUP)
		columns->properties = root_create(sorting, KSEG_FIELD_TRAITS, NULL);
	else if (call != KSEG_CALL_ALIAS)
		columns->properties = root_create(sorting, KSEG_FIELD_PROPERTIES, NULL);
	else if (mapping->has_properties)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("properties does not belong to a call of type alias")));
	columns->context = root_create(sorting, KSEG_FIELD_CONTEXT, mapping->context);
	columns->integrations = root_create(sorting, KSEG_FIELD_INTEGRATIONS, mapping->integrations);

	for (int i = 0; i < sorting->result.desc->natts; i++)
	{
		if (sorting->result.excluded[i])
			continue;
		/* A listed column is a property, whatever else it is. */
		if (sorting->listed[i])
			node_place(sorting, columns->properties, result_column_name(&sorting->result, i), i);
		else if (!sorting->taken[i])
			rest_place(sorting, i);
	}
}
