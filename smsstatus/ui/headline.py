"""The overview's greatest figure, in words: the rate that means something for these messages. Pure.

In some countries no delivery reports come, so there how many failed is all that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..figures.unusual import LEAST
from . import words

NAMED = 3
"""So many countries are named; of the others it is told how many they are."""


@dataclass(frozen=True)
class Change:
    """Against the window before: `up`, `down` or `same`, whether that is good, and the figures."""

    direction: str
    is_better: bool
    text: str


@dataclass(frozen=True)
class Headline:
    """A rate in per cent; None: nothing is known yet. `other`: what else there is to say of it."""

    name: str
    rate: str | None
    caption: str
    other: str
    change: Change | None


def headline(stats: dict[str, Any], window_title: str) -> Headline:
    """Of the figures of GET /stats."""
    if not stats["total"]:
        caption = f"No message was seen in the {window_title}."
        return Headline("Nothing yet", None, caption, "", None)
    name = stats["headline"]
    if name is None:
        so_far = words.count(stats["total"], "message", "messages")
        caption = f"{so_far} so far, none with a final status yet."
        return Headline("On the way", None, caption, "", None)
    change = _change(name, stats, f"the {window_title.removeprefix('last ')} before")
    rate = words.percent(stats[name])
    if name == "failure_rate":
        return Headline("failed", rate, _failed(stats), _how_many_arrived(stats), change)
    return Headline("delivered", rate, _delivered(stats), rate_of_failures(stats), change)


def silent_countries(codes: Sequence[str]) -> str:
    """`the United States, Canada and 4 other countries`."""
    names = [words.country(code) for code in codes[:NAMED]]
    left = len(codes) - len(names)
    if left:
        names.append(words.count(left, "other country", "other countries"))
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def rate_of_failures(stats: dict[str, Any]) -> str:
    """`3 % of all 1,500 messages failed or were undelivered`, and where nobody reports."""
    rate = words.percent(stats["failure_rate"])
    failed = f"{rate} % of all {_messages(stats)} failed or were undelivered."
    missing = _missing(stats)
    return f"{failed} {missing[:1].upper()}{missing[1:]}".rstrip()


def _missing(stats: dict[str, Any]) -> str:
    """Where no delivery is reported, and where most are not; empty where all are."""
    parts = []
    if stats["without_reports"]:
        silent = silent_countries(stats["without_reports"])
        parts.append(f"no delivery has been reported from {silent}")
    if stats["few_reports"]:
        few = silent_countries(stats["few_reports"])
        parts.append(f"most delivery reports from {few} have not come")
    return f"{'; '.join(parts)}." if parts else ""


def _failed(stats: dict[str, Any]) -> str:
    return f"failed or undelivered: {words.number(stats['failed'])} of {_messages(stats)}"


def _how_many_arrived(stats: dict[str, Any]) -> str:
    missing = _missing(stats)
    if stats["delivery_rate"] is None:
        reason = missing or f"{stats['delivery_rate_reason']}."
        return f"How many were delivered is not known: {reason}"
    rate = words.percent(stats["delivery_rate"])
    known = words.count(stats["delivery_rate_of"], "message", "messages")
    delivered = f"{rate} % of {known} were delivered"
    return f"Where reports come, {delivered}; {missing}" if missing else f"{delivered}."


def _delivered(stats: dict[str, Any]) -> str:
    known = words.count(stats["delivery_rate_of"], "message", "messages")
    where = " where delivery reports come" if _missing(stats) else ""
    return f"delivered, of {known} with a final status{where}"


def _messages(stats: dict[str, Any]) -> str:
    return words.count(stats["failure_rate_of"], "message", "messages")


def _change(name: str, stats: dict[str, Any], earlier_time: str) -> Change | None:
    """Of the rates as they are shown, so that the reader's own subtraction is right.

    None where one of them rests on fewer than LEAST messages: it differs by chance alone. Nor is a
    delivery rate compared with one that rests on other countries.
    """
    before = stats["before"]
    missing = ("without_reports", "few_reports")
    if name == "delivery_rate" and any(stats[each] != before[each] for each in missing):
        return None
    if min(stats[f"{name}_of"], before[f"{name}_of"]) < LEAST:
        return None
    now, then = words.percent(stats[name]), words.percent(before[name])
    points = round(float(now) - float(then), 1)
    if not points:
        return Change("same", True, f"as in {earlier_time}: {then} %")
    size = f"{abs(points):g} {'point' if abs(points) == 1 else 'points'}"
    is_better = (points > 0) == (name == "delivery_rate")
    if points > 0:
        return Change("up", is_better, f"{size} more than in {earlier_time}: {then} %")
    return Change("down", is_better, f"{size} less than in {earlier_time}: {then} %")
