"""Group commit for a disk: what comes while one write is under way is written together, next."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

from ..bounded import Bounded

AT_MOST = 256
"""Items in one write."""

T = TypeVar("T")


class Gathered(Generic[T]):
    """Brings what several callers have to `write`, in lists. What comes alone is written at once.

    `write` runs in a helper thread of `bounded`, one call at a time.
    """

    def __init__(self, write: Callable[[list[T]], None], bounded: Bounded) -> None:
        self._write = write
        self._bounded = bounded
        self._lock = threading.Lock()
        self._waiting: dict[Future[None], T] = {}
        self._is_writing = False
        self._is_late = False
        self._pid = 0

    def begin(self, item: T) -> Callable[[], None]:
        """Have an item written, and do not wait: whoever calls what comes back does.

        That returns once a call of `write` with this item has returned, and raises what it raised.
        TimeoutError if that takes too long from now on, at once while others have met that; the
        item may be written all the same. RuntimeError if the host allows no more threads.
        """
        written: Future[None] = Future()
        with self._lock:
            if self._pid != os.getpid():  # threads do not survive a fork
                self._waiting, self._is_writing, self._is_late = {}, False, False
                self._pid = os.getpid()
            if self._is_late:
                raise self._bounded.too_slow()
            if not self._is_writing:
                self._bounded.submit(self._write_all)
                self._is_writing = True
            self._waiting[written] = item
        return partial(self._finish, written, time.monotonic() + self._bounded.seconds)

    def _finish(self, written: Future[None], until: float) -> None:
        if not wait((written,), max(until - time.monotonic(), 0.0)).done:
            with self._lock:
                self._waiting.pop(written, None)
                self._is_late = self._is_writing
            raise self._bounded.too_slow()
        written.result()

    def _write_all(self) -> None:
        while batch := self._take():
            try:
                self._write(list(batch.values()))
            except BaseException as error:
                for written in batch:
                    written.set_exception(error)
            else:
                for written in batch:
                    written.set_result(None)

    def _take(self) -> dict[Future[None], T]:
        with self._lock:
            batch = dict(islice(self._waiting.items(), AT_MOST))
            for written in batch:
                del self._waiting[written]
            self._is_writing = bool(batch)
            self._is_late = False
            return batch
