/*
 * wire_out.h
 *	  Bytes that are to be written to the socket: a chain of blocks.
 *
 * Owns: the blocks. Refuses: to know frames, but for this: the last `keep` bytes, a frame that is being filled, stay in one piece.
 *
 * Megabytes may wait here (a stream holds its next batch ready while PostgreSQL applies another). In one buffer they would be moved to its
 * front as often as half of it is written, and it would grow to twice of them; a chain moves nothing.
 */
#ifndef KSEG_COURIER_WIRE_OUT_H
#define KSEG_COURIER_WIRE_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes of a block: what a Unix socket takes in one go by default (net.core.wmem_default, 208 kB), and four frames of records. One
 * frame that is larger has a block of its own.
 */
#define KSEG_WIRE_BLOCK (256 * 1024)

typedef struct KsegWireBlock
{
	struct KsegWireBlock *next;
	size_t room;
	size_t length;
	size_t at; /* bytes[at … length) is not written yet */
	uint8_t bytes[];
} KsegWireBlock;

/* All zero is an empty one. */
typedef struct KsegWireOut
{
	KsegWireBlock *first;
	KsegWireBlock *last;
	KsegWireBlock *spare; /* written, to be used again: never more than there were at once */
	size_t length;        /* bytes that are not written yet */
} KsegWireOut;

/* The next bytes are to have so much room in one block, if possible: a frame begins. */
extern void wire_out_begin(KsegWireOut *out, size_t room);

/* length more bytes, in one piece with the last keep ones. Pointers into those are gone. */
extern uint8_t *wire_out_grow(KsegWireOut *out, size_t keep, size_t length);

/* The last length bytes, which are in one piece. */
extern uint8_t *wire_out_tail(const KsegWireOut *out, size_t length);

/* Write all but the last keep bytes, as much as the socket takes now. False: the socket is broken. */
extern bool wire_out_write(KsegWireOut *out, size_t keep, int fd);

extern void wire_out_free(KsegWireOut *out);

#endif /* KSEG_COURIER_WIRE_OUT_H */
