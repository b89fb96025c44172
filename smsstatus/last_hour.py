"""Whether more messages failed in the last hour than usual; for the overview, /stats, /metrics."""

from __future__ import annotations

from .rates import HOUR
from .service import Service
from .store.contract import Tally
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
    def tally(since: str, until: str) -> list[Tally]:
        return list(service.store.tally(since, until, (), until[:HOUR]))

    last, before = windows(service.clock.now())
    return shares(tally(*last), [counted for window in before for counted in tally(*window)])
