"""Every fault, as bytes on a socket: what a sender would meet."""

import email.utils
import http.client
import json
import socket
import time
import unittest

from sandbox_testing import KEY, SandboxCase, basic, batch, track

SUCCESS = b'{"success":true}'


class FaultCase(SandboxCase):
    """Senders that look at bytes."""

    def setUp(self):
        super().setUp()
        self.sent = 0

    def fault(self, match=None, **action):
        self.sandbox.set_faults({"match": match or {}, "action": action})

    def body(self):
        self.sent += 1
        return json.dumps(batch(track(f"m{self.sent}"))).encode()

    def write_call(self, sock, body=None):
        body = self.body() if body is None else body
        head = f"POST /v1/batch HTTP/1.1\r\nAuthorization: {basic(f'{KEY}:')}\r\n"
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def read_to_end(self, sock):
        """(bytes until the end, how it ended: "end" or "reset")."""
        parts = []
        try:
            while part := sock.recv(65536):
                parts.append(part)
            return b"".join(parts), "end"
        except ConnectionResetError:
            return b"".join(parts), "reset"

    def call_raw(self):
        with self.sandbox.connect() as sock:
            self.write_call(sock)
            return self.read_to_end(sock)

    def status(self, **more):
        return self.send(self.body(), **more)[0]


class AnswerTest(FaultCase):
    def test_any_status_with_headers_and_body(self):
        for status in (301, 400, 401, 403, 404, 408, 410, 413, 429, 460, 500, 501, 503, 511):
            self.fault(status=status, headers={"X-Why": "test"}, body=f"because {status}")
            got, text, headers = self.send(self.body())
            self.assertEqual((got, text, headers["X-Why"]), (status, f"because {status}", "test"))
        stats = self.sandbox.stats()
        self.assertEqual(stats["accepted"], 0)
        self.assertEqual((stats["refused"], stats["refusals"]), (14, {"fault": 14}))
        self.assertEqual(stats["by_status"]["460"], 1)
        self.assertEqual(self.sandbox.requests()[0]["fault"], "rule 1")

    def test_status_without_body_says_its_name(self):
        self.fault(status=400)
        self.assertEqual(self.send(self.body())[1], "Bad Request")

    def test_error_is_told_although_events_were_accepted(self):
        self.fault(status=500, accept=True, match={"first": 1})
        self.assertEqual([self.send(batch(track("same")))[0] for _ in range(2)], [500, 200])
        stats = self.sandbox.stats()
        self.assertEqual((stats["accepted"], stats["repeated"]), (1, 1))

    def test_retry_after_in_each_form(self):
        self.fault(status=429, retry_after=2)
        self.assertEqual(self.send(self.body())[2]["Retry-After"], "2")
        self.fault(status=503, retry_after_date=2)
        text = self.send(self.body())[2]["Retry-After"]
        ahead = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        self.assertTrue(1 < ahead <= 3, text)
        self.fault(status=429, rate_limit_reset=7)
        self.assertEqual(self.send(self.body())[2]["X-RateLimit-Reset"], "7")
        self.assertEqual(self.sandbox.stats()["pauses_announced"], 3)

    def test_requests_during_an_announced_pause_are_counted(self):
        self.fault(status=429, retry_after=0.6, match={"first": 1})
        lane = self.lane()
        self.assertEqual(self.status(lane=lane), 429)
        told = time.monotonic()
        early = 0
        while time.monotonic() < told + 0.7:  # past the grace, then past the pause
            early += self.sandbox.stats()["pause_violations"] == 0
            self.assertEqual(self.status(lane=lane), 200)
        before = self.sandbox.stats()["pause_violations"]
        self.assertGreater(before, 0)
        self.assertGreater(early, 1)  # within the grace none was counted
        self.status(lane=lane)
        self.assertEqual(self.sandbox.stats()["pause_violations"], before)

    def test_connection_close_on_each_answer(self):
        self.fault(close=True)
        text, end = self.call_raw()
        self.assertIn(b"Connection: close\r\n", text)
        self.assertEqual((text.endswith(SUCCESS), end), (True, "end"))
        self.assertEqual(self.sandbox.stats()["accepted"], 1)

    def test_delay_before_the_answer(self):
        self.fault(delay_ms=150)
        began = time.monotonic()
        self.assertEqual(self.status(), 200)
        self.assertGreaterEqual(time.monotonic() - began, 0.15)

    def test_check_of_the_key_is_broken_only_by_its_path(self):
        path = f"/v1/projects/{KEY}/settings"
        self.fault(status=500)
        self.assertEqual(self.sandbox.request("GET", path)[0], 200)
        self.fault(status=503, match={"path": "/v1/projects/"})
        self.assertEqual(self.sandbox.request("GET", path)[0], 503)
        self.assertEqual(self.status(), 200)


class MatchTest(FaultCase):
    def turns(self, total, **match):
        """Which of `total` requests are broken."""
        self.fault(match, status=500)
        lane = self.lane()
        return [turn for turn in range(1, total + 1) if self.status(lane=lane) == 500]

    def test_turns(self):
        self.assertEqual(self.turns(5, nth=3), [3])
        self.assertEqual(self.turns(5, nth=[2, 5]), [2, 5])
        self.assertEqual(self.turns(7, every=3), [3, 6])
        self.assertEqual(self.turns(4, first=2), [1, 2])
        self.assertEqual(self.turns(4, after=2), [3, 4])
        self.assertEqual(self.turns(6, after=2, count=1), [3])
        self.assertEqual(self.turns(8, every=2, count=2), [2, 4])

    def test_body_connection_retry_and_size(self):
        one, two = self.lane(), self.lane()
        self.status(lane=one)
        self.status(lane=two)
        self.fault({"connection": 2}, status=500)
        self.assertEqual((self.status(lane=one), self.status(lane=two)), (200, 500))
        self.fault({"contains": "find me"}, status=500)
        self.assertEqual(self.send(batch(track("x1", note="find me")), packed=True)[0], 500)
        self.assertEqual(self.status(), 200)
        self.fault({"retry_count": 1}, status=500)
        self.assertEqual((self.status(), self.status(X_Retry_Count="1")), (200, 500))
        self.fault({"min_events": 3}, status=413)
        self.assertEqual(self.send(batch(*(track(f"y{n}") for n in range(3))))[0], 413)
        self.assertEqual(self.send(batch(*(track(f"y{n}") for n in range(2))))[0], 200)
        self.fault({"min_bytes": 1000}, status=413)
        self.assertEqual(self.send(batch(track("z", note="x" * 1000)))[0], 413)
        self.assertEqual(self.status(), 200)

    def test_first_rule_that_fires_wins(self):
        self.sandbox.set_faults(
            {"name": "a", "match": {"nth": 2}, "action": {"status": 500}},
            {"name": "b", "action": {"status": 429}},
        )
        self.assertEqual([self.status() for _ in range(3)], [429, 500, 429])
        self.assertEqual(self.sandbox.stats()["faults_fired"], {"a": 1, "b": 2})
        rules = self.sandbox.ask("GET", "faults")[1]["rules"]
        self.assertEqual([(rule["seen"], rule["fired"]) for rule in rules], [(3, 1), (2, 2)])

    def test_culprit_is_found_by_halving(self):
        self.sandbox.set_faults({"culprit": "BAD"})
        events = [track(f"m{n}", note="BAD" if n == 37 else "good") for n in range(100)]
        refused = []

        def deliver(part):
            status, text, _headers = self.send(batch(*part))
            if status == 200:
                return
            self.assertEqual((status, text), (400, "Bad Request"))
            if len(part) == 1:
                refused.append(part[0]["messageId"])
                return
            deliver(part[: len(part) // 2])
            deliver(part[len(part) // 2 :])

        deliver(events)
        self.assertEqual((refused, self.sandbox.stats()["accepted"]), (["m37"], 99))

    def test_culprit_is_looked_for_in_events_only(self):
        self.sandbox.set_faults({"culprit": "BAD", "action": {"status": 413}})
        self.assertEqual(self.send(batch(track("m"), context={"note": "BAD"}))[0], 200)
        self.assertEqual(self.send(batch(track("BAD")))[0], 413)

    def test_rules_that_cannot_be_meant_are_refused(self):
        bad = (
            {"action": {"stauts": 500}}, {"match": {"nht": 1}, "action": {"status": 500}}, {},
            {"action": {"status": "500"}}, {"action": {"how": "explode"}}, {"action": {"status": 5}},
            {"match": {"at": "headers", "contains": "x"}, "action": {"status": 500}},
            {"match": {"at": "headers"}, "action": {"close": True}},
            {"match": {"at": "accept"}, "action": {"status": 500}},
            {"match": {"at": "headers"}, "action": {"status": 200, "accept": True}},
            {"match": {"every": 0}, "action": {"status": 500}}, {"match": {"first": True}, "action": {"status": 500}},
        )  # fmt: skip
        self.fault(status=503)
        for rule in bad:
            self.assertEqual(self.sandbox.ask("POST", "faults", [rule])[0], 400, rule)
        answer = self.sandbox.ask("POST", "faults", [bad[0]])[1]
        self.assertIn('perhaps you meant "status"', answer["error"])
        self.assertEqual(self.status(), 503)  # what was in force stays so

    def test_append_and_clear(self):
        rule = {"match": {"nth": 9}, "action": {"status": 500}}
        self.sandbox.set_faults(rule)
        body = {"rules": [{"action": {"status": 429}}], "append": True}
        self.assertEqual(len(self.sandbox.ask("POST", "faults", body)[1]["rules"]), 2)
        self.assertEqual(self.status(), 429)
        self.sandbox.ask("DELETE", "faults")
        self.assertEqual(self.status(), 200)


class BrokenAnswerTest(FaultCase):
    def test_reset_after_each_part_of_the_answer(self):
        ends = {"nothing": b"", "half_status": b"HTTP/1.1", "status": b"200 OK\r\n",
                "headers": b"\r\n\r\n", "half_body": b'{"succes', "all": SUCCESS}  # fmt: skip
        for cut, tail in ends.items():
            self.fault(how="reset", cut=cut)
            text, end = self.call_raw()
            self.assertEqual((text.endswith(tail), end), (True, "reset"), (cut, text))
        self.assertEqual(self.sandbox.stats()["accepted"], 0)
        self.assertEqual(self.sandbox.stats()["by_status"], {"reset": 6})

    def test_close_after_each_part_of_the_answer(self):
        for cut, tail in (("nothing", b""), ("headers", b"\r\n\r\n"), ("half_body", b'{"succes')):
            self.fault(how="close", cut=cut)
            text, end = self.call_raw()
            self.assertEqual((text.endswith(tail), end), (True, "end"), (cut, text))

    def test_accepted_but_not_told_and_a_repeat_is_harmless(self):
        self.fault({"first": 1}, how="reset", cut="nothing", accept=True)
        with self.sandbox.connect() as sock:
            self.write_call(sock, json.dumps(batch(track("same"))).encode())
            self.assertEqual(self.read_to_end(sock), (b"", "reset"))
        self.assertEqual(self.sandbox.stats()["accepted"], 1)
        self.assertEqual(self.send(batch(track("same")))[0], 200)
        stats = self.sandbox.stats()
        self.assertEqual((stats["accepted"], stats["repeated"]), (1, 1))

    def test_never_answers_until_the_sender_gives_up(self):
        self.fault(how="hang")
        with self.sandbox.connect() as sock:
            self.write_call(sock)
            self.sandbox.wait("by_status.hang", equals=1)
            self.assertEqual(self.sandbox.stats()["requests_in_progress"], 1)
            sock.settimeout(0.1)
            self.assertRaises(TimeoutError, sock.recv, 1)
        self.sandbox.wait("requests_in_progress", equals=0)
        self.assertIsNotNone(self.sandbox.requests()[0]["seconds"])

    def test_reset_of_the_sandbox_lets_go_of_what_hangs(self):
        self.fault(how="hang")
        with self.sandbox.connect() as sock:
            self.write_call(sock)
            self.sandbox.wait("by_status.hang", equals=1)
            self.sandbox.reset()
            self.assertEqual(self.read_to_end(sock)[0], b"")

    def test_half_closed_after_the_answer(self):
        self.fault(how="half_close")
        with self.sandbox.connect() as sock:
            self.write_call(sock)
            text, end = self.read_to_end(sock)
            self.assertEqual((text.endswith(SUCCESS), end), (True, "end"))
            self.write_call(sock)  # into the dark: nobody resets, nobody answers
            self.assertEqual(sock.recv(1), b"")
        stats = self.sandbox.stats()
        self.assertEqual((stats["accepted"], stats["requests"]), (1, 1))

    def test_half_closed_instead_of_an_answer(self):
        self.fault(how="half_close", cut="nothing")
        self.assertEqual(self.call_raw(), (b"", "end"))
        self.assertEqual(self.sandbox.stats()["accepted"], 0)

    def test_idle_connection_is_closed_without_notice(self):
        self.fault(idle_close_ms=20)
        with self.sandbox.connect() as sock:
            self.write_call(sock)
            text, end = self.read_to_end(sock)
        self.assertEqual((text.endswith(SUCCESS), end), (True, "end"))
        self.assertNotIn(b"Connection: close", text)

    def test_a_byte_at_a_time(self):
        self.fault(how="drip", drip_ms=1)
        with self.sandbox.connect() as sock:
            self.write_call(sock)
            pieces, text = 0, b""
            while not text.endswith(SUCCESS):
                text += sock.recv(65536)
                pieces += 1
            self.write_call(sock)  # and the connection is good for more
            self.assertTrue(sock.recv(1))
        self.assertGreater(pieces, 20)
        self.sandbox.wait("accepted", equals=2)

    def test_huge_body_with_success(self):
        size = 5_000_000
        for chunked in (False, True):
            self.fault(how="huge", huge_bytes=size, chunked=chunked)
            status, text, headers = self.send(self.body())
            self.assertEqual((status, len(text)), (200, size))
            self.assertEqual(headers["Transfer-Encoding"], "chunked" if chunked else None)
        self.assertEqual(self.sandbox.stats()["accepted"], 2)

    def test_huge_body_ends_when_the_sender_leaves(self):
        self.fault(how="huge")  # 200 MB
        with self.sandbox.connect() as sock:
            self.write_call(sock)
            self.assertTrue(sock.recv(1000).startswith(b"HTTP/1.1 200"))
        self.sandbox.wait("requests_in_progress", equals=0)

    def test_garbage_instead_of_http(self):
        self.fault(how="garbage")
        text, end = self.call_raw()
        self.assertEqual((text[:2], end), (b"\x00\x01", "end"))
        self.fault(how="garbage", garbage="HTTP/9 banana\r\n\r\n")
        self.assertRaises(http.client.HTTPException, self.send, self.body())
        self.assertEqual(self.sandbox.stats()["accepted"], 0)

    def test_delay_is_left_when_the_sender_leaves(self):
        self.fault(delay_ms=600_000)
        with self.sandbox.connect() as sock:
            self.write_call(sock)
            self.sandbox.wait("requests_in_progress", equals=1)
        self.sandbox.wait("requests_in_progress", equals=0)


class EarlyTest(FaultCase):
    def test_answer_before_the_body_is_read(self):
        self.fault({"at": "headers"}, status=413)
        with self.sandbox.connect() as sock:
            head = f"POST /v1/batch HTTP/1.1\r\nAuthorization: {basic(KEY)}\r\nContent-Length: 99\r\n\r\n"
            sock.sendall(head.encode() + b"{")
            text, end = self.read_to_end(sock)
        self.assertTrue(text.startswith(b"HTTP/1.1 413 "), text)
        self.assertEqual((b"Connection: close\r\n" in text, end), (True, "end"))

    def test_body_is_never_read(self):
        self.fault({"at": "headers"}, how="hang")
        with self.sandbox.connect() as sock:
            sock.sendall(b"POST /v1/batch HTTP/1.1\r\nContent-Length: 60000000\r\n\r\n")
            self.sandbox.wait("by_status.hang", equals=1)
            sock.setblocking(False)
            written = 0
            with self.assertRaises(BlockingIOError):  # the buffers are full
                while written < 60_000_000:
                    written += sock.send(b" " * 100_000)

    def test_reset_and_hang_as_a_connection_is_accepted(self):
        self.fault({"at": "accept", "first": 1}, how="reset")
        self.assertEqual(self.call_raw(), (b"", "reset"))
        self.assertEqual(self.status(), 200)
        self.fault({"at": "accept"}, how="hang")
        with self.sandbox.connect() as sock:
            self.write_call(sock)
            self.sandbox.wait("faults_fired.rule 1", equals=2)
            sock.settimeout(0.1)
            self.assertRaises(TimeoutError, sock.recv, 1)
        # Questions always pass: they were asked all the time.
        self.assertEqual(self.sandbox.stats()["requests"], 1)


class HttpTest(FaultCase):
    def test_chunked_body_and_expect(self):
        body = self.body()
        with self.sandbox.connect() as sock:
            head = f"POST /v1/batch HTTP/1.1\r\nAuthorization: {basic(f'{KEY}:')}\r\n"
            sock.sendall(
                f"{head}Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            self.assertEqual(sock.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            for start in range(0, len(body), 50):
                part = body[start : start + 50]
                sock.sendall(b"%x;ext=1\r\n%b\r\n" % (len(part), part))
            sock.sendall(b"0\r\nTrailer: x\r\n\r\n")
            self.assertTrue(sock.recv(1000).endswith(SUCCESS))
        self.assertEqual(self.sandbox.stats()["bytes"], len(body))

    def test_two_requests_in_one_packet(self):
        with self.sandbox.connect() as sock:
            body = self.body()
            call = f"POST /v1/batch HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            sock.sendall(call + call.replace(b"1.1\r\n", b"1.1\r\nConnection: close\r\n"))
            text, _end = self.read_to_end(sock)
        self.assertEqual(text.count(SUCCESS), 2)

    def test_requests_that_are_not_http(self):
        for request in (b"banana\r\n\r\n", b"GET / HTTP/3\r\n\r\n", b"GET / HTTP/1.1\r\nbad\r\n\r\n",
                        b"POST /v1/batch HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                        b"POST /v1/batch HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                        b"POST /v1/batch HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                        b"POST /v1/batch HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n",
                        b"GET /v1/batch HTTP/1.1\r\n\r\n", b"x" * 70_000):  # fmt: skip
            with self.sandbox.connect() as sock:
                sock.sendall(request)
                text, end = self.read_to_end(sock)
                self.assertRegex(text, rb"^HTTP/1.1 [45]\d\d ", request[:40])
                self.assertEqual(end, "end")

    def test_sender_that_leaves_in_the_middle_of_a_body(self):
        with self.sandbox.connect() as sock:
            sock.sendall(b"POST /v1/batch HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
            sock.shutdown(socket.SHUT_WR)
            self.read_to_end(sock)
        self.sandbox.wait("by_status.disconnected", equals=1)
        self.sandbox.wait("connections_open", equals=0)


if __name__ == "__main__":
    unittest.main()
