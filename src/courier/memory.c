/*
 * memory.c
 *	  Growing buffers. See memory.h.
 */
#include "courier/memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A first buffer of 4 kB holds a dozen prediction events. */
#define BUFFER_FIRST 4096

void *
memory_resize(void *memory, size_t size)
{
	void *resized = realloc(memory, size);

	if (resized == NULL)
		_exit(KSEG_EXIT_MEMORY);
	return resized;
}

char *
memory_copy_text(const char *data, size_t length)
{
	char *copy = memory_resize(NULL, length + 1);

	if (length > 0)
		memcpy(copy, data, length);
	copy[length] = '\0';
	return copy;
}

void
buffer_reserve(KsegBuffer *buffer, size_t extra)
{
	size_t room = buffer->room == 0 ? BUFFER_FIRST : buffer->room;

	if (buffer->room - buffer->length >= extra)
		return;
	while (room - buffer->length < extra)
		room *= 2;
	buffer->data = memory_resize(buffer->data, room);
	buffer->room = room;
}

void
buffer_append(KsegBuffer *buffer, const void *data, size_t length)
{
	if (length == 0)
		return;
	buffer_reserve(buffer, length);
	memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
}

void
buffer_free(KsegBuffer *buffer)
{
	free(buffer->data);
	*buffer = (KsegBuffer){0};
}
