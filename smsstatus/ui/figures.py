"""What the overview counts: outcomes over a window, kept for as long as nothing has changed.

While messages keep coming in, figures are kept for COST times as long as counting them took:
however large the window and whoever looks, counting takes at most a twentieth of one core. That
there is nothing is not kept: who looks for the first message finds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import chain
from typing import Any

from ..cache import Cache
from ..figures.window import deliveries, groups_of, stats_of, tallies_around
from ..model import timestamp
from ..service import Service
from .chart import Bucket, Chart, buckets, draw
from .headline import Headline, headline

COST = 20
TOP_FAILURES = 6


@dataclass(frozen=True)
class Window:
    """A span of time that ends now, in equal parts; every `ticks_every`th is named.

    Parts of an hour and more are those of local days: one is longer or shorter where clocks change.
    """

    name: str
    title: str
    step: timedelta
    bars: int
    ticks_every: int

    @property
    def is_local(self) -> bool:
        return self.step > timedelta(hours=1)

    @property
    def ticks(self) -> str:
        """How times under the axis are written."""
        return "date" if self.is_local else "clock"

    @property
    def parts(self) -> str:
        """How a part's beginning is written."""
        return "date" if self.step >= timedelta(days=1) else "minute"

    def number_at(self, moment: datetime, zone: tzinfo = UTC) -> int:
        """Which of all the parts since 1970 the moment is in."""
        return (self._clock_at(moment, zone) - _EPOCH) // self.step

    def edges(self, number: int, zone: tzinfo = UTC) -> list[str]:
        """The times between the parts; the last part is the one with that number."""
        shown_in = zone if self.is_local else UTC
        return [
            timestamp((_EPOCH + n * self.step).replace(tzinfo=shown_in))
            for n in range(number + 1 - self.bars, number + 2)
        ]

    def _clock_at(self, moment: datetime, zone: tzinfo) -> datetime:
        return moment.astimezone(zone if self.is_local else UTC).replace(tzinfo=None)


_EPOCH = datetime(1970, 1, 1)
WINDOWS = {
    window.name: window
    for window in (
        Window("1h", "last hour", timedelta(minutes=1), 60, 10),
        Window("24h", "last 24 hours", timedelta(minutes=30), 48, 8),
        Window("7d", "last 7 days", timedelta(hours=3), 56, 8),
        Window("30d", "last 30 days", timedelta(days=1), 30, 5),
    )
}
DEFAULT_WINDOW = "24h"


Key = tuple[str, int, str]
TEN_MINUTES = len("2026-11-01T12:3")


@dataclass(frozen=True)
class Figures:
    """What was counted over a window. `key` says when: it differs where the figures may differ.

    That is by the change marker, the latest part of the window, and ten minutes: with time alone
    messages turn into those that have no report, and it is found out again from where they come.
    """

    key: Key
    cost: float
    """Seconds that counting took."""
    stats: dict[str, Any]
    headline: Headline
    failures: list[dict[str, Any]]
    countries: list[dict[str, Any]]
    chart: Chart
    times: list[Bucket]


def figures_of(
    kept: Cache[Figures], service: Service, window: Window, marker: str, zone: tzinfo
) -> Figures:
    """The window's figures, counted again if they may differ and it is not too costly.

    `kept` holds those that were counted last. Raises StoreUnavailable.
    """
    clock = service.clock
    now = clock.now()
    key = (marker, window.number_at(now, zone), timestamp(now)[:TEN_MINUTES])
    return kept.get(
        clock,
        lambda: _count(service, window, key, zone),
        lambda figures, age: (
            figures.key == key or (figures.stats["total"] > 0 and age < COST * figures.cost)
        ),
    )


def _count(service: Service, window: Window, key: Key, zone: tzinfo) -> Figures:
    clock = service.clock
    started = clock.monotonic()
    edges = window.edges(key[1], zone)
    since, until = edges[0], edges[-1]
    slices = service.store.history(edges)  # what comes before the next line is not in the bars
    around = tallies_around(service, since, until)
    by_country = [tally._replace(group=(tally.country,)) for tally in around[1]]
    times = service.store.delivery_times(since, until, ("country",), deliveries(around[1]))
    delivered_in = sorted(chain.from_iterable(times.values()))
    stats = stats_of(service, since, until, around, delivered_in)
    countries = groups_of(service, ("country",), by_country, times)
    return Figures(
        key,
        clock.monotonic() - started,
        stats,
        headline(stats, window.title),
        failures(stats),
        countries,
        draw(edges, slices, window.ticks_every),
        buckets(delivered_in),
    )


def failures(stats: dict[str, Any]) -> list[dict[str, Any]]:
    """The most frequent reasons, with their share of all failures; those without a code too."""
    failed = stats["final"] - stats["delivered"]
    coded = sum(error["count"] for error in stats["top_errors"])
    everything = max(failed, coded)
    rows = [
        {**error, "share": error["count"] / everything}
        for error in stats["top_errors"][:TOP_FAILURES]
    ]
    shown = sum(row["count"] for row in rows)
    if everything > shown:
        rest = everything - shown
        reason = "Other codes, or none" if rows else "No error code reported"
        rows.append({"code": "", "reason": reason, "count": rest, "share": rest / everything})
    return rows
