"""What a store promises about changes of status, and about handing each one on. Pure.

A change is an update that stands, is not our own send, and says another status or error code than
what stood before it. Which changes are handed on is decided where they are written: in the
transaction that writes the update. They can be read whether any are handed on or not.

Times are UTC text as in `contract`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

CLAIM_SECONDS = 57
"""Who has claimed a change must have settled it by then: after that it can be claimed again.

So what a process had claimed that was killed is on its way again within a minute, the second
between two looks at the outbox included.
"""

MAX_CLAIMED = 100
"""As many changes one `Outbox.claim` returns at most."""

AT_ONCE = 500
"""As many `hasten`, `retry` and `skip` change at most; fewer: no more are left."""

LOOKED_AT = 10 * AT_ONCE
"""As many of those that are due later `hasten` looks at, the soonest first."""

COUNTED = 10_000
"""`OutboxState` stops counting here."""


class CursorUnknown(Exception):
    """No change is where this cursor points: the database was replaced since, by a backup."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes are handed on. `statuses`: of these; None: of all.

    `latest_only`: a newer one replaces those of its message that still wait.
    """

    statuses: frozenset[str] | None = None
    latest_only: bool = False

    def includes(self, status: str) -> bool:
        return self.statuses is None or status in self.statuses


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a receiver is told. `previous_status` is None for a message's first update.

    `digest` identifies it for good; `event_id` only in this database, where those of one message
    rise in the order in which they became known. (`phase`, `status_timestamp`, `sequence`, `rank`,
    `digest`) is the order key, which rises with it. `reference` is the sender's query as received.
    `parameters` is empty where what is kept of them cannot be read.
    """

    event_id: int
    digest: bytes
    message_uuid: str
    status: str
    previous_status: str | None
    error_code: str | None
    is_final: bool
    phase: int
    status_timestamp: str
    sequence: int
    rank: int
    sender_number: str | None
    recipient_number: str | None
    received_at: str
    source: str
    parameters: str
    reference: str | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A change to hand on now. `claim` proves, when it is settled, who was told to.

    `attempts`: how many have failed. `failing_since`: when the first of them did; None: none yet.
    Both begin again when somebody retries a dead one.
    """

    change: Change
    claim: str
    attempts: int
    failing_since: str | None


class Fate(Enum):
    """What has become of a change that was to be handed on."""

    WAITING = "waiting"
    TAKEN = "taken"
    DEAD = "dead"
    """Given up; kept until somebody retries or skips it."""
    SKIPPED = "skipped"
    SUPERSEDED = "superseded"
    """A newer change replaced it while it waited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What one attempt came to, and when: TAKEN, DEAD, or WAITING until `due_at`.

    SKIPPED: it was not tried, for example because its data cannot be read. `answer` is the
    receiver's code, or a word such as `timeout`.
    """

    claimed: Claimed
    fate: Fate
    at: str
    answer: str
    due_at: str | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """How handing on one change goes: for people.

    `answer`: the last one; empty: none yet. `due_at`: when it is tried next; None: not any more.
    `seconds`: from when it was first received until it was taken; None: it was not.
    """

    fate: Fate
    attempts: int
    answer: str
    due_at: str | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Letter:
    """A change that is dead, and the message it is of."""

    message_uuid: str
    status: str
    attempts: int
    answer: str
    settled_at: str


@dataclass(frozen=True, slots=True)
class Condition:
    """How it goes with the receiver. `failing_since`: None: its last answer was that it took one.

    `last_failure`: what the last failed attempt came to; empty: none failed yet.
    """

    failing_since: str | None = None
    last_failure: str = ""
    last_taken_at: str | None = None


@dataclass(frozen=True, slots=True)
class OutboxState:
    """The whole outbox at a glance. Both counts end at COUNTED: this many or more.

    `due_since`: since when the change that is most behind could have been tried; None: none is.
    """

    waiting: int
    dead: int
    due_since: str | None
    paused_at: str | None
    condition: Condition


@dataclass(frozen=True, slots=True)
class News:
    """Changes in the order in which they became known, and the cursor after the last one.

    They can be fewer than asked for, or none, while there are more: then the cursor moved.
    """

    changes: Sequence[Change]
    cursor: str


class Outbox(Protocol):
    """The changes that wait to be handed on. Safe to use from any thread and after a fork.

    Every method raises StoreUnavailable, and those that write raise WorkRefused too.
    """

    wanted: Wanted | None
    """Which changes the store was told to hand on; None: none, and nothing is written."""

    def on_change(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, in the writer's thread, when this process wrote one to hand on.

        It must return at once. Other processes write too, so look once in a while besides.
        """

    def claim(self, now: str, limit: int, *, newest_first: bool = False) -> Sequence[Claimed]:
        """Changes that are due, for this process alone, for CLAIM_SECONDS.

        Of each message only the earliest that waits, and only while none of it is claimed. At most
        MAX_CLAIMED; none while it is paused. Newest first: only what was not tried yet, and none
        of it where hundreds that were tried are newer. Where only one process may hand on (SQLite),
        none as long as another one does: it does from its first claim until `release`, or its end.
        """

    def settle(self, settlements: Sequence[Settlement]) -> int:
        """Write what attempts came to, all or none, durably; how many were still ours to settle.

        One is not if its claim has expired, or the database was replaced by one that does not have
        its change. If it waits, all of its message that wait do so until then.
        """

    def release(self) -> None:
        """Let others claim what this process has claimed and not settled."""

    def give_back(self, claimed: Sequence[Claimed]) -> None:
        """Let these be claimed again, by this process as well: it has not begun them."""

    def hasten(self, now: str, since: str) -> int:
        """Make AT_ONCE of those due that wait because attempts failed, or all; how many.

        Only of messages whose earliest that waits failed first at that moment or later.
        """

    def retry(self, now: str, message_uuid: str | None = None, *, overtaken: bool = False) -> int:
        """Let dead changes wait again, of one message or of all, AT_ONCE or all; how many.

        Not one that a newer change of its message has overtaken, which was taken, unless asked to.
        """

    def skip(self, now: str, message_uuid: str | None = None) -> int:
        """Give up changes that wait or are dead, of one message or of all; as `retry`."""

    def pause(self, now: str) -> None:
        """Have all processes claim nothing from now on, after a restart too. Changes still come."""

    def resume(self) -> None:
        """End the pause."""

    def note(self, condition: Condition) -> None:
        """Remember how it goes, for `state`. For the one that hands on, every few seconds."""

    def state(self, now: str) -> OutboxState:
        """What waits and what is dead. Cheap, however many there are."""

    def dead(self, limit: int) -> Sequence[Letter]:
        """Dead changes, those that became known last first."""

    def end(self) -> str:
        """The cursor after all changes that are known now: `news` after it has the later ones."""

    def news(self, after: str | None, limit: int) -> News:
        """Changes after a cursor (None: from the oldest that is kept), handed on or not.

        Made of the stored events. Each change is in exactly one answer to whoever follows the
        cursors, however late its transaction was committed. Raises CursorUnknown, and ValueError
        if the text is no cursor at all.
        """
