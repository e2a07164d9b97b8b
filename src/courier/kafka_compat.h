/*
 * kafka_compat.h
 *	  The only place that tests librdkafka's version.
 *
 * librdkafka 2.0.2 (January 2023, Debian 12) is the oldest that kseg is tried with; 2.8.0 and 2.14.2 are the others.
 */
#ifndef KSEG_COURIER_KAFKA_COMPAT_H
#define KSEG_COURIER_KAFKA_COMPAT_H

#include <librdkafka/rdkafka.h>

#if RD_KAFKA_VERSION < 0x020000ff
#error "kseg-courier needs librdkafka 2.0.0 or later"
#endif

/*
 * 2.5.0 ends the process by an assertion in its telemetry when a broker's answer to GetTelemetrySubscriptions is late (mended
 * in 2.5.3). What counts is the library that is loaded, not the one whose header was compiled with.
 */
#define KSEG_KAFKA_IS_BROKEN(version) (((version) &0xffffff00) == 0x02050000)

/* Before 2.6.1 SCRAM repeats the client's nonce in a way that brokers from 3.7.2, 3.8.1 and 3.9.0 on refuse (librdkafka #4895). */
#define KSEG_KAFKA_SCRAM_IS_OLD(version) ((version) < 0x02060100)

/*
 * From 2.4 on a message that is refused only because it was in a batch with another one that is at fault has this code
 * (RD_KAFKA_RESP_ERR__INVALID_DIFFERENT_RECORD, which older headers do not name).
 */
#define KSEG_KAFKA_IS_BYSTANDER(error) ((int) (error) == -138)

/*
 * From 2.1 on a log that is shorter than what was read of it is told as such (RD_KAFKA_RESP_ERR__LOG_TRUNCATION, which older headers
 * do not name); before, as an offset that is out of range.
 */
#define KSEG_KAFKA_IS_TRUNCATED(error) ((int) (error) == -139)

#endif /* KSEG_COURIER_KAFKA_COMPAT_H */
