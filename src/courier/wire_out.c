/*
 * wire_out.c
 *	  The chain of blocks. See wire_out.h.
 */
#include "courier/wire_out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "courier/memory.h"

/* Blocks written in one call: 4 MB, more than a socket takes (net.core.wmem_max is 208 kB as a rule). */
#define OUT_PIECES 16

/* ---------- blocks ---------- */

static KsegWireBlock *
out_take_block(KsegWireOut *out, size_t room)
{
	KsegWireBlock *block = out->spare;

	if (room > KSEG_WIRE_BLOCK || block == NULL)
	{
		room = room > KSEG_WIRE_BLOCK ? room : KSEG_WIRE_BLOCK;
		block = memory_resize(NULL, sizeof(KsegWireBlock) + room);
		block->room = room;
	}
	else
		out->spare = block->next;
	block->next = NULL;
	block->length = block->at = 0;
	return block;
}

static KsegWireBlock *
out_append_block(KsegWireOut *out, size_t room)
{
	KsegWireBlock *block = out_take_block(out, room);

	if (out->last != NULL)
		out->last->next = block;
	else
		out->first = block;
	out->last = block;
	return block;
}

/* Large ones are rare, and given back. */
static void
out_drop_first(KsegWireOut *out)
{
	KsegWireBlock *block = out->first;

	out->first = block->next;
	if (out->first == NULL)
		out->last = NULL;
	if (block->room > KSEG_WIRE_BLOCK)
	{
		free(block);
		return;
	}
	block->next = out->spare;
	out->spare = block;
}

static size_t
out_room(const KsegWireOut *out)
{
	return out->last == NULL ? 0 : out->last->room - out->last->length;
}

/* ---------- filling ---------- */

void
wire_out_begin(KsegWireOut *out, size_t room)
{
	if (out_room(out) < room)
		out_append_block(out, room);
}

/* What is kept moves along to a larger block; it doubles, so that this costs little in sum. */
static void
out_move_tail(KsegWireOut *out, size_t keep, size_t length)
{
	KsegWireBlock *old = out->last;
	KsegWireBlock *block = out_append_block(out, keep == 0 ? length : 2 * (keep + length));

	if (old == NULL || keep == 0)
		return;
	memcpy(block->bytes, old->bytes + old->length - keep, keep);
	block->length = keep;
	old->length -= keep;
}

uint8_t *
wire_out_grow(KsegWireOut *out, size_t keep, size_t length)
{
	KsegWireBlock *block;

	if (out->last == NULL || out_room(out) < length)
		out_move_tail(out, keep, length);
	block = out->last;
	block->length += length;
	out->length += length;
	return block->bytes + block->length - length;
}

uint8_t *
wire_out_tail(const KsegWireOut *out, size_t length)
{
	return out->last->bytes + out->last->length - length;
}

/* ---------- writing ---------- */

/* What is to be written, at most OUT_PIECES of it. */
static int
out_gather(const KsegWireOut *out, size_t keep, struct iovec *pieces)
{
	int count = 0;

	for (KsegWireBlock *block = out->first; block != NULL && count < OUT_PIECES; block = block->next)
	{
		size_t length = block->length - block->at - (block == out->last ? keep : 0);

		if (length > 0)
			pieces[count++] = (struct iovec){block->bytes + block->at, length};
	}
	return count;
}

static void
out_note_written(KsegWireOut *out, size_t written)
{
	out->length -= written;
	while (out->first != NULL)
	{
		KsegWireBlock *block = out->first;
		size_t left = block->length - block->at;

		if (left > written)
		{
			block->at += written;
			return;
		}
		written -= left;
		out_drop_first(out);
	}
}

bool
wire_out_write(KsegWireOut *out, size_t keep, int fd)
{
	while (out->length > keep)
	{
		struct iovec pieces[OUT_PIECES];
		struct msghdr message = {.msg_iov = pieces};
		ssize_t written;

		message.msg_iovlen = (size_t) out_gather(out, keep, pieces);
		written = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (written >= 0)
			out_note_written(out, (size_t) written);
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return true;
		else if (errno != EINTR)
			return false;
	}
	return true;
}

void
wire_out_free(KsegWireOut *out)
{
	while (out->first != NULL)
		out_drop_first(out);
	while (out->spare != NULL)
	{
		KsegWireBlock *block = out->spare;

		out->spare = block->next;
		free(block);
	}
	*out = (KsegWireOut){0};
}
