"""The sandbox's account: what came, what became of it, and when.

Owns: the lock, the counts, the log of requests, the seconds of the page's chart, the
announced pauses, and (through sandbox_keep) the events. Everything a test may ask is
answered from here.
Refuses: to decide (sandbox_rules), to break (sandbox_faults), to speak HTTP.

Invariants, checked by the tests:
  received = accepted + repeated + dropped_total + refused
  a request's counts stand here before the first byte of its answer is written, so who
  has seen an answer also sees its counts.
"""

import collections
import datetime
import itertools
import threading
import time

import sandbox_keep
import sandbox_rules
from sandbox_rules import rules_find_drop_reason, rules_list_warnings

KEEP_REQUESTS = 1_000
# Distinct event names counted one by one; an event_column with a name for each row
# must not grow the sandbox. The others are counted together.
NAME_LIMIT = 10_000
OTHER_NAMES = "(other names)"
TIMELINE_SECONDS = 120
# A sender never waits longer than this for an announced pause (segment.md's cap).
PAUSE_CAP_SECONDS = 300.0
# Requests that were under way while the announcement travelled are no violation.
PAUSE_GRACE_SECONDS = 0.1
# Headers whose value is a secret.
HIDDEN_HEADERS = ("authorization", "proxy-authorization", "cookie")

# Events in one second of the timeline, and requests.
TIMELINE_FIELDS = ("requests", "accepted", "repeated", "dropped", "refused", "errors")


class Ledger:
    """All figures since the start or the last reset. Thread-safe."""

    def __init__(self, keep_limit):
        self.changed = threading.Condition()
        self.keep_limit = keep_limit
        self.generation = 0  # grows with each reset; who hangs lets go
        self.connections_open = 0
        self.waiting = set()  # tickets of requests in progress
        self.tickets = itertools.count()  # never begins again, unlike request numbers
        self._clear()

    def _clear(self):
        self.started_at = time.time()
        self.keep = sandbox_keep.Keep(self.keep_limit)
        self.counts = collections.Counter()
        self.by_status = collections.Counter()
        self.by_retry_count = collections.Counter()
        self.by_type = collections.Counter()
        self.by_event = collections.Counter()
        self.by_path = collections.Counter()
        self.dropped = collections.Counter()
        self.refusals = collections.Counter()
        self.warnings = collections.Counter()
        self.faults_fired = collections.Counter()
        self.maxima = collections.Counter()
        self.requests = collections.deque(maxlen=KEEP_REQUESTS)
        self.timeline = {}
        self.connections_total = 0
        self.pause_until = 0.0
        self.pause_announced = 0.0

    def reset(self):
        """Forgets everything but open connections; who hangs is let go."""
        with self.changed:
            self.generation += 1
            self._clear()
            self.changed.notify_all()

    # Connections

    def read_next_connection(self):
        """The number that the next new connection with a delivery will get."""
        with self.changed:
            return self.connections_total + 1

    def _number_connection(self, connection):
        """A connection counts from its first delivery on: who only asks is no sender.

        After a reset numbers begin at 1 again, also for connections that stay open.
        """
        if connection.generation == self.generation:
            return
        if connection.number is None:
            self.connections_open += 1
        self.connections_total += 1
        connection.number = self.connections_total
        connection.generation = self.generation
        self._raise_maximum("max_connections_open", self.connections_open)

    def close_connection(self, connection):
        with self.changed:
            if connection.number is not None:
                self.connections_open -= 1
            self.changed.notify_all()

    # Requests

    def begin_request(self, request, connection):
        """An entry in the log for a delivery; the caller gives it to finish_request."""
        with self.changed:
            self._number_connection(connection)
            self.counts["requests"] += 1
            retry_count = request.fields.get("x-retry-count", "none")
            self.by_retry_count[retry_count] += 1
            self.by_path[request.path] += 1
            entry = {
                "number": self.counts["requests"],
                "connection": connection.number,
                "method": request.method,
                "path": request.path,
                "headers": hide_headers(request.headers),
                "retry_count": retry_count,
                "received_at": _now_text(),
                "started": request.started,
                "status": None,
                "fault": None,
                "generation": self.generation,
                "ticket": next(self.tickets),
            }
            self._check_pause(entry)
            self.requests.append(entry)
            self.waiting.add(entry["ticket"])
            self._raise_maximum("max_concurrent_requests", len(self.waiting))
            self._count_second("requests", 1)
            self.changed.notify_all()
            return entry

    def _check_pause(self, entry):
        """Counts a request that comes while an announced pause lasts."""
        told = self.pause_announced + PAUSE_GRACE_SECONDS
        if told < entry["started"] < self.pause_until:
            self.counts["pause_violations"] += 1
            entry["early_seconds"] = round(self.pause_until - entry["started"], 3)

    def announce_pause(self, seconds):
        """Notes that an answer tells the sender to wait; called as it is written."""
        with self.changed:
            now = time.monotonic()
            self.pause_announced = now
            self.pause_until = now + min(seconds, PAUSE_CAP_SECONDS)
            self.counts["pauses_announced"] += 1

    def note_answer(self, entry, status):
        """The answer that is about to be written: its status, or a word for none."""
        with self.changed:
            if entry["generation"] == self.generation:
                entry["status"] = status
                self.by_status[str(status)] += 1
                if not (isinstance(status, int) and 200 <= status < 300):
                    self._count_second("errors", 1)
            self.changed.notify_all()

    def finish_request(self, entry):
        """The answer has been written, or never will be. May be called twice."""
        with self.changed:
            if entry["generation"] == self.generation:
                entry["seconds"] = round(time.monotonic() - entry["started"], 6)
            self.waiting.discard(entry["ticket"])
            self.changed.notify_all()

    def note_fault(self, entry, name):
        with self.changed:
            self.faults_fired[name] += 1
            if entry is not None:
                entry["fault"] = name
            self.changed.notify_all()

    def count(self, name, by=1):
        """One of the plain counts, such as key_checks."""
        with self.changed:
            self.counts[name] += by
            self.changed.notify_all()

    # Bodies

    def note_body(self, entry, body_bytes, wire_bytes):
        """The sizes of a body that was read; body_bytes None when it was too long."""
        with self.changed:
            entry["bytes"] = body_bytes
            entry["bytes_on_wire"] = wire_bytes
            self.counts["bytes"] += body_bytes or 0
            self.counts["bytes_on_wire"] += wire_bytes
            self._raise_maximum("max_body_bytes", body_bytes or 0)

    def note_events(self, entry, events, sizes, sent_at):
        """The events of a body that could be parsed, whatever becomes of them."""
        with self.changed:
            entry["events"] = len(sizes)
            entry["sentAt"] = sent_at
            entry["first_message_id"] = _message_id(events.values[0]) if sizes else None
            entry["last_message_id"] = _message_id(events.values[-1]) if sizes else None
            entry["events_bytes"] = sum(sizes)
            self.counts["received"] += len(sizes)
            self.counts["batches"] += 1
            self._raise_maximum("max_events_in_batch", len(sizes))
            self._raise_maximum("max_event_bytes", max(sizes, default=0))
            self.changed.notify_all()

    def refuse(self, entry, reason, events):
        """A request of which nothing was taken; `events` is their number."""
        with self.changed:
            entry["refused"] = reason
            self.refusals[reason] += 1
            self.counts["refused"] += events
            self._count_second("refused", events)
            self.changed.notify_all()

    def take(self, entry, events, kinds, source, settings, reason=None):
        """Judges and remembers the events of one request, in their order.

        `reason`: drop all of them, for a reason of the whole request.
        """
        taking = Taking(self, source, settings)
        with self.changed:
            for value, text, kind in zip(events.values, events.texts, kinds):
                taking.take(value, text, kind, reason)
            self._book(entry, taking)
            self.changed.notify_all()

    def _book(self, entry, taking):
        """Adds the sums of one request."""
        accepted, others = taking.accepted, taking.others
        # What the batch itself holds (its context) lives as long as its last event.
        extra = max((entry["bytes"] or 0) - entry["events_bytes"], 0)
        self.keep.accepted.extend(accepted, extra)
        self.keep.others.extend(others, extra)
        names = collections.Counter((record.kind, record.name) for record in accepted)
        for (kind, name), count in names.items():
            self.by_type[kind] += count
            if kind == "track":
                known = name in self.by_event or len(self.by_event) < NAME_LIMIT
                self.by_event[name if known else OTHER_NAMES] += count
        reasons = collections.Counter(record.reason for record in others)
        repeated = reasons.pop(None, 0)
        self.dropped.update(reasons)
        self.warnings.update(taking.warnings)
        sums = {"accepted": len(accepted), "repeated": repeated, "dropped": reasons.total()}
        for name, count in sums.items():
            entry[name] = count
            self._count_second(name, count)
            self.counts["dropped_total" if name == "dropped" else name] += count

    # Small things

    def _raise_maximum(self, name, value):
        self.maxima[name] = max(self.maxima[name], value)

    def _count_second(self, field, by):
        second = int(time.time())
        row = self.timeline.get(second)
        if row is None:
            row = self.timeline[second] = dict.fromkeys(TIMELINE_FIELDS, 0)
            for old in [key for key in self.timeline if key <= second - TIMELINE_SECONDS]:
                del self.timeline[old]
        row[field] += by

    # Questions

    def read_stats(self):
        """All figures as a dict that JSON can hold; the names are README's."""
        with self.changed:
            stats = {name: self.counts[name] for name in PLAIN_COUNTS}
            stats.update((name, self.maxima[name]) for name in MAXIMA)
            stats.update(
                connections_open=self.connections_open,
                connections_total=self.connections_total,
                requests_in_progress=len(self.waiting),
                users=len(self.keep.last_of_user),
                uptime_seconds=round(time.time() - self.started_at, 3),
                generation=self.generation,
            )
            for name in TABLES:
                stats[name] = dict(getattr(self, name))
            return stats

    def wait_until(self, holds, timeout):
        """Waits until holds(stats), looking at each change; gives (held?, stats)."""
        until = time.monotonic() + timeout
        while True:
            with self.changed:
                stats = self.read_stats()
                left = until - time.monotonic()
                if holds(stats) or left <= 0:
                    return holds(stats), stats
                self.changed.wait(left)

    def list_requests(self, limit):
        """The newest requests first, without what is only the sandbox's own."""
        with self.changed:
            newest = list(self.requests)[: -limit - 1 : -1]
            hidden = ("started", "generation", "ticket", "events_bytes")
            return [{k: v for k, v in row.items() if k not in hidden} for row in newest]

    def list_records(self, wanted, limit, after=-1):
        """Records as sandbox_keep's Keep.list gives them."""
        with self.changed:
            return self.keep.list(wanted, limit, after)

    def find_event(self, message_id):
        """(accepted?, record or None when its text is kept no more, repeats)."""
        with self.changed:
            known = message_id in self.keep.ids
            repeats = self.keep.repeats.get(message_id, 0)
            return known, self.keep.find(message_id), repeats

    def list_order(self, user):
        with self.changed:
            return self.keep.list_order(user)

    def read_timeline(self):
        """(unix second, {requests, accepted, …}) of the last two minutes, oldest first."""
        with self.changed:
            return sorted((second, dict(row)) for second, row in self.timeline.items())


# Figures of read_stats that are always there, be they 0.
PLAIN_COUNTS = (
    "requests",
    "batches",
    "received",
    "accepted",
    "repeated",
    "dropped_total",
    "refused",
    "bytes",
    "bytes_on_wire",
    "pauses_announced",
    "pause_violations",
    "key_checks",
    "broken_requests",
    "tls_failures",
    "sandbox_errors",
)
MAXIMA = (
    "max_events_in_batch",
    "max_body_bytes",
    "max_event_bytes",
    "max_concurrent_requests",
    "max_connections_open",
)
TABLES = (
    "by_status",
    "by_type",
    "by_event",
    "by_path",
    "by_retry_count",
    "dropped",
    "refusals",
    "warnings",
    "faults_fired",
)


class Taking:
    """One request's events being judged. Used under the ledger's lock."""

    def __init__(self, ledger, source, settings):
        self.keep = ledger.keep
        self.source = source
        self.sent_at = source.members.get("sentAt")
        self.settings = settings
        self.accepted = []
        self.others = []
        self.warnings = []

    def take(self, value, text, kind, reason):
        """Judges one event, unless there is a reason to drop it already."""
        keep = self.keep
        keep.count += 1
        reason = reason or self._find_reason(value, text, kind)
        if reason:
            self._drop(value, text, kind, reason)
            return
        # Segment gives an id to an event that has none.
        message_id = value.get("messageId") or f"sandbox-{keep.count}"
        user, name = _read_names(value, kind)
        repeated = message_id in keep.ids
        outcome = "repeated" if repeated else "accepted"
        record = sandbox_keep.Record(
            keep.count, outcome, None, kind, name, user, message_id, text, self.source
        )
        if repeated:
            keep.repeats[message_id] += 1
            self.others.append(record)
            return
        keep.add_id(message_id, user)
        self.accepted.append(record)
        sent_at = value.get("sentAt", self.sent_at)
        self.warnings += rules_list_warnings(value, sent_at)

    def _find_reason(self, value, text, kind):
        if type(value) is not dict:
            return "not_an_object"
        # No character takes more than four bytes: most events need no measuring.
        limit = self.settings.event_bytes
        if len(text) * 4 > limit and len(text.encode("utf-8")) > limit:
            return "event_too_large"
        return rules_find_drop_reason(value, kind, self.settings)

    def _drop(self, value, text, kind, reason):
        kind = kind if isinstance(kind, str) else None
        user, name = _read_names(value, kind) if isinstance(value, dict) else (None, None)
        number, message_id = self.keep.count, _message_id(value)
        record = sandbox_keep.Record(
            number, "dropped", reason, kind, name, user, message_id, text, self.source
        )
        self.others.append(record)


def hide_headers(headers):
    """Headers for a reader: secrets show their scheme only."""
    shown = {}
    for name, value in headers:
        if name.lower() in HIDDEN_HEADERS:
            value = f"{value.partition(' ')[0]} (hidden)" if " " in value else "(hidden)"
        shown[name.lower()] = value
    return shown


def _read_names(value, kind):
    """(user or None, event's or page's name or None) as text."""
    user = value.get("userId") or value.get("anonymousId")
    name = value.get("event") if kind == "track" else value.get("name")
    return (
        user if user is None or isinstance(user, str) else str(user),
        name if name is None or isinstance(name, str) else str(name),
    )


def _message_id(event):
    value = event.get("messageId") if isinstance(event, dict) else None
    return value if isinstance(value, str) else None


def _now_text():
    return sandbox_rules.clock_format(datetime.datetime.now(datetime.timezone.utc))
