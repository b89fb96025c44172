"""A client's connection: bytes in, whole requests out; answers in, bytes out. It never waits.

gunicorn's parser reads the requests, from bytes that are all there. Here is decided only when they
are, and how many there may be.
"""

from __future__ import annotations

import socket
import time
from enum import Enum
from io import BytesIO
from typing import Any

from gunicorn.config import Config
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import (
    ChunkMissingTerminator,
    InvalidChunkSize,
    InvalidRequestLine,
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
)
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader

from ..plivo.form import MAX_BODY

MAX_HEAD = 65_536  # bytes; parsing that many costs about a millisecond
MAX_UNSENT = 65_536
"""What a thread leaves to the loop, so that only a download of more can hold a thread."""
MAX_CHUNKS = 1024
"""Chunks are costly: each is some 4 µs for gunicorn's parser, however small."""
_MAX_CHUNK_LINE = 256
_RECEIVED = 65_536


class _Whole(Unreader):  # type: ignore[misc]
    """Bytes that are all there, for gunicorn's parser."""

    def __init__(self, data: bytes) -> None:
        self.buf = BytesIO(data)

    def chunk(self, size_hint: int | None = None) -> bytes:
        return b""


class _Request(Request):  # type: ignore[misc]
    """Nothing that a request says about the address it was sent to is believed."""

    def _peer_trusted_for_forwarded(self) -> tuple[dict[str, str], list[str]]:
        return {}, []  # secure_scheme_headers, forwarder_headers

    def set_body_reader(self) -> None:
        """A reader of chunks refers to itself and to the request. Who reads them makes another."""
        super().set_body_reader()
        if isinstance(self.body.reader, ChunkedReader):
            self.body.reader.parser = None
            self.body.reader = None


class State(Enum):
    """What a connection waits for."""

    IDLE = "its next request"
    READING = "the rest of a request"
    READY = "its request's turn"
    GATHERED = "callbacks that can share its commit"
    COMMITTING = "its callback's commit"
    SERVING = "a thread's answer"
    WRITING = "the client to take its answer"
    LINGERING = "the client to close"


class Connection:
    """One client. The loop owns it, or for one request a thread."""

    __slots__ = (
        "_at",
        "_chunks",
        "_size",
        "address",
        "at_end",
        "began",
        "environ",
        "is_closing",
        "iterable",
        "number",
        "patience",
        "received",
        "request",
        "response",
        "server",
        "sock",
        "state",
        "unsent",
        "watched",
    )

    def __init__(self, sock: socket.socket, address: Any, server: Any) -> None:
        self.sock = sock
        self.address = address
        """The client's, as accept returns it."""
        self.server = server
        """The listener's, as getsockname returns it."""
        self.state = State.IDLE
        self.watched = 0
        """The events that the poller looks for."""
        self.received = bytearray()
        self.unsent = bytearray()
        self.request: Request | None = None
        """The one whose head is there, until it is served."""
        self.number = 0
        self.response: Any = None
        self.environ: dict[str, Any] = {}
        self.iterable: Any = None
        """What the application returned, once it did."""
        self.began = 0.0
        self.patience = 0.0
        """For how many seconds a thread may wait for the client; 0 where the loop answers."""
        self.at_end = False
        """Does the client send no more?"""
        self.is_closing = False
        self._at = self._size = self._chunks = 0

    def receive(self) -> None:
        """Take in what has come. Raises OSError."""
        data = self.sock.recv(_RECEIVED)
        self.received += data
        self.at_end = not data

    def begin(self, response: Any, environ: dict[str, Any]) -> None:
        """Have the request that was read last answered with these."""
        self.response = response
        self.environ = environ
        self.iterable = None
        self.began = time.monotonic()

    def let_go(self) -> None:
        """Keep nothing of its request, which refers to the connection.

        Else all of it would be there until Python looks for what refers to each other.
        """
        self.request = None
        self.begin(None, {})

    def has_request(self, config: Config, *, is_late: bool = False) -> bool:
        """Is the next request whole? Then it is `request`. Raises what gunicorn's parser raises.

        A body is shorter than announced if the client sends no more, or if the rest `is_late`: the
        application says so.
        """
        if self.request is None:
            head = self._head(config)
            if head is None:
                return False
            self.number += 1
            self._at = self._size = self._chunks = 0
            self.request = _Request(config, _Whole(head), self.address, self.number)
        if is_late:
            self.request.force_close()
        body = self._body(self.request, is_all=is_late or self.at_end)
        if body is None:
            if self.request._expected_100_continue:
                self.request._expected_100_continue = False
                self.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            return False
        self.request._expected_100_continue = False
        self.request.body = BytesIO(body)
        return True

    def _head(self, config: Config) -> bytes | None:
        received = self.received
        end = received.find(b"\r\n\r\n") + 4
        if end < 4:
            if len(received) > MAX_HEAD:
                raise LimitRequestHeaders("the head is too large")
            if len(received) > config.limit_request_line + 2 and b"\r\n" not in received:
                raise LimitRequestLine(len(received), config.limit_request_line)
            if received.count(b"\n") != received.count(b"\r\n"):
                raise InvalidRequestLine("bare LF as line terminator")
            return None
        if end > MAX_HEAD:
            raise LimitRequestHeaders("the head is too large")
        return self._take(end)

    def _body(self, request: Request, *, is_all: bool) -> bytes | None:
        reader = request.body.reader
        if not isinstance(reader, LengthReader):
            return self._chunked_body(request, is_all=is_all)
        length: int = reader.length
        if length > MAX_BODY:  # answered without it; where the next request begins is not known
            request.force_close()
            return b""
        if len(self.received) < length and not is_all:
            return None
        return self._take(length) if length else b""

    def _chunked_body(self, request: Request, *, is_all: bool) -> bytes | None:
        end = self._end_of_chunks()
        if self._size > MAX_BODY:  # answered without it, as one whose length says so
            request.force_close()
            request.headers.append(("CONTENT-LENGTH", str(self._size)))
            return b""
        if end is None:
            if is_all:
                raise ChunkMissingTerminator(b"")
            return None
        whole = _Whole(self._take(end))
        try:
            body: bytes = ChunkedReader(request, whole).read(MAX_BODY + 1)
        except NoMoreData:
            body = b""
        if len(body) != self._size or whole.buf.getvalue():  # it was read in another way
            raise ChunkMissingTerminator(b"")
        return body

    def _end_of_chunks(self) -> int | None:
        """Where the chunks end that begin what was received; None if that is not there yet.

        Looks at each of them once. Raises what gunicorn's parser would.
        """
        received = self.received
        while (line := received.find(b"\r\n", self._at, self._at + _MAX_CHUNK_LINE)) >= 0:
            try:
                size = int(bytes(received[self._at : line]).partition(b";")[0], 16)
            except ValueError:
                raise InvalidChunkSize(b"") from None
            if size <= 0:
                end = received.find(b"\r\n\r\n", line) + 4
                if end < 4 and len(received) - line > MAX_HEAD:
                    raise LimitRequestHeaders("the trailer is too large")
                return end if end >= 4 else None
            after = line + 2 + size
            self._size, self._chunks = self._size + size, self._chunks + 1
            if self._chunks > MAX_CHUNKS:
                raise LimitRequestHeaders("too many chunks")
            if self._size > MAX_BODY:
                return None
            self._at = after + 2
        if len(received) - self._at > _MAX_CHUNK_LINE:
            raise InvalidChunkSize(b"")
        return None

    def _take(self, size: int) -> bytes:
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken

    # What gunicorn's answers call of a socket.

    def sendall(self, data: bytes) -> None:
        """Send what the client takes now, and leave the rest, or some of it, to the loop. OSError.

        A thread waits only where more than MAX_UNSENT bytes would be left.
        """
        if not self.unsent:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        self.unsent += data
        if self.patience and len(self.unsent) > MAX_UNSENT:
            self.sock.settimeout(self.patience)
            try:
                self.sock.sendall(self.unsent)
            finally:
                self.unsent.clear()
                self.sock.setblocking(False)

    def send_more(self) -> None:
        """The client takes something again. Raises OSError."""
        del self.unsent[: self.sock.send(self.unsent)]

    def gettimeout(self) -> float:
        return 0.0
