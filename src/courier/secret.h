/*
 * secret.h
 *	  The secrets of CONFIG, in every form in which an answer or a library's error could repeat them.
 *
 * Owns: the forms (as given, percent-encoded, in base64, and a write key as in the Authorization header) and how they are made
 * unreadable. Refuses: to decide where: every text that leaves for PostgreSQL goes through secret_mask, in wire_report.c.
 */
#ifndef KSEG_COURIER_SECRET_H
#define KSEG_COURIER_SECRET_H

#include <stddef.h>

/* A job has a write key, or a SASL password and the password of a key file: three forms each. */
#define KSEG_SECRET_FORMS 6

typedef struct KsegSecret
{
	char *forms[KSEG_SECRET_FORMS]; /* the longest first; NULL: no more */
} KsegSecret;

/* Remember a write key, and nothing else. An empty key masks nothing. */
extern void secret_open(KsegSecret *secret, const char *write_key);

/* Remember a further secret, one of two at most. NULL or an empty one masks nothing. */
extern void secret_add(KsegSecret *secret, const char *text);
extern void secret_close(KsegSecret *secret);

/* Overwrite every form found in text with '*'. The length stays, so a text may be cut only after it. */
extern void secret_mask(const KsegSecret *secret, char *text, size_t length);

/* "Basic …" value's part after the word Basic: base64 of "user:". The caller frees with free(). */
extern char *secret_basic_credentials(const char *user);

#endif /* KSEG_COURIER_SECRET_H */
