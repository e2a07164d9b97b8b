/*
 * wire_io.c
 *	  The socket, its input and its output. See wire_io.h.
 */
#include "courier/wire_io.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Bytes asked for in one read: what a Unix socket holds by default (net.core.wmem_default, 208 kB), so that one call
 * empties it and the buffer stays in the second level cache.
 */
#define WIRE_IO_CHUNK (256 * 1024)

/* A frame that is begun has room for as much as a frame of records has (KSEG_RECORDS_FRAME), with its header, before it must move. */
#define WIRE_IO_BEGIN (64 * 1024 + 1024)

void
wire_io_open(KsegWireIo *io, int fd)
{
	*io = (KsegWireIo){.fd = fd};
}

/* Move what is left to the front: less than a frame, as wire_io_next_frame is called until there is none. */
static void
wire_io_compact(KsegWireIo *io)
{
	size_t left = io->in.length - io->in_at;

	if (io->in_at == 0)
		return;
	if (left > 0)
		memmove(io->in.data, io->in.data + io->in_at, left);
	io->in.length = left;
	io->in_at = 0;
}

bool
wire_io_read(KsegWireIo *io)
{
	ssize_t got;

	wire_io_compact(io);
	buffer_reserve(&io->in, WIRE_IO_CHUNK);
	do
		got = recv(io->fd, io->in.data + io->in.length, WIRE_IO_CHUNK, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);

	if (got > 0)
		io->in.length += (size_t) got;
	else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		io->closed = true;
	return got > 0;
}

KsegWireNext
wire_io_next_frame(KsegWireIo *io, KsegFrame *frame)
{
	int taken;

	if (io->in.length == io->in_at)
		return KSEG_WIRE_MORE;
	taken = kseg_frame_parse((const uint8_t *) io->in.data + io->in_at, io->in.length - io->in_at, frame);
	if (taken < 0)
		return KSEG_WIRE_GARBAGE;
	io->in_at += (size_t) taken;
	return taken == 0 ? KSEG_WIRE_MORE : KSEG_WIRE_FRAME;
}

void
wire_io_discard(KsegWireIo *io)
{
	io->in.length = 0;
	io->in_at = 0;
}

void
wire_io_wipe(const KsegFrame *frame)
{
	explicit_bzero((void *) (uintptr_t) frame->payload, frame->length);
}

uint8_t *
wire_io_put_frame(KsegWireIo *io, KsegFrameType type, size_t length)
{
	uint8_t *at = wire_out_grow(&io->out, 0, KSEG_FRAME_HEADER + length);

	kseg_frame_header(at, type, 0, (uint32_t) length);
	return at + KSEG_FRAME_HEADER;
}

void
wire_io_begin_frame(KsegWireIo *io, KsegFrameType type)
{
	wire_out_begin(&io->out, WIRE_IO_BEGIN);
	wire_out_grow(&io->out, 0, KSEG_FRAME_HEADER);
	io->filling = KSEG_FRAME_HEADER;
	io->filling_type = type;
}

uint8_t *
wire_io_extend_frame(KsegWireIo *io, size_t length)
{
	uint8_t *at = wire_out_grow(&io->out, io->filling, length);

	io->filling += length;
	return at;
}

uint8_t *
wire_io_frame_payload(KsegWireIo *io)
{
	return wire_out_tail(&io->out, io->filling) + KSEG_FRAME_HEADER;
}

size_t
wire_io_frame_length(const KsegWireIo *io)
{
	return io->filling > 0 ? io->filling - KSEG_FRAME_HEADER : 0;
}

void
wire_io_end_frame(KsegWireIo *io)
{
	kseg_frame_header(wire_out_tail(&io->out, io->filling), io->filling_type, 0,
	                  (uint32_t) wire_io_frame_length(io));
	io->filling = 0;
}

void
wire_io_flush(KsegWireIo *io)
{
	if (!io->closed && !wire_out_write(&io->out, io->filling, io->fd))
		io->closed = true;
}

size_t
wire_io_pending(const KsegWireIo *io)
{
	return io->out.length - io->filling;
}

void
wire_io_probe(KsegWireIo *io)
{
	struct pollfd wire = {.fd = io->fd};

	if (poll(&wire, 1, 0) > 0 && (wire.revents & (POLLHUP | POLLERR)) != 0)
		io->closed = true;
}
