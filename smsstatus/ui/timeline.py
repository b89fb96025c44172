"""A message's events as a person reads them: in the order they happened, with anything odd.

Pure. The store returns the events in event order; `received_at` shows the order in which they
arrived. An event is late if one that happened after it had arrived before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..notation import form_pairs
from ..plivo.error_codes import Explanation, explain
from ..store.contract import Event
from ..store.outbox import Forward
from . import words

WORTH_A_WORD = 1.0
"""From this many seconds between an event and its arrival on, the timeline mentions them."""


@dataclass(frozen=True)
class Step:
    """One event of the timeline. Seconds are None where Plivo reported no time."""

    key: str
    status: str
    at: str
    received_at: str
    source: str
    repeats: int
    error: Explanation | None
    since_last: float | None
    on_the_way: float | None
    overtaken_by: str
    """The status of a later event that had arrived before this one, or empty."""
    parameters: list[tuple[str, str]]
    forward: Forward | None


def steps(events: Sequence[Event]) -> list[Step]:
    """The timeline of events in event order."""
    found = []
    last = ""
    for index, event in enumerate(events):
        found.append(_step(event, last, events[index + 1 :]))
        last = event.status_timestamp or last
    return found


def _step(event: Event, last: str, later: Sequence[Event]) -> Step:
    at, received_at = event.status_timestamp, event.received_at
    overtaken = [other.status for other in later if other.received_at < received_at]
    delay = _seconds(at, received_at)
    return Step(
        key=f"{event.source}-{event.status}-{received_at}",
        status=event.status,
        at=at,
        received_at=received_at,
        source=words.SOURCES.get(event.source, event.source),
        repeats=event.repeats,
        error=explain(event.error_code) if event.error_code else None,
        since_last=_seconds(last, at),
        on_the_way=delay if delay is not None and delay >= WORTH_A_WORD else None,
        overtaken_by=overtaken[-1] if overtaken else "",
        parameters=form_pairs(event.parameters),
        forward=event.forward,
    )


def _seconds(start: str, end: str) -> float | None:
    if not start or not end:
        return None
    return (words.moment_of(end) - words.moment_of(start)).total_seconds()
