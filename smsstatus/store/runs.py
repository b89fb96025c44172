"""What a store remembers of the upkeep: when its tasks ran, when the service was down. Pure.

Times are UTC text as in `contract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

BEFORE_FIRST = timedelta(days=1)
"""At the first start messages may have been sent before: it is as if it had been down so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A task's last run. `found`: what it came to, for people; how far it is, until then.

    `is_ok`: it did all that there was to do; until it ends, what is known of the one before.
    `ended_at`: None: it is under way, or its process has died. `next_at`: when the next one is due.
    """

    task: str
    began_at: str
    ended_at: str | None
    next_at: str
    is_ok: bool
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A time in which nobody took callbacks. `since` identifies it.

    `listed_until`: Plivo's messages of the time before that are known; empty: none yet. `missed`:
    of how many of them no callback had come.

    One that `is_short` is a part of another one, of which Plivo counts more messages than it lists:
    from `listed_until` until `until`. `since` is when that was found, so it comes after them.
    """

    since: str
    until: str
    listed_until: str = ""
    missed: int = 0

    @property
    def is_short(self) -> bool:
        """Is it a part whose list is short?"""
        return self.since >= self.until

    @property
    def is_before_first(self) -> bool:
        """Is it the time before the first start? No other is as long to the microsecond."""
        down = datetime.fromisoformat(self.until) - datetime.fromisoformat(self.since)
        return down == BEFORE_FIRST


@dataclass(frozen=True, slots=True)
class Step:
    """An age of silence at which Plivo is asked about a message: `age`, and when one that is as old
    now was updated last.
    """

    age: timedelta
    updated_before: str


class Runs(Protocol):
    """The memory of the upkeep. Safe to use from any thread and after a fork.

    Every method raises StoreUnavailable, and those that write raise WorkRefused too.
    """

    def beat(self, now: str, *, down_before: str, first_since: str) -> None:
        """Remember that the service is up now.

        If it was last up before `down_before`, remember an outage from then until now; if it never
        was, one from `first_since`.
        """

    def up_at(self) -> str:
        """When the service was last known to be up; empty: never."""

    def outages(self, limit: int) -> Sequence[Outage]:
        """The newest outages, newest first; none that is a part of one."""

    def unlisted(self, after: str) -> Sequence[Outage]:
        """All outages that ended later than that and are not listed to their end, oldest first;
        parts of one too.
        """

    def note_listed(
        self, since: str, listed_until: str, missed: int, short: Outage | None = None
    ) -> None:
        """Plivo's messages of an outage are known up to there; `missed` more than before. Only of
        the part `short` they are not: remember that.
        """

    def note_short(self, short: Outage, since: str) -> None:
        """Remember how far such a part is, and nothing of one that is listed to its end. What it
        has missed since the last time counts for the outage from `since` on.
        """

    def note(self, run: Run) -> None:
        """Remember a run in the place of its task's last one."""

    def last(self) -> Sequence[Run]:
        """Each task's last run."""
