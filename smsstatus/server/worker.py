"""gunicorn's gthread worker, with gaps closed and less work for each request.

* It has no deadlines: as many stalled clients as there are threads stop the service for
  good (https://github.com/benoitc/gunicorn/issues/2652). Here a request has READ_SECONDS to
  arrive; then its socket's receiving side is shut down, so that the waiting thread sees the end.
  The kernel gives up a client that does not read its answer after SEND_SECONDS.
* On SIGTERM it drops the connections that wait in the accept backlog, with requests already
  sent (https://github.com/benoitc/gunicorn/issues/3397). Here they are accepted and answered
  before the listener closes; a later client is refused and can go elsewhere.
* It closes a connection by waiting in its main loop, up to 2 s, for the client to close first, so
  a few clients that never close can stop the service. Here the poller waits for them.
* It hands every request of a kept connection from the waiting thread to the main loop, and on to
  another thread. Here a thread that has answered stays for STAY_SECONDS, if nobody needs it.
* It calls functions each time it reads a setting, looks twice for the rest of a body that was
  read, and lets the kernel replace the thread that holds the interpreter by one that was woken.
  docs/performance.md says what each of these cost.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from gunicorn.config import Config
from gunicorn.http.body import Body, LengthReader
from gunicorn.workers.gthread import TConn, ThreadWorker

from ..scheduling import wait_for_a_turn
from . import backlog, serving

READ_SECONDS = 4.0
SEND_SECONDS = 4.0
STAY_SECONDS = 0.005
LINGER_SECONDS = 2.0
LOOK_SECONDS = 0.25
_LINGER_BYTES = 65_536


class Worker(ThreadWorker):  # type: ignore[misc]
    """gthread with a read deadline and a backlog that is served before stopping."""

    keeps_deadlines = True
    """For gunicorn_server, which asks any worker class."""
    alive: bool  # gunicorn's: False once the worker must stop

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._queued: dict[TConn, bool] = {}
        self._reading: dict[TConn, float] = {}
        self._lingering: dict[TConn, tuple[float, int]] = {}
        self._next_look = 0.0

    def init_process(self) -> None:
        """Runs once, in the new process."""
        for listener in self.sockets:
            _give_up_sending(listener)
        settle(self.cfg)
        serving.running = serving.gunicorn_server(self.cfg)
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """gunicorn's hook."""
        return ThreadPoolExecutor(self.cfg.threads, initializer=wait_for_a_turn)

    def is_parent_alive(self) -> bool:
        """Asked by the main loop, which ends if not: so the threads must not go on either."""
        if not super().is_parent_alive():
            self.alive = False
        return self.alive

    def enqueue_req(self, conn: TConn) -> None:
        """Hand a connection to the threads; runs in the main loop."""
        self._queued[conn] = True
        super().enqueue_req(conn)

    def handle(self, conn: TConn) -> Any:
        """Serve a request, and those that follow it at once; runs in a thread."""
        self._queued.pop(conn, False)
        while True:
            self._reading[conn] = time.monotonic() + READ_SECONDS
            try:
                keep = super().handle(conn)
            finally:
                self._reading.pop(conn, 0.0)
            if keep is not True or not self._goes_on(conn):
                return keep

    def _goes_on(self, conn: TConn) -> bool:
        """Does the client send its next request at once, while nobody waits for this thread?"""
        if self._queued or not self.alive:
            return False
        if conn.parser.unreader.buf.getvalue():
            return True
        waiter = select.poll()
        waiter.register(conn.sock, select.POLLIN)
        return bool(waiter.poll(STAY_SECONDS * 1000))

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """gunicorn reads what the application left of the body, now and before the next request.

        Where nothing is left, the parser need not look: it is as it was before its first request.
        """
        keep = keepalive and (
            _is_read(conn.parser.mesg.body) or super()._keepalive_after(conn, keepalive)
        )
        if keep:
            conn.parser.mesg = None  # else the next request would seem to have arrived already
        return bool(keep)

    def murder_pending(self) -> None:
        """Called by the main loop at least once a second, and after each of its events."""
        super().murder_pending()
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        for conn, deadline in list(self._reading.items()):
            # Looked up again: by now the thread may have gone on to the connection's next request.
            # One that has arrived is left alone, however long its answer takes: it may be kept.
            if now > deadline == self._reading.get(conn) and not _has_arrived(conn):
                with contextlib.suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)
        for conn, (until, _) in list(self._lingering.items()):
            if now > until:
                self._let_go(conn)

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Keep or close a connection; runs in the main loop, so it must not wait.

        gunicorn waits here for up to 2 s for the client to close its side; meanwhile nobody is
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
        """Unread bytes would make the kernel reset the connection, and discard the answer."""
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
        """Accept what waits; connections between the last accept and the close are kept out."""
        held = backlog.is_held_by(self.ppid, listener)
        if held is False:
            backlog.keep_out_new_connections(listener)
        if not held:  # else this is a reload: a new worker accepts them
            while self.nr_conns < self.worker_connections and backlog.is_waiting(listener):
                self.accept(listener)
        listener.close()


def _give_up_sending(listener: Any) -> None:
    """Let sends to this listener's clients fail once nothing was read for SEND_SECONDS.

    The connections that it accepts inherit this. tcp(7), TCP_USER_TIMEOUT.
    """
    with contextlib.suppress(AttributeError, OSError):  # elsewhere than on Linux; a Unix socket
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_SECONDS * 1000))


def settle(config: Config) -> None:
    """Turn gunicorn's settings into plain attributes: they no longer change once a worker runs.

    A request reads them some 20 times and once for each header, each time through two functions.
    """
    config.__dict__.update({name: setting.get() for name, setting in config.settings.items()})


def _has_arrived(conn: TConn) -> bool:
    """Has the application read all of the connection's current request?"""
    message = conn.parser and conn.parser.mesg
    return bool(message) and _is_read(message.body)


def _is_read(body: Body) -> bool:
    """Has the application read this body to its end? Always False for a chunked one."""
    at_end = isinstance(body.reader, LengthReader) and body.reader.length == 0
    return at_end and not body.buf.tell() and not body.failed
