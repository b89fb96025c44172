"""Bounds on what others decide: how long a call takes, and how much is remembered."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Bounded:
    """Helper threads make calls that can hang, such as an fsync.

    While one hangs, the next of its kind is refused at once.
    """

    def __init__(self, seconds: float, what: str) -> None:
        self.seconds = seconds
        self._what = what
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0
        self._hanging: dict[str, Future[Any]] = {}

    def call(self, kind: str, work: Callable[..., T], *arguments: object) -> T:
        """What `work(*arguments)` returns or raises; TimeoutError if it takes too long.

        It may go on after that. RuntimeError if the host allows no more threads.
        """
        done = self.call_all({kind: partial(work, *arguments)})
        if kind not in done:
            raise self.too_slow()
        return done[kind].result()

    def call_all(
        self, calls: Mapping[str, Callable[[], T]], at_most: float = math.inf
    ) -> dict[str, Future[T]]:
        """What came of these, by kind, in the time of one call; not of those that take too long.

        `at_most`: the seconds that this caller has.
        """
        working: dict[str, Future[T]] = {}
        for kind, work in calls.items():
            hanging = self._hanging.get(kind)
            if hanging is None or hanging.done():
                working[kind] = self.submit(work)
        late = wait(working.values(), min(self.seconds, at_most)).not_done
        if at_most >= self.seconds:  # else others, who have more time, may still get an answer
            self._hanging.update({kind: each for kind, each in working.items() if each in late})
        return {kind: each for kind, each in working.items() if each not in late}

    def submit(self, work: Callable[..., T], *arguments: object) -> Future[T]:
        """Have a helper thread make the call. RuntimeError if the host allows no more of them."""
        if self._pool is None or self._pid != os.getpid():  # threads do not survive a fork
            self._pool = ThreadPoolExecutor(8, thread_name_prefix="bounded")
            self._pid = os.getpid()
        return self._pool.submit(work, *arguments)

    def too_slow(self) -> TimeoutError:
        return TimeoutError(f"no answer from {self._what} in {self.seconds} s")


class Recent(Generic[T]):
    """A dict that forgets what was put into it first once it holds more than `size` keys."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._values: dict[bytes, T] = {}

    def get(self, key: bytes) -> T | None:
        return self._values.get(key)

    def put(self, key: bytes, value: T) -> None:
        with self._lock:
            self._values[key] = value
            if len(self._values) > self._size:
                del self._values[next(iter(self._values))]
