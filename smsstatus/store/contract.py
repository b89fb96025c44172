"""What a store promises, what it answers, and how it says no. Pure.

`outbox` and `runs` are parts of it: changes that are handed on, and what the upkeep did.

Times are UTC text in the form of `model.utc_timestamp`, so that text compares as time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol

from ..model import StatusUpdate
from .outbox import Forward, Outbox
from .runs import Runs, Step

DELIVERIES_TIMED = 10_000
"""Delivery times are those of all of a window's deliveries, if there are no more than that."""
SAMPLE, PARTS, MOST_READ = 2_000, 40, 40_000
"""Of more, they are those of some, which bounds their cost: of about so many, or of what is among
so many messages, that follow one another by their ids in as many places of the window. Ids grow
with time, but what Plivo told of later has a late one: so the least and the greatest of the window
are those at as many times of it.

Whatever was sent has the same chance to be among them. Of as many that are picked one by one the
95th percentile lies between the 94th and the 96th of all 19 times of 20.
"""
StillHeld = Callable[[], bool]
"""Is what was taken held still, as far as can be told? It does not wait long, and raises nothing.
"""
WAITING_COUNTED = 1000
"""Where reports are never sent, most messages wait: counting stops here."""
KEYS_KEPT = timedelta(hours=24)
"""An Idempotency-Key and its answer are forgotten after that."""
PRUNE_BATCH = 500
FORGET_BATCH = 100
"""So many messages at most are removed at a time: callbacks wait for that long."""


class StoreError(Exception):
    """The store did not do what was asked. The text says why."""


class StoreUnavailable(StoreError):
    """It cannot be written or read now; trying again later can help."""


class Unreadable(StoreUnavailable):
    """What is stored of one message is damaged; that says nothing of the others."""


class WorkRefused(StoreError):
    """It refused this work and no other; trying again cannot help."""


class SchemaTooNew(StoreError):
    """A later version of smsstatus has written what is stored."""


class Outcome(Enum):
    """What became of an update."""

    APPLIED = "applied"
    """It stands: the message's row says what it says."""
    OLDER = "older"
    """Kept as an event; the row already says something with a greater order key."""
    DUPLICATE = "duplicate"
    """Known already; nothing changed."""
    PRUNED = "pruned"
    """It happened before the last prune, and its message has no row: nothing written."""
    NONCE_TAKEN = "nonce_taken"
    """Its V2 nonce came with other fields before: a forgery, nothing written."""
    TEXT_TAKEN = "text_taken"
    """What V3 signed was read as other fields before: a forgery, nothing written."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The first request with a key. `answer`: whatever its owner keeps; None: not answered yet."""

    digest: bytes
    age: timedelta
    answer: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """One distinct update of a message. `repeats`: how often the same callback came again.

    `status_timestamp` is empty where the update says no time. `parameters` are as received.
    `forward`: how handing it on goes, where that was asked for.
    """

    status: str
    status_timestamp: str
    error_code: str | None
    sequence: int
    received_at: str
    source: str
    repeats: int
    parameters: str
    forward: Forward | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What is known of a message now. `reference` is the query that its sender added to the URL.

    `events` are in the order in which they happened; None in a listing, which does not read them.
    `country` is an ISO 3166 code, `network` is MCC-MNC, `amount` is in millionths of a US dollar.
    Of networks that differ the least is kept; `units` and `amount` are those that the update with
    the greatest rank says.
    """

    message_uuid: str
    sender_number: str | None
    recipient_number: str | None
    message_body: str | None
    initial_status: str
    current_status: str
    status_timestamp: str
    error_code: str | None
    created_at: str
    updated_at: str
    is_final: bool
    reference: str | None
    events: tuple[Event, ...] | None = None
    country: str | None = None
    network: str | None = None
    units: int | None = None
    amount: int | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a listing: the row after which to go on."""

    created_at: str
    id: int


NO_COUNTRY = "none"
"""The filter for messages of which no country is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What to list. Numbers match with or without `+`; `since` is inclusive, `until` is not.

    Both are compared with created_at. `reference` is one decoded parameter of what the sender added
    to the callback URL, such as `order=42`. `country` is an ISO 3166 code, or NO_COUNTRY. `network`
    is MCC-MNC, or an MCC where no MNC was reported.
    """

    statuses: tuple[str, ...] = ()
    recipient: str | None = None
    recipient_ending: str | None = None
    sender: str | None = None
    error_code: str | None = None
    reference: str | None = None
    country: str | None = None
    network: str | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Messages, and where the next page starts (None: there is none)."""

    messages: Sequence[Message]
    next: Position | None


GROUPS = ("country", "network", "sender", "error_code", "status")
"""What messages can be grouped by. A sender is its number without `+`."""

Group = tuple[str | None, ...]
"""A value for each that was asked for, in that order."""


HOUR = len("2026-11-01T12")
"""So much of a time says its hour."""


class Tally(NamedTuple):
    """Messages of a window that are alike: how many, and the sums of what is known of them.

    `hour` is the one in which they were first seen, such as `2026-11-01T12`, where they are `sent`,
    and the asked-for one if that is later; else empty. `amount` is in millionths of a US dollar.
    """

    group: Group
    country: str | None
    status: str
    hour: str
    messages: int
    units: int
    amount: int


@dataclass(frozen=True, slots=True)
class Pulse:
    """How many messages wait (WAITING_COUNTED: this many or more), and when the newest callbacks
    were received, oldest first.
    """

    waiting: int
    arrivals: Sequence[str]


@dataclass(frozen=True, slots=True)
class Engine:
    """The program that keeps the data. `warning`: what is wrong with it, or empty. `may_lose`: is
    that so bad that what it has committed can be lost?
    """

    name: str
    version: str
    warning: str
    may_lose: bool = False


class Pending(Protocol):
    """An update that is being written."""

    @property
    def finished(self) -> bool:
        """Would `finish` not wait?"""

    @property
    def error(self) -> Exception | None:
        """What `finish` would raise, once it is finished."""


class Store(Protocol):
    """The messages and their events. Safe to use from any thread and after a fork.

    Every method raises StoreUnavailable, and those that write raise WorkRefused too.
    """

    damage: str
    """What is wrong with what is stored; empty: nothing that is known. See `examine`."""
    damage_advice: str
    """What a person does about it."""
    counts: Mapping[str, int]
    """Messages by current_status when they were last counted; see `count_again`."""

    @property
    def outbox(self) -> Outbox:
        """The changes of status, and those that wait to be handed on."""

    @property
    def runs(self) -> Runs:
        """When the upkeep ran, and when the service was down."""

    def prepare(self) -> None:
        """Create the store or what is missing in it. Raises SchemaTooNew."""

    def begin(self, update: StatusUpdate, wake: Callable[[], None] | None = None) -> Pending:
        """Have an update written durably, and do not wait.

        `wake` is called, in another thread, once that is finished.
        """

    def finish(self, pending: Pending) -> Outcome:
        """Wait for what has begun; when this returns it survives a power loss."""

    def record(self, update: StatusUpdate) -> Outcome:
        """Write one update durably; when this returns it survives a power loss."""

    def claim_nonce(self, nonce: str, digest: bytes, parameters: str) -> bool:
        """Let the callback with `digest` own a V2 nonce; False if another owns it already."""

    def knows_text(self, digest: bytes) -> bool:
        """Has an update been stored whose digest is of the same signed text?"""

    def claim_key(self, key: str, digest: bytes) -> Claim | None:
        """Let a request own an Idempotency-Key; None if it does now, else the claim that stands."""

    def keep_answer(self, key: str, answer: str) -> None:
        """Keep what the owner of a key was answered."""

    def free_key(self, key: str) -> None:
        """Let another request own a key."""

    def note_check(self, message_uuid: str, checked_at: str) -> None:
        """Remember when Plivo was asked about a message."""

    def find(self, message_uuid: str) -> Message | None:
        """One message with its events, or None."""

    def list(self, filters: Filters, limit: int, after: Position | None = None) -> Page:
        """A page of messages, newest first."""

    def walk(self, filters: Filters, limit: int | None = None) -> Iterator[Message]:
        """All matching messages, newest first; no read stays open between them."""

    def history(self, edges: Sequence[str]) -> Sequence[Mapping[str, int]]:
        """Messages by status first seen between each two neighbouring times."""

    def tallies(
        self, edges: Sequence[str], by: Sequence[str], first_hour: str
    ) -> Sequence[Sequence[Tally]]:
        """The messages first seen between each two neighbouring times, grouped by some of GROUPS,
        country and status.

        In no order. What is `sent` is grouped by hour too; those before `first_hour` are one group.
        """

    def delivery_times(
        self, since: str, until: str, by: Sequence[str], deliveries: int
    ) -> Mapping[Group, Sequence[float]]:
        """Seconds from queued to delivered, sorted, by group.

        Of all deliveries of the window, or, if there are more than DELIVERIES_TIMED, of a SAMPLE
        from all over it, whatever their group: those of all groups together are the same for any
        `by`. What was read was delivered before; a message is left out where no update says when.

        `deliveries`: how many there are.
        """

    def change_marker(self) -> str:
        """A word that differs once something that is listed or counted has changed."""

    def pulse(self, *, since: str, before: str, newest: int) -> Pulse:
        """How many messages of a window wait, and when the newest callbacks came."""

    def waiting(
        self,
        *,
        silent_since: str,
        created_since: str,
        steps: Sequence[Step] = (),
        limit: int | None = None,
    ) -> Sequence[str]:
        """UUIDs of messages to ask Plivo about; those not asked about for longest first.

        With `steps`, only those that have passed one since they were last asked about. None that
        was simulated.
        """

    def count_older(self, created_before: str) -> int:
        """How many messages were first seen before that."""

    def newest(self) -> str:
        """When the newest message was first seen; empty if there is none."""

    def prune_batch(self, created_before: str) -> int:
        """Remove up to PRUNE_BATCH of the older messages with their events; how many."""

    def forget_batch(self, pair: str) -> int:
        """Remove up to FORGET_BATCH of the messages whose reference has this pair, with their
        events; how many.

        Unlike pruned ones they can come back.
        """

    def hold(self, name: str) -> AbstractContextManager[StillHeld | None]:
        """Be the one who does `name`, letters and hyphens, until the block ends.

        None if another is, in any process; nobody waits. When a process dies, or the connection
        with which it holds ends, what it held is free: who is long at work asks now and then, from
        the thread that holds. A store that is left with one connection holds and works with that.
        """

    def backup(self, target: Path, progress: Callable[[float], None] = lambda share: None) -> None:
        """A consistent, fsynced copy; `progress` is told the share that is done.

        Raises FileExistsError or OSError too.
        """

    def probe(self) -> None:
        """Write something and commit it."""

    def look(self) -> None:
        """Read as a newcomer would, so that damage is noticed while no callbacks come."""

    def count_again(self) -> None:
        """Bring `counts` up to date."""

    def correct_some(self, now: str) -> bool:
        """Correct some rows that an earlier version left; False if that is done."""

    def sum_up_some(self, now: str) -> bool:
        """Do some of what makes `tallies` quick; False if nothing is left to do."""

    def take_suspicion(self) -> bool:
        """Has a write or a count met damage since this was last asked?"""

    def find_damage(self, seconds: float) -> str:
        """What is wrong with what is stored; empty if nothing was found in this time."""

    def examine(self, seconds: float) -> None:
        """Look for damage, and repair what can be repaired; see `damage`."""

    def engine(self) -> Engine:
        """Which program keeps the data."""

    def close(self) -> None:
        """Finish and close; the next use opens again."""
