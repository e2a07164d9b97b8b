"""What Segment does with a request and an event: the rules, and nothing else.

Owns: limits, required fields, reasons for which an event is silently dropped or a
request refused, merging of batch-level members, and Segment's clock arithmetic.
Written from Segment's public facts alone (see README.md, "Where the rules come
from"); it shares no code with the sender it checks.
Refuses: to count, to remember (sandbox_ledger) or to speak HTTP (sandbox_http).
"""

import base64
import binascii
import datetime
import hmac
from dataclasses import dataclass

KINDS = ("track", "identify", "page", "screen", "group", "alias")

# Segment's own words for a request over its size limits, and for one it cannot parse.
WORDS_TOO_LARGE = "Exceed payload limit"
WORDS_NOT_JSON = "Bad Request"


@dataclass
class Settings:
    """How the receiver behaves; changed by POST /_sandbox/settings."""

    # With no key given every non-empty key is known: the quickest start.
    write_keys: frozenset = frozenset()
    # Keys of sources that are switched off: 404, as RudderStack answers.
    disabled_keys: frozenset = frozenset()
    # False: an unknown key is answered 200 and its events vanish, as Segment does.
    # True: 401, also for a key that is only in the body, as RudderStack does.
    strict_auth: bool = False
    # Documented: the whole request is refused with 400. "drop" is what was documented
    # until 2025: 200, and the one event vanishes.
    large_event: str = "refuse"
    # "refuse" is RudderStack's: 400 for a batch with one event without an id.
    missing_id: str = "drop"
    success_body: str = '{"success":true}'
    # Status for a body over body_bytes: Segment 400, RudderStack 413.
    over_size_status: int = 400
    # "500 KB" of uncompressed JSON. The smaller reading of KB, so that a sender that
    # passes here passes under either.
    body_bytes: int = 500_000
    # 32 KB, an event's own JSON without the batch around it. Documented as 32,768.
    event_bytes: int = 32_768
    batch_events: int = 2_500
    message_id_characters: int = 100


# What RudderStack's gateway does differently. Used by `--like rudderstack`.
RUDDERSTACK = {
    "strict_auth": True,
    "missing_id": "refuse",
    "success_body": "OK",
    "over_size_status": 413,
    "body_bytes": 4_000_000,
    "event_bytes": 4_000_000,
}

# A setting's permitted words; settings not named here are checked by their type.
SETTING_WORDS = {"large_event": ("refuse", "drop"), "missing_id": ("refuse", "drop")}

# For each kind: (fields of which one must be there, reason if none is, reason if all
# that are there are empty strings). An empty string is a missing id.
ANY_ID = (("userId", "anonymousId"), "missing_id", "empty_id")
REQUIRED = {
    "track": (ANY_ID, (("event",), "missing_event", "missing_event")),
    "identify": (ANY_ID,),
    "page": (ANY_ID,),
    "screen": (ANY_ID,),
    "group": (ANY_ID, (("groupId",), "missing_group_id", "empty_group_id")),
    "alias": (
        (("userId",), "missing_id", "empty_id"),
        (("previousId",), "missing_previous_id", "empty_previous_id"),
    ),
}

# Every reason for which an event is answered 200 and never seen again.
DROP_REASONS = {
    "missing_write_key": "no write key in the Authorization header or the body",
    "wrong_write_key": "the write key is not one of this receiver's",
    "too_many_events": "the batch has more than 2,500 events: all of it is dropped",
    "event_too_large": "the event's JSON is over 32,768 bytes (when large_event is drop)",
    "not_an_object": "the item of the batch is not a JSON object",
    "unknown_type": "the type is none of track, identify, group, page, screen, alias",
    "missing_id": "neither userId nor anonymousId (alias: no userId)",
    "empty_id": "the ids that are there are empty strings",
    "missing_event": "a track without an event name",
    "missing_group_id": "a group without groupId",
    "empty_group_id": "groupId is an empty string",
    "missing_previous_id": "an alias without previousId",
    "empty_previous_id": "previousId is an empty string",
    "message_id_too_long": "messageId has more than 100 characters",
    "message_id_not_text": "messageId is neither a string nor absent",
}
ID_REASONS = ("missing_id", "empty_id")

# Things that are accepted, and that a careful sender would not send.
WARNINGS = {
    "no_message_id": "no messageId: repeats of this event cannot be dropped",
    "id_not_text": "an id is a number, not a string",
    "bad_timestamp": "the timestamp is not ISO 8601",
    "timestamp_without_zone": "the timestamp names no zone; read as UTC",
    "no_sent_at": "no sentAt: the sender's clock cannot be corrected",
    "value_not_number": "the reserved property revenue or value is not a number",
    "currency_not_text": "the reserved property currency is not a string",
    "name_not_text": "the event name is not a string",
}


NUMBERS = (int, float)
ID_FIELDS = ("userId", "anonymousId", "groupId", "previousId")
RESERVED_PROPERTIES = frozenset(("revenue", "value", "currency"))


def rules_find_drop_reason(event, kind, settings):
    """The reason (a name in DROP_REASONS) to drop this event, or None."""
    requirements = REQUIRED.get(kind) if isinstance(kind, str) else None
    if requirements is None:
        return "unknown_type"
    for fields, missing, empty in requirements:
        for field in fields:
            value = event.get(field)
            # An id is a string that is not empty, or (with a warning) a number.
            if value if type(value) is str else type(value) in NUMBERS:
                break
        else:
            return empty if any(event.get(field) == "" for field in fields) else missing
    message_id = event.get("messageId")
    if isinstance(message_id, str):
        too_long = len(message_id) > settings.message_id_characters
        return "message_id_too_long" if too_long else None
    return None if message_id is None else "message_id_not_text"


def rules_list_warnings(event, sent_at):
    """Names in WARNINGS that hold for an event that was accepted."""
    found = []
    get = event.get
    if not get("messageId"):
        found.append("no_message_id")
    for field in ID_FIELDS:
        if type(get(field)) in NUMBERS:
            found.append("id_not_text")
            break
    text = get("timestamp")
    if text is not None:
        moment = clock_parse(text)
        if moment is None:
            found.append("bad_timestamp")
        elif moment.tzinfo is None:
            found.append("timestamp_without_zone")
    if sent_at is None:
        found.append("no_sent_at")
    if type(get("event", "")) is not str:
        found.append("name_not_text")
    properties = get("properties")
    if type(properties) is dict and not RESERVED_PROPERTIES.isdisjoint(properties):
        found.extend(_list_property_warnings(properties))
    return found


def _list_property_warnings(properties):
    for field in ("revenue", "value"):
        if field in properties and type(properties[field]) not in NUMBERS:
            yield "value_not_number"
    if "currency" in properties and not isinstance(properties["currency"], str):
        yield "currency_not_text"


def rules_read_key(authorization, members):
    """The write key of a request and where it was: ("…"|None, "header"|"body"|None).

    Basic is base64 of "writeKey:", and the colon counts. With Bearer (OAuth) the key
    is in the body as well.
    """
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, colon, _ = base64.b64decode(value.strip(), validate=True).partition(b":")
            key = user.decode("utf-8") if colon else ""
        except (binascii.Error, ValueError):
            key = ""
        return key, "header"
    key = members.get("writeKey")
    return (key, "body") if isinstance(key, str) and key else (None, None)


def rules_knows_key(key, settings):
    """Is this one of the receiver's write keys?"""
    if not key:
        return False
    if not settings.write_keys:
        return True
    spelled = key.encode("utf-8", "surrogatepass")
    return any(hmac.compare_digest(spelled, known.encode()) for known in settings.write_keys)


def rules_find_auth_problem(key, place, settings):
    """(status or None, drop reason or None) for a request's write key."""
    if key in settings.disabled_keys:
        return 404, None
    known = rules_knows_key(key, settings)
    if settings.strict_auth and (not known or place == "body"):
        return 401, None
    if known:
        return None, None
    return None, "missing_write_key" if place is None else "wrong_write_key"


def rules_merge_objects(base, over):
    """`over` laid upon `base`: objects are merged member by member, `over` wins."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    merged = dict(base)
    for name, value in over.items():
        merged[name] = rules_merge_objects(merged[name], value) if name in merged else value
    return merged


def rules_complete_event(event, kind, members, received_at):
    """The event as Segment passes it on: merged, dated, without the write key.

    `members` are the batch's own; `received_at` an aware datetime. An item's context
    and integrations win over the batch's. timestamp = receivedAt - (sentAt - original);
    without both of them Segment has only the time of receipt to go by, or the original.
    """
    done = {name: value for name, value in event.items() if name != "writeKey"}
    done["type"] = kind
    for name in ("context", "integrations"):
        if isinstance(members.get(name), dict):
            done[name] = rules_merge_objects(members[name], done.get(name, {}))
    sent_at = event.get("sentAt", members.get("sentAt"))
    original = event.get("timestamp")
    if original is not None:
        done["originalTimestamp"] = original
    if sent_at is not None:
        done["sentAt"] = sent_at
    done["receivedAt"] = clock_format(received_at)
    done["timestamp"] = clock_correct(original, sent_at, received_at)
    return done


def clock_parse(text):
    """An ISO 8601 moment as datetime, or None. A moment without zone stays naive."""
    if not isinstance(text, str) or ("T" not in text and len(text) != len("2026-01-31")):
        return None
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def clock_format(moment):
    """A moment in UTC with milliseconds, as Segment writes it."""
    moment = moment.astimezone(datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clock_parse_utc(text):
    moment = clock_parse(text)
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return moment


def clock_correct(original, sent_at, received_at):
    """receivedAt - (sentAt - original), as text; see rules_complete_event."""
    begun, sent = _clock_parse_utc(original), _clock_parse_utc(sent_at)
    if begun is None:
        return clock_format(received_at)
    try:
        return clock_format(begun if sent is None else received_at - (sent - begun))
    except OverflowError:  # years 1 and 9999 have no neighbours
        return clock_format(begun.replace(tzinfo=datetime.timezone.utc))


@dataclass
class Refusal:
    """A request that is answered with an error, and of which nothing is taken."""

    status: int
    words: str
    reason: str


# Every reason for which a whole request is refused. "fault" is a rule's doing.
REFUSAL_REASONS = {
    "not_json": "the body is not JSON of a call's shape",
    "bad_request": "not a POST, or the body's length, chunks or gzip are wrong",
    "body_too_large": "the uncompressed body is over the limit",
    "event_too_large": "one event is over 32,768 bytes",
    "unauthorized": "strict auth: the key is unknown, or only in the body",
    "source_disabled": "the key's source is switched off",
    "missing_id": "one event has no id (when missing_id is refuse)",
    "fault": "a fault rule answered instead",
}


def rules_find_refusal(events, largest, auth_status, settings):
    """The Refusal for a request whose body was read, or None.

    `largest`: bytes of the largest event; `auth_status` as rules_find_auth_problem
    gives it.
    """
    if auth_status == 401:
        return Refusal(401, "Unauthorized", "unauthorized")
    if auth_status == 404:
        return Refusal(404, "source is disabled", "source_disabled")
    if settings.large_event == "refuse" and largest > settings.event_bytes:
        return Refusal(400, WORDS_TOO_LARGE, "event_too_large")
    if settings.missing_id == "refuse" and not all(map(_has_any_id, events.values)):
        return Refusal(400, "event has no userId and no anonymousId", "missing_id")
    return None


def _has_any_id(event):
    return isinstance(event, dict) and bool(event.get("userId") or event.get("anonymousId"))
