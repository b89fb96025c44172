"""Do more messages fail than is usual? Pure.

The last hour is compared with the same hours of the seven days before. Shares differ by chance, in
the few messages of one hour more than in the many of seven. So up to SPREADS standard errors of the
difference, and POINTS at least, are explained by what is usual; what is beyond that has a cause
worth looking for. Of fewer than LEAST messages nothing is said. Where the days before have fewer
than that, nothing is known to be usual, and only more than UNKNOWN is beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

from ..model import FAILURES, timestamp
from ..store.contract import Tally

LEAST = 100
SPREADS = 4.0
"""By chance alone one hour of 1,500 is beyond, at most. With three it would be one of 230."""
POINTS = 0.03
UNKNOWN = 0.5
DAYS = 7
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Share:
    """How many of some messages failed in the last hour, and in the same hours of the days before.

    `country` is an ISO 3166 code; None: all messages. There are LEAST of the last hour.
    """

    country: str | None
    failed: int
    messages: int
    failed_before: int
    messages_before: int

    @property
    def now(self) -> float:
        return self.failed / self.messages

    @property
    def before(self) -> float | None:
        """What is usual, where that is known."""
        known = self.messages_before >= LEAST
        return self.failed_before / self.messages_before if known else None

    @property
    def most(self) -> float:
        """The greatest share that is explained; it can be above 1."""
        return most(self.messages, self.failed_before, self.messages_before)

    @property
    def is_unusual(self) -> bool:
        return self.now > self.most


def most(messages: int, failed_before: int, messages_before: int) -> float:
    """The greatest share of `messages` whose failing is explained by what was before.

    One message that failed and one that did not are added to those before: that none of a
    thousand failed does not prove that none can.
    """
    if messages_before < LEAST:
        return max(UNKNOWN, failed_before / max(messages_before, 1) + POINTS)
    usual = (failed_before + 1) / (messages_before + 2)
    error = sqrt(usual * (1 - usual) * (1 / messages + 1 / (messages_before + 2)))
    return usual + max(SPREADS * error, POINTS)


def windows(now: datetime) -> tuple[tuple[str, str], list[tuple[str, str]]]:
    """The last hour, and of each day before the two clock hours that it is in at the same time.

    Whole hours, since stores have those summed up.
    """
    start = (now - HOUR).replace(minute=0, second=0, microsecond=0)
    days = [timedelta(days=number) for number in range(1, DAYS + 1)]
    return _span(now - HOUR, now), [_span(start - day, start - day + 2 * HOUR) for day in days]


def shares(last: Sequence[Tally], before: Sequence[Tally]) -> list[Share]:
    """Of all messages, then of those to each known country, where the last hour has LEAST."""
    now, then = _counted(last), _counted(before)
    return [
        Share(country, *counts, *then.get(country, (0, 0)))
        for country, counts in sorted(now.items(), key=lambda item: item[0] or "")
        if counts[1] >= LEAST
    ]


def _counted(tallies: Sequence[Tally]) -> Mapping[str | None, tuple[int, int]]:
    """Those that failed, and all, by country; None: whatever their country."""
    counts: dict[str | None, tuple[int, int]] = {}
    for tally in tallies:
        for country in {None, tally.country}:
            failed, messages = counts.get(country, (0, 0))
            lost = tally.messages if tally.status in FAILURES else 0
            counts[country] = failed + lost, messages + tally.messages
    return counts


def _span(since: datetime, until: datetime) -> tuple[str, str]:
    return timestamp(since), timestamp(until)
