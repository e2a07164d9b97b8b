"""The sandbox's way of a request: connections accepted, requests routed, deliveries judged.

Owns: the listening sockets, one thread for each connection, and the way of a delivery
through rules, faults and ledger to its answer.
Refuses: to hold any rule of Segment's (sandbox_rules), any question's answer
(sandbox_control), or any state of its own that a reset would have to clear.
"""

import datetime
import socket
import sys
import threading
import traceback

import sandbox_control
import sandbox_faults
import sandbox_http
import sandbox_json
import sandbox_keep
import sandbox_ledger
import sandbox_rules
from sandbox_http import Disconnected, HttpAnswer, HttpConnection, HttpError
from sandbox_rules import Refusal

# Connections that wait to be accepted. A burst of lanes must not meet a full queue.
BACKLOG = 512
CALL_PATHS = {f"/v1/{kind}": kind for kind in ("batch",) + sandbox_rules.KINDS}
# RudderStack, Jitsu and older libraries write the same paths with a slash at the end.
CALL_PATHS.update({f"{path}/": kind for path, kind in list(CALL_PATHS.items())})


class Delivery:
    """A request's events on their way from the body to the ledger."""

    def __init__(self, call, request, entry):
        self.call = call
        self.request = request
        self.entry = entry
        self.members = {}
        self.events = sandbox_json.Events()
        self.sizes = []
        self.kinds = []
        self.text = ""
        self.size = 0
        self.received_at = datetime.datetime.now(datetime.timezone.utc)

    def parse(self, body):
        """Reads the events out of an uncompressed body. Raises NotJson."""
        self.size = len(body)
        try:
            self.text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise sandbox_json.NotJson(str(error)) from None
        if self.call == "batch":
            self.members, self.events = sandbox_json.json_split_batch(self.text)
            values = self.events.values
            self.kinds = [v.get("type") if type(v) is dict else None for v in values]
        else:
            self.events, self.kinds = sandbox_json.json_read_single(self.text), [self.call]
            self.members = self.events.values[0]
        self.sizes = self.events.measure()

    def make_source(self, connection):
        """What the kept events share. A single call's members are its event's own."""
        members = self.members if self.call == "batch" else {}
        shared = {
            name: members[name] for name in ("context", "integrations", "sentAt") if name in members
        }
        number = self.entry["number"]
        return sandbox_keep.Source(shared, self.received_at, number, connection.number)


class Server:
    """A running sandbox: open(), then stop()."""

    def __init__(self, settings, keep_limit, tls_context=None):
        self.settings = settings
        self.ledger = sandbox_ledger.Ledger(keep_limit)
        self.faults = sandbox_faults.Faults()
        self.control = sandbox_control.Control(self)
        self.tls_context = tls_context
        self.listeners = []
        self.stopping = threading.Event()
        # One body is judged at a time. The interpreter's own lock would let several
        # threads take turns with it, and each would find the processor's cache cold.
        self.judging = threading.Lock()

    # Life

    def open(self, host, port, control_only=False):
        """Listens, and accepts in a thread of its own; gives the port. Raises OSError.

        `control_only`: always in plain text, and never broken by a fault.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self.listeners.append(listener)
        threading.Thread(target=self._accept, args=(listener, control_only), daemon=True).start()
        return listener.getsockname()[1]

    def _accept(self, listener, control_only):
        while not self.stopping.is_set():
            try:
                sock, _address = listener.accept()
            except OSError:
                if not self.stopping.is_set():
                    # Out of descriptors: those in use come back; do not spin meanwhile.
                    self.ledger.count("sandbox_errors")
                    self.stopping.wait(0.05)
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            arguments = (HttpConnection(sock), control_only)
            threading.Thread(target=self._run_connection, args=arguments, daemon=True).start()

    def stop(self):
        """Ends accepting and lets go of what hangs. May be called twice."""
        self.stopping.set()
        for listener in self.listeners:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()

    def make_is_over(self):
        """A question for waiting threads: has the sandbox ended or been reset since?"""
        generation = self.ledger.generation
        return lambda: self.stopping.is_set() or self.ledger.generation != generation

    # A connection

    def _run_connection(self, connection, control_only):
        try:
            if control_only or self._greet(connection):
                while self._serve_request(connection, control_only):
                    pass
        except Disconnected:
            self.ledger.count("broken_requests")
        except Exception:  # a bug of the sandbox: seen in stats, and said aloud
            self.ledger.count("sandbox_errors")
            traceback.print_exc(file=sys.stderr)
        finally:
            connection.close()
            self.ledger.close_connection(connection)

    def _greet(self, connection):
        """Faults at accept, and TLS. False when the connection is over."""
        if self.faults.has_stage("accept") and self._may_deliver(connection):
            facts = sandbox_faults.Facts(self.ledger.read_next_connection())
            rule = self.faults.pick("accept", facts)
            if rule is not None:
                self.ledger.note_fault(None, rule.name)
                action = {"cut": "nothing", **rule.action}
                return self._send(connection, HttpAnswer(200), action, None, 0)
        if self.tls_context is not None:
            try:
                connection.start_tls(self.tls_context)
            except OSError:
                self.ledger.count("tls_failures")
                return False
        return True

    def _may_deliver(self, connection):
        """Will this connection bring a delivery? Questions and orders always pass.

        Under TLS there is no telling: there the control port is for them.
        """
        return self.tls_context is not None or b" /v1/" in connection.peek()

    def _serve_request(self, connection, control_only):
        """One request and its answer; True when the connection stays open."""
        try:
            request = connection.read_head()
            if request is None:
                return False
            if request.path in CALL_PATHS and not control_only:
                return self._serve_delivery(connection, request)
            if request.path.startswith("/v1/projects/") and not control_only:
                return self._serve_key_check(connection, request)
            connection.read_body_into(request)
            answer = self.control.answer(request)
        except HttpError as error:
            self.ledger.count("broken_requests")
            answer, request = HttpAnswer(error.status, error.words), None
        return self._write(connection, request, answer)

    def _write(self, connection, request, answer):
        """The plain way out, for all that is not a delivery."""
        answer.close = answer.close or request is None or request.wants_close()
        connection.write(answer.encode())
        if answer.close:
            connection.close_in_order()
        return not answer.close

    def _serve_key_check(self, connection, request):
        """GET /v1/projects/<key>/settings, as Segment's settings host answers."""
        connection.read_body_into(request)
        self.ledger.count("key_checks")
        key, _, rest = request.path.removeprefix("/v1/projects/").partition("/")
        known = rest == "settings" and sandbox_rules.rules_knows_key(key, self.settings)
        if request.method != "GET":
            answer = HttpAnswer(405, "Method Not Allowed")
        elif known:
            answer = HttpAnswer(200, '{"integrations":{},"plan":{}}', "application/json")
        else:
            answer = HttpAnswer(404, "Cannot find a source with this write key")
        facts = sandbox_faults.Facts(connection.number, request, is_call=False)
        rule = self.faults.pick("body", facts)
        if rule is None:
            return self._write(connection, request, answer)
        self.ledger.note_fault(None, rule.name)
        answer.close = request.wants_close()
        answer, pause = sandbox_faults.faults_make_answer(rule.action, answer)
        return self._send(connection, answer, rule.action, None, pause)

    # A delivery

    def _serve_delivery(self, connection, request):
        entry = self.ledger.begin_request(request, connection)
        try:
            return self._judge_delivery(connection, request, entry)
        except HttpError as error:
            self.ledger.refuse(entry, "bad_request", 0)
            answer = HttpAnswer(error.status, error.words)
            answer.close = True
            return self._answer_delivery(connection, answer, {}, entry)
        except Disconnected:
            if entry["status"] is None:
                self.ledger.note_answer(entry, "disconnected")
            raise
        finally:
            self.ledger.finish_request(entry)

    def _judge_delivery(self, connection, request, entry):
        """Faults at headers, the body, Segment's judgement, faults at body, the answer."""
        if request.method != "POST":
            raise HttpError(405, "Method Not Allowed")
        rule = self.faults.pick("headers", sandbox_faults.Facts(connection.number, request))
        if rule is not None:
            return self._break_early(connection, request, entry, rule)
        delivery = Delivery(CALL_PATHS[request.path], request, entry)
        body, refusal = self._read_delivery(connection, delivery)
        with self.judging:
            answer, action, pause = self._judge_body(connection, delivery, body, refusal)
            delivery = body = None  # its memory is used again before it grows cold
        return self._answer_delivery(connection, answer, action, entry, pause)

    def _judge_body(self, connection, delivery, body, refusal):
        """(answer, the firing rule's action or {}, pause), everything being booked."""
        request, entry = delivery.request, delivery.entry
        refusal = refusal or self._parse_delivery(delivery, body)
        reason = None
        if refusal is None:
            refusal, reason = self._check_delivery(delivery)
        facts = sandbox_faults.Facts(
            connection.number, request, delivery.text, delivery.events.texts, delivery.size
        )
        rule = self.faults.pick("body", facts)
        action = {} if rule is None else rule.action
        answer, pause = self._make_answer(refusal, request, action)
        if rule is not None:
            self.ledger.note_fault(entry, rule.name)
            if refusal is None and not sandbox_faults.faults_accepts_events(action, answer.status):
                refusal = Refusal(answer.status, "", "fault")
        self._book_delivery(connection, delivery, refusal, reason)
        return answer, action, pause

    def _read_delivery(self, connection, delivery):
        """Reads and unpacks the body: (bytes, None) or (None, Refusal)."""
        request, settings = delivery.request, self.settings
        body = connection.read_body(request)
        coding = request.fields.get("content-encoding", "").lower()
        # A single call is held to an event's limit: the documented one of such a request.
        limit = settings.body_bytes if delivery.call == "batch" else settings.event_bytes
        try:
            unpacked = sandbox_http.http_unpack(body, coding, limit)
        except HttpError as error:
            self.ledger.note_body(delivery.entry, None, request.wire_bytes)
            return None, Refusal(error.status, sandbox_rules.WORDS_NOT_JSON, "bad_request")
        size = None if unpacked is None else len(unpacked)
        self.ledger.note_body(delivery.entry, size, request.wire_bytes)
        if unpacked is None:
            reason = "body_too_large" if delivery.call == "batch" else "event_too_large"
            return None, Refusal(settings.over_size_status, sandbox_rules.WORDS_TOO_LARGE, reason)
        return unpacked, None

    def _parse_delivery(self, delivery, body):
        """Parses the body into the delivery. Gives the Refusal, if any."""
        try:
            delivery.parse(body)
        except sandbox_json.NotJson as error:
            delivery.entry["problem"] = str(error)
            return Refusal(400, sandbox_rules.WORDS_NOT_JSON, "not_json")
        sent_at = delivery.members.get("sentAt")
        self.ledger.note_events(delivery.entry, delivery.events, delivery.sizes, sent_at)
        return None

    def _check_delivery(self, delivery):
        """(Refusal or None, reason to drop every event or None)."""
        settings, request = self.settings, delivery.request
        key, place = sandbox_rules.rules_read_key(
            request.fields.get("authorization"), delivery.members
        )
        status, reason = sandbox_rules.rules_find_auth_problem(key, place, settings)
        refusal = sandbox_rules.rules_find_refusal(
            delivery.events, max(delivery.sizes, default=0), status, settings
        )
        if reason is None and len(delivery.sizes) > settings.batch_events:
            reason = "too_many_events"
        return refusal, reason

    def _make_answer(self, refusal, request, action):
        """(answer, pause in seconds) after rules and fault."""
        if refusal is None:
            words = self.settings.success_body
            is_json = words.startswith("{")
            answer = HttpAnswer(200, words, "application/json" if is_json else "text/plain")
        else:
            answer = HttpAnswer(refusal.status, refusal.words)
        answer.close = request.wants_close()
        return sandbox_faults.faults_make_answer(action, answer)

    def _book_delivery(self, connection, delivery, refusal, reason):
        """Everything the ledger should hold before the answer goes out."""
        if refusal is not None:
            self.ledger.refuse(delivery.entry, refusal.reason, len(delivery.sizes))
            return
        source = delivery.make_source(connection)
        self.ledger.take(
            delivery.entry, delivery.events, delivery.kinds, source, self.settings, reason
        )

    def _break_early(self, connection, request, entry, rule):
        """A fault before the body is read: what comes of the body is not looked at."""
        self.ledger.note_fault(entry, rule.name)
        self.ledger.refuse(entry, "fault", 0)
        answer, pause = self._make_answer(None, request, rule.action)
        answer.close = answer.close or request.has_body()
        return self._answer_delivery(connection, answer, rule.action, entry, pause)

    def _answer_delivery(self, connection, answer, action, entry, pause=0):
        """Books the answer, then sends it."""
        how = action.get("how", "whole")
        told = how in ("whole", "drip", "huge")
        self.ledger.note_answer(entry, answer.status if told else how)
        return self._send(connection, answer, action, entry, pause if told else 0)

    def _send(self, connection, answer, action, entry, pause):
        """Sends by the action's ways; the empty action is the plain one."""
        is_over = self.make_is_over()
        stays = False
        if sandbox_faults.faults_delay(connection, action, is_over):
            if pause:
                self.ledger.announce_pause(pause)
            stays = sandbox_faults.faults_send(connection, answer, action, is_over)
        if entry is not None:
            self.ledger.finish_request(entry)
        return sandbox_faults.faults_end(connection, action, stays, is_over)
