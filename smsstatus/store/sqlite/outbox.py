"""The outbox in the SQLite file; `outbox.Outbox` says what each method promises.

One process hands on at a time: the one that holds `<database>.forward-lock`, which the kernel
frees when that process ends in whatever way. So what it has claimed is remembered in memory alone,
and nothing is written for a claim.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from ...locking import FileLock
from ..contract import StoreUnavailable
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


@dataclass(frozen=True, slots=True)
class _Lease:
    """What is known here of a claimed change."""

    message_id: int
    claim: str
    until: float


class SqliteOutbox:
    """The changes that wait to be handed on. Safe to use from any thread and after a fork."""

    def __init__(
        self,
        path: Path,
        writer: GroupCommit,
        wanted: Wanted | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wanted = wanted
        self._path = path
        self._writer = writer
        self._clock = clock
        self._wake: Callable[[], None] = lambda: None
        self._pid = 0
        self._begin_alone()

    def _begin_alone(self) -> None:
        """A child of fork has claimed nothing, and its copy of the lock is its parent's."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._mutex = threading.Lock()
            self._lock = FileLock(self._path.with_name(self._path.name + ".forward-lock"))
            self._leases: dict[int, _Lease] = {}

    def on_change(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def written(self) -> None:
        """The writer has committed a change to hand on."""
        self._wake()

    def claim(self, now: str, limit: int, *, newest_first: bool = False) -> Sequence[Claimed]:
        """Held until the claim is noted, so that what is settled meanwhile is not claimed again."""
        self._begin_alone()
        with self._mutex:
            if not self._is_ours():
                return []
            moment = self._clock()
            self._leases = {id: held for id, held in self._leases.items() if held.until > moment}
            found = changes.read_due(
                self._path,
                now,
                min(limit, MAX_CLAIMED),
                newest_first=newest_first,
                but={lease.message_id for lease in self._leases.values()},
                some=len(self._leases),
            )
            claim = uuid4().hex
            for due in found:
                lease = _Lease(due.message_id, claim, moment + CLAIM_SECONDS)
                self._leases[due.change.event_id] = lease
        return [Claimed(due.change, claim, due.attempts, due.failing_since) for due in found]

    def _is_ours(self) -> bool:
        try:
            self._lock.take(0)
        except TimeoutError:
            self._leases.clear()
            return False
        except OSError as error:
            raise StoreUnavailable(str(error)) from error
        return True

    def settle(self, settlements: Sequence[Settlement]) -> int:
        self._begin_alone()
        with self._mutex:
            ours = [settlement for settlement in settlements if self._holds(settlement.claimed)]
        if not ours:
            return 0
        count = self._writer.submit(partial(forwards.settle, settlements=ours))
        with self._mutex:
            for settlement in ours:
                if self._holds(settlement.claimed):
                    del self._leases[settlement.claimed.change.event_id]
        return count

    def _holds(self, claimed: Claimed) -> bool:
        lease = self._leases.get(claimed.change.event_id)
        return lease is not None and lease.claim == claimed.claim

    def release(self) -> None:
        self._begin_alone()
        with self._mutex:
            self._leases.clear()
            self._lock.close()

    def give_back(self, claimed: Sequence[Claimed]) -> None:
        self._begin_alone()
        with self._mutex:
            for one in claimed:
                if self._holds(one):
                    del self._leases[one.change.event_id]

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
        return changes.read_state(self._path, now)

    def dead(self, limit: int) -> Sequence[Letter]:
        return changes.read_dead(self._path, limit)

    def end(self) -> str:
        return changes.read_end(self._path)

    def news(self, after: str | None, limit: int) -> News:
        return changes.read_news(self._path, after, limit)
