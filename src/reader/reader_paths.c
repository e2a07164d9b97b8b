/*
 * reader_paths.c
 *	  The wanted paths of all fields as one tree. See reader_parts.h.
 *
 * Owns: its making, once for a reader, and the look-up of a member's key. Refuses: to know JSON's text.
 *
 * The paths are sorted, so that those with a common beginning lie together and each adds its nodes behind those of the
 * one before: that is depth first.
 */
#include "reader/reader_parts.h"

#include <stdlib.h>

/* One wanted path, and where its end is to be noted. */
typedef struct KsegPathPlace
{
	const KsegPath *path;
	uint32_t place;
} KsegPathPlace;

/* ---------- keys ---------- */

/* The first eight bytes of a key that lies in padded memory; zeros for what it is shorter. */
static inline uint64_t
paths_key_head(const char *key, size_t length)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint64_t head = scan_load_word(key);

	if (length >= 8)
		return head;
	return length == 0 ? 0 : head & (~UINT64_C(0) >> (64 - 8 * length));
#else
	uint64_t head = 0;

	memcpy(&head, key, length < 8 ? length : 8);
	return head;
#endif
}

/* Fibonacci hashing (Knuth, TAOCP 6.4): 2^64 divided by the golden ratio. */
static inline uint32_t
paths_key_hash(uint64_t head, size_t length, uint32_t shift)
{
	return (uint32_t) (((head ^ length) * UINT64_C(0x9e3779b97f4a7c15)) >> shift);
}

static inline bool
paths_key_equals(const KsegKeySlot *slot, uint64_t head, const char *key, size_t length)
{
	return slot->head == head && slot->length == length &&
	       (length <= 8 || memcmp(slot->key + 8, key + 8, length - 8) == 0);
}

KsegPathNode *
paths_find_key(const KsegPathNode *node, const char *key, size_t length)
{
	uint64_t head = paths_key_head(key, length);
	uint32_t mask = (UINT32_C(1) << (64 - node->key_shift)) - 1;
	uint32_t at = paths_key_hash(head, length, node->key_shift);

	while (node->keys[at].child != NULL && !paths_key_equals(&node->keys[at], head, key, length))
		at = (at + 1) & mask;
	return node->keys[at].child;
}

/* A key that is not in the table yet. */
static void
paths_add_key(KsegPathNode *node, const char *key, uint32_t length, KsegPathNode *child)
{
	uint64_t head = paths_key_head(key, length);
	uint32_t mask = (UINT32_C(1) << (64 - node->key_shift)) - 1;
	uint32_t at = paths_key_hash(head, length, node->key_shift);

	while (node->keys[at].child != NULL)
		at = (at + 1) & mask;
	node->keys[at] = (KsegKeySlot){.head = head, .key = key, .length = length, .child = child};
}

/* ---------- order ---------- */

/* Keys before indexes. */
static int
paths_compare_steps(const KsegPathStep *a, const KsegPathStep *b)
{
	uint32_t shorter = a->key.length < b->key.length ? a->key.length : b->key.length;
	int order;

	if ((a->key.data == NULL) != (b->key.data == NULL))
		return a->key.data == NULL ? 1 : -1;
	if (a->key.data == NULL)
		return a->index < b->index ? -1 : a->index > b->index;
	order = shorter > 0 ? memcmp(a->key.data, b->key.data, shorter) : 0;
	if (order != 0)
		return order;
	return a->key.length < b->key.length ? -1 : a->key.length > b->key.length;
}

static int
paths_compare(const void *a, const void *b)
{
	const KsegPath *left = ((const KsegPathPlace *) a)->path;
	const KsegPath *right = ((const KsegPathPlace *) b)->path;

	for (uint32_t i = 0; i < left->count && i < right->count; i++)
	{
		int order = paths_compare_steps(&left->steps[i], &right->steps[i]);

		if (order != 0)
			return order;
	}
	return left->count < right->count ? -1 : left->count > right->count;
}

/* How many steps two paths have in common from their beginning. */
static uint32_t
paths_count_common(const KsegPath *a, const KsegPath *b)
{
	uint32_t common = 0;

	while (common < a->count && common < b->count &&
	       paths_compare_steps(&a->steps[common], &b->steps[common]) == 0)
		common++;
	return common;
}

/* ---------- making ---------- */

/* All wants' paths, sorted. The caller frees; NULL when there is none. */
static KsegPathPlace *
paths_sort(const KsegWant *wants, uint32_t count, uint32_t *path_count, uint32_t *step_count,
           size_t *key_bytes)
{
	KsegPathPlace *places = NULL;
	uint32_t filled = 0;

	*path_count = *step_count = 0;
	*key_bytes = 0;
	for (uint32_t i = 0; i < count; i++)
		*path_count += wants[i].path_count;
	if (*path_count == 0)
		return NULL;
	places = reader_resize(NULL, *path_count * sizeof(*places));
	for (uint32_t i = 0; i < count; i++)
	{
		for (uint32_t j = 0; j < wants[i].path_count; j++)
		{
			const KsegPath *path = &wants[i].paths[j];

			places[filled] = (KsegPathPlace){.path = path, .place = filled};
			filled++;
			*step_count += path->count;
			for (uint32_t k = 0; k < path->count; k++)
				*key_bytes += path->steps[k].key.data != NULL ? path->steps[k].key.length : 0;
		}
	}
	qsort(places, filled, sizeof(*places), paths_compare);
	return places;
}

/*
 * The nodes of the sorted paths. steps[i] is set to the step that leads to node i.
 */
static void
paths_make_nodes(KsegPathTree *tree, const KsegPathPlace *places, uint32_t path_count,
                 const KsegPathStep **steps)
{
	/* The nodes of the path before, from the root: as deep as the longest path can be, that is all nodes. */
	KsegPathNode **line = reader_resize(NULL, (tree->node_count + 1) * sizeof(KsegPathNode *));

	line[0] = tree->nodes;
	tree->node_count = 1;
	for (uint32_t i = 0; i < path_count; i++)
	{
		const KsegPath *path = places[i].path;

		for (uint32_t j = i == 0 ? 0 : paths_count_common(places[i - 1].path, path); j < path->count; j++)
		{
			KsegPathNode *node = &tree->nodes[tree->node_count];

			node->parent = line[j];
			line[j + 1] = node;
			steps[tree->node_count++] = &path->steps[j];
		}
		tree->ends[places[i].place] = line[path->count];
	}
	free(line);
}

/* How many slots an object's table has: a power of two, at most half full so that a search is short. */
static uint32_t
paths_count_slots(const KsegPathNode *node)
{
	uint32_t slots = 4;

	while (slots < node->key_count * 2)
		slots *= 2;
	return node->key_count == 0 ? 0 : slots;
}

/* Each node's ends, and how many keys and indexes lie below it. Children come after their parents. */
static void
paths_count_children(KsegPathTree *tree, const KsegPathStep **steps)
{
	for (uint32_t i = tree->node_count; i-- > 0;)
	{
		KsegPathNode *node = &tree->nodes[i];

		if (node->below_end == NULL)
			node->below_end = node + 1;
		if (node->parent == NULL)
			continue;
		if (node->parent->below_end == NULL)
			node->parent->below_end = node->below_end;
		if (steps[i]->key.data != NULL)
			node->parent->key_count++;
		else
			node->parent->index_count++;
	}
}

/* The tables of keys and indexes, still empty: index_count counts anew while they fill. */
static void
paths_make_tables(KsegPathTree *tree)
{
	size_t key_slots = 0;
	size_t index_slots = 0;

	for (uint32_t i = 0; i < tree->node_count; i++)
	{
		key_slots += paths_count_slots(&tree->nodes[i]);
		index_slots += tree->nodes[i].index_count;
	}
	tree->key_slots = reader_resize(NULL, (key_slots + 1) * sizeof(KsegKeySlot));
	memset(tree->key_slots, 0, (key_slots + 1) * sizeof(KsegKeySlot));
	tree->index_slots = reader_resize(NULL, (index_slots + 1) * sizeof(KsegIndexSlot));
	key_slots = index_slots = 0;
	for (uint32_t i = 0; i < tree->node_count; i++)
	{
		KsegPathNode *node = &tree->nodes[i];
		uint32_t slots = paths_count_slots(node);

		node->keys = slots > 0 ? tree->key_slots + key_slots : NULL;
		node->key_shift = slots > 0 ? 64 - (uint32_t) __builtin_ctz(slots) : 0;
		node->indexes = tree->index_slots + index_slots;
		key_slots += slots;
		index_slots += node->index_count;
		node->index_count = 0;
	}
}

/* Hang each node below its parent. The nodes' order makes an array's indexes ascend. */
static void
paths_fill_tables(KsegPathTree *tree, const KsegPathStep **steps)
{
	char *key = tree->key_bytes;

	for (uint32_t i = 1; i < tree->node_count; i++)
	{
		KsegPathNode *node = &tree->nodes[i];
		KsegText name = steps[i]->key;

		if (name.data == NULL)
		{
			node->parent->indexes[node->parent->index_count++] =
			    (KsegIndexSlot){.index = steps[i]->index, .child = node};
			continue;
		}
		if (name.length > 0)
			memcpy(key, name.data, name.length);
		paths_add_key(node->parent, key, name.length, node);
		key += name.length;
	}
}

void
paths_open(KsegPathTree *tree, const KsegWant *wants, uint32_t count)
{
	uint32_t path_count;
	uint32_t step_count;
	size_t key_bytes;
	KsegPathPlace *places = paths_sort(wants, count, &path_count, &step_count, &key_bytes);
	const KsegPathStep **steps;

	*tree = (KsegPathTree){0};
	if (places == NULL)
		return;
	tree->nodes = reader_resize(NULL, (step_count + 1) * sizeof(KsegPathNode));
	memset(tree->nodes, 0, (step_count + 1) * sizeof(KsegPathNode));
	tree->node_count = step_count + 1;
	tree->ends = reader_resize(NULL, path_count * sizeof(KsegPathNode *));
	/* paths_key_head reads eight bytes, whatever a key's length. */
	tree->key_bytes = reader_resize(NULL, key_bytes + KSEG_SCAN_PADDING);
	memset(tree->key_bytes, 0, key_bytes + KSEG_SCAN_PADDING);
	steps = reader_resize(NULL, (step_count + 1) * sizeof(KsegPathStep *));
	paths_make_nodes(tree, places, path_count, steps);
	paths_count_children(tree, steps);
	paths_make_tables(tree);
	paths_fill_tables(tree, steps);
	free(steps);
	free(places);
}

void
paths_close(KsegPathTree *tree)
{
	free(tree->nodes);
	free(tree->ends);
	free(tree->key_slots);
	free(tree->index_slots);
	free(tree->key_bytes);
	*tree = (KsegPathTree){0};
}
