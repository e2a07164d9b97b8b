/*
 * kafka_property.h
 *	  librdkafka's properties, as people know them from other clients, against kseg's own options.
 *
 * Owns: what kseg calls a property, and why it takes some under no name. Refuses: to pass any on: kseg sets what it has
 * an option for and nothing else.
 */
#ifndef KSEG_KAFKA_PROPERTY_H
#define KSEG_KAFKA_PROPERTY_H

#include "postgres.h"

#include "server/option.h"

/*
 * ERROR HV00D for the first name in a list of DefElem that is no option of this catalog in the table, but a property, written
 * with dots or underscores: with kseg's name for it, or the reason why there is none. Returns when there is no such name.
 */
extern void kafka_property_refuse(const KsegOption *table, List *options, Oid catalog);

#endif /* KSEG_KAFKA_PROPERTY_H */
