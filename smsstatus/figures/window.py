"""The figures of a window, for the API, the page and the command alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .. import promise
from ..model import DELIVERED, EARLIEST, timestamp
from ..service import Service
from ..store.contract import NO_COUNTRY, Filters, Group, Message, StoreUnavailable, Tally
from .last_hour import failure_shares
from .rates import LEARNING, Learned, Rates, first_hour, has_no_report, learn, rates_by_group
from .shown import group_json, rates_json, share_json, stats_json

LEARN_SECONDS = 600.0
"""From where reports come, and how long they take, is found out again after that."""
RETRY_SECONDS = 60.0
"""The same where it could not be found out."""
COMPARED = (
    "delivery_rate",
    "delivery_rate_of",
    "failure_rate",
    "failure_rate_of",
    "without_reports",
    "few_reports",
    "amount",
)
"""What is said of the time before, too."""
FEW_TIMES, NEWEST_OF_RARE = 50, 500
"""So few say little of the slowest; then so many of the newest messages are read."""


def window_figures(service: Service, since: str, until: str) -> dict[str, Any]:
    """What GET /stats answers. Raises StoreUnavailable."""
    around = tallies_around(service, since, until)
    times = service.store.delivery_times(since, until, (), deliveries(around[1])).get((), ())
    return {
        **stats_of(service, since, until, around, times),
        "unusual_failures": [
            share_json(share) for share in failure_shares(service) if share.is_unusual
        ],
    }


def tallies_around(service: Service, since: str, until: str) -> Sequence[Sequence[Tally]]:
    """By error code, of the time before a window, as long as that is, and of the window.

    Raises StoreUnavailable.
    """
    edges = (earlier(since, until), since, until)
    return service.store.tallies(edges, ("error_code",), first_hour(service.clock.now()))


def deliveries(tallies: Sequence[Tally]) -> int:
    """How many messages were delivered."""
    return sum(tally.messages for tally in tallies if tally.status in DELIVERED)


def stats_of(
    service: Service,
    since: str,
    until: str,
    around: Sequence[Sequence[Tally]],
    delivered_in: Sequence[float],
) -> dict[str, Any]:
    """What was counted over a window, as the API shows it, and what it was in the time before.

    `around`: the `tallies_around` it; `delivered_in`: its sorted delivery times. Raises
    StoreUnavailable.
    """
    earlier_rates, rates = [_rates_of_all(service, tallies) for tallies in around]
    errors = Counter[str]()
    for tally in around[1]:
        if tally.group[0] is not None:
            errors[tally.group[0]] += tally.messages
    before = rates_json(earlier_rates)
    compared = {"since": earlier(since, until), "until": since, "total": earlier_rates.messages}
    compared.update((name, before[name]) for name in COMPARED)
    stats = stats_json(rates, errors, delivered_in)
    return {"since": since, "until": until, **stats, "before": compared}


def _times_of_rare(
    service: Service,
    since: str,
    tallies: Sequence[Tally],
    times: Mapping[Group, Sequence[float]],
) -> dict[Group, list[float]]:
    """How long after they were first seen the newest messages were delivered to those countries of
    which the sample has few.
    """
    delivered = Counter[str | None]()
    for tally in tallies:
        if tally.status == "delivered":
            delivered[tally.country] += tally.messages
    found: dict[Group, list[float]] = {}
    for country, count in delivered.items():
        sampled = len(times.get((country,), ()))
        if sampled < min(FEW_TIMES, count):
            # Of any status: to find what was delivered where little is could mean reading all.
            wanted = Filters(country=country or NO_COUNTRY, since=since)
            newest = service.store.list(wanted, NEWEST_OF_RARE).messages
            seconds = sorted(_seconds_to_deliver(m) for m in newest if _was_timed(m))
            if len(seconds) > sampled:
                found[(country,)] = seconds
    return found


def _was_timed(message: Message) -> bool:
    return message.current_status == "delivered" and message.status_timestamp >= EARLIEST


def _seconds_to_deliver(message: Message) -> float:
    seen, delivered = map(datetime.fromisoformat, (message.created_at, message.status_timestamp))
    return max((delivered - seen).total_seconds(), 0.0)


def earlier(since: str, until: str) -> str:
    """As long before `since` as that is before `until`; where time ends, `since`."""
    start = datetime.fromisoformat(since)
    try:
        return timestamp(start - (datetime.fromisoformat(until) - start))
    except OverflowError:
        return since


def group_figures(service: Service, since: str, until: str, by: Sequence[str]) -> dict[str, Any]:
    """What GET /stats?group_by= answers: the largest group first. Raises StoreUnavailable."""
    (tallies,) = service.store.tallies((since, until), by, first_hour(service.clock.now()))
    times = service.store.delivery_times(since, until, by, deliveries(tallies))
    groups = groups_of(service, by, tallies, times)
    return {"since": since, "until": until, "currency": "USD", "groups": groups}


def groups_of(
    service: Service,
    by: Sequence[str],
    tallies: Sequence[Tally],
    times: Mapping[Group, Sequence[float]],
) -> list[dict[str, Any]]:
    """The groups as the API shows them, the largest first. Raises StoreUnavailable."""
    return [
        group_json(by, group, rates, times.get(group, ()))
        for group, rates in sorted(
            _rates(service, tallies).items(),
            key=lambda item: (-item[1].messages, [value or "" for value in item[0]]),
        )
    ]


def is_without_report(service: Service, message: Message) -> bool:
    """Whether the message was sent, and no delivery report is to be expected any more; not where
    that cannot be found out.
    """
    if message.current_status != "sent":
        return False
    now = service.clock.now()
    try:
        return has_no_report(message, _learned(service, now), now)
    except StoreUnavailable:  # the message was found, and can be shown
        return False


def _rates_of_all(service: Service, tallies: Sequence[Tally]) -> Rates:
    together = [
        Tally((), t.country, t.status, t.hour, t.messages, t.units, t.amount) for t in tallies
    ]
    return _rates(service, together).get((), Rates())


def _rates(service: Service, tallies: Sequence[Tally]) -> dict[Group, Rates]:
    """By group. Raises StoreUnavailable."""
    now = service.clock.now()
    return rates_by_group(tallies, _learned(service, now), now)


def _learned(service: Service, now: datetime) -> Learned:
    """Raises StoreUnavailable where it is not known and there was no time to find it out."""

    def learn_again() -> Learned:
        window = timestamp(now - LEARNING), timestamp(now)
        try:
            (tallies,) = service.store.tallies(window, (), first_hour(now))
            times = service.store.delivery_times(*window, ("country",), deliveries(tallies))
            return learn(tallies, {**times, **_times_of_rare(service, window[0], tallies, times)})
        except StoreUnavailable:
            known = service.learned.last or Learned()  # weeks say much the same ten minutes later
            if not known.is_known and not promise.seconds_left():
                raise  # it is this answer that was slow: for others there may be time
            return known  # an hour may be read where weeks that have no sums yet may not

    return service.learned.get(
        service.clock,
        learn_again,
        lambda learned, age: age < (LEARN_SECONDS if learned.is_known else RETRY_SECONDS),
    )
