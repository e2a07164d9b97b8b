/*
 * message_headers.h
 *	  A message's headers as people see them.
 */
#ifndef KSEG_MESSAGE_HEADERS_H
#define KSEG_MESSAGE_HEADERS_H

#include "postgres.h"
#include "lib/stringinfo.h"

#include "wire/wire_message.h"

/*
 * Append the headers as JSON in UTF-8, [["name", "value"], …] in their order: a value is a string, null, or
 * {"base64":"…"} when its bytes are no text that jsonb takes. A NUL follows.
 */
extern void message_headers_show(KsegText headers, StringInfo out);

#endif /* KSEG_MESSAGE_HEADERS_H */
