/*
 * reader_json.c
 *	  One pass over a JSON text (RFC 8259). See reader.h and reader_parts.h.
 *
 * Owns: JSON's grammar, the descent beside the tree of wanted paths, and a string's text. Refuses: to convert numbers, and
 * to write anything of what nobody wants.
 *
 * Every json_read_* begins at the first byte of what it reads and returns the byte behind it, or NULL after
 * reader_fail. The value ends with padding of zero bytes (reader_scan.h), and a zero byte is good nowhere in JSON, so
 * nothing here asks whether the end is reached, except for the words of an error.
 *
 * A node tells what is wanted at a place; without one (NULL) the same functions only check.
 */
#include "reader/reader_parts.h"

static const char *json_read_value(KsegMessageReader *reader, const char *at, KsegPathNode *node,
                                   uint32_t depth);

static const char *
json_fail(KsegMessageReader *reader, const char *at, const char *words)
{
	return reader_fail(reader, at, at == reader->end ? "it ends too early" : words);
}

static inline const char *
json_skip_blank(const char *at)
{
	/* Most JSON on the wire has no blanks, or one. */
	while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')
		at++;
	return at;
}

/* ---------- strings ---------- */

static inline int
json_hex_value(unsigned char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit |= 0x20;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* The four hexadecimal digits here, or -1. */
static int32_t
json_hex4(const char *at)
{
	int32_t code = 0;

	for (int i = 0; i < 4; i++)
	{
		int digit = json_hex_value((unsigned char) at[i]);

		if (digit < 0)
			return -1;
		code = code * 16 + digit;
	}
	return code;
}

/* \uXXXX, or a pair of them for a character above U+FFFF: at is the backslash. */
static const char *
json_read_unicode(KsegMessageReader *reader, const char *at, uint32_t *code)
{
	int32_t first = json_hex4(at + 2);
	int32_t second;

	if (first < 0)
		return json_fail(reader, at, "expected four hexadecimal digits after \"\\u\"");
	if (first == 0)
		return json_fail(reader, at, "\"\\u0000\" cannot be kept in a text");
	*code = (uint32_t) first;
	if (first < 0xd800 || first > 0xdfff)
		return at + 6;
	second = first <= 0xdbff && at[6] == '\\' && at[7] == 'u' ? json_hex4(at + 8) : -1;
	if (second < 0xdc00 || second > 0xdfff)
		return json_fail(reader, at, "half of a surrogate pair");
	*code = 0x10000 + (((uint32_t) first - 0xd800) << 10) + ((uint32_t) second - 0xdc00);
	return at + 12;
}

/* The character that stands for \x, or 0. */
static inline char
json_escaped_char(char letter)
{
	switch (letter)
	{
		case '"':
		case '\\':
		case '/':
			return letter;
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		default:
			return '\0';
	}
}

static const char *
json_read_escape(KsegMessageReader *reader, const char *at)
{
	uint32_t code;

	if (at[1] == 'u')
		return json_read_unicode(reader, at, &code);
	if (json_escaped_char(at[1]) == '\0')
		return json_fail(reader, at, "unknown escape");
	return at + 2;
}

/* The rest of a string from its first escape or wrong byte. */
static const char *
json_read_escaped(KsegMessageReader *reader, const char *at)
{
	while (*at != '"')
	{
		if (*at != '\\')
			return json_fail(reader, at, "control character in a string");
		at = json_read_escape(reader, at);
		if (at == NULL)
			return NULL;
		at = scan_string(at);
	}
	return at + 1;
}

/* A string; at is its first quote. */
static inline const char *
json_read_string(KsegMessageReader *reader, const char *at, bool *escaped)
{
	at = scan_string(at + 1);
	*escaped = *at != '"';
	return *escaped ? json_read_escaped(reader, at) : at + 1;
}

static char *
json_write_char(char *out, uint32_t code)
{
	if (code < 0x80)
	{
		*out++ = (char) code;
		return out;
	}
	if (code < 0x800)
		*out++ = (char) (0xc0 | code >> 6);
	else
	{
		if (code < 0x10000)
			*out++ = (char) (0xe0 | code >> 12);
		else
		{
			*out++ = (char) (0xf0 | code >> 18);
			*out++ = (char) (0x80 | (code >> 12 & 0x3f));
		}
		*out++ = (char) (0x80 | (code >> 6 & 0x3f));
	}
	*out++ = (char) (0x80 | (code & 0x3f));
	return out;
}

/*
 * Write the text of a string that was read (so its escapes are right) to out, which has room: no escape is shorter
 * than its character. at is behind the first quote. Returns the byte after the last one written.
 */
static char *
json_write_text(KsegMessageReader *reader, char *out, const char *at)
{
	for (;;)
	{
		const char *stop = scan_string(at);
		uint32_t code = 0;

		memcpy(out, at, (size_t) (stop - at));
		out += stop - at;
		if (*stop == '"')
			return out;
		if (stop[1] == 'u')
		{
			at = json_read_unicode(reader, stop, &code);
			out = json_write_char(out, code);
		}
		else
		{
			*out++ = json_escaped_char(stop[1]);
			at = stop + 2;
		}
	}
}

/* ---------- numbers and words ---------- */

/* What is wrong with the number that ended here without a digit. */
static const char *
json_fail_number(KsegMessageReader *reader, const char *at)
{
	return json_fail(reader, at, "expected a digit");
}

/* at is a minus sign or a digit. */
static inline const char *
json_read_number(KsegMessageReader *reader, const char *at)
{
	const char *digits = at + (*at == '-');

	at = scan_digits(digits);
	if (at == digits)
		return json_fail_number(reader, at);
	if (*digits == '0' && at != digits + 1)
		return json_fail(reader, digits, "a number may not begin with zero");
	if (*at == '.')
	{
		digits = at + 1;
		at = scan_digits(digits);
		if (at == digits)
			return json_fail_number(reader, at);
	}
	if ((*at | 0x20) == 'e')
	{
		digits = at + 1;
		digits += *digits == '+' || *digits == '-';
		at = scan_digits(digits);
		if (at == digits)
			return json_fail_number(reader, at);
	}
	return at;
}

static inline const char *
json_read_word(KsegMessageReader *reader, const char *at, const char *word, size_t length)
{
	/* The padding is longer than any word. */
	if (memcmp(at, word, length) != 0)
		return json_fail(reader, at, "expected a value");
	return at + length;
}

/* ---------- arrays and objects ---------- */

/* The node below this one for a key as it stands, or NULL. at is its first quote, end the byte after the last one. */
static KsegPathNode *
json_find_key(KsegMessageReader *reader, const KsegPathNode *node, const char *at, const char *end,
              bool escaped)
{
	const char *key = at + 1;
	size_t length = (size_t) (end - at) - 2;

	if (escaped)
	{
		/* The values' texts are written after the pass, so until then their memory is free. */
		reader_reserve_texts(reader);
		length = (size_t) (json_write_text(reader, reader->texts, key) - reader->texts);
		key = reader->texts;
	}
	return paths_find_key(node, key, length);
}

/* A member's key, the colon, and its value. */
static inline const char *
json_read_member(KsegMessageReader *reader, const char *at, const KsegPathNode *node, uint32_t depth)
{
	const char *key = at;
	KsegPathNode *child;
	bool escaped;

	if (*at != '"')
		return json_fail(reader, at, "expected a key");
	at = json_read_string(reader, at, &escaped);
	if (at == NULL)
		return NULL;
	child = node != NULL ? json_find_key(reader, node, key, at, escaped) : NULL;
	at = json_skip_blank(at);
	if (*at != ':')
		return json_fail(reader, at, "expected \":\"");
	return json_read_value(reader, json_skip_blank(at + 1), child, depth);
}

/* at is the opening brace; depth counts it. */
static const char *
json_read_object(KsegMessageReader *reader, const char *at, const KsegPathNode *node, uint32_t depth)
{
	if (node != NULL && node->key_count == 0)
		node = NULL;
	at = json_skip_blank(at + 1);
	if (*at == '}')
		return at + 1;
	for (;;)
	{
		at = json_read_member(reader, at, node, depth);
		if (at == NULL)
			return NULL;
		at = json_skip_blank(at);
		if (*at == '}')
			return at + 1;
		if (*at != ',')
			return json_fail(reader, at, "expected \",\" or \"}\"");
		at = json_skip_blank(at + 1);
	}
}

/* at is the opening bracket; depth counts it. */
static const char *
json_read_array(KsegMessageReader *reader, const char *at, const KsegPathNode *node, uint32_t depth)
{
	/* The wanted elements not yet met, in ascending order. */
	const KsegIndexSlot *slot = node != NULL ? node->indexes : NULL;
	const KsegIndexSlot *slots_end = node != NULL ? node->indexes + node->index_count : NULL;

	at = json_skip_blank(at + 1);
	if (*at == ']')
		return at + 1;
	for (uint32_t index = 0;; index++)
	{
		KsegPathNode *child = slot < slots_end && slot->index == index ? (slot++)->child : NULL;

		at = json_read_value(reader, at, child, depth);
		if (at == NULL)
			return NULL;
		at = json_skip_blank(at);
		if (*at == ']')
			return at + 1;
		if (*at != ',')
			return json_fail(reader, at, "expected \",\" or \"]\"");
		at = json_skip_blank(at + 1);
	}
}

/* ---------- values ---------- */

/* A node is met; when its key came before in the same object, what was found below it then counts no more. */
static inline void
json_meet_node(KsegMessageReader *reader, KsegPathNode *node)
{
	if (node->seen == reader->turn)
	{
		for (KsegPathNode *below = node + 1; below < node->below_end; below++)
			below->seen = 0;
	}
	node->seen = reader->turn;
}

/* Any value, and nothing but it. *kind is set. depth is that of the array or object around it. */
static inline const char *
json_read_any(KsegMessageReader *reader, const char *at, const KsegPathNode *node, uint32_t depth,
              KsegJsonKind *kind)
{
	bool escaped;

	*kind = KSEG_JSON_PLAIN;
	switch (*at)
	{
		case '"':
			at = json_read_string(reader, at, &escaped);
			*kind = escaped ? KSEG_JSON_ESCAPED : KSEG_JSON_STRING;
			return at;
		case '{':
		case '[':
			if (depth >= KSEG_READER_DEPTH_MAX)
				return json_fail(reader, at, "nested too deep");
			return *at == '{' ? json_read_object(reader, at, node, depth + 1)
			                  : json_read_array(reader, at, node, depth + 1);
		case 't':
			return json_read_word(reader, at, "true", 4);
		case 'f':
			return json_read_word(reader, at, "false", 5);
		case 'n':
			*kind = KSEG_JSON_NULL;
			return json_read_word(reader, at, "null", 4);
		default:
			if (*at != '-' && (*at < '0' || *at > '9'))
				return json_fail(reader, at, "expected a value");
			return json_read_number(reader, at);
	}
}

static const char *
json_read_value(KsegMessageReader *reader, const char *at, KsegPathNode *node, uint32_t depth)
{
	const char *end;
	KsegJsonKind kind;

	if (node == NULL)
		return json_read_any(reader, at, NULL, depth, &kind);
	json_meet_node(reader, node);
	end = json_read_any(reader, at, node, depth, &kind);
	if (end == NULL)
		return NULL;
	node->start = at;
	node->length = (uint32_t) (end - at);
	node->kind = kind;
	node->text.data = NULL;
	return end;
}

/* ---------- fields ---------- */

/* An escaped string's text, written once for all fields that want it. */
static KsegText
json_take_text(KsegMessageReader *reader, KsegPathNode *node)
{
	char *out;

	if (node->text.data != NULL)
		return node->text;
	reader_reserve_texts(reader);
	out = reader->texts + reader->texts_length;
	node->text.data = out;
	node->text.length = (uint32_t) (json_write_text(reader, out, node->start + 1) - out);
	reader->texts_length += node->text.length;
	return node->text;
}

static KsegText
json_take_field(KsegMessageReader *reader, KsegPathNode *node, bool raw)
{
	if (raw)
		return (KsegText){node->start, node->length};
	switch (node->kind)
	{
		case KSEG_JSON_NULL:
			return (KsegText){NULL, 0};
		case KSEG_JSON_STRING:
			return (KsegText){node->start + 1, node->length - 2};
		case KSEG_JSON_ESCAPED:
			return json_take_text(reader, node);
		default:
			return (KsegText){node->start, node->length};
	}
}

bool
json_read(KsegMessageReader *reader, KsegText *fields)
{
	const char *at = json_skip_blank(reader->start);

	at = json_read_value(reader, at, reader->tree.nodes, 0);
	if (at == NULL)
		return false;
	at = json_skip_blank(at);
	if (at != reader->end)
	{
		reader_fail(reader, at, "something behind the value");
		return false;
	}
	for (uint32_t i = 0; i < reader->field_count; i++)
	{
		const KsegWantedField *field = &reader->fields[i];
		uint32_t path = 0;

		while (path < field->path_count && field->ends[path]->seen != reader->turn)
			path++;
		if (path < field->path_count)
			fields[i] = json_take_field(reader, field->ends[path], field->raw);
	}
	return true;
}
