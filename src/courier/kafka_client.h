/*
 * kafka_client.h
 *	  One rd_kafka_t: made from CONFIG's allow-list, watched by the courier's loop, and listened to.
 *
 * Owns: the handle, the descriptor that wakes the loop for it, one thread for librdkafka's calls that block, what the handle
 * has said last, and the count of its produce requests. Refuses: to produce or consume (the jobs do), to print anywhere, to
 * read the environment or files that CONFIG does not name, and to destroy the handle: that can block for ever on a broker
 * that is gone (hazards.md), so _exit does.
 *
 * All of it is called from the loop's thread alone, but for the work that kafka_client_begin starts.
 */
#ifndef KSEG_COURIER_KAFKA_CLIENT_H
#define KSEG_COURIER_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "courier/address.h"
#include "courier/courier.h"

/* librdkafka's own texts are cut here: they hold host names of up to 255 bytes, and OpenSSL's words. */
#define KSEG_KAFKA_WORDS_MAX 600

/* One property of librdkafka's, beyond those that every handle has. */
typedef struct KsegKafkaSetting
{
	const char *name;
	const char *value;
	bool where_known; /* older or newer librdkafkas do not have it, and need not */
} KsegKafkaSetting;

/* What librdkafka's threads have seen of requests. */
typedef struct KsegKafkaTraffic
{
	_Atomic bool
	    metadata; /* a broker has answered a MetadataRequest: it is connected, and we may talk to it */
	_Atomic uint64_t sent;     /* ProduceRequests put on a socket */
	_Atomic uint64_t bytes;    /* of those */
	_Atomic uint64_t answered; /* of those: answered, timed out or lost with their connection */
} KsegKafkaTraffic;

/* What a connection was refused for, written once by a thread of librdkafka's. */
typedef struct KsegKafkaRefusal
{
	_Atomic int state; /* 0 nothing, 1 being written, 2 there */
	char address[KSEG_ADDRESS_MAX];
} KsegKafkaRefusal;

typedef struct KsegKafkaClient
{
	KsegCourier *courier;
	rd_kafka_t *rk;
	rd_kafka_queue_t *events; /* errors and, of a producer, delivery reports */
	int wake_fd;              /* readable: an event is there, or the work is done */
	int64_t deadline_ms;      /* no broker has answered by then: FAILED */
	bool reached;             /* a broker has answered */
	bool all_down;            /* each broker that is known has failed us at least once */
	bool
	    lenient; /* set by a test of a server: errors are kept in words and never set the courier's failure */
	bool plaintext; /* the security protocol has no TLS */

	/* the last error: librdkafka's words, clean and masked */
	rd_kafka_resp_err_t error;
	char words[KSEG_KAFKA_WORDS_MAX];
	/* the last one that tells why no broker can be used (it explains more than "all brokers are down") */
	rd_kafka_resp_err_t cause;
	char cause_words[KSEG_KAFKA_WORDS_MAX];

	KsegKafkaTraffic traffic;
	KsegKafkaRefusal refusal;

	/* while the handle is being made: the first line of the log, which says more than the error */
	_Atomic bool opening;
	char log[KSEG_KAFKA_WORDS_MAX];

	/* see kafka_client_hear_fetches */
	void (*_Atomic hear_fetch)(void *argument, size_t bytes);
	void *hear_fetch_argument;

	/* the work */
	pthread_t thread;
	bool working;
	_Atomic bool work_done;
	void (*work)(void *argument);
	void *work_argument;
} KsegKafkaClient;

/*
 * Make the handle. CONFIG's common keys are set for every type; settings come after them. False: the courier's failure says
 * why (CONFIG: a property's value, a certificate file; INTERNAL: this librdkafka cannot be used).
 */
extern bool kafka_client_open(KsegKafkaClient *client, KsegCourier *courier, rd_kafka_type_t type,
                              const KsegKafkaSetting *settings, size_t count);

/*
 * The loop is to be woken when this queue, empty before, gets something. Who reads from it must empty it, or ask to be called
 * again (turn returns now): only an empty queue wakes again.
 */
extern void kafka_client_watch(KsegKafkaClient *client, rd_kafka_queue_t *queue);

/* To be called first in each turn: what has woken the loop is being looked at. */
extern void kafka_client_wake_up(KsegKafkaClient *client);

/*
 * The next event that is the job's own (RD_KAFKA_EVENT_DR; STATS, for who has set an interval), or NULL. Errors on the way are taken in: wrong
 * credentials, TLS that cannot work, a plaintext address that is not allowed and fatal errors set the courier's failure. The
 * caller ends it with rd_kafka_event_destroy. A job of a consumer calls it as well, until NULL.
 */
extern rd_kafka_event_t *kafka_client_next_event(KsegKafkaClient *client);

/*
 * From now on hear is called for each answer to a Fetch, by the thread of the broker that it came from and before that thread
 * takes it apart: for as long as hear blocks, nothing more comes from this broker.
 */
extern void kafka_client_hear_fetches(KsegKafkaClient *client, void (*hear)(void *argument, size_t bytes),
                                      void *argument);

/*
 * A broker has answered. From here on errors of connections are passing ones. Found out by itself (kafka_client_check_reached)
 * once metadata has come; to be called by who knows it earlier.
 */
extern void kafka_client_set_reached(KsegKafkaClient *client);

/*
 * Has connect_timeout passed without a broker? Then the courier's failure is set (EXHAUSTED). Returns when to ask again.
 */
extern int64_t kafka_client_check_reached(KsegKafkaClient *client, int64_t now);

/*
 * Have work done by the client's thread: a call of librdkafka's that blocks (metadata, watermarks, transactions). One at a
 * time. work must touch nothing but its argument and librdkafka; when it is done the loop is woken and
 * kafka_client_is_working is false. False: there is no thread to be had, and the failure is set.
 *
 * In work, ask rd_kafka_metadata for all topics or for one rd_kafka_topic_t, never for "local topics": that may create them.
 */
extern bool kafka_client_begin(KsegKafkaClient *client, void (*work)(void *argument), void *argument);
extern bool kafka_client_is_working(KsegKafkaClient *client);

/* What a job does to wait: for the wire, for the handle, at most wait_ms. */
extern void kafka_client_wait(const KsegKafkaClient *client, int wire_fd, short wire_events, int wait_ms);

/*
 * librdkafka's words for what went wrong, clean and masked, never empty: the cause why no broker can be used if that is known,
 * else err's.
 */
extern const char *kafka_client_why(const KsegKafkaClient *client, rd_kafka_resp_err_t err);

/* The error that has ended the handle for good, NO_ERROR: it lives. out (KSEG_KAFKA_WORDS_MAX bytes) gets its words. */
extern rd_kafka_resp_err_t kafka_client_read_fatal(const KsegKafkaClient *client, char *out);

#endif /* KSEG_COURIER_KAFKA_CLIENT_H */
