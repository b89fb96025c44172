"""gunicorn's gthread worker, with three gaps closed.

* It has no read deadline: as many stalled clients as there are threads stop the service for
  good (https://github.com/benoitc/gunicorn/issues/2652). Here a request has READ_SECONDS to
  arrive; then its socket's receiving side is shut, so that the waiting thread sees the end.
* On SIGTERM it drops the connections that wait in the accept backlog, with requests already
  sent (https://github.com/benoitc/gunicorn/issues/3397). Here they are accepted and answered
  before the listener closes; a later client is refused and can go elsewhere.
* It closes a connection by waiting, in its main loop, up to 2 s for the client to close first:
  a few clients that do not stop the service. Here the poller waits for them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import selectors
import socket
import struct
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from .logs import WithoutRequest

READ_SECONDS = 4.0
LINGER_SECONDS = 2.0
LOOK_SECONDS = 0.25
HANDSHAKE_SECONDS = 0.05
_LINGER_BYTES = 65_536

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the TCP header that holds the flags
    (0x45, 0, 1, 0x02),  # is SYN among them?
    (0x06, 0, 0, 0),  # then drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # else take all of it
)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gthread with a read deadline and a backlog that is served before stopping."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading: dict[TConn, float] = {}
        self._lingering: dict[TConn, tuple[float, int]] = {}
        self._next_look = 0.0

    def init_process(self) -> None:
        """Runs once, in the new process."""
        self.log.error_log.addFilter(WithoutRequest())
        super().init_process()

    def handle(self, conn: TConn) -> Any:
        """Serve one request; runs in a thread."""
        self._reading[conn] = time.monotonic() + READ_SECONDS
        try:
            return super().handle(conn)
        finally:
            self._reading.pop(conn, 0.0)

    def murder_pending(self) -> None:
        """Called by the main loop once a second at least, and after each of its events."""
        super().murder_pending()
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        for conn, deadline in list(self._reading.items()):
            if now > deadline and self._reading.pop(conn, 0.0):
                # A request that has fully arrived is not disturbed: its answer can still be sent.
                with contextlib.suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)
        for conn, (until, _) in list(self._lingering.items()):
            if now > until:
                self._let_go(conn)

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Keep or close a connection; runs in the main loop, so it must not wait.

        gunicorn waits here up to 2 s for the client to close its side: while it does, nobody is
        accepted. Here the poller waits.
        """
        try:
            keep = fs.result()
        except Exception:  # whatever failed, it is logged by now: what is left is to hang up
            keep = False
        if keep:
            super().finish_request(conn, fs)
        else:
            self._hang_up(conn)

    def _hang_up(self, conn: TConn) -> None:
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
            self._lingering[conn] = (time.monotonic() + LINGER_SECONDS, _LINGER_BYTES)
        except (OSError, ValueError, KeyError):  # the client was faster
            self.nr_conns -= 1
            conn.close()

    def _drain(self, conn: TConn, client: socket.socket) -> None:
        """Unread bytes would make the kernel reset the connection and the answer with it."""
        until, room = self._lingering[conn]
        try:
            data = client.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._lingering[conn] = (until, room - len(data))
        if not data or room <= len(data):
            self._let_go(conn)

    def _let_go(self, conn: TConn) -> None:
        del self._lingering[conn]
        with contextlib.suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Stop accepting; when the worker stops for good, take in the backlog first."""
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                self._take_backlog(listener)

    def _take_backlog(self, listener: Any) -> None:
        """Accept what waits; what would come between the last accept and the close is kept out."""
        if not _held_by(self.ppid, listener):  # the master holds it at a reload: others accept
            _drop_new_connections(listener)
        while self.nr_conns < self.worker_connections and _readable(listener, HANDSHAKE_SECONDS):
            self.accept(listener)
        listener.close()


def _readable(listener: Any, seconds: float) -> bool:
    return bool(select.select([listener.fileno()], [], [], seconds)[0])


def _held_by(pid: int, listener: Any) -> bool:
    """Has the process this socket open? True where that cannot be told."""
    socket_name = f"socket:[{os.fstat(listener.fileno()).st_ino}]"
    try:
        return any(os.readlink(link) == socket_name for link in os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return True


def _drop_new_connections(listener: Any) -> None:
    """Have the kernel ignore SYNs to this socket, while handshakes under way still finish.

    The client tries again a second later, and is refused then because nobody listens. Without
    this, a connection made between the last accept and the close would be reset with its
    request. https://docs.kernel.org/networking/filter.html; elsewhere than on Linux that gap stays.
    """
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    program = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
