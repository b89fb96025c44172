"""What a store has to answer, worked out one update after another and without a database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from smsstatus.model import TEXT_DIGEST_SIZE, StatusUpdate
from smsstatus.plivo.countries import country_of
from smsstatus.store.contract import Event, Message, Outcome


@dataclass
class Oracle:
    """Everything that was written, in the order in which it came."""

    nonces: dict[str, bytes] = field(default_factory=dict)
    texts: dict[bytes, StatusUpdate] = field(default_factory=dict)
    kept: dict[str, dict[bytes, list[StatusUpdate]]] = field(default_factory=dict)

    def record(self, update: StatusUpdate) -> Outcome:
        """What `Store.record` answers, and what is known from then on."""
        nonce = update.v2_nonce
        if nonce and self.nonces.setdefault(nonce, update.digest) != update.digest:
            return Outcome.NONCE_TAKEN
        if update.used_nonce:
            self.nonces.setdefault(update.used_nonce, update.digest)
        first = self.texts.setdefault(update.digest[:TEXT_DIGEST_SIZE], update)
        if (first.message_uuid, first.digest) != (update.message_uuid, update.digest):
            return Outcome.TEXT_TAKEN
        events = self.kept.setdefault(update.message_uuid, {})
        copies = events.setdefault(update.digest, [])
        copies.append(update)
        if len(copies) > 1:
            return Outcome.DUPLICATE
        return Outcome.APPLIED if _last(events) is copies else Outcome.OLDER

    def record_all(self, updates: Iterable[StatusUpdate]) -> list[Outcome]:
        return [self.record(update) for update in updates]

    def find(self, message_uuid: str) -> Message | None:
        """What `Store.find` answers."""
        if message_uuid not in self.kept:
            return None
        events = self.kept[message_uuid]
        arrivals = [update for copies in events.values() for update in copies]
        ordered = sorted(events.values(), key=lambda copies: copies[0].order_key)
        last = ordered[-1][0]
        return Message(
            message_uuid=message_uuid,
            sender_number=_least(update.sender_number for update in arrivals),
            recipient_number=_least(update.recipient_number for update in arrivals),
            message_body=_least(update.message_body for update in arrivals),
            initial_status=ordered[0][0].status,
            current_status=last.status,
            status_timestamp=last.status_timestamp,
            error_code=last.error_code,
            created_at=min(map(first_seen, arrivals)),
            updated_at=min(update.received_at for update in ordered[-1]),
            is_final=last.is_final,
            reference=_least(update.reference for update in arrivals),
            events=tuple(map(_event, ordered)),
            **_facts(arrivals),
        )


def first_seen(update: StatusUpdate) -> str:
    """What Plivo told when it was asked can be of long ago."""
    if update.source == "reconcile" and update.queued_at:
        return min(update.queued_at, update.received_at)
    return update.received_at


def _last(events: dict[bytes, list[StatusUpdate]]) -> list[StatusUpdate]:
    return max(events.values(), key=lambda copies: copies[0].order_key)


def _least(values: Iterable[str | None]) -> str | None:
    return min((value for value in values if value is not None), default=None)


def _facts(updates: list[StatusUpdate]) -> dict[str, Any]:
    """The least network with its country, and units and amount of the greatest rank."""
    places = [(u.network, country_of(u.network, u.recipient_number)) for u in updates]
    network, country = min(places, key=lambda place: [(word is None, word) for word in place])
    told = [u for u in updates if (u.units, u.amount) != (None, None)]
    prices = [(u.rank, -1 if u.amount is None else u.amount, u.units) for u in told]
    _, amount, units = max(
        prices, key=lambda price: (*price[:2], price[2] or -1), default=(0, -1, None)
    )
    return {
        "network": network,
        "country": country,
        "units": units,
        "amount": None if amount == -1 else amount,
    }


def _event(copies: list[StatusUpdate]) -> Event:
    first = copies[0]
    return Event(
        status=first.status,
        status_timestamp=first.status_timestamp,
        error_code=first.error_code,
        sequence=first.sequence,
        received_at=min(update.received_at for update in copies),
        source=first.source,
        repeats=sum(update.source == "callback" for update in copies[1:]),
        parameters=first.parameters,
    )
