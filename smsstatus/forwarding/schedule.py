"""When a change is sent again, and when a receiver that fails is left alone. Pure.

`chance` is a number from 0 up to 1, drawn by the caller. Moments are seconds of a clock that never
goes back.
"""

from __future__ import annotations

from datetime import datetime

from ..notation import pause_asked_for

_WAITS = (5.0, 30.0, 120.0, 600.0, 3600.0, 10_800.0, 21_600.0)
_LAST_WAIT = 43_200.0
JITTER = 0.2
"""Waits differ by a fifth up and down, so that what failed together does not come together."""

FAILURES_TO_SHUT = 5
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
MOST_ASKED_FOR = 3600.0
"""A receiver may ask for a pause of up to an hour, and one that is gone is tried once an hour."""
GONE = 410


def next_wait(attempts: int, failing_for: float, max_age: float, chance: float) -> float | None:
    """Seconds until a change is sent again that has failed `attempts` times; None: never.

    It failed first `failing_for` seconds ago. The last attempt is `max_age` after that, the 14th in
    three days. What waited for its turn meanwhile has not failed, so an outage, however long, gives
    up nothing that was not tried.
    """
    if failing_for >= max_age:
        return None
    wait = _WAITS[attempts - 1] if attempts <= len(_WAITS) else _LAST_WAIT
    return min(_spread(wait, chance), max_age - failing_for)


def asked_for(retry_after: str, now: datetime) -> float:
    """Seconds that a Retry-After header asks for; 0: for nothing."""
    return min(pause_asked_for(retry_after, now), MOST_ASKED_FOR)


class Brake:
    """How many deliveries may be under way at once, given what became of the last ones.

    After five failures in a row it is shut: one at a time, with pauses of 1, 2, 4 ... 60 s. The
    first one of those that is taken opens it, and each doubles how many may be under way, up to
    `full`. A rest that was asked for lasts, whatever is taken meanwhile.
    """

    def __init__(self, full: int) -> None:
        self._full = full
        self._failures = 0
        self._tries = 0
        self._shut_at: float | None = None
        self.width = full
        self.rests_until = 0.0
        """Nothing is begun before this moment."""

    @property
    def is_shut(self) -> bool:
        return self._shut_at is not None

    def room(self, under_way: int, now: float) -> int:
        """How many deliveries may begin now."""
        return max(self.width - under_way, 0) if now >= self.rests_until else 0

    def note_taken(self, began: float) -> bool:
        """A delivery that `began` at that moment was taken: did that open a brake that was shut?

        Not one that began before: a limiter of rates refuses at once and lets others take a while.
        """
        was_shut = self.is_shut
        if self._shut_at is not None and began < self._shut_at:
            return False
        self._failures = self._tries = 0
        self._shut_at = None
        self.width = min(self.width * 2, self._full)
        return was_shut

    def note_failure(
        self, began: float, now: float, chance: float, *, asked: float = 0.0, gone: bool = False
    ) -> bool:
        """A delivery that `began` at that moment failed: did that shut the brake?

        The receiver `asked` for a rest of so many seconds, or said that it is `gone` for good.
        """
        self._failures += 1
        rest = MOST_ASKED_FOR if gone else asked
        shuts = not self.is_shut and (gone or self._failures >= FAILURES_TO_SHUT)
        if shuts:
            self._shut_at, self.width = now, 1
        if self._shut_at is not None and (shuts or began >= self._shut_at):
            pause = min(SHORTEST_PAUSE * 2**self._tries, LONGEST_PAUSE)
            self._tries = min(self._tries + 1, 10)
            rest = max(rest, _spread(pause, chance))
        self.rests_until = max(self.rests_until, now + rest)
        return shuts


def _spread(seconds: float, chance: float) -> float:
    return seconds * (1 + JITTER * (2 * chance - 1))
