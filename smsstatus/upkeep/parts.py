"""What the upkeep needs of the running service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from ..clock import Clock
from ..metrics import Metrics
from ..settings import Settings
from ..store.contract import StillHeld, Store

Rest = Callable[[float], None]
"""Waits for so many seconds; raises Stopping once the service stops."""
HELD_SECONDS = 5.0


class NotAlone(Exception):
    """Another process may do the same by now."""


class Stopping(Exception):
    """The service stops: what is left is for the next run."""


class Parts(Protocol):
    """The parts of one service."""

    @property
    def settings(self) -> Settings: ...
    @property
    def store(self) -> Store: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def clock(self) -> Clock: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a run of a task came to. `again_in`: it did not get to its end, so go on after that."""

    text: str
    is_ok: bool = True
    again_in: timedelta | None = None


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
