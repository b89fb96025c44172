"""The bar charts: numbers in, geometry out. Pure; the template draws them.

The drawing is stretched to the page's width, so it holds no text: labels stand beside it in
HTML. A few failures among thousands would be thinner than a pixel, so whatever is there is drawn
at least THINNEST high.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from . import words

BAR = 10
HEIGHT = 100
THINNEST = 1.5
FEWEST = 4  # messages that the axis shows at least, so that one alone does not fill it


@dataclass(frozen=True)
class Piece:
    """One coloured part of a bar."""

    outcome: str
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """What happened between two times."""

    since: str
    until: str
    x: int
    pieces: list[Piece]
    counts: dict[str, int]
    text: str


@dataclass(frozen=True)
class Chart:
    """Everything the template draws. `ticks` are the times under the axis, equally far apart."""

    bars: list[Bar]
    width: int
    top: int
    ticks: list[str]
    text: str


LIMITS = (1, 2, 5, 10, 30, 60, 300, 3600)
"""Seconds to deliver; what takes longer than the last is in a part of its own."""


@dataclass(frozen=True)
class Bucket:
    """Deliveries that took no longer than `limit` seconds, and longer than the one before it.

    None: those beyond all limits. `share` is of all that were timed, which can be a sample; `width`
    is of the greatest bucket.
    """

    limit: int | None
    count: int
    share: float
    width: float


def buckets(seconds: Sequence[float]) -> list[Bucket]:
    """How long deliveries took; empty where there are none. `seconds` are sorted."""
    edges = [0, *(bisect_right(seconds, limit) for limit in LIMITS), len(seconds)]
    counts = [after - before for before, after in pairwise(edges)]
    return [
        Bucket(limit, count, count / len(seconds), round(100 * count / max(counts), 2))
        for limit, count in zip((*LIMITS, None), counts, strict=True)
        if seconds
    ]


def draw(edges: Sequence[str], slices: Sequence[Mapping[str, int]], ticks_every: int) -> Chart:
    """A chart of the counts by status between each two neighbouring times."""
    counted = [by_outcome(counts) for counts in slices]
    top = nice_top(max((sum(counts.values()) for counts in counted), default=0))
    bars = [
        Bar(since, until, index * BAR, _pieces(counts, top), counts, in_words(counts))
        for index, ((since, until), counts) in enumerate(zip(pairwise(edges), counted, strict=True))
    ]
    total = {name: sum(counts[name] for counts in counted) for name in words.OUTCOMES}
    busiest = max((sum(counts.values()) for counts in counted), default=0)
    return Chart(
        bars,
        len(bars) * BAR,
        top,
        list(edges[:-1:ticks_every]),
        f"Outcomes over time: {in_words(total)}. At most {words.number(busiest)} in one bar.",
    )


def by_outcome(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by status as counts by outcome, each of them present."""
    found = dict.fromkeys(words.OUTCOMES, 0)
    for status, count in counts.items():
        found[words.outcome(status)] += count
    return found


def in_words(counts: dict[str, int]) -> str:
    """`12 messages: 10 delivered, 1 on its way, 1 not delivered`."""
    total = words.count(sum(counts.values()), "message", "messages")
    parts = [
        f"{words.number(counts[name])} {label.lower()}"
        for name, label in words.OUTCOMES.items()
        if counts[name]
    ]
    return f"{total}: {', '.join(parts)}" if parts else total


def nice_top(highest: int) -> int:
    """The axis' end: a round number, whose half is a whole number, not below `highest`."""
    power = 1
    while True:
        for factor in (2, 4, 6, 8, 10):
            if factor * power >= max(highest, FEWEST):
                return factor * power
        power *= 10


def _pieces(counts: dict[str, int], top: int) -> list[Piece]:
    """From the axis upwards, in the order of OUTCOMES."""
    heights = {name: max(count / top * HEIGHT, THINNEST) for name, count in counts.items() if count}
    too_high = sum(heights.values()) - HEIGHT
    if too_high > 0:
        tallest = max(heights, key=lambda name: heights[name])
        heights[tallest] -= too_high
    pieces = []
    y = float(HEIGHT)
    for name, height in heights.items():
        y -= height
        pieces.append(Piece(name, round(y, 2), round(height, 2)))
    return pieces
