/*
 * memory.h
 *	  Memory that grows and is used again.
 *
 * Owns: what happens when there is none: the courier leaves with KSEG_EXIT_MEMORY, because what it holds is bounded, so
 * that only a machine without memory brings it here, and PostgreSQL reports a lost courier as an open outcome.
 * Refuses: to give anything back in the middle of a run; _exit does.
 */
#ifndef KSEG_COURIER_MEMORY_H
#define KSEG_COURIER_MEMORY_H

#include <stddef.h>

/* The exit status of a courier that found no memory. */
#define KSEG_EXIT_MEMORY 3

/* A buffer that grows and is used again; all zero is an empty one. */
typedef struct KsegBuffer
{
	char *data;
	size_t length;
	size_t room;
} KsegBuffer;

/* realloc that does not return without memory. The caller frees with free(). */
extern void *memory_resize(void *memory, size_t size);

/* A copy of length bytes and a NUL. The caller frees with free(). */
extern char *memory_copy_text(const char *data, size_t length);

/* Make room for extra more bytes, doubling so that growing costs little in sum. */
extern void buffer_reserve(KsegBuffer *buffer, size_t extra);
extern void buffer_append(KsegBuffer *buffer, const void *data, size_t length);
extern void buffer_free(KsegBuffer *buffer);

#endif /* KSEG_COURIER_MEMORY_H */
