"""Being the only process that does something, for as long as it takes."""

from __future__ import annotations

from ..clock import Clock
from ..store.contract import StillHeld
from .parts import Rest

HELD_SECONDS = 5.0


class NotAlone(Exception):
    """Another process may do the same by now."""


def while_alone(rest: Rest, still_held: StillHeld, clock: Clock) -> Rest:
    """A `rest` after which one is alone, else it raises NotAlone: that is asked every few seconds.

    Whoever is not could ask Plivo twice as often as we promise.
    """
    asked_at = clock.monotonic()

    def rest_alone(seconds: float) -> None:
        nonlocal asked_at
        rest(seconds)
        if clock.monotonic() >= asked_at + HELD_SECONDS:
            if not still_held():
                raise NotAlone(
                    "the connection to the database that kept other processes from doing the same "
                    "has ended, or does not answer"
                )
            asked_at = clock.monotonic()

    return rest_alone
