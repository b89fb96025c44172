"""What the tests of the outbox do over and over."""

from __future__ import annotations

from collections.abc import Sequence

from smsstatus.store.contract import Outcome, Store
from smsstatus.store.outbox import Claimed, Fate, Forward, Outbox, Settlement

from .updates import DAY, Fields, at, update_of

LATER = f"{DAY}T23:00:00.000000Z"
"""When everything is due that was not put off to a later day."""
TOMORROW = "2026-11-02T00:00:00.000000Z"


def come(store: Store, *callbacks: Fields, uuid: str = "a-uuid") -> list[Outcome]:
    """These callbacks of one message come, each a second after the one before."""
    return [
        store.record(update_of({"MessageUUID": uuid, **fields}, f"{DAY}T12:00:{second:02}.000000Z"))
        for second, fields in enumerate(callbacks)
    ]


def live(store: Store, uuid: str = "a-uuid") -> None:
    """A message is queued, sent and delivered."""
    come(store, at("queued"), at("sent"), at("delivered"), uuid=uuid)


def answered(claimed: Claimed, fate: Fate, due_at: str | None = None) -> Settlement:
    return Settlement(claimed=claimed, fate=fate, at=LATER, answer="200", due_at=due_at)


def take_all(outbox: Outbox, now: str = LATER) -> list[str]:
    """Hand on all that is due; the statuses in the order in which they are told."""
    told = []
    while claimed := outbox.claim(now, 10):
        told += [one.change.status for one in claimed]
        assert outbox.settle([answered(one, Fate.TAKEN) for one in claimed]) == len(claimed)
    return told


def statuses(claimed: Sequence[Claimed]) -> list[str]:
    return [one.change.status for one in claimed]


def forwards_of(store: Store, uuid: str = "a-uuid") -> list[Forward | None]:
    message = store.find(uuid)
    assert message is not None
    assert message.events is not None
    return [event.forward for event in message.events]


def fates(store: Store, uuid: str = "a-uuid") -> list[str]:
    return [forward.fate.value if forward else "" for forward in forwards_of(store, uuid)]


def follow(outbox: Outbox, after: str | None, limit: int = 2) -> tuple[list[str], str]:
    """All changes after a cursor, page by page, and the cursor after them."""
    told: list[str] = []
    while True:
        news = outbox.news(after, limit)
        told += [f"{change.message_uuid} {change.status}" for change in news.changes]
        if news.cursor == after:
            return told, news.cursor
        after = news.cursor
