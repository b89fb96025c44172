"""Looks through Plivo's list of the times in which nobody took callbacks, and writes what it says.

Plivo lists 20 messages at a time, and allows about 20 requests a minute. A slice of time is done
once as many rows of it can be read as Plivo says there are: rows can move between two pages. Else
it is short: what was found is written, and what comes after it is listed, since one odd row must
not keep that back. The slice is noted as an outage of its own, to which later runs come back; where
it stays short for hours, what was found counts. How far an outage is listed is noted after each
slice, so that the next run goes on there. One that Plivo has trouble with keeps no other one from
being listed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ..model import StatusUpdate, timestamp
from ..notation import is_uuid
from ..plivo import api as plivo_api
from ..store.contract import Outcome
from ..store.runs import Outage
from .parts import Parts, Rest
from .reconcile import OUTAGES, PLIVO_KEEPS, Inbound, tells_more, update_from_api

LIST_SECONDS = 3.0
"""Between two requests: 20 a minute."""
SLICE = 100
"""A slice with more messages than this is made shorter, so that little is done twice."""
LEAST_SPAN, FIRST_SPAN, MOST_SPAN = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
EARLIER = timedelta(minutes=15)
"""Plivo tries callbacks for seven minutes, and a heartbeat can be a minute old."""
LATER = timedelta(minutes=5)
"""Plivo's clock and ours can differ."""
KEPT = PLIVO_KEEPS - timedelta(hours=1)
"""By Plivo's clock and when it is asked."""
PASSES = 5
"""A run lists a slice this often at most while Plivo says that there is more in it."""
PATIENT = timedelta(hours=6)
"""Runs come back for so long to a slice that is short, and once at least: that can be over in a
minute, or never. Each lists it once until then.
"""
TROUBLES = 3
MOST_PATIENT = 120
"""Seconds; where Plivo asks for a longer pause the run ends, and goes on after that."""

log = logging.getLogger(__name__)

Found = dict[str, StatusUpdate | None]
"""What a slice's rows say, by message UUID. None: it was not for Plivo to send that message."""


class Short(plivo_api.PlivoError):
    """Plivo counts messages that it does not list, or not so that they can be read."""

    def __init__(self, absent: int) -> None:
        text = f"It counts {absent} that it does not list, or not legibly; later runs come back."
        super().__init__(502, "Plivo does not list all messages", text)


@dataclass
class Listed:
    """What has come of it: messages that Plivo listed, and those of them nobody knew.

    `absent`: those that it counted and never listed, which are given up. Once the run is over,
    `left` are the outages that are not listed to their end, because of trouble, the last of which
    was `trouble`, or, if it `is_late`, because there was no time. A slice that is short is one.
    """

    listed: int = 0
    missed: int = 0
    absent: int = 0
    left: int = 0
    is_late: bool = False
    trouble: plivo_api.PlivoError | None = None

    @property
    def is_refused(self) -> bool:
        """Would Plivo only refuse another request now? It asked for a pause that is not kept here,
        or knows us not.
        """
        refusals = (plivo_api.RateLimited, plivo_api.AuthenticationFailed)
        return self.trouble is not None and (
            isinstance(self.trouble, refusals) or (self.trouble.retry_after or 0) > MOST_PATIENT
        )

    def __str__(self) -> str:
        text = f"{self.listed} listed, {self.missed} of them missed"
        if self.absent:
            text += f", {self.absent} counted by Plivo but not listed"
        if self.left:
            text += f", {self.left} {'outage' if self.left == 1 else 'outages'} left"
        return text


def open_outages(parts: Parts) -> Sequence[Outage]:
    """Those of which Plivo can list messages that are not known yet, oldest first; then the slices
    that are short.

    Raises StoreUnavailable.
    """
    now = parts.clock.now()
    found = parts.store.runs.unlisted(timestamp(now - KEPT))
    found = [outage for outage in found if outage.listed_until < timestamp(now)]
    return sorted(found, key=lambda outage: outage.is_short)


def span_of(outage: Outage, now: datetime) -> tuple[datetime, datetime]:
    """From when until when Plivo's messages are to be listed for it."""
    start = datetime.fromisoformat(outage.listed_until or outage.since)
    end = datetime.fromisoformat(outage.until)
    if not outage.is_short:
        end = min(end + LATER, now)
    return max(start if outage.listed_until else start - EARLIER, now - KEPT), end


class Listing:
    """One run. It ends early once `deadline`, by the monotonic clock, is over."""

    def __init__(
        self, parts: Parts, rest: Rest, deadline: float, report: Callable[[str], None]
    ) -> None:
        self._parts = parts
        self._rest = rest
        self._deadline = deadline
        self._report = report
        self._span = FIRST_SPAN
        self._split = 0  # slices that are short for the first time
        self._missed = 0  # of the slice that is being listed, as far as it is written
        self._next_request = parts.clock.monotonic() + LIST_SECONDS  # a run may have ended just now
        self.done = Listed()

    def look_through(self, outages: Sequence[Outage]) -> None:
        """List the messages of these outages and write what they say; `done` says how it went.

        Where Plivo has trouble with one the next is listed, and another run begins there again.
        Raises NotConfigured, StoreError or Stopping; what was noted stays.
        """
        left = len(outages)
        try:
            for outage in outages:
                try:
                    left -= self._list(outage)
                except plivo_api.PlivoError as error:
                    self.done.trouble = error
                    if self.done.is_refused:
                        return
                    self._pause()
        finally:
            self.done.left = left + self._split

    def _list(self, outage: Outage) -> bool:
        """One of them; is all of it done? Raises Short where that is waited for."""
        now = self._parts.clock.now()
        at, end = span_of(outage, now)
        is_patient = False
        if outage.is_short:
            self._span = end - at
            is_patient = abs(now - datetime.fromisoformat(outage.since)) < PATIENT
        while at < end:
            if self._parts.clock.monotonic() >= self._deadline:
                self.done.is_late |= not is_patient
                return False
            until = min(at + self._span, end)
            found: Found = {}
            absent = self._fill(found, at, until, is_patient=is_patient)
            if absent is None:
                self._span = max((until - at) / 4, LEAST_SPAN)
                continue
            missed = self._missed + self._write(found)
            self.done.missed += missed
            if outage.is_short:
                self.done.listed += missed  # the others are counted already
                known = timestamp(at if absent and is_patient else until)
                outage = replace(outage, listed_until=known, missed=outage.missed + missed)
                self._parts.store.runs.note_short(outage, self._part_of(at))
                if absent and is_patient:
                    raise Short(absent)
                self.done.absent += absent
            else:
                self.done.listed += len(found)
                short = self._short(at, until, absent) if absent else None
                self._parts.store.runs.note_listed(outage.since, timestamp(until), missed, short)
            self._report(str(self.done))
            if len(found) < SLICE / 4:
                self._span = min(self._span * 2, MOST_SPAN)
            at = until
        if timestamp(end) < outage.until:  # a clock that was ahead wrote it
            self._parts.store.runs.note_listed(outage.since, outage.until, 0)
        return True

    def _short(self, at: datetime, until: datetime, absent: int) -> Outage:
        """A slice that is short for the first time."""
        self._split += 1
        self.done.trouble = Short(absent)
        since = max(self._parts.clock.now(), until)  # a clock may have been put back
        return Outage(since=timestamp(since), until=timestamp(until), listed_until=timestamp(at))

    def _part_of(self, at: datetime) -> str:
        """Of which outage a slice from there on is a part."""
        outages = self._parts.store.runs.outages(OUTAGES)
        found = (outage.since for outage in outages if outage.since <= timestamp(at + EARLIER))
        return next(found, "")

    def _fill(
        self, found: Found, since: datetime, until: datetime, *, is_patient: bool
    ) -> int | None:
        """List all messages of a slice of time; how many are absent. None if it is too long."""
        odd: set[str] = set()
        absent = 0
        self._missed = 0
        for _ in range(1 if is_patient else PASSES):
            total = self._pass(since, until, found, odd)
            if total is None:
                return None
            absent = max(total - len(found), 0)
            if not absent:
                return 0
        level = logging.INFO if is_patient else logging.WARNING
        span = f"{timestamp(since)} to {timestamp(until)}"
        text = "reconcile: of %s Plivo lists %d messages, and says that there are %d more"
        log.log(level, text, span, len(found), absent)
        if odd := odd - found.keys():
            text = "reconcile: rows of Plivo's list cannot be read: %s"
            log.log(level, text, ", ".join(sorted(odd)[:5]))
        return absent

    def _pass(self, since: datetime, until: datetime, found: Found, odd: set[str]) -> int | None:
        """Each page once; how many messages Plivo says there are, None: too many.

        `odd` takes the UUIDs of those whose rows say nothing usable.
        """
        offset = 0
        while True:
            page = self._page(since, until, offset)
            if page.total > SLICE and until - since > LEAST_SPAN:
                return None
            known = len(found) + len(odd)
            rows = self._read(page.rows, odd)
            found.update(rows)
            if page.total > SLICE:  # in a second: hundreds of pages may follow, and one can fail
                self._missed += self._write(rows)
                self._report(f"{self.done}; of one second {len(found)} of {page.total}")
                is_late = self._parts.clock.monotonic() >= self._deadline
                if is_late and len(found) + len(odd) == known:  # it may go on like that without end
                    return page.total
            offset += plivo_api.PAGE
            if offset >= page.total or not page.rows:
                return page.total

    def _read(self, rows: list[Any], odd: set[str]) -> Found:
        """What the rows of a page say."""
        received_at = timestamp(self._parts.clock.now())
        found: Found = {}
        for row in rows:
            if not isinstance(row, dict) or not is_uuid(row.get("message_uuid")):
                odd.add("one without a message UUID")
                continue
            message_uuid = str(row["message_uuid"])
            try:
                found[message_uuid] = update_from_api(message_uuid, row, received_at)
            except Inbound:
                found[message_uuid] = None
            except plivo_api.PlivoError:
                odd.add(message_uuid)
        return found

    def _page(self, since: datetime, until: datetime, offset: int) -> plivo_api.Listed:
        """One page; what fails is tried again, after the pause that Plivo asks for."""
        troubles = 0
        while True:
            self._pause()
            self._next_request = self._parts.clock.monotonic() + LIST_SECONDS
            try:
                return plivo_api.list_messages(
                    self._parts.settings, since=since, until=until, offset=offset
                )
            except plivo_api.AuthenticationFailed:
                raise
            except plivo_api.PlivoError as error:
                troubles += 1
                wait = error.retry_after or LIST_SECONDS * 2**troubles
                if wait <= MOST_PATIENT:
                    self._next_request += wait
                if troubles == TROUBLES or wait > MOST_PATIENT:
                    raise

    def _pause(self) -> None:
        """Until Plivo may be asked for the next thing."""
        self._rest(max(self._next_request - self._parts.clock.monotonic(), 0))

    def _write(self, found: Found) -> int:
        """Write what these messages' rows do not say yet; how many had no row."""
        store = self._parts.store
        unknown, updates = set[str](), list[StatusUpdate]()
        for message_uuid, update in found.items():
            if update is None:
                continue
            known = store.find(message_uuid)
            if known is None:
                unknown.add(message_uuid)
            if tells_more(update, known):
                updates.append(update)
        written = [(update, store.begin(update)) for update in updates]
        outcomes = [(update.message_uuid, store.finish(pending)) for update, pending in written]
        return sum(uuid in unknown and outcome is Outcome.APPLIED for uuid, outcome in outcomes)
