/*
 * kafka_consume_headers.c
 *	  A message's headers as JSON: an array of [name, value] in the order of the message, repeated names kept.
 *
 * A value is null, or a string where the bytes are text that PostgreSQL can hold (UTF-8 without NUL), and otherwise an object
 * {"base64": "…"}: any header comes through and can be told from any other. A name that is no text has that form, too; a NUL
 * in it ends it, as librdkafka gives names as C strings. No headers are [].
 */
#include <string.h>

#include "courier/kafka_consume_record.h"

static void
headers_append(KsegBuffer *out, const char *text)
{
	buffer_append(out, text, strlen(text));
}

/* The escape of a byte in a JSON string (RFC 8259, section 7), or length 0: it stands as it is. */
static size_t
headers_escape(char *escape, unsigned char byte)
{
	static const char digits[] = "0123456789abcdef";

	if (byte == '"' || byte == '\\')
	{
		escape[0] = '\\';
		escape[1] = (char) byte;
		return 2;
	}
	if (byte >= 0x20)
		return 0;
	memcpy(escape, "\\u00", 4);
	escape[4] = digits[byte >> 4];
	escape[5] = digits[byte & 15];
	return 6;
}

static void
headers_write_text(KsegBuffer *out, const char *bytes, size_t length)
{
	size_t from = 0;

	buffer_append(out, "\"", 1);
	for (size_t i = 0; i < length; i++)
	{
		char escape[6];
		size_t escaped = headers_escape(escape, (unsigned char) bytes[i]);

		if (escaped == 0)
			continue;
		buffer_append(out, bytes + from, i - from);
		buffer_append(out, escape, escaped);
		from = i + 1;
	}
	buffer_append(out, bytes + from, length - from);
	buffer_append(out, "\"", 1);
}

/* Three bytes to four letters (RFC 4648, section 4), the last ones filled up with '='. */
static void
headers_write_base64(KsegBuffer *out, const unsigned char *bytes, size_t length)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	headers_append(out, "{\"base64\": \"");
	for (size_t i = 0; i < length; i += 3)
	{
		size_t left = length - i;
		unsigned int three = (unsigned int) bytes[i] << 16 |
		                     (left > 1 ? (unsigned int) bytes[i + 1] << 8 : 0) |
		                     (left > 2 ? bytes[i + 2] : 0);
		char four[4] = {letters[three >> 18], letters[three >> 12 & 63],
		                left > 1 ? letters[three >> 6 & 63] : '=', left > 2 ? letters[three & 63] : '='};

		buffer_append(out, four, sizeof(four));
	}
	headers_append(out, "\"}");
}

static void
headers_write_bytes(KsegBuffer *out, const void *bytes, size_t length)
{
	if (bytes == NULL)
		headers_append(out, "null");
	else if (reader_is_text(bytes, length))
		headers_write_text(out, bytes, length);
	else
		headers_write_base64(out, bytes, length);
}

void
consume_headers_write(KsegBuffer *out, const rd_kafka_headers_t *headers)
{
	const char *name;
	const void *value;
	size_t length;

	headers_append(out, "[");
	for (size_t i = 0; headers != NULL && rd_kafka_header_get_all(headers, i, &name, &value, &length) ==
	                                          RD_KAFKA_RESP_ERR_NO_ERROR;
	     i++)
	{
		headers_append(out, i == 0 ? "[" : ", [");
		headers_write_bytes(out, name, strlen(name));
		headers_append(out, ", ");
		headers_write_bytes(out, value, length);
		headers_append(out, "]");
	}
	headers_append(out, "]");
}
