"""A sandbox as a test sees it: started, asked, ended. For Python tests of any part.

Owns: the process, its port, and the questions' spelling.
Refuses: to sleep: everything that takes time is waited for by condition.
"""

import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.parse

PROGRAM = pathlib.Path(__file__).resolve().parent / "segment_sandbox.py"
# Longer than a start or an answer takes on a busy machine; reached only by a failure.
PATIENCE_SECONDS = 20


class Sandbox:
    """A running sandbox; close() ends it and removes its files. A context manager."""

    def __init__(self, *arguments):
        self.folder = tempfile.mkdtemp(prefix="kseg-sandbox-")
        port_file = os.path.join(self.folder, "port")
        command = [sys.executable, "-B", str(PROGRAM), "--port", "0", "--port-file", port_file]
        self.process = subprocess.Popen(
            command + list(arguments), stdout=subprocess.PIPE, text=True
        )
        # The line is written once it listens, after the port file.
        self.greeting = self.process.stdout.readline()
        if not self.greeting:
            code = self.process.wait()
            self.close()
            raise RuntimeError(f"the sandbox did not start: exit code {code}")
        with open(port_file, encoding="ascii") as file:
            self.port = int(file.read())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the process by SIGTERM; gives its exit code."""
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.stdout.close()
            shutil.rmtree(self.folder, ignore_errors=True)
        return code

    def connect(self):
        """A plain socket, for tests that look at bytes."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS)

    def ask(self, method, path, body=None, port=None):
        """(status, parsed JSON) of a control request under /_sandbox/."""
        status, answer = self.request(method, f"/_sandbox/{path}", body, port)
        return status, json.loads(answer)

    def request(self, method, path, body=None, port=None, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, PATIENCE_SECONDS)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, dict(headers))
        response = connection.getresponse()
        try:
            return response.status, response.read()
        finally:
            connection.close()

    def stats(self):
        return self.ask("GET", "stats")[1]

    def events(self, **filters):
        return self.ask("GET", f"events?{urllib.parse.urlencode(filters)}")[1]["events"]

    def requests(self):
        return self.ask("GET", "requests")[1]["requests"]

    def set_faults(self, *rules):
        status, answer = self.ask("POST", "faults", list(rules))
        if status != 200:
            raise ValueError(answer["error"])

    def set(self, **settings):
        status, answer = self.ask("POST", "settings", settings)
        if status != 200:
            raise ValueError(answer["error"])

    def reset(self):
        self.ask("POST", "reset")

    def wait(self, field, timeout=PATIENCE_SECONDS - 5, port=None, **condition):
        """Waits for a figure; raises AssertionError with its last value and all others."""
        query = urllib.parse.urlencode({"field": field, "timeout": timeout, **condition})
        status, answer = self.ask("GET", f"wait?{query}", port=port)
        if status != 200:
            raise AssertionError(f"waited for {field} {condition} in vain: {answer}")
        return answer["value"]
