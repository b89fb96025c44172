"""Patience with Plivo's list of an outage where it is short: Plivo counts more than it lists.

That can be over in a minute, or never. So runs come back to it for some hours, and remember since
when in the memory of the upkeep, as the last run of a task of its own.
"""

from __future__ import annotations

from datetime import timedelta

from ..model import timestamp
from ..plivo.api import PlivoError
from ..store.runs import Outage, Run
from .parts import Parts

PATIENT = timedelta(hours=6)


class Short(PlivoError):
    """Plivo counts messages that it does not list, or not so that they can be read."""


class Shortage:
    """What is remembered of an outage's list where it is known up to now: since when it is short.

    `missed`: how many messages were written meanwhile, which the outage does not count yet.
    """

    def __init__(self, parts: Parts, outage: Outage) -> None:
        self._parts = parts
        self._task = f"list {outage.since}"
        self._known = outage.listed_until
        self._since = ""
        self._is_over = False
        self.missed = 0
        for run in parts.store.runs.last():
            if run.task == self._task and run.found.partition(" ")[2] == self._known:
                self._since, self.missed = run.began_at, int(run.found.partition(" ")[0])

    def wait(self, absent: int) -> None:
        """So many messages are absent in what comes next. Raises Short unless that was waited for.

        Then nothing that comes after it is: Plivo may count wrongly all along.
        """
        now = self._parts.clock.now()
        self._since = min(self._since or timestamp(now), timestamp(now))
        self._is_over = self._since <= timestamp(now - PATIENT)
        if not self._is_over:
            self._note()
            text = (
                f"It counts {absent} that it does not list, or not legibly; later runs come back."
            )
            raise Short(502, "Plivo does not list all messages", text)

    def go_on(self, known: str) -> None:
        """The outage is listed up to there, and its messages are counted."""
        self._known, self.missed = known, 0
        if self._is_over:
            self._note()
        else:
            self._since = ""

    def _note(self) -> None:
        now = timestamp(self._parts.clock.now())
        self._parts.store.runs.note(
            Run(
                task=self._task,
                began_at=self._since,
                ended_at=now,
                next_at=now,
                is_ok=False,
                found=f"{self.missed} {self._known}",
            )
        )
