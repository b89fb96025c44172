"""Asks Plivo about messages that have been silent, and feeds the answers through the same guard.

After an outage that was longer than Plivo's seven minutes of retries this heals what is known here;
`listing` finds the rest.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from ..clock import Clock
from ..model import StatusUpdate, timestamp
from ..plivo import api as plivo_api
from ..plivo.callback import Unusable, digest_of, make_update
from ..store.contract import Message, Outcome, StoreError
from ..store.runs import Step
from .alone import while_alone
from .parts import Parts, Rest

REQUESTS_PER_SECOND = 5
TROUBLES_IN_A_ROW = 3
MIXED = 300
"""So many are asked about in random order, else the same three that Plivo always fails on could be
the first of every run. Not all: those not asked about for longest come first.
"""
PAUSES = (
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(days=1),
    timedelta(days=3),
)
"""Ages of silence at which the service asks about a message by itself."""
WITHIN = timedelta(days=7)
"""Messages that were first seen before are not asked about: some countries send no reports."""
PLIVO_KEEPS = timedelta(days=90)
"""It knows no older messages."""
OUTAGES = 1000
"""So many are looked at, newest first."""

_FIELD_NAMES = {
    "message_uuid": "MessageUUID",
    "message_state": "Status",
    "error_code": "ErrorCode",
    "from_number": "From",
    "to_number": "To",
    "message_time": "QueuedTime",
    "message_sent_time": "SentTime",
    "message_updated_time": "DeliveryReportTime",
    "units": "Units",
    "total_rate": "TotalRate",
    "total_amount": "TotalAmount",
}
"""The Message API's names and the callback's. There is no delivery time; the update is nearest."""


class Inbound(plivo_api.PlivoError):
    """Plivo received this message. Only those that it was to send are kept."""


class AtWork(Exception):
    """Another run asks Plivo now, in this process or another."""


@contextmanager
def alone(service: Parts) -> Iterator[Rest]:
    """One run at a time: two would ask about the same messages, and faster than we promise.

    It rests with what this yields. Raises AtWork or StoreUnavailable.
    """
    with service.store.hold("reconcile") as still_held:
        if not still_held:
            raise AtWork("another reconcile is at work, so nothing was asked")
        yield while_alone(service.clock.sleep, still_held, service.clock)


@dataclass
class Summary:
    """What a run did. `left` were not asked about; `stopped` says why, if it ended early.

    `retry_after`: for how many seconds Plivo wants no more requests, if it said so. `ends_all`: it
    ended for a reason that would end whatever comes next as well.
    """

    asked: int = 0
    changed: int = 0
    unknown: int = 0
    failed: int = 0
    left: int = 0
    stopped: str = ""
    retry_after: int | None = None
    ends_all: bool = False

    @property
    def complete(self) -> bool:
        return not self.left and not self.failed

    @property
    def counts(self) -> str:
        """For people."""
        return (
            f"{self.asked} asked, {self.changed} changed, {self.unknown} unknown to Plivo, "
            f"{self.failed} failed, {self.left} left"
        )

    def __str__(self) -> str:
        return f"{self.counts}; stopped: {self.stopped}" if self.stopped else self.counts


def asked_within(service: Parts) -> timedelta:
    """WITHIN, and on top as long as outages took that ended within it: nobody asked meanwhile.

    Raises StoreUnavailable.
    """
    now = service.clock.now()
    down = [
        datetime.fromisoformat(outage.until) - datetime.fromisoformat(outage.since)
        for outage in service.store.runs.outages(OUTAGES)
        if timestamp(now - WITHIN) <= outage.until <= timestamp(now)
    ]
    return min(sum(down, WITHIN), PLIVO_KEEPS)  # a clock that was wrong makes outages of years


def silent_messages(
    service: Parts, *, older_than: timedelta, within: timedelta, limit: int | None
) -> Sequence[str]:
    """Messages to ask about: not final, silent for `older_than`, first seen `within`.

    Those that were not asked about for longest come first, so that a run that ended early is
    taken up by the next. Older ones are left alone: some countries send no delivery reports, and
    there `sent` is the last word. Raises StoreUnavailable.
    """
    now = service.clock.now()
    return service.store.waiting(
        silent_since=timestamp(now - older_than),
        created_since=timestamp(now - within),
        limit=limit,
    )


def due_messages(service: Parts, *, within: timedelta, limit: int) -> Sequence[str]:
    """Messages to ask about now and then: those that have come to one of PAUSES since the last
    time. Raises StoreUnavailable.
    """
    now = service.clock.now()
    return service.store.waiting(
        silent_since=timestamp(now - PAUSES[0]),
        created_since=timestamp(now - within),
        steps=[Step(age, timestamp(now - age)) for age in PAUSES],
        limit=limit,
    )


def reconcile(
    service: Parts,
    uuids: Sequence[str],
    progress: Callable[[], None] = lambda: None,
    rest: Rest | None = None,
) -> Summary:
    """Ask Plivo about each message, at most REQUESTS_PER_SECOND in any second.

    Ends early where Plivo wants a pause, on refused credentials, on Ctrl-C, when the store takes
    nothing, and when Plivo has trouble several times in a row; the summary says so. Raises
    NotConfigured.
    """
    summary = Summary(left=len(uuids))
    trouble = plivo_api.not_understood()
    pace = _Pace(service.clock, rest or service.clock.sleep)
    failing = list[str]()  # since Plivo last answered about one

    def settle() -> None:
        """Plivo works, so the trouble is these messages' own: each has had its turn."""
        for message_uuid in failing:
            service.store.note_check(message_uuid, _now(service))
        failing.clear()

    try:
        for message_uuid in _mixed(uuids):
            pace.wait()
            try:
                told = ask_about(service, message_uuid)
            except (plivo_api.RateLimited, plivo_api.AuthenticationFailed) as error:
                summary.retry_after = error.retry_after
                summary.ends_all = True
                raise _Stop(in_words(error)) from None
            except (plivo_api.UnknownMessage, Inbound):
                summary.unknown += 1
                settle()
            except plivo_api.PlivoError as error:
                summary.failed += 1
                failing.append(message_uuid)
                trouble = error
            else:
                summary.changed += told.is_changed
                settle()
            pace.note_answer()
            summary.asked += 1
            summary.left -= 1
            progress()
            if len(failing) == TROUBLES_IN_A_ROW or (failing and trouble.retry_after):
                summary.retry_after = trouble.retry_after
                summary.ends_all = trouble.retry_after is not None
                raise _Stop(in_words(trouble))
        if summary.asked > summary.failed:
            settle()
    except _Stop as stop:
        summary.stopped = str(stop)
    except StoreError as error:
        summary.stopped, summary.ends_all = f"the answer could not be stored ({error})", True
    except KeyboardInterrupt:
        summary.stopped, summary.ends_all = "interrupted", True
    return summary


class _Pace:
    """At most REQUESTS_PER_SECOND in any second, also together with a run that ended just now."""

    def __init__(self, clock: Clock, rest: Rest) -> None:
        self._clock = clock
        self._rest = rest
        self._next = clock.monotonic() + 1 / REQUESTS_PER_SECOND
        self._answered = deque[float](maxlen=REQUESTS_PER_SECOND)

    def wait(self) -> None:
        """Until a request may be sent."""
        if len(self._answered) == REQUESTS_PER_SECOND:  # one that was long on its way came later
            self._next = max(self._next, self._answered[0] + 1)
        self._rest(max(self._next - self._clock.monotonic(), 0))
        self._next = self._clock.monotonic() + 1 / REQUESTS_PER_SECOND

    def note_answer(self) -> None:
        self._answered.append(self._clock.monotonic())


def _mixed(uuids: Sequence[str]) -> Iterator[str]:
    """See MIXED."""
    for first in range(0, len(uuids), MIXED):
        some = uuids[first : first + MIXED]
        yield from random.sample(some, len(some))


class Told(NamedTuple):
    """What Plivo says of a message, and what became of that."""

    update: StatusUpdate
    outcome: Outcome
    is_changed: bool
    """Its status or error code is another one now."""


def ask_about(service: Parts, message_uuid: str) -> Told:
    """Ask Plivo about one message.

    That it was asked is noted where it said something about this message: trouble says nothing.
    Raises NotConfigured, PlivoError, StoreUnavailable or WorkRefused.
    """
    answer: dict[str, Any] = {}
    try:
        answer = plivo_api.fetch_message(service.settings, message_uuid)
        key, known = _stored_as(service, message_uuid, answer)
        update = update_from_api(key, answer, _now(service))
    except plivo_api.PlivoError as error:
        if answer.get("message_uuid") or isinstance(error, (plivo_api.UnknownMessage, Inbound)):
            service.store.note_check(message_uuid, _now(service))
        raise
    is_news = tells_more(update, known)
    outcome = service.store.record(update) if is_news else Outcome.DUPLICATE
    service.store.note_check(key, _now(service))
    is_changed = outcome is Outcome.APPLIED and not _is_same(update, known)
    return Told(update, outcome, is_changed)


def _stored_as(service: Parts, asked: str, answer: dict[str, Any]) -> tuple[str, Message | None]:
    """The UUID of its row, and that row: the one that is there, else as Plivo writes it, and not as
    somebody typed it, in capitals for instance. Raises PlivoError if it is of another message.
    """
    said = str(answer.get("message_uuid") or asked)
    if said.lower() != asked.lower():
        raise plivo_api.not_understood()
    known = service.store.find(asked)
    return (asked, known) if known or said == asked else (said, service.store.find(said))


def _is_same(update: StatusUpdate, known: Message | None) -> bool:
    return known is not None and (
        (known.current_status, known.error_code) == (update.status, update.error_code)
    )


def tells_more(update: StatusUpdate, known: Message | None) -> bool:
    """Does Plivo's answer say what the message's row does not? Its times alone are no news: each
    that is written begins the pauses again.
    """
    if known is None or not _is_same(update, known):
        return True
    texts = ("sender_number", "recipient_number")
    return any(getattr(update, name) and not getattr(known, name) for name in texts) or any(
        (getattr(update, name) or 0) > (getattr(known, name) or 0) for name in ("units", "amount")
    )


def update_from_api(message_uuid: str, answer: dict[str, Any], received_at: str) -> StatusUpdate:
    """The Message API's answer as a status update. Its times carry the account's UTC offset.

    Raises PlivoError if it is none, Inbound if Plivo was not to send it.
    """
    if (answer.get("message_direction") or "outbound") != "outbound":
        text = "Plivo received this message: only those that it was to send are kept here."
        raise Inbound(422, "Not an outbound message", text)
    fields = {
        ours: str(answer[theirs])
        for theirs, ours in _FIELD_NAMES.items()
        if answer.get(theirs) is not None
    }
    if any("\0" in value for value in fields.values()):  # PostgreSQL holds none, as no form does
        raise plivo_api.not_understood()
    fields["MessageUUID"] = message_uuid
    pairs = list(fields.items())
    try:
        return make_update(
            fields,
            digest=digest_of("POST", [], pairs, domain="reconcile"),
            received_at=received_at,
            source="reconcile",
            parameters=urlencode(pairs),
        )
    except (Unusable, UnicodeError):
        raise plivo_api.not_understood() from None


def _now(service: Parts) -> str:
    return timestamp(service.clock.now())


class _Stop(Exception):
    """Ends a run early."""


def in_words(error: plivo_api.PlivoError) -> str:
    """What Plivo said, and for how long it is to be left alone."""
    wait = f" (wait {error.retry_after} s)" if error.retry_after else ""
    return f"{error.title}: {error.detail}{wait}"
