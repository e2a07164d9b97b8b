"""Faults on request: which request is broken, and how.

Owns: the rules a test sets (POST /_sandbox/faults), their checking, their counting,
and the ways an answer goes wrong on its way out.
Refuses: to invent a fault that no rule asks for, and to touch the counts of events.

A rule is {"name", "match", "action"}. Rules are looked at in order; a rule counts the
requests that reach it and pass its filters, and the first rule that fires ends the
search. README.md has a line and an example for each field.
"""

import difflib
import email.utils
import math
import threading
import time

import sandbox_http

# When a rule is looked at: as a connection is accepted, when a request's headers are
# there, or (the default) when its body is.
STAGES = ("accept", "headers", "body")

# How the answer goes out. "cut" ways stop at the point that "cut" names.
CUT_WAYS = ("reset", "close", "half_close")
WAYS = ("whole", "drip", "hang", "garbage", "huge") + CUT_WAYS
CUTS = ("nothing", "half_status", "status", "headers", "half_body", "all")
DEFAULT_CUT = {"reset": "half_status", "close": "headers", "half_close": "all"}

NUMBER = (int, float)
MATCH_FIELDS = {
    "at": str,
    "path": str,
    "contains": str,
    "event_contains": str,
    "connection": (int, list),
    "retry_count": int,
    "min_events": int,
    "min_bytes": int,
    "nth": (int, list),
    "every": int,
    "first": int,
    "after": int,
    "count": int,
}
ACTION_FIELDS = {
    "status": int,
    "headers": dict,
    "body": str,
    "retry_after": NUMBER,
    "retry_after_date": NUMBER,
    "rate_limit_reset": NUMBER,
    "accept": bool,
    "delay_ms": NUMBER,
    "how": str,
    "cut": str,
    "drip_ms": NUMBER,
    "huge_bytes": int,
    "chunked": bool,
    "garbage": str,
    "close": bool,
    "idle_close_ms": NUMBER,
}
RULE_FIELDS = {"name": str, "culprit": str, "match": dict, "action": dict}
WORDS = {"at": STAGES, "how": WAYS, "cut": CUTS}

# Nothing that a sender's HTTP library takes for a status line.
GARBAGE = "\x00\x01this is not HTTP\xff\r\n" * 4
HUGE_BYTES = 200 * 1024 * 1024
# Bounds a half-closed connection whose peer never ends it.
HALF_CLOSE_SECONDS = 600.0
HUGE_PIECE = b'{"success":true}' + b" " * (64 * 1024 - 16)


class BadRule(Exception):
    """A rule that cannot be meant; the message says why."""


def faults_check_fields(fields, known, where):
    """Refuses unknown names, wrong types and unknown words, with a near name if any."""
    if not isinstance(fields, dict):
        raise BadRule(f"{where} is not an object")
    for name, value in fields.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f'; perhaps you meant "{near[0]}"' if near else ""
            raise BadRule(f'{where} has no field "{name}"{hint}')
        kinds = known[name] if isinstance(known[name], tuple) else (known[name],)
        if type(value) not in kinds:
            raise BadRule(f"{where}.{name} must be {' or '.join(k.__name__ for k in kinds)}")
        if type(value) in NUMBER and value < 0:
            raise BadRule(f"{where}.{name} must not be negative")
        if name in WORDS and value not in WORDS[name]:
            raise BadRule(f"{where}.{name} must be one of {', '.join(WORDS[name])}")


class Facts:
    """What a rule may look at. At stage accept only `connection` is known."""

    def __init__(self, connection, request=None, text="", events=(), size=0, is_call=True):
        self.connection = connection
        self.is_call = is_call  # or a check of the key, which only a path names
        self.path = request.path if request else "/v1/"
        self.retry_count = request.fields.get("x-retry-count", "0") if request else "0"
        self.text = text
        self.events = events  # each one's text
        self.size = size


class Rule:
    """One rule, checked when made, and how often it was reached and fired."""

    def __init__(self, spec, number):
        faults_check_fields(spec, RULE_FIELDS, "rule")
        spec = _expand_culprit(spec)
        self.match = spec.get("match", {})
        self.action = spec.get("action", {})
        faults_check_fields(self.match, MATCH_FIELDS, "match")
        faults_check_fields(self.action, ACTION_FIELDS, "action")
        self.name = spec.get("name", f"rule {number}")
        self.stage = self.match.get("at", "body")
        self.seen = 0
        self.fired = 0
        self._check_sense()

    def _check_sense(self):
        """Combinations that could never do what they seem to say."""
        if not self.action:
            raise BadRule(f'rule "{self.name}" has no action')
        if not 1 <= self.match.get("every", 1):
            raise BadRule("match.every must be at least 1")
        if not 100 <= self.action.get("status", 200) <= 999:
            raise BadRule("action.status must have three digits")
        body_fields = ("contains", "event_contains", "min_events", "min_bytes")
        if self.stage != "body" and any(name in self.match for name in body_fields):
            raise BadRule(f"at {self.stage} the body is not known yet")
        how = self.action.get("how", "whole")
        if self.stage == "accept" and how not in ("hang", "reset", "close"):
            raise BadRule("at accept there is only how: hang, reset or close")
        if self.stage == "headers" and how == "whole" and "status" not in self.action:
            raise BadRule("at headers an answer needs a status")
        if self.stage != "body" and self.action.get("accept"):
            raise BadRule(f"at {self.stage} there are no events to accept")

    def passes(self, facts):
        """Do the filters hold for these facts?"""
        match = self.match
        return (
            (facts.path.startswith(match["path"]) if "path" in match else facts.is_call)
            and facts.connection in _as_list(match.get("connection", facts.connection))
            and facts.retry_count == str(match.get("retry_count", facts.retry_count))
            and len(facts.events) >= match.get("min_events", 0)
            and facts.size >= match.get("min_bytes", 0)
            and match.get("contains", "") in facts.text
            and self._passes_event(facts.events)
        )

    def _passes_event(self, events):
        wanted = self.match.get("event_contains")
        return wanted is None or any(wanted in text for text in events)

    def fires(self):
        """Counts one request that passed the filters; is it this rule's turn?"""
        self.seen += 1
        match, turn = self.match, self.seen
        fires = (
            turn in _as_list(match.get("nth", turn))
            and turn % match.get("every", 1) == 0
            and turn <= match.get("first", turn)
            and turn > match.get("after", 0)
            and self.fired < match.get("count", self.fired + 1)
        )
        self.fired += fires
        return fires

    def describe(self):
        return {
            "name": self.name,
            "match": self.match,
            "action": self.action,
            "seen": self.seen,
            "fired": self.fired,
        }


def _as_list(value):
    return value if isinstance(value, list) else (value,)


def _expand_culprit(spec):
    """{"culprit": "x"}: 400 for a request with an event whose JSON contains x."""
    if "culprit" not in spec:
        return spec
    match = {"event_contains": spec["culprit"], **spec.get("match", {})}
    action = {"status": 400, **spec.get("action", {})}
    return {"name": spec.get("name", "culprit"), "match": match, "action": action}


class Faults:
    """The rules in force. Thread-safe."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rules = []

    def set(self, specs, append=False):
        """Replaces the rules, or appends to them. Raises BadRule and changes nothing."""
        if not isinstance(specs, list):
            raise BadRule("rules is not an array")
        with self.lock:
            start = len(self.rules) if append else 0
            rules = [Rule(spec, start + place + 1) for place, spec in enumerate(specs)]
            self.rules = (self.rules if append else []) + rules

    def has_stage(self, stage):
        return any(rule.stage == stage for rule in self.rules)

    def pick(self, stage, facts):
        """The rule that breaks this, or None."""
        if not self.rules:
            return None
        with self.lock:
            for rule in self.rules:
                if rule.stage == stage and rule.passes(facts) and rule.fires():
                    return rule
        return None

    def describe(self):
        with self.lock:
            return [rule.describe() for rule in self.rules]


def faults_accepts_events(action, status):
    """Are a request's events taken although this rule fires?

    Unless "accept" says it: when a success is told to the sender in full.
    """
    told = action.get("how", "whole") in ("whole", "drip", "huge") or (
        action.get("how") == "half_close" and action.get("cut", "all") == "all"
    )
    return action.get("accept", told and 200 <= status < 300)


def faults_make_answer(action, usual):
    """(answer, seconds of the pause it announces or 0) of a rule.

    `usual` is the answer that would have been given without the rule.
    """
    answer = usual
    if "status" in action:
        status = action["status"]
        words = usual.body if 200 <= status < 300 else sandbox_http.http_name_status(status)
        answer = sandbox_http.HttpAnswer(status, action.get("body", words))
    elif "body" in action:
        answer = sandbox_http.HttpAnswer(usual.status, action["body"])
    answer.headers.extend((name, str(value)) for name, value in action.get("headers", {}).items())
    answer.close = answer.close or action.get("close", False)
    return answer, _add_pause(action, answer)


def _add_pause(action, answer):
    """Adds the headers that ask for a pause; gives its length in seconds."""
    pause = 0
    if "rate_limit_reset" in action:
        pause = action["rate_limit_reset"]
        answer.headers.append(("X-RateLimit-Reset", f"{pause:g}"))
    if "retry_after" in action:
        pause = action["retry_after"]
        answer.headers.append(("Retry-After", f"{pause:g}"))
    elif "retry_after_date" in action:
        # An HTTP date has whole seconds: the next one that is late enough.
        now = time.time()
        moment = math.ceil(now + action["retry_after_date"])
        pause = moment - now
        answer.headers.append(("Retry-After", email.utils.formatdate(moment, usegmt=True)))
    return pause


def faults_delay(connection, action, is_over):
    """Waits before the answer; False when the connection ended meanwhile.

    is_over() tells that the sandbox ends or was reset, which lets go of what hangs.
    """
    if "delay_ms" in action and connection.wait_peer(action["delay_ms"] / 1000, is_over):
        connection.close()
        return False
    return True


def faults_send(connection, answer, action, is_over):
    """Writes the answer in the way of `action`; True when the connection may stay open.

    faults_end() must follow.
    """
    return SENDERS[action.get("how", "whole")](connection, answer, action, is_over)


def faults_end(connection, action, stays, is_over):
    """What happens to the connection after the answer; True when it stays open."""
    if connection.closed:
        return False
    if action.get("how") == "half_close":
        # The peer may go on sending into the dark, for as long as it likes.
        connection.drain(HALF_CLOSE_SECONDS)
        connection.close()
        return False
    if stays and "idle_close_ms" in action:
        connection.wait_peer(action["idle_close_ms"] / 1000, is_over)
        stays = False
    if not stays:
        connection.close_in_order()
    return stays


def _send_whole(connection, answer, _action, _is_over):
    connection.write(answer.encode())
    return not answer.close


def _send_drip(connection, answer, action, is_over):
    """A byte at a time: as a slow network or a stalling proxy delivers it."""
    for byte in answer.encode():
        if connection.wait_peer(action.get("drip_ms", 10) / 1000, is_over):
            return False
        connection.write(bytes((byte,)))
    return not answer.close


def _send_nothing(connection, _answer, _action, is_over):
    connection.wait_peer(math.inf, is_over)
    connection.close()
    return False


def _send_garbage(connection, _answer, action, _is_over):
    connection.write(action.get("garbage", GARBAGE).encode("latin-1", "replace"))
    return False


def _send_huge(connection, answer, action, is_over):
    """A success with a body that nobody should keep in memory."""
    total, chunked = action.get("huge_bytes", HUGE_BYTES), action.get("chunked", False)
    length = "chunked" if chunked else total
    connection.write(answer.encode_status() + answer.encode_headers(length))
    sent = 0
    while sent < total and not is_over():
        piece = HUGE_PIECE[: total - sent]
        connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        sent += len(piece)
    if chunked and sent == total:
        connection.write(b"0\r\n\r\n")
    return sent == total and not answer.close


def faults_cut_answer(answer, cut):
    """The bytes of an answer up to where it is cut."""
    status, whole = answer.encode_status(), answer.encode()
    headers = len(whole) - len(answer.body)
    ends = {
        "nothing": 0,
        "half_status": len(status) // 2,
        "status": len(status),
        "headers": headers,
        "half_body": headers + len(answer.body) // 2,
        "all": len(whole),
    }
    return whole[: ends[cut]]


def _send_cut(connection, answer, action, _is_over):
    """Part of the answer, then the end: by reset, by close, or of one direction."""
    how = action["how"]
    part = faults_cut_answer(answer, action.get("cut", DEFAULT_CUT[how]))
    if part:
        connection.write(part)
    if how == "reset":
        connection.reset()
    elif how == "half_close":
        connection.shut_writing()
    return False


SENDERS = {
    "whole": _send_whole,
    "drip": _send_drip,
    "hang": _send_nothing,
    "garbage": _send_garbage,
    "huge": _send_huge,
    "reset": _send_cut,
    "close": _send_cut,
    "half_close": _send_cut,
}
