"""How what one store keeps is put into another, as it is. Pure: it knows only the contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..model import FINAL_STATUSES, StatusUpdate
from ..plivo.callback import facts_of
from .contract import Store, Unreadable

_LASTING = ("sender_number", "recipient_number", "message_body", "reference")
"""What a message does not lose again, whatever comes."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One message: what each of its updates said, and how often it came again."""

    updates: tuple[StatusUpdate, ...]
    """In their order. What is the message's (numbers, text, reference) is the same in each."""
    repeats: tuple[int, ...]
    checked_at: str | None
    shown: tuple[object, ...]
    """What the message's row says otherwise, which has to be the same in both stores."""
    times: tuple[str, str]
    """When it was first seen, and when the update that stands was received."""

    @property
    def message_uuid(self) -> str:
        return self.updates[0].message_uuid

    def is_part_of(self, other: Kept) -> bool:
        """Does another store know all of this, and more? Of the same updates it can have counted
        more repeats, have heard of some earlier, or have asked Plivo later.
        """
        theirs = {u.digest: (u, n) for u, n in zip(other.updates, other.repeats, strict=True)}
        for update, repeats in zip(self.updates, self.repeats, strict=True):
            known, count = theirs.get(update.digest, (None, 0))
            if known is None or known.received_at > update.received_at or count < repeats:
                return False
            if _own(known) != _own(update):
                return False
        if any(getattr(self.updates[0], n) and not getattr(other.updates[0], n) for n in _LASTING):
            return False
        if (other.checked_at or "") < (self.checked_at or "") or other.times[0] > self.times[0]:
            return False
        return len(other.updates) > len(self.updates) or (
            self.shown == other.shown and other.times[1] <= self.times[1]
        )


def _own(update: StatusUpdate) -> tuple[object, ...]:
    """What an update says whatever else is known of its message."""
    return (
        update.status,
        update.status_timestamp,
        update.error_code,
        update.sequence,
        update.rank,
        update.source,
        update.parameters,
    )


@dataclass(frozen=True, slots=True)
class Marks:
    """What is kept beside the messages: some nonces, with their owners' digests, and some keys."""

    nonces: Sequence[tuple[str, bytes]]
    keys: Sequence[tuple[str, bytes, str, str | None]]
    """Idempotency keys: key, digest, claimed_at, answer."""
    pruned_before: str | None


class Mover(Protocol):
    """A store that can be copied from and to while callbacks come. Raises what a store does."""

    @property
    def store(self) -> Store:
        """What is read and written, apart from that."""

    def last(self) -> int:
        """The greatest id of a message; 0 if there is none."""

    def totals(self) -> tuple[int, int]:
        """How many messages there are, and how many events."""

    def uuids(self, after: int, limit: int) -> Sequence[tuple[int, str]]:
        """The next messages by id."""

    def kept(self, uuids: Sequence[str]) -> Sequence[Kept]:
        """Those of these messages that are there, that can be read, and that have events."""

    def restore(self, kept: Sequence[Kept]) -> None:
        """Write these as they are; doing it again, or after callbacks have come, is right too."""

    def marks(self, nonce: str, key: str, limit: int) -> Marks:
        """The next `limit` of each after this nonce and this key."""

    def restore_marks(self, marks: Marks) -> None:
        """Write these as they are; doing it again changes nothing."""


def read_kept(store: Store, rows: Sequence[Sequence[object]]) -> list[Kept]:
    """What a store keeps of messages. A row is an event: message_uuid, queued_at, checked_at,
    digest and rank, in the events' order.
    """
    by_uuid: dict[str, list[Sequence[object]]] = {}
    for row in rows:
        by_uuid.setdefault(str(row[0]), []).append(row)
    found = (_kept(store, events) for events in by_uuid.values())
    return [kept for kept in found if kept is not None]


def _kept(store: Store, rows: Sequence[Sequence[object]]) -> Kept | None:
    """None if the message has changed since the rows were read, is gone, or cannot be read."""
    try:
        message = store.find(str(rows[0][0]))
    except Unreadable:
        return None
    if message is None or message.events is None or len(message.events) != len(rows):
        return None
    updates = []
    for event, (_, queued, _, digest, rank) in zip(message.events, rows, strict=True):
        assert isinstance(digest, bytes)
        assert isinstance(rank, int)
        queued_at = None if queued is None else str(queued)
        if queued_at is not None and event.source == "reconcile":  # it may date the message: rules
            queued_at = max(queued_at, message.created_at)
        updates.append(
            StatusUpdate(
                message_uuid=message.message_uuid,
                status=event.status,
                status_timestamp=event.status_timestamp,
                error_code=event.error_code,
                is_final=event.status in FINAL_STATUSES,
                sequence=event.sequence,
                rank=rank,
                digest=digest,
                sender_number=message.sender_number,
                recipient_number=message.recipient_number,
                message_body=message.message_body,
                queued_at=queued_at,
                received_at=event.received_at,
                source=event.source,
                parameters=event.parameters,
                reference=message.reference,
                **facts_of(event.parameters, message.reference, digest)._asdict(),
            )
        )
    checked_at = rows[0][2]
    return Kept(
        tuple(updates),
        tuple([event.repeats for event in message.events]),
        None if checked_at is None else str(checked_at),
        (
            message.sender_number,
            message.recipient_number,
            message.message_body,
            message.reference,
            message.initial_status,
            message.current_status,
            message.country,
            message.network,
            message.units,
            message.amount,
        ),
        (message.created_at, message.updated_at),
    )


def as_replayed(kept: Sequence[Kept]) -> list[StatusUpdate]:
    """Their updates so that writing one that is there already does not count as Plivo's retry."""
    updates = [update for each in kept for update in each.updates]
    return [u._replace(source="replay") if u.source == "callback" else u for u in updates]
