"""gunicorn's gthread worker, with two gaps closed.

* It has no read deadline: as many stalled clients as there are threads stop the service for
  good (https://github.com/benoitc/gunicorn/issues/2652). Here a request has READ_SECONDS to
  arrive; then its socket's receiving side is shut, so that the waiting thread sees the end.
* On SIGTERM it drops the connections that wait in the accept backlog, with requests already
  sent (https://github.com/benoitc/gunicorn/issues/3397). Here they are accepted and answered
  before the listener closes; a later client is refused and can go elsewhere.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from .logs import WithoutRequest

READ_SECONDS = 4.0


class Worker(ThreadWorker):  # type: ignore[misc]
    """gthread with a read deadline and a backlog that is served before stopping."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading: dict[TConn, float] = {}

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
        """Called by the main loop once a second at least."""
        super().murder_pending()
        now = time.monotonic()
        for conn, deadline in list(self._reading.items()):
            if now > deadline and self._reading.pop(conn, 0.0):
                # A request that has fully arrived is not disturbed: its answer can still be sent.
                with contextlib.suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Stop accepting; when the worker stops for good, take in the backlog first."""
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                self._take_backlog(listener)

    def _take_backlog(self, listener: Any) -> None:
        waiting = True
        while waiting and self.nr_conns < self.worker_connections:
            before = self.nr_conns
            self.accept(listener)  # counts a connection, or returns quietly if there is none
            waiting = self.nr_conns > before
        listener.close()
