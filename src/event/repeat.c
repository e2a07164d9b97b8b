/*
 * repeat.c
 *	  Counts rows that are the same event as an earlier one: a hash table of ids, and files when it is full.
 *
 * Owns: the bound on memory. The table doubles until another doubling would break the bound; from then on ids that it
 * does not hold go to temporary files, parted by bits of the id, so that equal ones meet in the same file. Each file is
 * then counted the same way, by a table and, if need be, files of the next bits: every level keeps as many ids as fit,
 * so it ends for any input. Ids of the files are never in the first table, because that one no longer changes.
 *
 * Refuses: to forget an id, to guess (no filter with false positives: a row would be lost), and to keep a descriptor: the
 * files belong to the resource owner of the run, so that an abort removes them.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "event/repeat.h"

/* First size of the table: 4 kB, because most runs are small. */
#define TABLE_FIRST 256

/* Files of a level at most, 6 bits of an id. Each has a buffer of BLCKSZ, so a small bound means fewer. */
#define PARTS_MAX 64
#define PARTS_MIN 4

/* Ids between two looks for an interrupt: some microseconds of work, or a few blocks read. */
#define INTERRUPT_EVERY 1024

typedef struct Table
{
	KsegEventId *slots; /* 0/0: free */
	uint64 size;        /* a power of two */
	uint64 count;
	bool has_zero; /* the id 0/0, which no slot can hold */
} Table;

/* Files of one level; NULL: nothing came. */
typedef struct Parts
{
	int count;
	int shift; /* the bits of id.high that tell the part */
	BufFile *files[PARTS_MAX];
} Parts;

struct KsegRepeatSet
{
	MemoryContext context;
	ResourceOwner owner;
	uint64 size_max; /* of a table */
	int part_count;
	Table table;
	Parts parts;
};

/* The largest table whose doubling, old and new together, stays within the bound. */
static uint64
table_size_max(Size memory_bytes)
{
	uint64 size = TABLE_FIRST;

	memory_bytes = Min(memory_bytes, MaxAllocHugeSize / 2);
	while (size * 2 * sizeof(KsegEventId) + size * sizeof(KsegEventId) <= memory_bytes)
		size *= 2;
	return size;
}

/* A quarter of the bound may go to file buffers. */
static int
part_count(Size memory_bytes)
{
	int count = PARTS_MIN;

	while (count < PARTS_MAX && (Size) count * 2 * BLCKSZ <= memory_bytes / 4)
		count *= 2;
	return count;
}

static void
table_reset(KsegRepeatSet *set, uint64 size)
{
	if (set->table.slots != NULL)
		pfree(set->table.slots);
	set->table.slots = MemoryContextAllocExtended(set->context, size * sizeof(KsegEventId),
	                                              MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	set->table.size = size;
	set->table.count = 0;
	set->table.has_zero = false;
}

static inline bool
id_is_zero(const KsegEventId *id)
{
	return id->low == 0 && id->high == 0;
}

/* The slot of the id, or the free one where it would go. Linear probing: ids are hashes already. */
static inline KsegEventId *
table_find(const Table *table, const KsegEventId *id)
{
	uint64 at = id->low & (table->size - 1);

	for (;;)
	{
		KsegEventId *slot = &table->slots[at];

		if (id_is_zero(slot) || (slot->low == id->low && slot->high == id->high))
			return slot;
		at = (at + 1) & (table->size - 1);
	}
}

static void
table_double(KsegRepeatSet *set)
{
	Table old = set->table;

	set->table.slots = NULL;
	table_reset(set, old.size * 2);
	set->table.has_zero = old.has_zero;
	set->table.count = old.count;
	for (uint64 i = 0; i < old.size; i++)
	{
		if (!id_is_zero(&old.slots[i]))
			*table_find(&set->table, &old.slots[i]) = old.slots[i];
	}
	pfree(old.slots);
}

typedef enum TableAnswer
{
	TABLE_REPEATED,
	TABLE_ADDED,
	TABLE_FULL
} TableAnswer;

/* Three quarters full is where linear probing begins to hurt. */
static TableAnswer
table_add(KsegRepeatSet *set, const KsegEventId *id)
{
	Table *table = &set->table;
	KsegEventId *slot;

	if (unlikely(id_is_zero(id)))
	{
		bool repeated = table->has_zero;

		table->has_zero = true;
		return repeated ? TABLE_REPEATED : TABLE_ADDED;
	}
	slot = table_find(table, id);
	if (!id_is_zero(slot))
		return TABLE_REPEATED;
	if (table->count >= table->size / 4 * 3)
	{
		if (table->size >= set->size_max)
			return TABLE_FULL;
		table_double(set);
		slot = table_find(table, id);
	}
	*slot = *id;
	table->count++;
	return TABLE_ADDED;
}

/* Write the id to its part's file, which is made in the run's context and resource owner. */
static void
parts_add(KsegRepeatSet *set, Parts *parts, const KsegEventId *id)
{
	int part = (id->high >> parts->shift) & (parts->count - 1);

	if (parts->files[part] == NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(set->context);
		ResourceOwner old_owner = CurrentResourceOwner;

		CurrentResourceOwner = set->owner;
		parts->files[part] = BufFileCreateTemp(false);
		CurrentResourceOwner = old_owner;
		MemoryContextSwitchTo(old_context);
	}
	BufFileWrite(parts->files[part], unconstify(KsegEventId *, id), sizeof(*id));
}

KsegRepeatSet *
repeat_set_create(Size memory_bytes)
{
	KsegRepeatSet *set = palloc0(sizeof(KsegRepeatSet));

	set->context = CurrentMemoryContext;
	set->owner = CurrentResourceOwner;
	set->size_max = table_size_max(memory_bytes);
	set->part_count = part_count(memory_bytes);
	set->parts.count = set->part_count;
	table_reset(set, TABLE_FIRST);
	return set;
}

bool
repeat_set_add(KsegRepeatSet *set, KsegEventId id)
{
	switch (table_add(set, &id))
	{
		case TABLE_REPEATED:
			return true;
		case TABLE_ADDED:
			return false;
		case TABLE_FULL:
			break;
	}
	parts_add(set, &set->parts, &id);
	return false;
}

static bool
file_read(BufFile *file, KsegEventId *id)
{
	size_t bytes = BufFileRead(file, id, sizeof(*id));

	if (bytes == sizeof(*id))
		return true;
	if (bytes != 0)
		ereport(ERROR, (errcode_for_file_access(),
		                errmsg("could not read from temporary file: read only %zu of %zu bytes", bytes,
		                       sizeof(*id))));
	return false;
}

static uint64 parts_count_repeats(KsegRepeatSet *set, Parts *parts);

/* One file: by the table; what does not fit goes to files of the next bits. shift: of these. */
static uint64
file_count_repeats(KsegRepeatSet *set, BufFile *file, int shift)
{
	Parts parts = {.count = set->part_count, .shift = shift};
	uint64 repeats = 0;
	uint64 read = 0;
	KsegEventId id;

	table_reset(set, TABLE_FIRST);
	if (BufFileSeek(file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not rewind temporary file")));
	while (file_read(file, &id))
	{
		TableAnswer answer = table_add(set, &id);

		if (answer == TABLE_REPEATED)
			repeats++;
		else if (answer == TABLE_FULL)
			parts_add(set, &parts, &id);
		if (++read % INTERRUPT_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
	}
	BufFileClose(file);
	return repeats + parts_count_repeats(set, &parts);
}

/* Each file of a level, and closes it. */
static uint64
parts_count_repeats(KsegRepeatSet *set, Parts *parts)
{
	uint64 repeats = 0;
	/* The bits of a level end where those of the next begin; ids are hashes, and after 64 bits they come again. */
	int shift = (parts->shift + 6) % 60;

	for (int i = 0; i < parts->count; i++)
	{
		BufFile *file = parts->files[i];

		parts->files[i] = NULL;
		if (file != NULL)
			repeats += file_count_repeats(set, file, shift);
	}
	return repeats;
}

uint64
repeat_set_finish(KsegRepeatSet *set)
{
	uint64 repeats = parts_count_repeats(set, &set->parts);

	table_reset(set, TABLE_FIRST);
	return repeats;
}
