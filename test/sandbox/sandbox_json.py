"""JSON as the sandbox needs it: an event's parsed value and its exact text.

Owns: splitting a request body into events, each with the very characters that
were sent (sizes are counted on them, and a reader sees digits as written), and
writing merged events back without rounding a number.
Refuses: to know what an event means (sandbox_rules), and to be lenient: what
RFC 8259 does not allow (NaN, comments, trailing text) is not JSON here.
"""

import json
import re
from json.decoder import JSONDecoder, scanstring

# A brace with space beside it. Of line ends and tabs already one is too many: the
# processor finds a single character ten times faster than two.
SPACED = ("\n", "\t", "\r", "} ", " {")
SPACE = re.compile(r"[ \t\n\r]*").match


class NotJson(Exception):
    """The text is not a JSON object of the shape a Segment call has."""


class Events:
    """The events of one request, in their order: parallel lists, for speed."""

    __slots__ = ("values", "texts")

    def __init__(self, values=(), texts=()):
        self.values = values
        self.texts = texts  # exactly as sent

    def measure(self):
        """Each event's bytes in UTF-8. (A lone surrogate can only be an escape here.)"""
        if all(map(str.isascii, self.texts)):
            return list(map(len, self.texts))
        return [len(text.encode("utf-8")) for text in self.texts]


def _refuse_constant(word):
    raise NotJson(f"{word} is not JSON")


# One scanner for all threads: the C scanner keeps no state between calls.
_scan_value = JSONDecoder(parse_constant=_refuse_constant).scan_once


def _scan(text, at):
    """One value of `text` at `at`; gives (value, index after it)."""
    try:
        return _scan_value(text, at)
    except StopIteration as stop:
        raise NotJson(f"no value at character {stop.value}") from None
    except RecursionError:
        raise NotJson("nested too deep") from None
    except ValueError as error:  # JSONDecodeError, or an integer of over 4300 digits
        raise NotJson(str(error)) from None


def _skip(text, at):
    return SPACE(text, at).end()


def _expect(text, at, characters):
    """The character at `at`, which must be one of `characters`."""
    found = text[at : at + 1]
    if not found or found not in characters:
        raise NotJson(f"expected one of {characters!r} at character {at}")
    return found


def _scan_events(text, at):
    """The items of the array that begins at `at`; gives (events, index after).

    Scanned at once, the items share the strings of their names: half the memory, and
    twice the speed of one item at a time, which only tells where each item lies.
    """
    values, end = _scan(text, at)
    texts = None
    if all(type(value) is dict for value in values):
        texts = _cut_compact(text[at + 1 : end - 1], len(values))
    return Events(values, texts or _cut_one_by_one(text, at)), end


def _cut_compact(inner, count):
    """The texts of items that are all objects, if "},{" alone tells them apart, or None.

    Where no brace has space beside it, every end of an item before another is written
    "},{"; if there are no more of these than items ask for, each of them is such an end.
    """
    if not (inner[:1] == "{" and inner[-1:] == "}") or any(map(inner.__contains__, SPACED)):
        return None
    pieces = inner[1:-1].split("},{")
    return [f"{{{piece}}}" for piece in pieces] if len(pieces) == count else None


def _cut_one_by_one(text, at):
    """The items' texts of an array that is known to be good JSON."""
    texts = []
    at = _skip(text, at + 1)
    while text[at] != "]":
        _value, end = _scan_value(text, at)
        texts.append(text[at:end])
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return texts


def _scan_name(text, at):
    """A member's name and the index of its value."""
    _expect(text, at, '"')
    try:
        name, at = scanstring(text, at + 1, True)
    except ValueError as error:
        raise NotJson(str(error)) from None
    at = _skip(text, at)
    _expect(text, at, ":")
    return name, _skip(text, at + 1)


def json_split_batch(text):
    """The members of a batch body other than "batch", and its events.

    Raises NotJson when the text is not JSON, not an object, or when "batch" is
    not an array. Of a member given twice the last one counts, as in most parsers.
    """
    members, events = {}, None
    at = _skip(text, 0)
    _expect(text, at, "{")
    at = _skip(text, at + 1)
    more = text[at : at + 1] != "}"
    while more:
        name, at = _scan_name(text, at)
        if name == "batch" and text[at : at + 1] == "[":
            events, at = _scan_events(text, at)
        else:
            members[name], at = _scan(text, at)
        at = _skip(text, at)
        more = _expect(text, at, ",}") == ","
        at = _skip(text, at + 1) if more else at
    if _skip(text, at + 1) != len(text):
        raise NotJson("text after the end")
    if events is None:
        raise NotJson('no array "batch"')
    return members, events


def json_read_single(text):
    """Events with the one of a body that is not a batch. Raises NotJson."""
    at = _skip(text, 0)
    value, end = _scan(text, at)
    if _skip(text, end) != len(text):
        raise NotJson("text after the end")
    if not isinstance(value, dict):
        raise NotJson("not an object")
    return Events([value], [text[at:end]])


class Written(str):
    """Text that is JSON already, such as a number's digits: written as it stands."""


def json_read_exact(text):
    """Parses JSON, keeping every number's own digits (see json_write_exact)."""
    return json.loads(text, parse_float=Written, parse_int=Written)


def json_write_exact(value, ascii_only=True):
    """JSON of `value` without spaces; the inverse of json_read_exact."""
    if isinstance(value, Written):
        return str(value)
    if isinstance(value, dict):
        inner = (
            f"{json.dumps(name, ensure_ascii=ascii_only)}:{json_write_exact(item, ascii_only)}"
            for name, item in value.items()
        )
        return "{" + ",".join(inner) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(json_write_exact(item, ascii_only) for item in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)
