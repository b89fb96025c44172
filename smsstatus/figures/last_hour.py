"""Whether more messages failed in the last hour than usual; for the overview, /stats, /metrics."""

from __future__ import annotations

from collections.abc import Sequence

from ..service import Service
from ..store.contract import HOUR, Tally
from .unusual import Share, shares, windows

FRESH_SECONDS = 60.0
COST = 20
"""What was counted is kept for that many times as long as counting took."""


def failure_shares(service: Service) -> list[Share]:
    """Where the last hour has messages enough to say something. Raises StoreUnavailable."""

    def count() -> tuple[list[Share], float]:
        started = service.clock.monotonic()
        found = _count(service)
        return found, service.clock.monotonic() - started

    found, _ = service.last_hour.get(
        service.clock, count, lambda kept, age: age < max(FRESH_SECONDS, COST * kept[1])
    )
    return found


def _count(service: Service) -> list[Share]:
    last, before = windows(service.clock.now())
    return shares(_tally(service, last), _usual(service, before))


def _usual(service: Service, before: Sequence[tuple[str, str]]) -> list[Tally]:
    """Of the days before: the same for an hour, and of the older days each message is read."""
    newest = before[0][0]
    _, found = service.usual.get(
        service.clock,
        lambda: (newest, [one for window in before for one in _tally(service, window)]),
        lambda kept, _: kept[0] == newest,
    )
    return found


def _tally(service: Service, window: tuple[str, str]) -> Sequence[Tally]:
    return service.store.tallies(window, (), window[1][:HOUR])[0]
