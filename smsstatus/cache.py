"""What costs something to find out, found out once for all who ask."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from .clock import Clock

T = TypeVar("T")


class Cache(Generic[T]):
    """One value. Safe to use from any thread.

    While one thread finds it out, which may take long, others get the value of before. They wait
    if there is none, or if it is older than `stale` seconds.
    """

    def __init__(self, stale: float = math.inf) -> None:
        self._stale = stale
        self._found: tuple[float, T] | None = None
        self._finding = threading.Lock()

    @property
    def last(self) -> T | None:
        """What was found last, however long ago."""
        found = self._found
        return found[1] if found is not None else None

    def get(self, clock: Clock, find: Callable[[], T], is_good: Callable[[T, float], bool]) -> T:
        """The value, found out again unless it is good still, judged by itself and its age.

        The age is in seconds. Raises what `find` raises, and keeps the value of before.
        """
        found = self._found
        age = math.inf
        if found is not None:
            age = clock.monotonic() - found[0]
            if is_good(found[1], age):
                return found[1]
        if not self._finding.acquire(blocking=found is None or age > self._stale):
            assert found is not None
            return found[1]
        try:
            meanwhile = self._found
            if meanwhile is not None and is_good(meanwhile[1], clock.monotonic() - meanwhile[0]):
                return meanwhile[1]
            value = find()
            self._found = (clock.monotonic(), value)
            return value
        finally:
            self._finding.release()
