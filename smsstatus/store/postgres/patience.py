"""Whoever has waited for the server in vain, or for long enough, does not wait for it again.

A page asks for several things, one after the other. Where the server hangs, or somebody has locked
a whole table, each of them would take as long as the first one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ... import promise
from ..contract import StoreUnavailable

WAITED_SECONDS = 1.0
"""Who was refused sooner may ask for the next thing."""
SPENT_SECONDS = 0.25
"""A request asks for the next thing at once; the thread's next one comes later."""


class Patience:
    """Of each thread, which serves one request. Others are not refused for one's slow query."""

    def __init__(self) -> None:
        self._mine = threading.local()

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Raises StoreUnavailable where this thread has just waited for one in vain, or has no time
        left for its answer.
        """
        began = time.monotonic()
        if began < getattr(self._mine, "spent_until", 0.0):
            raise StoreUnavailable(self._mine.failure)
        if not promise.seconds_left():
            raise StoreUnavailable(f"all that was asked for takes over {promise.READ_SECONDS:g} s")
        try:
            yield
        except StoreUnavailable as error:
            ended = time.monotonic()
            if ended - began > WAITED_SECONDS:
                self._mine.spent_until = ended + SPENT_SECONDS
                self._mine.failure = str(error)
            raise
