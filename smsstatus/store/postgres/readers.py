"""The connections that read: a few, shared by all threads of a process."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.errors import QueryCanceled

from ... import promise
from ..contract import StoreUnavailable
from .connection import Connection, Link
from .errors import describe

WAIT_SECONDS = 2.0
"""For a connection that others use."""
BETWEEN_SECONDS = 2.0
"""For a statement on the connection that writes: callbacks wait for as long."""

T = TypeVar("T")


class Readers:
    """Safe to use from any thread and after a fork."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = url
        self._connections = connections
        self._starting = threading.Lock()
        self._pid = 0
        self._free: queue.LifoQueue[Link] = queue.LifoQueue()

    def read(self, work: Callable[[Connection], T], seconds: float | None = None) -> T:
        """What `work(connection)` returns. Raises StoreUnavailable, also if it takes longer."""
        if self._pid != os.getpid():
            self._start()
        free = self._free
        try:
            link = free.get(timeout=promise.seconds_left(WAIT_SECONDS))
        except queue.Empty:
            raise StoreUnavailable(
                f"all {self._connections} connections that read are in use: DATABASE_CONNECTIONS"
            ) from None
        try:
            return run(link, work, seconds)
        finally:
            free.put(link)

    def _start(self) -> None:
        with self._starting:
            if self._pid != os.getpid():
                self._free = queue.LifoQueue()
                for _ in range(self._connections):
                    self._free.put(Link(self._url))
                self._pid = os.getpid()

    def close(self) -> None:
        """Close those that nobody uses; the next use makes new ones."""
        self._pid = 0
        while True:
            try:
                self._free.get_nowait().close()
            except queue.Empty:
                return


def run(link: Link, work: Callable[[Connection], T], seconds: float | None = None) -> T:
    """`link.run`, in the contract's words. Raises StoreUnavailable, and what `work` raises."""
    try:
        return link.run(work, seconds)
    except psycopg.Error as error:
        raise StoreUnavailable(describe(error)) from None
    except (OSError, RuntimeError) as error:  # too many files, or threads
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from None


@dataclass(frozen=True, slots=True)
class Read:
    """A read for the connection that writes, in a transaction of its own."""

    work: Callable[[Connection], Any]

    def __call__(self, connection: Connection) -> Any:
        """What `work(connection)` returns, or why there is nothing: raised, it would be a failure
        to write.
        """
        try:
            with connection.transaction():
                connection.execute(
                    "SELECT set_config('statement_timeout', %s, true)", (f"{BETWEEN_SECONDS:g}s",)
                )
                return self.work(connection)
        except QueryCanceled:
            return StoreUnavailable(
                f"it takes longer than {BETWEEN_SECONDS:g} s, for which callbacks may wait with "
                "one connection: DATABASE_CONNECTIONS"
            )
        except StoreUnavailable as error:
            return error
