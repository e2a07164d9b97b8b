"""What the sandbox remembers of events: every id for ever, newest bodies for a while.

Owns: the ids (to drop repeats and to tell the order of a user's events) and the
newest events with their text. Ids cost about 250 bytes an event; texts are bounded
in number and in bytes.
Refuses: to decide what happens to an event (sandbox_rules) and to lock: its caller,
the ledger, holds its lock around every call that writes.
"""

import collections
import itertools

import sandbox_json
import sandbox_rules

# Text of all kept events together. Ten thousand events of a usual 250 bytes are
# 2.5 MB; this only bounds what 10,000 events of the largest size (32 KB) would take.
KEEP_BYTES = 64 * 1024 * 1024
# Events that were not accepted are kept apart, so that a flood of repeats does not
# push the accepted ones out.
KEEP_OTHERS = 2_000


class Source:
    """What all events of one request share."""

    __slots__ = ("members", "received_at", "request", "connection")

    def __init__(self, members, received_at, request, connection):
        self.members = members
        self.received_at = received_at
        self.request = request
        self.connection = connection


class Record:
    """One event as it came, and what became of it."""

    __slots__ = (
        "number",  # over all events of all outcomes
        "outcome",  # accepted, repeated or dropped
        "reason",  # in sandbox_rules.DROP_REASONS, when dropped
        "kind",
        "name",
        "user",
        "message_id",
        "text",
        "source",
        "weight",
    )

    def __init__(self, number, outcome, reason, kind, name, user, message_id, text, source):
        self.number = number
        self.outcome = outcome
        self.reason = reason
        self.kind = kind
        self.name = name
        self.user = user
        self.message_id = message_id
        self.text = text
        self.source = source
        self.weight = len(text)

    def matches(self, wanted):
        """`wanted`: a dict of filters that must all hold; see keep_list."""
        return (
            wanted.get("outcome", self.outcome) == self.outcome
            and wanted.get("reason", self.reason) == self.reason
            and wanted.get("type", self.kind) == self.kind
            and wanted.get("event", self.name) == self.name
            and wanted.get("user_id", self.user) == self.user
            and wanted.get("contains", "") in self.text
        )

    def describe(self, ascii_only=True):
        """For a reader: numbers as written, batch merged in, no write key.

        "event" is Written, or None when it is nested too deep to be gone through.
        """
        source = self.source
        found = {
            "number": self.number,
            "outcome": self.outcome,
            "reason": self.reason,
            "messageId": self.message_id,
            "request": source.request,
            "connection": source.connection,
            "received_at": sandbox_rules.clock_format(source.received_at),
            "bytes": len(self.text.encode("utf-8", "surrogatepass")),
        }
        try:
            event = self._complete(sandbox_json.json_read_exact(self.text))
            text = sandbox_json.json_write_exact(event, ascii_only)
            found["event"] = sandbox_json.Written(text)
        except RecursionError:
            found["event"] = None
        # A single call carries the write key beside the event: its text is not shown.
        if '"writeKey"' not in self.text:
            found["text"] = self.text
        return found

    def _complete(self, value):
        if not isinstance(value, dict):
            return value
        source = self.source
        event = sandbox_rules.rules_complete_event(
            value, self.kind, source.members, source.received_at
        )
        event.setdefault("messageId", self.message_id)
        return event


class Newest:
    """The newest records, bounded in number and in bytes of text."""

    def __init__(self, limit, byte_limit):
        self.limit = limit
        self.byte_limit = byte_limit
        self.bytes = 0
        self.records = collections.deque()

    def extend(self, records, extra_bytes=0):
        """Adds records in order. `extra_bytes`: what they hold beside their texts."""
        if not records:
            return
        records[-1].weight += extra_bytes
        self.records.extend(records)
        self.bytes += sum(record.weight for record in records)
        while len(self.records) > self.limit or self.bytes > self.byte_limit:
            self.bytes -= self.records.popleft().weight


class Keep:
    """Ids of all accepted events, and the newest events."""

    def __init__(self, limit):
        self.accepted = Newest(limit, KEEP_BYTES)
        self.others = Newest(KEEP_OTHERS, KEEP_BYTES // 4)
        # messageId -> messageId of the same user's event before it, or None. One entry
        # both drops repeats and tells the order; numbers would cost as much again.
        self.ids = {}
        self.last_of_user = {}  # user -> messageId of the newest event
        self.repeats = collections.Counter()  # messageId -> times it came again
        self.count = 0  # events of every outcome

    def add_id(self, message_id, user):
        """Remembers an accepted id for ever, after the user's last one."""
        self.ids[message_id] = self.last_of_user.get(user)
        self.last_of_user[user] = message_id

    def list_order(self, user):
        """The messageIds of one user's (or anonymous id's) events, oldest first."""
        found, message_id = [], self.last_of_user.get(user)
        while message_id is not None:
            found.append(message_id)
            message_id = self.ids[message_id]
        return found[::-1]

    def find(self, message_id):
        """The kept record of an accepted messageId, or None."""
        newest_first = reversed(self.accepted.records)
        return next((record for record in newest_first if record.message_id == message_id), None)

    def list(self, wanted, limit, after=-1):
        """Records that match, newest first, at most `limit`, numbers above `after`.

        Filters: outcome (one of the three), reason, type, event, user_id, contains
        (in the text as it was sent).
        """
        found = itertools.chain(
            _take(self.accepted.records, wanted, limit, after),
            _take(self.others.records, wanted, limit, after),
        )
        return sorted(found, key=lambda record: -record.number)[:limit]


def _take(records, wanted, limit, after):
    newer = itertools.takewhile(lambda record: record.number > after, reversed(records))
    return itertools.islice((r for r in newer if r.matches(wanted)), limit)
