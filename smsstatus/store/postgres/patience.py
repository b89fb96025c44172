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
"""The next thing is asked for at once; what comes later is for something else."""


class Patience:
    """Of each thread's answer. No other one is refused for one's slow query."""

    def __init__(self) -> None:
        self._mine = threading.local()

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Raises StoreUnavailable where this thread has just waited for one in vain for the same
        answer, or has no time left for it.
        """
        began = time.monotonic()
        answer = promise.over_at()
        if getattr(self._mine, "answer", None) == answer and began < self._mine.spent_until:
            raise StoreUnavailable(self._mine.failure)
        if not promise.seconds_left():
            raise StoreUnavailable(f"all that was asked for takes over {promise.READ_SECONDS:g} s")
        try:
            yield
        except StoreUnavailable as error:
            ended = time.monotonic()
            if ended - began > WAITED_SECONDS:
                self._mine.spent_until = ended + SPENT_SECONDS
                self._mine.answer = answer
                self._mine.failure = str(error)
            raise
