"""HTTP/1.1 on a socket: requests read, answers written, and the ways to break both.

Owns: one connection's socket and buffer, the grammar of requests (lengths, chunks,
gzip, Expect), and the cuts that faults need (reset, half-close, drip). The standard
library's http.server costs more for each request and hides the socket that faults
must break, so the sandbox reads and writes for itself.
Refuses: to know what a request is for (sandbox_server) or when to break it
(sandbox_faults).
"""

import http
import select
import socket
import ssl
import struct
import time
import zlib

# Longest request line and headers together; the usual limit of servers is 8 to 64 KB.
HEAD_BYTES = 64 * 1024
# A body that says it is longer than this is refused unread: nothing to learn from it.
WIRE_BODY_BYTES = 64 * 1024 * 1024
RECEIVE_BYTES = 256 * 1024
# Enough to see "POST /v1/" or "DELETE /_sandbox/".
PEEK_BYTES = 64
# How long a connection that the sandbox ends in order waits for the peer's end, so
# that the kernel does not turn the end into a reset and lose the answer.
LINGER_SECONDS = 1.0
# Poll event: the peer has shut down its sending side. Linux only; elsewhere 0.
PEER_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class HttpError(Exception):
    """A request that is not HTTP, or too long; answered with `status`, then closed."""

    def __init__(self, status, words):
        super().__init__(words)
        self.status = status
        self.words = words


class Disconnected(Exception):
    """The peer went away in the middle of a request or an answer."""


class HttpRequest:
    """The head of one request, and where its body stands."""

    def __init__(self, method, target, version, headers):
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self.version = version
        self.headers = headers  # (name as sent, value)
        self.fields = {name.lower(): value for name, value in headers}
        self.started = 0.0  # monotonic seconds at the first byte
        self.wire_bytes = 0  # of the body, as transferred
        self.body = b""  # set by read_body_into
        self.length, self.chunked = _find_body_framing(headers)

    def wants_close(self):
        """Does the client end the connection after this answer?"""
        words = self.fields.get("connection", "").lower()
        return "close" in words or (self.version == "HTTP/1.0" and "keep-alive" not in words)

    def has_body(self):
        return self.chunked or self.length > 0


def _find_body_framing(headers):
    """(content length, chunked?) of a request; refuses what proxies disagree about."""
    lengths = {value for name, value in headers if name.lower() == "content-length"}
    codings = [value.lower() for name, value in headers if name.lower() == "transfer-encoding"]
    if codings and (lengths or codings != ["chunked"]):
        raise HttpError(400, "cannot tell the length of the body")
    if len(lengths) > 1:
        raise HttpError(400, "two different Content-Length headers")
    length = lengths.pop() if lengths else "0"
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        raise HttpError(400, "Content-Length is not a number")
    return int(length), bool(codings)


def _parse_head(head):
    try:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
    except ValueError:
        raise HttpError(400, "not an HTTP request") from None
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise HttpError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise HttpError(400, "a header line is not a header")
        headers.append((name, value.strip(" \t")))
    return HttpRequest(method, target, version, headers)


class HttpConnection:
    """One accepted connection. Its thread is its only user; close() may be called twice."""

    def __init__(self, sock):
        self.sock = sock
        self.number = None  # given by the ledger at the first delivery
        self.generation = None  # of the ledger, when the number was given
        self.buffer = bytearray()
        self.requests = 0
        self.closed = False

    def start_tls(self, context):
        """Shakes hands; raises OSError (ssl.SSLError is one) when that fails."""
        self.sock = context.wrap_socket(self.sock, server_side=True)

    # Reading

    def peek(self):
        """The first bytes, left where they are; b"" when there will be none."""
        try:
            return self.sock.recv(PEEK_BYTES, socket.MSG_PEEK)
        except OSError:
            return b""

    def _receive(self):
        """More bytes into the buffer; raises Disconnected at the end."""
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except (OSError, ssl.SSLError) as error:
            raise Disconnected(str(error)) from None
        if not data:
            raise Disconnected("end of stream")
        self.buffer += data

    def read_head(self):
        """The next request's head, or None when the peer ended between requests."""
        if not self.buffer:
            try:
                self._receive()
            except Disconnected:
                return None
        started = time.monotonic()
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > HEAD_BYTES:
                raise HttpError(431, "request head too long")
            self._receive()
        request = _parse_head(bytes(self.buffer[:end]))
        del self.buffer[: end + 4]
        request.started = started
        self.requests += 1
        return request

    def read_body(self, request):
        """The body as transferred (still compressed). Raises HttpError, Disconnected."""
        if request.has_body() and request.fields.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._read_chunks() if request.chunked else self._read_exactly(request.length)
        request.wire_bytes = len(body)
        return body

    def read_body_into(self, request):
        """Reads the body into request.body: for requests that nobody measures."""
        request.body = bytes(self.read_body(request))

    def _read_exactly(self, length):
        if length > WIRE_BODY_BYTES:
            raise HttpError(413, "body too long to be read")
        body = bytearray(length)
        have = min(length, len(self.buffer))
        body[:have] = self.buffer[:have]
        del self.buffer[:have]
        view = memoryview(body)
        while have < length:
            try:
                count = self.sock.recv_into(view[have:])
            except (OSError, ssl.SSLError) as error:
                raise Disconnected(str(error)) from None
            if not count:
                raise Disconnected("end of stream in the body")
            have += count
        return body

    def _read_line(self):
        while (end := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > HEAD_BYTES:
                raise HttpError(400, "line too long")
            self._receive()
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        return line

    def _read_chunks(self):
        body = bytearray()
        while True:
            size = self._read_line().partition(b";")[0].strip()
            if not size or size.strip(b"0123456789abcdefABCDEF") or len(size) > 8:
                raise HttpError(400, "a chunk's size is not a number")
            if len(body) + int(size, 16) > WIRE_BODY_BYTES:
                raise HttpError(413, "body too long to be read")
            if int(size, 16) == 0:
                while self._read_line():  # trailers
                    pass
                return body
            body += self._read_exactly(int(size, 16))
            if self._read_exactly(2) != b"\r\n":
                raise HttpError(400, "a chunk does not end where it says")

    # Writing and ending

    def write(self, data):
        try:
            self.sock.sendall(data)
        except (OSError, ssl.SSLError) as error:
            raise Disconnected(str(error)) from None

    def reset(self):
        """Ends with RST: what the peer has not read yet may be lost to it."""
        if not self.closed:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def shut_writing(self):
        """Ends the sending side (FIN); the peer may go on sending."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def drain(self, seconds):
        """Reads and forgets until the peer ends or the time is over."""
        until = time.monotonic() + seconds
        try:
            while (left := until - time.monotonic()) > 0:
                self.sock.settimeout(left)
                if not self.sock.recv(RECEIVE_BYTES):
                    return
        except (OSError, ssl.SSLError):
            pass

    def close_in_order(self):
        """FIN, then the peer's FIN, then close: the peer can read all of the answer."""
        self.shut_writing()
        self.drain(LINGER_SECONDS)
        self.close()

    def close(self):
        self.closed = True
        self.sock.close()

    def wait_peer(self, seconds, is_over):
        """Waits; True when the peer has gone or is_over() holds, False when time is over.

        Looks 20 times a second: nothing else tells this thread of a reset.
        """
        poll = select.poll()
        poll.register(self.sock, PEER_GONE)
        until = time.monotonic() + seconds
        while not is_over():
            left = until - time.monotonic()
            if left <= 0:
                return False
            if poll.poll(min(left, 0.05) * 1000):
                return True
        return True


def http_unpack(body, coding, limit):
    """The body uncompressed; None when it is over `limit` bytes. Raises HttpError."""
    if coding in ("", "identity"):
        return None if len(body) > limit else bytes(body)
    if coding not in ("gzip", "x-gzip"):
        raise HttpError(400, "content encoding is not gzip")
    pieces, room = [], limit + 1
    try:
        while body:
            unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
            pieces.append(unpacker.decompress(body, room))
            room -= len(pieces[-1])
            if room <= 0:
                return None
            if not unpacker.eof:
                raise HttpError(400, "gzip ends early")
            body = unpacker.unused_data
    except zlib.error as error:
        raise HttpError(400, f"not gzip: {error}") from None
    return b"".join(pieces)


def http_name_status(status):
    """The reason phrase; some of Segment's numbers (460) are nobody's standard."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unassigned"


class HttpAnswer:
    """An answer before it is written."""

    def __init__(self, status, body=b"", content_type="text/plain; charset=utf-8", headers=()):
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.content_type = content_type
        self.headers = list(headers)
        self.close = False

    def encode_status(self):
        return f"HTTP/1.1 {self.status} {http_name_status(self.status)}\r\n".encode()

    def encode_headers(self, length=None):
        """All header lines and the empty one. `length` None: of the body."""
        framing = ("Content-Length", str(len(self.body) if length is None else length))
        if length == "chunked":
            framing = ("Transfer-Encoding", "chunked")
        lines = [("Content-Type", self.content_type), framing, *self.headers]
        if self.close:
            lines.append(("Connection", "close"))
        text = "".join(f"{name}: {value}\r\n" for name, value in lines)
        return text.encode("latin-1", "replace") + b"\r\n"

    def encode(self):
        return self.encode_status() + self.encode_headers() + self.body
