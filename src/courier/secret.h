/*
 * secret.h
 *	  The write key, in every form in which an answer or a library's error could repeat it.
 *
 * Owns: the forms (as given, percent-encoded, and as in the Authorization header) and how they are made unreadable.
 * Refuses: to decide where: every text that leaves for PostgreSQL goes through secret_mask, in wire_report.c.
 */
#ifndef KSEG_COURIER_SECRET_H
#define KSEG_COURIER_SECRET_H

#include <stddef.h>

#define KSEG_SECRET_FORMS 3

typedef struct KsegSecret
{
	char *forms[KSEG_SECRET_FORMS]; /* NULL: this form is the same as an earlier one, or there is no key */
} KsegSecret;

/* Remember a write key. An empty key masks nothing. */
extern void secret_open(KsegSecret *secret, const char *write_key);
extern void secret_close(KsegSecret *secret);

/* Overwrite every form found in text with '*'. The length stays, so a text may be cut only after it. */
extern void secret_mask(const KsegSecret *secret, char *text, size_t length);

/* "Basic …" value's part after the word Basic: base64 of "user:". The caller frees with free(). */
extern char *secret_basic_credentials(const char *user);

#endif /* KSEG_COURIER_SECRET_H */
