"""Looks through Plivo's list of the times in which nobody took callbacks, and writes what it says.

Plivo lists 20 messages at a time, and allows about 20 requests a minute. A slice of time is done
once as many rows of it can be read as Plivo says there are: rows can move between two pages. Else
it is short: what was found is written, and later runs list it again. Where that does not come true
for hours, what was found counts: one odd row must not keep what comes after it from being listed.
How far that has come is noted after each slice, so that the next run goes on there. An outage that
Plivo has trouble with keeps no other one from being listed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..model import StatusUpdate, timestamp
from ..notation import is_uuid
from ..plivo import api as plivo_api
from ..store.contract import Outcome
from ..store.runs import Outage
from .parts import Parts, Rest
from .reconcile import PLIVO_KEEPS, Inbound, tells_more, update_from_api
from .shortage import Shortage

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
TROUBLES = 3
MOST_PATIENT = 120
"""Seconds; where Plivo asks for a longer pause the run ends, and goes on after that."""

log = logging.getLogger(__name__)

Found = dict[str, StatusUpdate | None]
"""What a slice's rows say, by message UUID. None: it was not for Plivo to send that message."""


@dataclass
class Listed:
    """What has come of it: messages that Plivo listed, and those of them nobody knew.

    `absent`: those that it counted and never listed, which are given up. Once the run is over,
    `left` are the outages that are not listed to their end: `failed` of them because of trouble,
    the last of which was `trouble`, the others because there was no time.
    """

    listed: int = 0
    missed: int = 0
    absent: int = 0
    left: int = 0
    failed: int = 0
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
    """Those of which Plivo can list messages that are not known yet, oldest first.

    Raises StoreUnavailable.
    """
    now = parts.clock.now()
    found = parts.store.runs.unlisted(timestamp(now - KEPT))
    return [outage for outage in found if outage.listed_until < timestamp(now)]


def span_of(outage: Outage, now: datetime) -> tuple[datetime, datetime]:
    """From when until when Plivo's messages are to be listed for it."""
    start = datetime.fromisoformat(outage.listed_until or outage.since)
    end = min(datetime.fromisoformat(outage.until) + LATER, now)
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
                    self.done.failed += 1
                    if self.done.is_refused:
                        return
                    self._pause()
        finally:
            self.done.left = left

    def _list(self, outage: Outage) -> bool:
        """One of them; is all of it done?"""
        at, end = span_of(outage, self._parts.clock.now())
        shortage = Shortage(self._parts, outage)
        while at < end:
            if self._parts.clock.monotonic() >= self._deadline:
                return False
            until = min(at + self._span, end)
            found: Found = {}
            absent = self._fill(found, at, until)
            if absent is None:
                self._span = max((until - at) / 4, LEAST_SPAN)
                continue
            missed = self._missed + self._write(found)
            self.done.missed += missed
            shortage.missed += missed
            if absent:
                shortage.wait(absent)
                self.done.absent += absent
            self.done.listed += len(found)
            self._parts.store.runs.note_listed(outage.since, timestamp(until), shortage.missed)
            shortage.go_on(timestamp(until))
            self._report(str(self.done))
            if len(found) < SLICE / 4:
                self._span = min(self._span * 2, MOST_SPAN)
            at = until
        if timestamp(end) < outage.until:  # a clock that was ahead wrote it
            self._parts.store.runs.note_listed(outage.since, outage.until, 0)
        return True

    def _fill(self, found: Found, since: datetime, until: datetime) -> int | None:
        """List all messages of a slice of time; how many are absent. None if it is too long."""
        odd: set[str] = set()
        absent = 0
        self._missed = 0
        for _ in range(PASSES):
            total = self._pass(since, until, found, odd)
            if total is None:
                return None
            absent = max(total - len(found), 0)
            if not absent:
                return 0
        span = f"{timestamp(since)} to {timestamp(until)}"
        text = "reconcile: of %s Plivo lists %d messages, and says that there are %d more"
        log.warning(text, span, len(found), absent)
        if odd := odd - found.keys():
            log.warning(
                "reconcile: rows of Plivo's list cannot be read: %s", ", ".join(sorted(odd)[:5])
            )
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
            rows = self._read(page.rows, odd)
            found.update(rows)
            if page.total > SLICE:  # in a second: hundreds of pages may follow, and one can fail
                self._missed += self._write(rows)
                self._report(f"{self.done}; of one second {len(found)} of {page.total}")
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
