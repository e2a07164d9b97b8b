#!/usr/bin/env python3
"""A local server that behaves as Segment does. README.md is beside this file.

Owns: the command line, the port file, signals.
Refuses: to listen on other than loopback unless --host says so.
"""

import argparse
import gc
import os
import signal
import ssl
import sys
import tempfile
import threading

import sandbox_rules
import sandbox_server

# The parser makes many short-lived objects and no cycles: collecting at the usual 700
# allocations costs a tenth of the throughput and finds nothing.
GC_ALLOCATIONS = 200_000


def sandbox_parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765, help="0: a free one (default 8765)")
    parser.add_argument("--port-file", help="the port is written here once it listens")
    parser.add_argument(
        "--write-key", nargs="+", action="extend", default=[], metavar="KEY",
        help="keys that are known; none given: every key is (test keys only: argv is public)",
    )  # fmt: skip
    parser.add_argument("--write-key-file", help="more known keys, one a line")
    parser.add_argument("--tls-cert", help="PEM file; with it the sandbox speaks TLS only")
    parser.add_argument("--tls-key", help="PEM file (default: in the certificate's file)")
    parser.add_argument(
        "--control-port-file",
        help="open a second port for control and page: always in plain text, never broken; "
        "its number is written here",
    )
    parser.add_argument("--keep", type=int, default=10_000, help="newest events kept (10000)")
    parser.add_argument("--strict-auth", action="store_true", help="401 for an unknown key")
    parser.add_argument("--like", choices=("segment", "rudderstack"), default="segment")
    options = parser.parse_args(arguments)
    if options.keep < 1:
        parser.error("--keep must be at least 1")
    return options


def sandbox_make_settings(options):
    """The receiver's rules as the command line asks for them. Raises OSError."""
    keys = set(options.write_key)
    if options.write_key_file:
        with open(options.write_key_file, encoding="utf-8") as lines:
            keys.update(line.strip() for line in lines if line.strip())
    changes = dict(sandbox_rules.RUDDERSTACK) if options.like == "rudderstack" else {}
    if options.strict_auth:
        changes["strict_auth"] = True
    return sandbox_rules.Settings(write_keys=frozenset(keys), **changes)


def sandbox_make_tls_context(options):
    if not options.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.tls_cert, options.tls_key)
    return context


def sandbox_write_port(path, port):
    """Atomically: who sees the file sees the whole number. Raises OSError."""
    folder = os.path.dirname(os.path.abspath(path))
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".port.", delete=False) as file:
        file.write(f"{port}\n")
    os.replace(file.name, path)


def main(arguments=None):
    options = sandbox_parse_arguments(arguments)
    try:
        settings = sandbox_make_settings(options)
        server = sandbox_server.Server(
            settings, options.keep, sandbox_make_tls_context(options)
        )  # fmt: skip
        port = server.open(options.host, options.port)
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS, 50, 100)
        if options.control_port_file:
            control_port = server.open(options.host, 0, control_only=True)
            sandbox_write_port(options.control_port_file, control_port)
        if options.port_file:
            sandbox_write_port(options.port_file, port)
    except OSError as error:
        print(f"segment_sandbox: {error}", file=sys.stderr)
        return 1
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    scheme = "https" if options.tls_cert else "http"
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"Segment sandbox on {scheme}://{host}:{port}/", flush=True)
    ended.wait()
    server.stop()
    # Threads may hang in a peer's hands: nothing they hold outlives the process.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
