"""The sandbox's rules, books and questions. Faults are in test_sandbox_faults.py."""

import json
import os
import ssl
import subprocess
import sys
import tempfile
import unittest

import sandbox_json
import sandbox_keep
import sandbox_rules
from sandbox_client import Sandbox
from sandbox_testing import KEY, SENT_AT, SandboxCase, basic, batch, track

SUCCESS = '{"success":true}'


class JsonTest(unittest.TestCase):
    def split(self, text):
        return sandbox_json.json_split_batch(text)

    def test_texts_are_exactly_what_was_sent(self):
        hard = [
            '{"a":"},{"}', '{"p":[{"x":1},{"x":2}]}', '{ "a" : 1.10 }', '{"s":"é\\"},{\\""}',
            "{}", '{"n":[],"m":{}}', "5", '"},{"', "[{},{}]", "null",
        ]  # fmt: skip
        for spacing in (",", ", ", "\n,\t"):
            for first in range(len(hard)):
                for count in range(1, 5):
                    pieces = (hard * 2)[first : first + count]
                    text = '{"sentAt":"x","batch":[' + spacing.join(pieces) + '],"z":1}'
                    members, events = self.split(text)
                    self.assertEqual(events.texts, pieces)
                    self.assertEqual(events.values, [json.loads(piece) for piece in pieces])
                    self.assertEqual(members, {"sentAt": "x", "z": 1})

    def test_ends_of_items_inside_a_text_are_no_ends(self):
        pieces = ['{"a":"},{},{"}', "5", '{"b":1}']
        _members, events = self.split('{"batch":[' + ",".join(pieces) + "]}")
        self.assertEqual(events.texts, pieces)

    def test_sizes_are_bytes_not_characters(self):
        _members, events = self.split('{"batch":[{"a":"é€😀"},{"a":"x"}]}')
        self.assertEqual(events.measure(), [len('{"a":"é€😀"}'.encode()), 9])

    def test_what_is_not_json_is_refused(self):
        bad = (
            "", "[]", "{", '{"batch":[', '{"batch":[{}', '{"batch":[{},]}', '{"batch":[]',
            '{"batch":[{"a":NaN}]}', '{"batch":[-Infinity]}', '{"batch":[]} x', '{"batch":{}}',
            '{"sentAt":"x"}', "{batch:[]}", '{"batch":[1 2]}', '{"batch":[],}', "null",
            '{"batch":' + "[" * 100_000 + "]" * 100_000 + "}", '{"batch":[' + "9" * 5000 + "]}",
        )  # fmt: skip
        for text in bad:
            with self.subTest(text=text[:30]), self.assertRaises(sandbox_json.NotJson):
                self.split(text)

    def test_digits_survive_reading_and_writing(self):
        text = '{"a":1.10,"b":123456789012345678901234567890,"c":1E400,"d":[-0.0,true,null,"é"]}'
        value = sandbox_json.json_read_exact(text)
        self.assertEqual(sandbox_json.json_write_exact(value, ascii_only=False), text)


class ClockTest(unittest.TestCase):
    def correct(self, original, sent_at):
        received = sandbox_rules.clock_parse("2026-03-01T12:00:30.000Z")
        return sandbox_rules.clock_correct(original, sent_at, received)

    def test_clock_is_corrected_by_what_the_sender_says(self):
        # The sender's clock is 20 s late: what was 10 s before sending, was so.
        self.assertEqual(
            self.correct("2026-03-01T12:00:00.000Z", SENT_AT), "2026-03-01T12:00:20.000Z"
        )
        self.assertEqual(
            self.correct("2026-03-01T14:00:00+02:00", SENT_AT), "2026-03-01T12:00:20.000Z"
        )

    def test_clock_without_one_of_the_times(self):
        self.assertEqual(self.correct(None, SENT_AT), "2026-03-01T12:00:30.000Z")
        self.assertEqual(self.correct("2026-01-01T00:00:00Z", None), "2026-01-01T00:00:00.000Z")
        self.assertEqual(self.correct("yesterday", SENT_AT), "2026-03-01T12:00:30.000Z")

    def test_clock_at_the_ends_of_the_calendar(self):
        first = "0001-01-01T00:00:00.000Z"
        self.assertEqual(self.correct(first, "9999-12-31T00:00:00Z"), first)


class KeepTest(unittest.TestCase):
    def record(self, number, text):
        return sandbox_keep.Record(
            number, "accepted", None, "track", "E", "u", f"m{number}", text, None
        )

    def test_newest_are_bounded_in_number_and_in_bytes(self):
        for limit, byte_limit, kept in ((3, 1000, [3, 4, 5]), (100, 25, [4, 5]), (100, 5, [])):
            newest = sandbox_keep.Newest(limit, byte_limit)
            newest.extend([self.record(number, "x" * 10) for number in range(6)])
            self.assertEqual([record.number for record in newest.records], kept)
            self.assertEqual(newest.bytes, 10 * len(kept))

    def test_what_a_batch_holds_beside_its_events_counts(self):
        newest = sandbox_keep.Newest(100, 1000)
        newest.extend([self.record(1, "x"), self.record(2, "x")], 990)
        newest.extend([self.record(3, "x" * 20)], 0)
        self.assertEqual([record.number for record in newest.records], [3])


class RulesTest(SandboxCase):
    def expect_dropped(self, event, reason):
        self.sandbox.reset()
        status, text, _headers = self.send(batch(event))
        self.assertEqual((status, text), (200, SUCCESS))
        stats = self.sandbox.stats()
        self.assertEqual((stats["dropped"], stats["accepted"]), ({reason: 1}, 0))
        self.assertEqual(self.sandbox.events(outcome="dropped")[0]["reason"], reason)

    def test_every_event_that_segment_drops_without_a_word(self):
        good = {
            "track": {"userId": "u", "event": "E"},
            "group": {"anonymousId": "a", "groupId": "g"},
            "alias": {"userId": "u", "previousId": "p"},
            "identify": {"userId": "u"},
        }
        cases = (
            ("track", {"userId": None}, "missing_id"), ("track", {"userId": ""}, "empty_id"),
            ("track", {"event": None}, "missing_event"), ("track", {"event": ""}, "missing_event"),
            ("identify", {"userId": {}}, "missing_id"), ("group", {"groupId": None}, "missing_group_id"),
            ("group", {"groupId": ""}, "empty_group_id"), ("group", {"anonymousId": ""}, "empty_id"),
            ("alias", {"previousId": None}, "missing_previous_id"),
            ("alias", {"previousId": ""}, "empty_previous_id"),
            ("alias", {"userId": None, "anonymousId": "a"}, "missing_id"),
            ("identify", {"messageId": "m" * 101}, "message_id_too_long"),
            ("identify", {"messageId": 5}, "message_id_not_text"),
            ("identify", {"type": "Identify"}, "unknown_type"), ("identify", {"type": None}, "unknown_type"),
            ("identify", {"type": ["track"]}, "unknown_type"),
        )  # fmt: skip
        for kind, changes, reason in cases:
            with self.subTest(kind=kind, changes=changes):
                self.expect_dropped({"type": kind, **good[kind], **changes}, reason)
        for item in (5, None, "text", []):
            self.expect_dropped(item, "not_an_object")

    def test_every_kind_of_call_is_accepted(self):
        for kind in sandbox_rules.KINDS:
            event = {
                "userId": "u",
                "event": "E",
                "groupId": "g",
                "previousId": "p",
                "messageId": kind,
            }
            self.assertEqual(self.send({**event, "sentAt": SENT_AT}, f"/v1/{kind}")[0], 200)
            self.send(batch({**event, "type": kind, "messageId": f"{kind} in batch"}), packed=True)
        stats = self.sandbox.stats()
        self.assertEqual(stats["by_type"], dict.fromkeys(sandbox_rules.KINDS, 2))
        self.assertEqual((stats["accepted"], stats["warnings"]), (12, {}))
        self.assertEqual(self.sandbox.ask("GET", "event/page")[1]["event"]["type"], "page")

    def test_limits_at_their_edges(self):
        self.send(batch(track("m" * 100)))
        self.assertEqual(self.sandbox.stats()["accepted"], 1)
        self.send(batch(*(track(f"a{n}") for n in range(2500))), packed=True)
        self.assertEqual(self.sandbox.stats()["accepted"], 2501)
        status, text, _headers = self.send(
            batch(*(track(f"b{n}") for n in range(2501))), packed=True
        )
        self.assertEqual((status, text), (200, SUCCESS))
        self.assertEqual(self.dropped(), {"too_many_events": 2501})

    def sized_event(self, size, letter="x"):
        base = len(json.dumps(track("big", note="")))
        return track("big", note=letter * (size - base))

    def test_an_event_of_32_kb_and_one_byte_more(self):
        self.assertEqual(self.send(batch(self.sized_event(32768)))[0], 200)
        status, text, _headers = self.send(batch(track("m"), self.sized_event(32769)))
        self.assertEqual((status, text), (400, "Exceed payload limit"))
        stats = self.sandbox.stats()
        self.assertEqual((stats["accepted"], stats["refused"]), (1, 2))
        self.assertEqual(stats["max_event_bytes"], 32769)
        self.sandbox.set(large_event="drop")
        self.addCleanup(self.sandbox.set, large_event="refuse")
        self.assertEqual(self.send(batch(track("m"), self.sized_event(32769)))[0], 200)
        self.assertEqual(self.dropped(), {"event_too_large": 1})

    def test_a_single_call_is_held_to_32_kb(self):
        event = self.sized_event(32769)
        self.assertEqual(self.send(event, "/v1/track")[0], 400)
        self.assertEqual(self.sandbox.stats()["refusals"], {"event_too_large": 1})

    def test_a_body_of_500_kb_uncompressed_and_one_byte_more(self):
        body = json.dumps(batch(track("m"))).encode()
        self.assertEqual(self.send(body + b" " * (500_000 - len(body)), packed=True)[0], 200)
        self.assertEqual(self.send(body + b" " * (500_000 - len(body)))[0], 200)
        for packed in (False, True):
            body_too_large = body + b" " * (500_001 - len(body))
            status, text, _headers = self.send(body_too_large, packed=packed)
            self.assertEqual((status, text), (400, "Exceed payload limit"))
        self.assertEqual(self.sandbox.stats()["max_body_bytes"], 500_000)
        # A gzip bomb is not unpacked further than the limit.
        self.assertEqual(self.send(b" " * 50_000_000, packed=True)[0], 400)

    def test_unparsable_bodies(self):
        for body in (b"{", b"\xff{}", b'{"batch":5}', b"", b'{"batch":[{"a":NaN}]}'):
            status, text, _headers = self.send(body)
            self.assertEqual((status, text), (400, "Bad Request"), body)
        self.assertEqual(self.send(b"not gzip", Content_Encoding="gzip")[0], 400)
        self.assertEqual(self.send(b"x", Content_Encoding="br")[0], 400)
        refusals = self.sandbox.stats()["refusals"]
        self.assertEqual(refusals, {"not_json": 5, "bad_request": 2})

    def test_repeats_are_dropped_by_message_id_alone(self):
        self.send(batch(track("m1"), track("m1", user="other"), track("m2")))
        self.send(batch({"type": "identify", "userId": "u9", "messageId": "m1"}))
        stats = self.sandbox.stats()
        self.assertEqual((stats["accepted"], stats["repeated"]), (2, 2))
        _status, found = self.sandbox.ask("GET", "event/m1")
        self.assertEqual((found["repeats"], found["event"]["userId"]), (2, "u1"))
        self.assertEqual(len(self.sandbox.events(outcome="repeated")), 2)

    def test_a_dropped_event_leaves_its_id_free(self):
        self.send(batch(track("m1", user="")))
        self.send(batch(track("m1")))
        self.assertEqual(self.sandbox.stats()["accepted"], 1)

    def test_batch_members_are_merged_into_items_and_items_win(self):
        event = track("m1", context={"library": {"version": "own"}, "ip": "1.2.3.4"}, n=1.10)
        body = json.dumps(
            batch(event, track("m2"), context={"library": {"name": "kseg", "version": "1"}},
                  integrations={"All": False})
        ).replace('"n": 1.1', '"n": 1.10')  # fmt: skip
        self.send(body.encode())
        first, second = (self.sandbox.ask("GET", f"event/m{n}")[1] for n in (1, 2))
        merged = {"library": {"name": "kseg", "version": "own"}, "ip": "1.2.3.4"}
        self.assertEqual(first["event"]["context"], merged)
        self.assertEqual(second["event"]["context"], {"library": {"name": "kseg", "version": "1"}})
        self.assertEqual(second["event"]["integrations"], {"All": False})
        self.assertIn('"n": 1.10', first["text"])
        _status, answer = self.sandbox.request("GET", "/_sandbox/event/m1")
        self.assertIn(b'"n":1.10,', answer)

    def test_times_are_kept_and_computed(self):
        self.send(batch(track("m1")))
        event = self.sandbox.ask("GET", "event/m1")[1]["event"]
        self.assertEqual(event["originalTimestamp"], "2026-03-01T12:00:00.000Z")
        self.assertEqual(event["sentAt"], SENT_AT)
        times = [sandbox_rules.clock_parse(event[name]) for name in ("receivedAt", "timestamp")]
        self.assertEqual((times[0] - times[1]).total_seconds(), 10)

    def test_warnings_for_what_a_careful_sender_does_not_send(self):
        self.send({"batch": [
            {"type": "track", "userId": 5, "event": "E", "timestamp": "1.3.2026"},
            track("m1", timestamp="2026-03-01T12:00:00", event=7),
            track("m2", properties={"revenue": "9", "currency": 3, "value": 1}),
        ]})  # fmt: skip
        self.assertEqual(self.sandbox.stats()["warnings"], {
            "no_message_id": 1, "id_not_text": 1, "bad_timestamp": 1, "no_sent_at": 3,
            "timestamp_without_zone": 1, "name_not_text": 1, "value_not_number": 1,
            "currency_not_text": 1,
        })  # fmt: skip

    def test_every_reason_has_words(self):
        for table in (sandbox_rules.DROP_REASONS, sandbox_rules.REFUSAL_REASONS):
            self.assertTrue(all(words.strip() for words in table.values()))
        used = {
            reason
            for kind in sandbox_rules.REQUIRED.values()
            for need in kind
            for reason in need[1:]
        }
        self.assertLessEqual(used, set(sandbox_rules.DROP_REASONS))


class KeyTest(SandboxCase):
    def test_wrong_and_missing_keys_are_answered_with_success(self):
        self.assertEqual(self.send(batch(track("m1")), key="wrong")[:2], (200, SUCCESS))
        self.assertEqual(self.send(batch(track("m2")), key=None)[:2], (200, SUCCESS))
        # The colon counts.
        self.send(batch(track("m3")), key=None, Authorization=basic(KEY))
        self.send(batch(track("m4")), key=None, Authorization="Basic %%%")
        stats = self.sandbox.stats()
        self.assertEqual(stats["dropped"], {"wrong_write_key": 3, "missing_write_key": 1})

    def test_key_in_the_body_is_taken_and_never_shown(self):
        self.send({**track("m1"), "writeKey": KEY}, "/v1/track", key=None)
        self.send(batch(track("m2"), writeKey=KEY), key=None, Authorization="Bearer token-of-oauth")
        self.send(batch(track("m3")))
        self.assertEqual(self.sandbox.stats()["accepted"], 3)
        self.sandbox.request("GET", f"/v1/projects/{KEY}/settings")
        for path in (
            "stats",
            "events?outcome=any",
            "requests",
            "page",
            "settings",
            "event/m1",
            "faults",
        ):
            _status, answer = self.sandbox.request("GET", f"/_sandbox/{path}")
            for secret in (KEY, basic(f"{KEY}:").split()[1], "token-of-oauth"):
                self.assertNotIn(secret.encode(), answer, path)

    def test_settings_host_knows_keys(self):
        self.assertEqual(self.sandbox.request("GET", f"/v1/projects/{KEY}/settings")[0], 200)
        self.assertEqual(self.sandbox.request("GET", "/v1/projects/wrong/settings")[0], 404)
        self.assertEqual(self.sandbox.request("GET", f"/v1/projects/{KEY}/other")[0], 404)
        self.assertEqual(self.sandbox.stats()["key_checks"], 3)

    def test_without_keys_every_key_is_known(self):
        with Sandbox() as other:
            self.assertEqual(other.request("GET", "/v1/projects/any/settings")[0], 200)
            self.assertEqual(other.request("GET", "/v1/projects//settings")[0], 404)

    def test_strict_auth_as_rudderstack(self):
        self.sandbox.set(strict_auth=True, disabled_keys=["off"], success_body="OK")
        self.addCleanup(self.sandbox.set, strict_auth=False, disabled_keys=[], success_body=SUCCESS)
        self.assertEqual(self.send(batch(track("m1")), key="wrong")[0], 401)
        self.assertEqual(self.send(batch(track("m1"), writeKey=KEY), key=None)[0], 401)
        self.assertEqual(self.send(batch(track("m1")), key="off")[0], 404)
        self.assertEqual(self.send(batch(track("m1")))[:2], (200, "OK"))
        stats = self.sandbox.stats()
        self.assertEqual(stats["refusals"], {"unauthorized": 2, "source_disabled": 1})
        self.assertEqual((stats["accepted"], stats["dropped"]), (1, {}))

    def test_like_rudderstack(self):
        with Sandbox("--like", "rudderstack", "--write-key", "k") as other:
            headers = {"Authorization": basic("k:")}.items()
            body = batch(track("m1"), {"type": "track", "event": "E"})
            self.assertEqual(other.request("POST", "/v1/batch", body, headers=headers)[0], 400)
            huge = batch(track("m1", note="x" * 4_000_001))
            self.assertEqual(other.request("POST", "/v1/batch", huge, headers=headers)[0], 413)
            good = other.request("POST", "/v1/batch", batch(track("m1")), headers=headers)
            self.assertEqual(good, (200, b"OK"))


class QuestionTest(SandboxCase):
    def test_order_of_a_users_events(self):
        self.send(batch(track("a1", "a"), track("b1", "b"), track("a2", "a"), track("a1", "a")))
        self.send(batch(track("a3", "a"), {**track("c1", None), "anonymousId": "c"}))
        for user, ids in (("a", ["a1", "a2", "a3"]), ("b", ["b1"]), ("c", ["c1"]), ("d", [])):
            _status, answer = self.sandbox.ask("GET", f"order?user_id={user}")
            self.assertEqual(answer["messageIds"], ids)

    def test_filters_of_events(self):
        self.send(
            batch(track("m1", "a b&c"), track("m2", event="Other"), track("m3", note="<script>"))
        )
        self.send({"userId": "u", "messageId": "m4"}, "/v1/identify")
        def ask(**wanted):  # fmt: skip
            return [event["messageId"] for event in self.sandbox.events(**wanted)]
        self.assertEqual(ask(), ["m4", "m3", "m2", "m1"])
        self.assertEqual(ask(user_id="a b&c"), ["m1"])
        self.assertEqual(ask(event="Other"), ["m2"])
        self.assertEqual(ask(contains="<script>"), ["m3"])
        self.assertEqual(ask(type="identify"), ["m4"])
        self.assertEqual(ask(limit=2, type="track"), ["m3", "m2"])

    def test_bodies_are_bounded_and_ids_are_not(self):
        with Sandbox("--keep", "5") as other:
            for start in range(0, 300, 100):
                events = [track(f"m{n}", note="é") for n in range(start, start + 100)]
                other.request(
                    "POST",
                    "/v1/batch",
                    batch(*events),
                    headers={"Authorization": basic("k:")}.items(),
                )
            self.assertEqual(len(other.events()), 5)
            self.assertEqual(other.ask("GET", "event/m299")[1]["kept"], True)
            gone = other.ask("GET", "event/m0")[1]
            self.assertEqual((gone["kept"], gone["accepted"]), (False, True))
            self.assertEqual(len(other.ask("GET", "order?user_id=u1")[1]["messageIds"]), 300)

    def test_requests_are_logged_without_the_key(self):
        lane = self.lane()
        self.send(batch(track("m1"), track("m2")), lane=lane, packed=True, X_Retry_Count="3")
        self.send(batch(track("m3")), lane=lane)
        self.send(batch(track("m4")))
        newest, second, first = self.sandbox.requests()
        self.assertEqual([r["connection"] for r in (first, second, newest)], [1, 1, 2])
        self.assertEqual((first["events"], first["status"], first["sentAt"]), (2, 200, SENT_AT))
        self.assertEqual((first["first_message_id"], first["last_message_id"]), ("m1", "m2"))
        self.assertEqual(first["headers"]["authorization"], "Basic (hidden)")
        self.assertLess(first["bytes_on_wire"], first["bytes"])
        stats = self.sandbox.stats()
        self.assertEqual(stats["by_retry_count"], {"3": 1, "none": 2})
        self.assertEqual((stats["connections_total"], stats["max_events_in_batch"]), (2, 2))

    def test_wait_answers_when_the_figure_is_reached(self):
        with self.sandbox.connect() as sock:
            question = b"GET /_sandbox/wait?field=by_event.Sales+Prediction&at_least=2&timeout=15 HTTP/1.1\r\nHost: x\r\n\r\n"
            sock.sendall(question)
            self.send(batch(track("m1"), track("m2")))
            answer = sock.recv(65536)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer[:80])
        status, answer = self.sandbox.ask("GET", "wait?field=accepted&at_least=3&timeout=0.01")
        self.assertEqual((status, answer["reached"], answer["value"]), (408, False, 2))
        self.assertEqual(self.sandbox.wait("accepted", equals=2), 2)
        self.assertEqual(self.sandbox.wait("requests_in_progress", at_most=0), 0)

    def test_questions_that_make_no_sense_are_refused(self):
        for path in (
            "wait?field=acepted&at_least=1", "wait?field=accepted", "wait?field=dropped&at_least=1",
            "wait?field=accepted&at_least=x", "events?limti=3", "events?limit=-1", "order",
            "events?outcome=lost", "stats?x=1",
        ):  # fmt: skip
            self.assertEqual(self.sandbox.ask("GET", path)[0], 400, path)
        self.assertEqual(self.sandbox.ask("GET", "nothing")[0], 404)
        self.assertEqual(self.sandbox.ask("GET", "event/unknown")[0], 404)
        for settings in ({"large_event": "keep"}, {"strict_auht": True}, {"body_bytes": "1"}):
            self.assertEqual(self.sandbox.ask("POST", "settings", settings)[0], 400)

    def test_another_sites_page_gives_no_orders(self):
        self.send(batch(track("m1")))
        headers = {"Origin": "https://example.org"}.items()
        self.assertEqual(self.sandbox.request("POST", "/_sandbox/reset", headers=headers)[0], 403)
        self.assertEqual(self.sandbox.stats()["accepted"], 1)

    def test_page_and_its_files_are_served_and_load_nothing_from_elsewhere(self):
        for path in ("/", "/sandbox_page.js", "/sandbox_page.css"):
            status, text = self.sandbox.request("GET", path)
            self.assertEqual(status, 200)
            outside = text.replace(b"http://www.w3.org/2000/svg", b"")
            self.assertNotIn(b"://", outside, path)
        script = self.sandbox.request("GET", "/sandbox_page.js")[1]
        for way in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval("):
            self.assertNotIn(way, script)

    def test_page_data_carries_events_as_text(self):
        self.send(batch(track("m1", note="<script>é")))
        _status, answer = self.sandbox.ask("GET", "page?after=-1&limit=5")
        self.assertEqual(json.loads(answer["events"][0]["json"])["note"], "<script>é")
        number = answer["events"][0]["number"]
        self.assertEqual(self.sandbox.ask("GET", f"page?after={number}")[1]["events"], [])

    def test_deeply_nested_event_breaks_no_question(self):
        deep = '{"type":"track","userId":"u","event":"E","messageId":"deep","a":%s}'
        body = '{"batch":[' + deep % ("[" * 900 + "]" * 900) + "]}"
        self.send(body.encode())
        for path in ("events?outcome=any", "event/deep", "page"):
            self.assertEqual(self.sandbox.ask("GET", path)[0], 200)


class ProcessTest(unittest.TestCase):
    def test_sigterm_ends_at_once_whatever_hangs(self):
        with Sandbox() as sandbox:
            sandbox.set_faults({"action": {"how": "hang"}})
            with sandbox.connect() as sock:
                sock.sendall(b"POST /v1/batch HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
                sandbox.wait("by_status.hang", equals=1)
                self.assertEqual(sandbox.close(), 0)

    def test_a_port_in_use_is_an_error_not_a_trace(self):
        with Sandbox() as first:
            command = [sys.executable, "-B", first.process.args[2], "--port", str(first.port)]
            run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual((run.returncode, run.stderr.count("\n")), (1, 1))

    def test_tls_and_control_port(self):
        with tempfile.TemporaryDirectory() as folder:
            pem = os.path.join(folder, "both.pem")
            command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                       "-subj", "/CN=localhost", "-keyout", pem, "-out", f"{pem}.cert"]  # fmt: skip
            try:
                subprocess.run(command, check=True, capture_output=True)
            except FileNotFoundError:
                self.skipTest("no openssl command to make a certificate with")
            port_file = os.path.join(folder, "control")
            arguments = ("--tls-cert", f"{pem}.cert", "--tls-key", pem)
            with Sandbox(*arguments, "--control-port-file", port_file) as sandbox:
                with open(port_file, encoding="ascii") as file:
                    self.check_tls(sandbox, f"{pem}.cert", int(file.read()))

    def check_tls(self, sandbox, certificate, control):
        context = ssl.create_default_context(cafile=certificate)
        body = json.dumps(batch(track("m1"))).encode()
        head = f"POST /v1/batch HTTP/1.1\r\nAuthorization: {basic('k:')}\r\nContent-Length: {len(body)}\r\n\r\n"
        with context.wrap_socket(sandbox.connect(), server_hostname="localhost") as sock:
            sock.sendall(head.encode() + body)
            self.assertTrue(sock.recv(4096).startswith(b"HTTP/1.1 200"))
        sandbox.wait("accepted", equals=1, port=control)
        with sandbox.connect() as sock:
            sock.sendall(head.encode())
            sandbox.wait("tls_failures", equals=1, port=control)
        self.assertEqual(sandbox.request("POST", "/v1/batch", {}, control)[0], 404)


if __name__ == "__main__":
    unittest.main()
