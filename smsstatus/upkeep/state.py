"""What the upkeep has done and will do, for people and for monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ..model import timestamp
from ..store.runs import Outage, Run
from .listing import EARLIER, open_outages
from .parts import Parts
from .tasks import NAMES, tasks_of


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task. `last_at`: when it ended last, or began what is under way; empty: never. `next_at`:
    when it is due; empty: it is off, or has never run. `is_ok`: of the last run that ended.
    """

    name: str
    is_on: bool
    is_ok: bool
    is_under_way: bool
    last_at: str
    next_at: str
    found: str

    @property
    def last(self) -> str:
        """For people."""
        return f"at work since {self.last_at}" if self.is_under_way else self.last_at or "never"

    @property
    def next(self) -> str:
        """For people."""
        return (self.next_at or "soon") if self.is_on else "off"

    def overdue(self, now: datetime) -> float:
        """For how many seconds its next run has been due."""
        if not self.next_at:
            return 0.0
        behind = now - datetime.fromisoformat(self.next_at)
        return max(round(behind.total_seconds(), 1), 0.0)


@dataclass(frozen=True, slots=True)
class UpkeepState:
    """All tasks, whether they are on or not; the newest outages, and all of which Plivo's messages
    are not known yet, however old; when the service was last up.
    """

    tasks: Sequence[TaskState]
    outages: Sequence[Outage]
    unlisted: Sequence[Outage]
    up_at: str = field(compare=False, repr=False)  # it changes each minute

    def seconds_behind(self, now: datetime) -> float:
        """Of all outages: how much of their time Plivo has not been asked about."""
        spans = [
            datetime.fromisoformat(min(outage.until, timestamp(now)))
            - datetime.fromisoformat(outage.listed_until or outage.since)
            for outage in self.unlisted
        ]
        return sum([max(round(span.total_seconds(), 1), 0.0) for span in spans])


def state_of(parts: Parts, outages: int) -> UpkeepState:
    """What is known now. Raises StoreUnavailable."""
    runs = {run.task: run for run in parts.store.runs.last()}
    on = {task.name for task in tasks_of(parts.settings)}
    tasks = [_state_of(name, runs.get(name), is_on=name in on) for name in NAMES]
    unlisted = open_outages(parts)
    newest = [_known(outage, unlisted) for outage in parts.store.runs.outages(outages)]
    return UpkeepState(tasks, newest, unlisted, parts.store.runs.up_at())


def _known(outage: Outage, unlisted: Sequence[Outage]) -> Outage:
    """Listed to where the first of its parts begins whose list is short."""
    first = timestamp(datetime.fromisoformat(outage.since) - EARLIER)
    short = [part.listed_until for part in unlisted if part.is_short and part.listed_until >= first]
    return replace(outage, listed_until=min([outage.listed_until, *short]))


def _state_of(name: str, run: Run | None, *, is_on: bool) -> TaskState:
    if run is None:
        return TaskState(name, is_on, True, False, "", "", "")
    next_at = run.next_at if is_on else ""
    last_at, is_under_way = run.ended_at or run.began_at, run.ended_at is None
    return TaskState(name, is_on, run.is_ok, is_under_way, last_at, next_at, run.found)
