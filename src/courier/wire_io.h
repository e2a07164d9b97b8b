/*
 * wire_io.h
 *	  Bytes between the courier and PostgreSQL: an input buffer and the output (wire_out.h) around the socket.
 *
 * Owns: the socket and both of them. Refuses: to wait (every call returns at once) and to know what a frame means.
 */
#ifndef KSEG_COURIER_WIRE_IO_H
#define KSEG_COURIER_WIRE_IO_H

#include <stdbool.h>

#include "courier/memory.h"
#include "courier/wire_out.h"
#include "wire/wire.h"

typedef struct KsegWireIo
{
	int fd;
	bool closed;   /* the other side has gone: leave */
	KsegBuffer in; /* data[in_at … length) is not taken yet */
	size_t in_at;
	KsegWireOut out;
	KsegFrameType filling_type;
	size_t
	    filling; /* bytes, with its header, of a frame that is being filled, at the end of out; 0: none is */
} KsegWireIo;

typedef enum KsegWireNext
{
	KSEG_WIRE_FRAME,  /* here is one */
	KSEG_WIRE_MORE,   /* not whole yet */
	KSEG_WIRE_GARBAGE /* no kseg wrote this */
} KsegWireNext;

extern void wire_io_open(KsegWireIo *io, int fd);

/* Take in what has come, up to one chunk. False when nothing was there. At end of file or a broken socket: closed. */
extern bool wire_io_read(KsegWireIo *io);

/* The next frame of the input. Its payload lives until the next wire_io_read. */
extern KsegWireNext wire_io_next_frame(KsegWireIo *io, KsegFrame *frame);

/* Forget what has been read: nobody will look at it. */
extern void wire_io_discard(KsegWireIo *io);

/* Overwrite the bytes of a frame that has been taken: it held the write key. */
extern void wire_io_wipe(const KsegFrame *frame);

/* Put a frame into the output; the caller fills the length payload bytes that it is given, before the next call. */
extern uint8_t *wire_io_put_frame(KsegWireIo *io, KsegFrameType type, size_t length);

/*
 * A frame that grows while it is filled: begin, extend as often as need be, end. Every pointer into it lives until the next
 * call of wire_io. No other frame can be put meanwhile.
 */
extern void wire_io_begin_frame(KsegWireIo *io, KsegFrameType type);

/* length more bytes of payload, which the caller fills. */
extern uint8_t *wire_io_extend_frame(KsegWireIo *io, size_t length);

/* The payload so far, for what is known only at the end, and its length. */
extern uint8_t *wire_io_frame_payload(KsegWireIo *io);
extern size_t wire_io_frame_length(const KsegWireIo *io);
extern void wire_io_end_frame(KsegWireIo *io);

/* Write as much of the output as the socket takes now. A broken socket: closed. */
extern void wire_io_flush(KsegWireIo *io);

/* Bytes of the output that could be written and are not yet: without a frame that is being filled. */
extern size_t wire_io_pending(const KsegWireIo *io);

/* Has the other side closed, without reading? Asked while the input is held back. Sets closed. */
extern void wire_io_probe(KsegWireIo *io);

#endif /* KSEG_COURIER_WIRE_IO_H */
