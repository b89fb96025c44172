"""One POST to the receiver of what is forwarded: all it may take, and what came of it.

Written on sockets and Python's own HTTP parser, not with urllib3, for three reasons. A library's
timeout is one for each read, so a receiver that drips would hold a thread for good; here every wait
ends at the same moment, whatever the other side does, except for the name's lookup, which no
program can interrupt: nothing is sent if it ends too late. Which address may be connected to is
decided on the one that is connected to: a check of the name before that could be answered with
another address the second time. And of an answer 64 KiB are read in all, its head included, not
decoded and not kept; the code decides, so nobody waits for a slow body. A redirect is not followed,
so nothing goes where the owner of the address did not send it.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import select
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_READ = 65_536
BODY_SECONDS = 1.0
"""How long a body is read, only so that the connection can be used again."""
IDLE_SECONDS = 60.0
"""A connection is kept for this long, so that a name that leads elsewhere now is looked up."""

_REFUSED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local: AWS, Azure, Google, Oracle and others have theirs in it
        "fe80::/10",
        "fd00:ec2::/32",  # AWS
        "fd20:ce::/32",  # Google
        "fd00:42::42/128",  # Scaleway
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle
        "64:ff9b:1::/48",  # translated, and only the network knows to which of IPv4 (RFC 8215)
        "0.0.0.0/8",
        "::/128",
        "224.0.0.0/4",
        "ff00::/8",
    )
)
"""Where a host tells programs on it their credentials, and what is no single machine's address."""
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


class RefusedAddress(Exception):
    """The name leads to an address that nothing is sent to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt.

    `result` is the answer's code, or timeout, connect (no connection, or one that broke, or an
    answer that is not HTTP), dns, tls or refused_address.
    """

    result: str
    seconds: float
    retry_after: str = ""
    points_to: str = ""
    """The host that a redirect names."""
    date: str = ""
    """What the other side's clock says."""

    @property
    def is_taken(self) -> bool:
        return len(self.result) == 3 and self.result.startswith("2")


class Receiver:
    """An address that takes POSTs. Safe to use from any thread.

    An attempt is over after `seconds`: nothing is sent later.
    """

    def __init__(self, url: str, seconds: float) -> None:
        parts = urlsplit(url)
        self.seconds = seconds
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._head = f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        self._idle: list[_Line] = []
        self._is_closed = False

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send `body` once; again if a kept connection turns out to be closed. Raises nothing."""
        began = time.monotonic()
        deadline = began + self.seconds
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        head = "".join([self._head, *lines, f"Content-Length: {len(body)}\r\n\r\n"])
        try:
            response, points_to = self._ask(head.encode("latin-1") + body, deadline)
        except RefusedAddress:
            return Answer("refused_address", time.monotonic() - began)
        except TimeoutError:
            return Answer("timeout", time.monotonic() - began)
        except (socket.gaierror, UnicodeError):
            return Answer("dns", time.monotonic() - began)
        except _TlsFailed:
            return Answer("tls", time.monotonic() - began)
        except (OSError, HTTPException, ValueError):
            return Answer("connect", time.monotonic() - began)
        return Answer(
            str(response.status),
            time.monotonic() - began,
            response.headers.get("Retry-After", ""),
            points_to,
            response.headers.get("Date", ""),
        )

    def close(self) -> None:
        """Close what is kept open, and keep nothing open that is under way still."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _ask(self, request: bytes, deadline: float) -> tuple[HTTPResponse, str]:
        kept = self._kept()
        if kept is not None:
            try:
                return self._exchange(kept, request, deadline)
            except TimeoutError:
                raise
            except (OSError, HTTPException):
                if kept.received:
                    raise
        return self._exchange(self._connect(deadline), request, deadline)

    def _exchange(self, line: _Line, request: bytes, deadline: float) -> tuple[HTTPResponse, str]:
        keep = False
        line.begin(deadline)
        try:
            line.send(request)
            response = HTTPResponse(cast(socket.socket, line), method="POST")
            response.begin()
            while 101 < response.status < 200:  # the answer is still to come; it passes over 100
                response.headers = response.msg = cast(Any, None)  # else it begins no more
                response.begin()
            if response.status >= 200 and not response.will_close:
                line.deadline = min(deadline, time.monotonic() + BODY_SECONDS)
                with contextlib.suppress(OSError, HTTPException, ValueError):
                    while response.read(8192):
                        pass
                    keep = response.isclosed()
            response.close()
            is_redirect = 300 <= response.status < 400
            return response, _host_of(response.headers.get("Location", "")) if is_redirect else ""
        finally:
            if keep and not self._is_closed:
                self._idle.append(line)
            else:
                line.close()

    def _kept(self) -> _Line | None:
        """A connection that is open still, as far as can be seen."""
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread took the last one
                line = self._idle.pop()
                if line.is_fresh():
                    return line
                line.close()
        return None

    def _connect(self, deadline: float) -> _Line:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        failure: OSError = ConnectionError()
        for number, (family, kind, protocol, _, address) in enumerate(found):
            if is_refused(str(address[0])):
                raise RefusedAddress
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(_left(deadline) / (len(found) - number))
                connection.connect(address)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return _Line(self._secured(connection, deadline))
            except BaseException as error:
                connection.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
        raise failure

    def _secured(self, connection: socket.socket, deadline: float) -> socket.socket:
        if self._tls is None:
            return connection
        connection.settimeout(_left(deadline))  # for all of the handshake
        try:
            return self._tls.wrap_socket(connection, server_hostname=self._host)
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise _TlsFailed from error


class _TlsFailed(Exception):
    """The other side did not prove that it is the one whose name the address has."""


def is_refused(address: str) -> bool:
    """Is this an address of one that must not be asked for anything by a stranger's wish?"""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        found = inner or ipaddress.IPv6Address(int(found))  # without a zone, which is in no network
    return any(found in network for network in _REFUSED)


def _host_of(location: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(location).hostname or ""
    return ""


def _left(deadline: float) -> float:
    """Seconds until then. Raises TimeoutError if there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Line:
    """A connection as http.client reads from one, whose every wait ends at one moment."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._opened = time.monotonic()
        self.deadline = 0.0
        self.received = 0
        """Bytes since `begin`."""

    def begin(self, deadline: float) -> None:
        self.deadline = deadline
        self.received = 0

    def is_fresh(self) -> bool:
        """Is it young, and has the other side said nothing unasked for, not even farewell?"""
        if time.monotonic() - self._opened > IDLE_SECONDS:
            return False
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return not poll.poll(0)

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._connection.settimeout(_left(self.deadline))
            rest = rest[self._connection.send(rest) :]

    def receive_into(self, buffer: WriteableBuffer) -> int:
        """Raises OSError once more has come than is read of an answer."""
        if self.received > MOST_READ:
            raise OSError("more than is read of an answer")
        self._connection.settimeout(_left(self.deadline))
        count = self._connection.recv_into(buffer)
        self.received += count
        return count

    def makefile(self, mode: str) -> io.BufferedReader:
        """For HTTPResponse, which closes it at the end of each answer."""
        return io.BufferedReader(cast(Any, _Incoming(self)))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.close()


class _Incoming(io.RawIOBase):
    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._line.receive_into(buffer)
