"""The outbox in PostgreSQL; `outbox.Outbox` says what each method promises.

Every process hands on at once. A claim is written to the change's row, and ends by the server's
clock; what a killed process had claimed is free then.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar
from uuid import uuid4

from ..groupcommit import GroupCommit
from ..outbox import (
    CLAIM_SECONDS,
    MAX_CLAIMED,
    Claimed,
    Condition,
    Letter,
    News,
    OutboxState,
    Settlement,
    Wanted,
)
from . import changes, forwards
from .connection import Connection

T = TypeVar("T")


class Read(Protocol):
    """What `work(connection)` returns, on a connection that does not write callbacks."""

    def __call__(self, work: Callable[[Connection], T]) -> T: ...


class PostgresOutbox:
    """The changes that wait to be handed on. Safe to use from any thread and after a fork."""

    def __init__(self, writer: GroupCommit, read: Read, wanted: Wanted | None) -> None:
        self.wanted = wanted
        self._writer = writer
        self._read = read
        self._wake: Callable[[], None] = lambda: None
        self._pid = 0
        self._begin_alone()

    def _begin_alone(self) -> None:
        """A child of fork has claimed nothing."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._mutex = threading.Lock()
            self._claimed: dict[int, tuple[Claimed, float]] = {}

    def on_change(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def written(self) -> None:
        """The writer has committed a change to hand on."""
        self._wake()

    def claim(self, now: str, limit: int, *, newest_first: bool = False) -> Sequence[Claimed]:
        """Not by the writer, whose callbacks are not to wait for it."""
        self._begin_alone()
        began = time.monotonic()
        claim, most = str(uuid4()), min(limit, MAX_CLAIMED)
        found = self._read(
            lambda connection: changes.claim(
                connection, now, most, claim, CLAIM_SECONDS, newest_first=newest_first
            )
        )
        with self._mutex:
            kept = {id: one for id, one in self._claimed.items() if one[1] > began - CLAIM_SECONDS}
            self._claimed = {**kept, **{one.change.event_id: (one, began) for one in found}}
        return found

    def settle(self, settlements: Sequence[Settlement]) -> int:
        self._begin_alone()
        if not settlements:
            return 0
        count: int = self._writer.submit(partial(forwards.settle, settlements=tuple(settlements)))
        with self._mutex:
            for settlement in settlements:
                self._claimed.pop(settlement.claimed.change.event_id, None)
        return count

    def release(self) -> None:
        self._begin_alone()
        with self._mutex:
            claimed = [one for one, _ in self._claimed.values()]
        if claimed:
            self.give_back(claimed)

    def give_back(self, claimed: Sequence[Claimed]) -> None:
        self._begin_alone()
        self._writer.submit(partial(forwards.free, claimed=tuple(claimed)))
        with self._mutex:
            for one in claimed:
                self._claimed.pop(one.change.event_id, None)

    def hasten(self, now: str, since: str) -> int:
        return self._writer.submit(partial(forwards.hasten, now=now, since=since))

    def retry(self, now: str, message_uuid: str | None = None, *, overtaken: bool = False) -> int:
        return self._writer.submit(
            partial(forwards.retry, now=now, message_uuid=message_uuid, overtaken=overtaken)
        )

    def skip(self, now: str, message_uuid: str | None = None) -> int:
        return self._writer.submit(partial(forwards.skip, now=now, message_uuid=message_uuid))

    def pause(self, now: str) -> None:
        self._writer.submit(partial(forwards.pause, at=now))

    def resume(self) -> None:
        self._writer.submit(partial(forwards.pause, at=None))

    def note(self, condition: Condition) -> None:
        self._writer.submit(partial(forwards.note, condition=condition))

    def state(self, now: str) -> OutboxState:
        return self._read(lambda connection: changes.read_state(connection, now))

    def dead(self, limit: int) -> Sequence[Letter]:
        return self._read(lambda connection: changes.read_dead(connection, limit))

    def end(self) -> str:
        return self._read(changes.read_end)

    def news(self, after: str | None, limit: int) -> News:
        return self._read(lambda connection: changes.read_news(connection, after, limit))
