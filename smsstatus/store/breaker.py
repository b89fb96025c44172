"""After a failure one trial in each rest: everybody else is refused at once, without a wait."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .contract import StoreUnavailable

REST_SECONDS = 1.0

log = logging.getLogger(__name__)


class Breaker:
    """Remembers whether the store can be written. `clock` gives seconds that never go back.

    Any thread may use it: at worst two callers try where one would do.
    """

    def __init__(self, clock: Callable[[], float], rest_seconds: float = REST_SECONDS) -> None:
        self._clock = clock
        self._rest_seconds = rest_seconds
        self._retry_at = 0.0
        self.failure: str | None = None
        """Why the store cannot be written; None: nothing is known against it."""

    def try_again(self) -> None:
        """Let one caller in each rest try. Raises StoreUnavailable for the others."""
        failure, now = self.failure, self._clock()
        if failure is not None and now < self._retry_at:
            raise StoreUnavailable(failure)
        self._retry_at = now + self._rest_seconds

    def note_failure(self, failure: str) -> None:
        """Refuse from now on. A reason that stays the same is logged once."""
        is_new = failure != self.failure
        self._retry_at = self._clock() + self._rest_seconds
        self.failure = failure
        if is_new:  # last, as a log can be slow
            log.error("store is not writable, callbacks go to the spool: %s", failure)

    def note_success(self) -> None:
        """Let everybody through again."""
        if self.failure is not None:
            self.failure = None
            log.warning("store is writable again")
