"""What the sandbox's own tests share: one sandbox a class, calls as a sender writes them."""

import base64
import gzip
import http.client
import json
import unittest

from sandbox_client import PATIENCE_SECONDS, Sandbox

KEY = "a-test-key"
SENT_AT = "2026-03-01T12:00:10.000Z"


def basic(key):
    return "Basic " + base64.b64encode(key.encode()).decode()


def track(message_id, user="u1", **more):
    return {
        "type": "track", "userId": user, "event": "Sales Prediction",
        "messageId": message_id, "timestamp": "2026-03-01T12:00:00.000Z", **more,
    }  # fmt: skip


def batch(*events, **more):
    return {"batch": list(events), "sentAt": SENT_AT, **more}


class SandboxCase(unittest.TestCase):
    """A test case with a sandbox of its class, reset before each test."""

    arguments = ("--write-key", KEY)

    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox(*cls.arguments)
        cls.addClassCleanup(cls.sandbox.close)

    def setUp(self):
        self.sandbox.reset()
        # A test that broke the sandbox itself must not pass.
        self.addCleanup(self.check_books)

    def check_books(self):
        stats = self.sandbox.stats()
        self.assertEqual(stats["sandbox_errors"], 0)
        parts = ("accepted", "repeated", "dropped_total", "refused")
        self.assertEqual(stats["received"], sum(stats[part] for part in parts), stats)

    def lane(self):
        lane = http.client.HTTPConnection("127.0.0.1", self.sandbox.port, PATIENCE_SECONDS)
        self.addCleanup(lane.close)
        return lane

    def send(self, body, path="/v1/batch", key=KEY, lane=None, packed=False, **headers):
        """Sends a call; gives (status, body text, headers)."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"Content-Type": "application/json"}
        if key is not None:
            fields["Authorization"] = basic(f"{key}:")
        if packed:
            data = gzip.compress(data, 1)
            fields["Content-Encoding"] = "gzip"
        fields.update({name.replace("_", "-"): value for name, value in headers.items()})
        own = lane or self.lane()
        own.request("POST", path, data, fields)
        response = own.getresponse()
        text = response.read().decode()
        return response.status, text, response.headers

    def dropped(self):
        return self.sandbox.stats()["dropped"]
