/*
 * kafka_consume_near.h
 *	  A name that was perhaps meant: for "Perhaps you meant".
 */
#ifndef KSEG_COURIER_KAFKA_CONSUME_NEAR_H
#define KSEG_COURIER_KAFKA_CONSUME_NEAR_H

#include <stddef.h>
#include <stdint.h>

/* Too far apart to be meant. */
#define KSEG_NEAR_FAR UINT32_MAX

/*
 * In how many characters name differs from wanted: inserted, removed or changed ones, whatever their case. KSEG_NEAR_FAR when
 * that is more than four or more than half of wanted, or when a name is longer than Kafka's longest (249).
 */
extern uint32_t consume_near_distance(const char *wanted, const char *name);

#endif /* KSEG_COURIER_KAFKA_CONSUME_NEAR_H */
