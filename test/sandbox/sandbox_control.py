"""Questions and orders: everything under /_sandbox/, and the page's files.

Owns: the control API's paths and parameters (a table walked by one function).
Refuses: to answer another site's page (a browser names it in Origin), and to show a
write key.
"""

import dataclasses
import json
import pathlib
import time
import urllib.parse

import sandbox_faults
import sandbox_json
import sandbox_rules
from sandbox_faults import BadRule
from sandbox_http import HttpAnswer

FOLDER = pathlib.Path(__file__).resolve().parent
PAGE_FILES = {
    "/": ("sandbox_page.html", "text/html; charset=utf-8"),
    "/sandbox_page.css": ("sandbox_page.css", "text/css; charset=utf-8"),
    "/sandbox_page.js": ("sandbox_page.js", "text/javascript; charset=utf-8"),
}
# The page loads nothing from elsewhere and runs no script that an event might carry.
PAGE_HEADERS = (
    ("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "
     "connect-src 'self'; img-src data:; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)  # fmt: skip
LIMIT_EVENTS = 10_000
WAIT_SECONDS = 10.0
# Longer than any test should wait; bounds a forgotten request's thread.
WAIT_CAP_SECONDS = 600.0
PAGE_TOP_NAMES = 200


class BadQuestion(Exception):
    """Parameters that make no sense; answered 400 with these words."""


class Question:
    """A request's path and parameters, checked as they are taken."""

    def __init__(self, request):
        self.request = request
        pairs = urllib.parse.parse_qsl(request.query, keep_blank_values=True, errors="strict")
        self.parameters = dict(pairs)

    def take_text(self, name, default=None):
        return self.parameters.pop(name, default)

    def take_number(self, name, default, least=0, most=None):
        text = self.parameters.pop(name, None)
        try:
            number = default if text is None else type(default or 0)(text)
        except ValueError:
            raise BadQuestion(f"{name} is not a number") from None
        if number is not None and number < least:
            raise BadQuestion(f"{name} is below {least}")
        return number if most is None else min(number, most)

    def take_filters(self, names):
        """Those of the named parameters that were given and are not empty."""
        taken = {name: self.parameters.pop(name, "") for name in names}
        return {name: value for name, value in taken.items() if value}

    def end(self):
        """Refuses parameters that nobody took: a typing error is not an empty filter."""
        if self.parameters:
            raise BadQuestion(f"unknown parameter: {', '.join(sorted(self.parameters))}")

    def read_json(self):
        self.end()
        try:
            return json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise BadQuestion(f"the body is not JSON: {error}") from None


class Control:
    """Answers control requests of one server."""

    def __init__(self, server):
        self.server = server
        self.ledger = server.ledger

    def answer(self, request):
        """The HttpAnswer to anything that is not a call of Segment's API."""
        if request.path in PAGE_FILES:
            return _read_page_file(*PAGE_FILES[request.path])
        name, slash, rest = request.path.removeprefix("/_sandbox/").partition("/")
        method = getattr(self, ROUTES.get((request.method, name + slash), ""), None)
        if method is None or not request.path.startswith("/_sandbox/"):
            known = ", ".join(f"{verb} /_sandbox/{path}" for verb, path in sorted(ROUTES))
            return _answer_json({"error": f"no such path; there are: {known}"}, 404)
        if request.method != "GET" and _is_foreign(request):
            return _answer_json({"error": "another site's page may not give orders"}, 403)
        try:
            question = Question(request)
            result = method(question, urllib.parse.unquote(rest)) if slash else method(question)
            question.end()
        except (BadQuestion, BadRule, UnicodeDecodeError) as error:
            return _answer_json({"error": str(error)}, 400)
        return result if isinstance(result, HttpAnswer) else _answer_json(result)

    # Questions

    def health(self, _question):
        return {"ok": True, "stopping": self.server.stopping.is_set()}

    def stats(self, _question):
        return self.ledger.read_stats()

    def events(self, question):
        limit = question.take_number("limit", 100, most=LIMIT_EVENTS)
        outcome = question.take_text("outcome", "accepted")
        wanted = question.take_filters(("type", "event", "user_id", "contains", "reason"))
        question.end()
        if outcome not in ("accepted", "repeated", "dropped", "any"):
            raise BadQuestion("outcome is none of accepted, repeated, dropped, any")
        if outcome != "any":
            wanted["outcome"] = outcome
        records = self.ledger.list_records(wanted, limit)
        return {"events": [record.describe() for record in records]}

    def event(self, question, message_id):
        question.end()
        known, record, repeats = self.ledger.find_event(message_id)
        if not known:
            return _answer_json({"messageId": message_id, "accepted": False}, 404)
        found = {"messageId": message_id, "accepted": True, "repeats": repeats}
        found["kept"] = record is not None
        if record is not None:
            found.update(record.describe())
        return found

    def order(self, question):
        user = question.take_text("user_id")
        if not user:
            raise BadQuestion("user_id is missing")
        return {"user_id": user, "messageIds": self.ledger.list_order(user)}

    def requests(self, question):
        return {"requests": self.ledger.list_requests(question.take_number("limit", 100))}

    def wait(self, question):
        """Answers when a figure reaches what was asked for: 200; or 408 when it did not."""
        field = question.take_text("field", "")
        least = question.take_number("at_least", None)
        most = question.take_number("at_most", None)
        equal = question.take_number("equals", None)
        timeout = question.take_number("timeout", WAIT_SECONDS, most=WAIT_CAP_SECONDS)
        question.end()
        if least is None and most is None and equal is None:
            raise BadQuestion("none of at_least, at_most, equals is given")
        control_read_figure(self.ledger.read_stats(), field)

        def holds(stats):
            value = control_read_figure(stats, field)
            return (
                (least is None or value >= least)
                and (most is None or value <= most)
                and (equal is None or value == equal)
            )

        reached, stats = self.ledger.wait_until(holds, timeout)
        value = control_read_figure(stats, field)
        found = {"reached": reached, "field": field, "value": value, "stats": stats}
        return _answer_json(found, 200 if reached else 408)

    def page(self, question):
        """All that the page shows, in one answer: it asks once a second."""
        after = question.take_number("after", -1, least=-1)
        limit = question.take_number("limit", 60, most=500)
        wanted = question.take_filters(("type", "outcome", "contains"))
        question.end()
        stats = self.ledger.read_stats()
        top = sorted(stats["by_event"].items(), key=lambda pair: -pair[1])
        stats["by_event"] = dict(top[:PAGE_TOP_NAMES])
        records = self.ledger.list_records(wanted, limit, after)
        return {
            "stats": stats,
            "second": int(time.time()),
            "timeline": self.ledger.read_timeline(),
            "requests": self.ledger.list_requests(12),
            "faults": self.server.faults.describe(),
            "reasons": {**sandbox_rules.DROP_REASONS, **sandbox_rules.REFUSAL_REASONS},
            "events": [_describe_for_page(record) for record in records],
        }

    # Orders

    def reset(self, question):
        """Forgets everything, and lifts the faults unless ?keep_faults=1."""
        if question.take_text("keep_faults", "0") == "0":
            self.server.faults.set([])
        question.end()
        self.ledger.reset()
        return {"ok": True}

    def list_faults(self, _question):
        return {"rules": self.server.faults.describe()}

    def set_faults(self, question):
        """{"rules": […]} or the array alone; {"append": true} keeps those there are."""
        body = question.read_json()
        if isinstance(body, list):
            body = {"rules": body}
        sandbox_faults.faults_check_fields(body, {"rules": list, "append": bool}, "the body")
        self.server.faults.set(body.get("rules", []), body.get("append", False))
        return {"rules": self.server.faults.describe()}

    def clear_faults(self, question):
        question.end()
        self.server.faults.set([])
        return {"rules": []}

    def read_settings(self, _question):
        return _describe_settings(self.server.settings)

    def change_settings(self, question):
        changes = question.read_json()
        self.server.settings = control_change_settings(self.server.settings, changes)
        return _describe_settings(self.server.settings)


ROUTES = {
    ("GET", "health"): "health",
    ("GET", "stats"): "stats",
    ("GET", "events"): "events",
    ("GET", "event/"): "event",
    ("GET", "order"): "order",
    ("GET", "requests"): "requests",
    ("GET", "wait"): "wait",
    ("GET", "page"): "page",
    ("GET", "faults"): "list_faults",
    ("POST", "faults"): "set_faults",
    ("DELETE", "faults"): "clear_faults",
    ("GET", "settings"): "read_settings",
    ("POST", "settings"): "change_settings",
    ("POST", "reset"): "reset",
}


def control_read_figure(stats, field):
    """A figure of stats by name; "by_status.429" looks into a table, where what is not
    there yet is 0. Raises BadQuestion for a name that will never be there."""
    name, dot, inner = field.partition(".")
    value = stats.get(name)
    if dot and isinstance(value, dict):
        return value.get(inner, 0)
    if dot or isinstance(value, dict) or value is None:
        raise BadQuestion(f'no figure "{field}"; there are: {", ".join(sorted(stats))}')
    return value


def control_change_settings(settings, changes):
    """A copy of the settings with changes (a dict from JSON). Raises BadRule."""
    kinds = {field.name: field.type for field in dataclasses.fields(settings)}
    known = {name: list if kind is frozenset else kind for name, kind in kinds.items()}
    sandbox_faults.faults_check_fields(changes, known, "settings")
    checked = {}
    for name, value in changes.items():
        words = sandbox_rules.SETTING_WORDS.get(name)
        if words and value not in words:
            raise BadRule(f"settings.{name} must be one of {', '.join(words)}")
        if kinds[name] is frozenset and not all(isinstance(key, str) for key in value):
            raise BadRule(f"settings.{name} must hold strings")
        checked[name] = frozenset(value) if kinds[name] is frozenset else value
    return dataclasses.replace(settings, **checked)


def _describe_settings(settings):
    """Write keys are counted, never shown."""
    shown = dataclasses.asdict(settings)
    return {
        name: f"{len(value)} hidden" if isinstance(value, frozenset) else value
        for name, value in shown.items()
    }


def _describe_for_page(record):
    """The event as JSON text: a browser's numbers would not keep its digits."""
    found = record.describe(ascii_only=False)
    found.pop("text", None)
    found["json"] = str(found.pop("event") or "null")
    return found


def _answer_json(value, status=200):
    headers = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
    body = sandbox_json.json_write_exact(value)
    return HttpAnswer(status, body + "\n", "application/json", headers)


def _read_page_file(name, content_type):
    return HttpAnswer(200, (FOLDER / name).read_bytes(), content_type, PAGE_HEADERS)


def _is_foreign(request):
    """Does a browser send this for a page that did not come from here?"""
    origin = request.fields.get("origin")
    return origin is not None and origin.partition("://")[2] != request.fields.get("host")
