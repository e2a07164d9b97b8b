/*
 * secret.c
 *	  Masking secrets. See secret.h.
 */
#define _GNU_SOURCE /* memmem */
#include "courier/secret.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "courier/memory.h"

/* base64 as in RFC 4648, with padding. */
static char *
secret_base64(const unsigned char *data, size_t length)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = memory_resize(NULL, (length + 2) / 3 * 4 + 1);
	char *out = text;

	for (size_t i = 0; i < length; i += 3)
	{
		uint32_t three = (uint32_t) data[i] << 16;

		three |= i + 1 < length ? (uint32_t) data[i + 1] << 8 : 0;
		three |= i + 2 < length ? (uint32_t) data[i + 2] : 0;
		*out++ = digits[three >> 18];
		*out++ = digits[three >> 12 & 63];
		*out++ = i + 1 < length ? digits[three >> 6 & 63] : '=';
		*out++ = i + 2 < length ? digits[three & 63] : '=';
	}
	*out = '\0';
	return text;
}

char *
secret_basic_credentials(const char *user)
{
	size_t length = strlen(user);
	char *plain = memory_copy_text(user, length);
	char *credentials;

	plain[length] = ':'; /* in place of the NUL: the password is empty */
	credentials = secret_base64((unsigned char *) plain, length + 1);
	explicit_bzero(plain, length + 1);
	free(plain);
	return credentials;
}

/* RFC 3986: everything but the unreserved characters becomes %XX, as curl_easy_escape does. */
static char *
secret_percent_encode(const char *text)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	char *encoded = memory_resize(NULL, strlen(text) * 3 + 1);
	char *out = encoded;

	for (; *text != '\0'; text++)
	{
		if (strchr(unreserved, *text) != NULL)
			*out++ = *text;
		else
			out += sprintf(out, "%%%02X", (unsigned char) *text);
	}
	*out = '\0';
	return encoded;
}

/* Take over a form, behind all that are longer: a short secret could lie inside a long one, and would leave the rest of it readable. */
static void
secret_take_form(KsegSecret *secret, char *form)
{
	size_t at = 0;

	if (secret->forms[KSEG_SECRET_FORMS - 1] != NULL)
		abort(); /* no job has so many secrets */
	while (secret->forms[at] != NULL && strlen(secret->forms[at]) >= strlen(form))
		at++;
	memmove(&secret->forms[at + 1], &secret->forms[at], (KSEG_SECRET_FORMS - 1 - at) * sizeof(form));
	secret->forms[at] = form;
}

void
secret_open(KsegSecret *secret, const char *write_key)
{
	*secret = (KsegSecret){0};
	if (write_key == NULL || *write_key == '\0')
		return;
	secret_take_form(secret, memory_copy_text(write_key, strlen(write_key)));
	secret_take_form(secret, secret_basic_credentials(write_key));
	secret_take_form(secret, secret_percent_encode(write_key));
}

void
secret_add(KsegSecret *secret, const char *text)
{
	if (text == NULL || *text == '\0')
		return;
	secret_take_form(secret, memory_copy_text(text, strlen(text)));
	secret_take_form(secret, secret_base64((const unsigned char *) text, strlen(text)));
	secret_take_form(secret, secret_percent_encode(text));
}

void
secret_close(KsegSecret *secret)
{
	for (int i = 0; i < KSEG_SECRET_FORMS; i++)
	{
		if (secret->forms[i] != NULL)
			explicit_bzero(secret->forms[i], strlen(secret->forms[i]));
		free(secret->forms[i]);
		secret->forms[i] = NULL;
	}
}

void
secret_mask(const KsegSecret *secret, char *text, size_t length)
{
	for (int i = 0; i < KSEG_SECRET_FORMS && secret->forms[i] != NULL; i++)
	{
		const char *form = secret->forms[i];
		char *at = text;

		while ((at = memmem(at, length - (size_t) (at - text), form, strlen(form))) != NULL)
		{
			memset(at, '*', strlen(form));
			at += strlen(form);
		}
	}
}
