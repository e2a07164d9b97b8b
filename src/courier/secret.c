/*
 * secret.c
 *	  Masking the write key. See secret.h.
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

void
secret_open(KsegSecret *secret, const char *write_key)
{
	*secret = (KsegSecret){0};
	if (*write_key == '\0')
		return;
	secret->forms[0] = memory_copy_text(write_key, strlen(write_key));
	secret->forms[1] = secret_basic_credentials(write_key);
	secret->forms[2] = secret_percent_encode(write_key);
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
	/* The longest form first: a short key could lie inside another form, and would leave the rest of it readable. */
	for (int i = KSEG_SECRET_FORMS - 1; i >= 0; i--)
	{
		const char *form = secret->forms[i];
		char *at = text;

		if (form == NULL)
			continue;
		while ((at = memmem(at, length - (size_t) (at - text), form, strlen(form))) != NULL)
		{
			memset(at, '*', strlen(form));
			at += strlen(form);
		}
	}
}
