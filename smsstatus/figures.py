"""The figures of a window, for the API, the page and the command alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from .last_hour import failure_shares
from .model import utc_timestamp
from .rates import LEARNING, Rates, first_hour, rates_by_group, waits_of
from .service import Service
from .store.contract import Group, Stats
from .views import group_json, rates_json, share_json, stats_json

LEARN_SECONDS = 600.0
"""How long reports take is found out again after that."""


def window_figures(service: Service, since: str, until: str) -> dict[str, Any]:
    """What GET /stats answers. Raises StoreUnavailable."""
    return {
        **with_rates(service, service.store.stats(since, until), since, until),
        "unusual_failures": [
            share_json(share) for share in failure_shares(service) if share.is_unusual
        ],
    }


def with_rates(service: Service, stats: Stats, since: str, until: str) -> dict[str, Any]:
    """What was counted over a window, as the API shows it, and what it was in the time before.

    `before` is the window of the same length that ends where this one begins. Raises
    StoreUnavailable.
    """
    start = earlier(since, until)
    rates = rates_of(service, since, until, ()).get((), Rates())
    before = rates_json(rates_of(service, start, since, ()).get((), Rates()))
    compared = {"since": start, "until": since, "total": before["failure_rate_of"]}
    compared.update((name, before[name]) for name in ("delivery_rate", "failure_rate", "amount"))
    return {**stats_json(stats, since, until), **rates_json(rates), "before": compared}


def earlier(since: str, until: str) -> str:
    """As long before `since` as that is before `until`; where time ends, `since`."""
    start = datetime.fromisoformat(since)
    try:
        return utc_timestamp(str(start - (datetime.fromisoformat(until) - start)))
    except OverflowError:
        return since


def group_figures(service: Service, since: str, until: str, by: Sequence[str]) -> dict[str, Any]:
    """What GET /stats?group_by= answers: the largest group first. Raises StoreUnavailable."""
    times = service.store.delivery_times(since, until, by)
    groups = [
        group_json(by, group, rates, times.get(group, ()))
        for group, rates in sorted(
            rates_of(service, since, until, by).items(),
            key=lambda item: (-item[1].messages, [value or "" for value in item[0]]),
        )
    ]
    return {"since": since, "until": until, "currency": "USD", "groups": groups}


def rates_of(service: Service, since: str, until: str, by: Sequence[str]) -> dict[Group, Rates]:
    """The rates of each group of a window. Raises StoreUnavailable."""
    now = service.clock.now()
    tallies = service.store.tally(since, until, by, first_hour(now))
    return rates_by_group(tallies, _waits(service, now), now)


def _waits(service: Service, now: datetime) -> dict[str | None, timedelta]:
    def learn() -> dict[str | None, timedelta]:
        window = utc_timestamp(str(now - LEARNING)), utc_timestamp(str(now))
        return waits_of(service.store.delivery_times(*window, ("country",)))

    return service.waits.get(service.clock, learn, lambda _, age: age < LEARN_SECONDS)
