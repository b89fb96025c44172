"""The threads that send, as many as are needed; one that hangs is given up and replaced."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..logs import RateLimit, without_text
from ..store.outbox import Claimed
from .deliver import Answer

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Attempt:
    """One delivery that is under way. `began` is a moment of the monotonic clock."""

    claimed: Claimed
    began: float
    answer: Answer | None = None
    """None once it is back: a mistake in the program has kept it from being sent."""
    is_given_up: bool = False


class Workers:
    """Used from one thread. `send` makes a delivery; `tell` is called, in a worker, after each."""

    def __init__(
        self, most: int, send: Callable[[Claimed], Answer], tell: Callable[[Attempt], None]
    ) -> None:
        self._most = most
        self._send = send
        self._tell = tell
        self._work = queue.SimpleQueue["Attempt | None"]()
        self._threads = 0
        self._hanging = 0
        self._complaints = RateLimit()
        self.under_way: set[Attempt] = set()

    def begin(self, claimed: Claimed, now: float) -> None:
        """Have it sent by a worker; there must be a free one."""
        attempt = Attempt(claimed, now)
        self.under_way.add(attempt)
        self._work.put(attempt)

    def is_one_free(self) -> bool:
        """Is a worker free, or can one be started? Up to as many as may work may hang besides."""
        if self._threads - self._hanging > len(self.under_way):
            return True
        if self._threads >= 2 * self._most:
            return False
        try:
            threading.Thread(target=self._run, name="forwarding", daemon=True).start()
        except RuntimeError as error:  # the host allows no more threads
            self._complaints.log(log.warning, "forwarding has fewer workers: %s", error)
            return False
        self._threads += 1
        return True

    def is_done(self, attempt: Attempt) -> bool:
        """Note that a worker is back; False if its attempt was given up and judged long ago."""
        if attempt.is_given_up:
            self._hanging -= 1
            return False
        self.under_way.discard(attempt)
        return True

    def give_up(self, begun_before: float) -> Iterator[Attempt]:
        """The attempts that should have ended long ago: what their workers say does not count."""
        for attempt in [one for one in self.under_way if one.began < begun_before]:
            attempt.is_given_up = True
            self._hanging += 1
            self.under_way.discard(attempt)
            yield attempt

    def end(self) -> None:
        """Let every worker end when it is free."""
        for _ in range(self._threads):
            self._work.put(None)

    def _run(self) -> None:
        while (attempt := self._work.get()) is not None:
            try:
                attempt.answer = self._send(attempt.claimed)
            except Exception as error:  # of one change; the worker goes on with others
                log.error("forwarding: a mistake in the program, %s", without_text(error))
            self._tell(attempt)
