"""The store in one SQLite file; `contract.Store` says what each method promises."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import cast

from ...locking import hold_if_free
from ...model import StatusUpdate
from ..contract import (
    Claim,
    Engine,
    Filters,
    Group,
    Message,
    Outcome,
    Page,
    Pending,
    Position,
    Pulse,
    SchemaTooNew,
    StillHeld,
    StoreUnavailable,
    Tally,
)
from ..groupcommit import GroupCommit, Observer, Ticket
from ..outbox import Wanted
from ..runs import Step
from . import counting, keys, listing, repair, summing, tallies, updates, upgrade, upkeep, version
from .committer import Committer
from .connection import reading, rewrite_header
from .database import LOCK_SECONDS, Database
from .errors import FIX, describe, is_damage
from .outbox import SqliteOutbox
from .runs import SqliteRuns

log = logging.getLogger(__name__)


class SqliteStore:
    """The messages and their events. Safe to use from any thread and after a fork.

    Without `may_create`, only `prepare` makes a file that is missing. `wanted`: which changes are
    handed on.
    """

    damage_advice = FIX

    def __init__(
        self,
        path: Path,
        observe: Observer = lambda tickets, seconds: None,
        *,
        may_create: bool = True,
        wanted: Wanted | None = None,
    ) -> None:
        self.path = path
        self.writer = GroupCommit(self._committer, observe)
        self.outbox = SqliteOutbox(path, self.writer, wanted)
        self.runs = SqliteRuns(path, self.writer)
        self._may_create = may_create
        self._met_damage = False
        self._kept = tallies.Kept()
        self.counts: Mapping[str, int] = {}
        self.damage = ""
        self._unreadable = ""

    def _committer(self) -> Committer:
        return Committer(
            self.path,
            may_create=self._may_create,
            on_damage=self._suspect,
            wanted=self.outbox.wanted,
            on_change=self.outbox.written,
        )

    def prepare(self, lock_seconds: float = LOCK_SECONDS * 3) -> None:
        """Create the file or what is missing in it, leaving no connection behind.

        Safe when several processes do it at once: each waits for the lock. Raises SchemaTooNew or
        StoreUnavailable (also when the folder does not exist).
        """
        database = Database(self.path)
        try:
            with closing(database.lock), database.lock.hold(lock_seconds):
                database.connect()
                database.close()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def begin(self, update: StatusUpdate, wake: Callable[[], None] | None = None) -> Ticket:
        return self.writer.begin(update, wake)

    def finish(self, pending: Pending) -> Outcome:
        outcome: Outcome = self.writer.finish(cast(Ticket, pending))
        return outcome

    def record(self, update: StatusUpdate) -> Outcome:
        outcome: Outcome = self.writer.submit(update)
        return outcome

    def claim_nonce(self, nonce: str, digest: bytes, parameters: str) -> bool:
        return self.writer.submit(
            partial(updates.claim_nonce, nonce=nonce, digest=digest, parameters=parameters)
        )

    def knows_text(self, digest: bytes) -> bool:
        return self.writer.submit(partial(updates.knows_text, digest=digest))

    def correct_some(self, now: str) -> bool:
        """See `upgrade`."""
        step = upgrade.next_step(self.path, now)
        if step is None:
            return False
        self.writer.submit(step)
        return True

    def sum_up_some(self, now: str) -> bool:
        """One hour or day: see `summing`."""
        noted = summing.next_span(self.path, now)
        if noted is None or upgrade.lacks_facts(self.path):
            return False
        self.writer.submit(partial(summing.note_span, noted=noted))
        summing.sum_up(self.path, noted, self.writer.submit)
        return True

    def claim_key(self, key: str, digest: bytes) -> Claim | None:
        return self.writer.submit(partial(keys.claim_key, key=key, digest=digest))

    def keep_answer(self, key: str, answer: str) -> None:
        self.writer.submit(partial(keys.keep_answer, key=key, answer=answer))

    def free_key(self, key: str) -> None:
        self.writer.submit(partial(keys.free_key, key=key))

    def probe(self) -> None:
        """The schema version is written again, which also renews a damaged file header."""
        self.writer.submit(rewrite_header)

    def look(self) -> None:
        """If the file cannot be read, see whether a write fixes it.

        The writer also sees whether its files are still the ones at their paths.
        """
        if self.path.exists() and self.path.stat().st_size == 0:
            return self.probe()  # a reader would make SQLite remove what is left in the -wal
        try:
            with reading(self.path) as connection:
                connection.execute("SELECT 1 FROM messages LIMIT 1").fetchall()
                connection.execute("SELECT 1 FROM upgrades LIMIT 1").fetchall()  # of an older one
            self._unreadable = ""
        except StoreUnavailable as error:
            if self._unreadable != str(error):  # else it was said a few seconds ago
                log.warning("database cannot be read, writing its header again: %s", error)
            self._unreadable = str(error)
            self.probe()
        else:
            self.writer.submit(lambda connection: None)

    def count_again(self) -> None:
        try:
            self.counts = counting.count_by_status(self.path)
        except StoreUnavailable as error:
            self._met_damage |= is_damage(error.__cause__)
            raise

    def take_suspicion(self) -> bool:
        suspicion, self._met_damage = self._met_damage, False
        return suspicion

    def _suspect(self) -> None:
        self._met_damage = True

    def find_damage(self, seconds: float) -> str:
        return repair.find_damage(self.path, seconds)

    def examine(self, seconds: float) -> None:
        """Rebuild the file if only its indexes are damaged."""
        self.damage = self.find_damage(seconds)
        if not self.damage:
            return
        log.error("database is damaged, rebuilding it from its tables: %s", self.damage)
        try:
            repair.rebuild(self.path)
        except (sqlite3.Error, OSError, StoreUnavailable, SchemaTooNew) as error:
            log.error("database cannot be rebuilt from its tables: %s", describe(error))
            return
        self.damage = self.find_damage(seconds)
        log.warning("database was rebuilt from its tables: %s", self.damage or "nothing is wrong")

    def find(self, message_uuid: str) -> Message | None:
        return listing.find_message(
            self.path, message_uuid, with_forwards=self.outbox.wanted is not None
        )

    def list(self, filters: Filters, limit: int, after: Position | None = None) -> Page:
        return listing.list_messages(self.path, filters, limit, after)

    def walk(self, filters: Filters, limit: int | None = None) -> Iterator[Message]:
        return listing.walk_messages(self.path, filters, limit)

    def history(self, edges: Sequence[str]) -> Sequence[Mapping[str, int]]:
        return counting.read_history(self.path, edges, self._kept)

    def tallies(
        self, edges: Sequence[str], by: Sequence[str], first_hour: str
    ) -> Sequence[Sequence[Tally]]:
        return [
            tallies.read_tally(self.path, since, until, by, first_hour, self._kept)
            for since, until in pairwise(edges)
        ]

    def delivery_times(
        self, since: str, until: str, by: Sequence[str], deliveries: int
    ) -> Mapping[Group, Sequence[float]]:
        return counting.read_delivery_times(self.path, since, until, by, deliveries)

    def change_marker(self) -> str:
        return counting.change_marker(self.path)

    def pulse(self, *, since: str, before: str, newest: int) -> Pulse:
        return counting.read_pulse(self.path, since=since, before=before, newest=newest)

    def waiting(
        self,
        *,
        silent_since: str,
        created_since: str,
        steps: Sequence[Step] = (),
        limit: int | None = None,
    ) -> Sequence[str]:
        return counting.waiting_messages(
            self.path,
            silent_since=silent_since,
            created_since=created_since,
            steps=steps,
            limit=limit,
        )

    def backup(self, target: Path, progress: Callable[[float], None] = lambda share: None) -> None:
        upkeep.backup(self.path, target, progress)

    def count_older(self, created_before: str) -> int:
        return upkeep.count_older(self.path, created_before, keeps_waiting=self._keeps_waiting)

    def newest(self) -> str:
        return upkeep.newest(self.path)

    def prune_batch(self, created_before: str) -> int:
        keeps_waiting = self._keeps_waiting
        ids = upkeep.next_to_prune(self.path, created_before, keeps_waiting=keeps_waiting)
        return self.writer.submit(
            partial(
                upkeep.prune_batch,
                created_before=created_before,
                ids=ids,
                keeps_waiting=keeps_waiting,
            )
        )

    def forget_batch(self, pair: str) -> int:
        return self.writer.submit(partial(upkeep.forget_batch, pair=pair))

    @property
    def _keeps_waiting(self) -> bool:
        """Does anybody hand on what waits? Else a message would be kept for it for good."""
        return self.outbox.wanted is not None

    def note_check(self, message_uuid: str, checked_at: str) -> None:
        self.writer.submit(
            partial(updates.mark_checked, message_uuid=message_uuid, checked_at=checked_at)
        )

    @contextmanager
    def hold(self, name: str) -> Iterator[StillHeld | None]:
        path = self.path.with_name(f"{self.path.name}.{name}-lock")
        with ExitStack() as held:
            try:
                is_held = held.enter_context(hold_if_free(path))
            except OSError as error:
                raise StoreUnavailable(str(error)) from error
            yield (lambda: True) if is_held else None

    def engine(self) -> Engine:
        return version.engine()

    def close(self) -> None:
        self.writer.close()
