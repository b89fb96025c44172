"""A bound for every statement: the connection of one that takes too long is cut.

Not statement_timeout, and no cancelling: neither bounds a commit that waits for a dead standby, and
cancelling that wait answers as if the standby had the commit. A server that was stopped, or whose
packets are lost, hears neither.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

TICK_SECONDS = 0.25


class Limit:
    """Until when a connection may be in use."""

    __slots__ = ("line", "until", "was_cut")

    def __init__(self, line: socket.socket, seconds: float) -> None:
        self.line = line
        self.until = time.monotonic() + seconds
        self.was_cut = False


class Watch:
    """A thread that looks at all limits while there are any. Safe to use from any thread."""

    def __init__(self) -> None:
        self._limits: dict[int, Limit] = {}
        self._busy = threading.Event()
        self._starting = threading.Lock()
        self._pid = 0

    @contextlib.contextmanager
    def limit(self, line: socket.socket, seconds: float) -> Iterator[Limit]:
        """Shut `line` down unless the block ends in time. RuntimeError: no more threads."""
        if self._pid != os.getpid():
            self._start()
        limit = Limit(line, seconds)
        self._limits[id(limit)] = limit
        if not self._busy.is_set():
            self._busy.set()
        try:
            yield limit
        finally:
            del self._limits[id(limit)]

    def _start(self) -> None:
        with self._starting:
            if self._pid != os.getpid():
                self._limits, self._busy = {}, threading.Event()
                threading.Thread(target=self._run, name="postgres-watch", daemon=True).start()
                self._pid = os.getpid()

    def _run(self) -> None:
        while self._busy.wait():
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            limits = list(self._limits.values())
            for limit in limits:
                if now > limit.until and not limit.was_cut:
                    limit.was_cut = True
                    with contextlib.suppress(OSError):  # the other side was quicker
                        limit.line.shutdown(socket.SHUT_RDWR)
            if not limits:
                self._busy.clear()
                if self._limits:  # came between the two
                    self._busy.set()


WATCH = Watch()
