/*
 * segment_halve.h
 *	  Which part of a batch to send next: all of it, and after a refusal its halves, until a culprit stands alone.
 *
 * Owns: the parts still to send, in order. Refuses: to know what an event or an answer is. Order is kept because the
 * left half is always sent, and settled, before the right one.
 */
#ifndef KSEG_COURIER_SEGMENT_HALVE_H
#define KSEG_COURIER_SEGMENT_HALVE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/wire.h"

/*
 * Each refusal splits the next part, which leaves one more on the stack and halves its size: log2(2500) rounded up is 12,
 * and one for the whole.
 */
#define KSEG_HALVE_PARTS 13
_Static_assert(KSEG_UPLOAD_EVENTS_MAX <= 1 << (KSEG_HALVE_PARTS - 1),
               "a batch could be split deeper than the stack");

typedef struct KsegHalve
{
	uint32_t ends[KSEG_HALVE_PARTS]; /* where each part ends, the next part's last */
	uint32_t parts;
	uint32_t from; /* where the next part begins; it ends at ends[parts - 1] */
} KsegHalve;

/* Begin with all of count (1 … KSEG_UPLOAD_EVENTS_MAX) events. */
extern void halve_start(KsegHalve *halve, uint32_t count);

/* The part to send next. False: all of the batch is settled. */
extern bool halve_next(const KsegHalve *halve, uint32_t *from, uint32_t *to);

/* The next part is settled, whichever way. */
extern void halve_settle(KsegHalve *halve);

/* The next part was refused: split it. False: it is one event alone, the culprit (halve_settle moves past it). */
extern bool halve_split(KsegHalve *halve);

#endif /* KSEG_COURIER_SEGMENT_HALVE_H */
