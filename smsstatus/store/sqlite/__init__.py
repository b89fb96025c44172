"""SQLite: the only room that speaks SQL.

* `database`: the writing connection, and whether its file is still the file it was;
* `writer`: group commit, and the guarantee that comes with it;
* `updates`: what a status update does to the tables, the ordering guard (`rules`: its key);
* `keys`: which request owns an Idempotency-Key;
* `upgrade`: what is left to do in a file of an earlier version;
* `listing`, `counting`: queries; `upkeep`: backup and pruning; `repair`: damaged pages.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from ...model import StatusUpdate
from . import counting, keys, listing, repair, upgrade, upkeep
from .database import (
    LOCK_SECONDS,
    Database,
    FileDamaged,
    SchemaTooNew,
    describe,
    is_damage,
    open_readonly,
    rewrite_header,
)
from .updates import Outcome, apply_update, claim_nonce, knows_text, mark_checked
from .writer import Observer, StoreUnavailable, WorkRefused, Writer

log = logging.getLogger(__name__)

__all__ = ["Outcome", "SchemaTooNew", "Store", "StoreUnavailable", "WorkRefused"]


class Store:
    """The messages and their events. Safe to use from any thread and after a fork.

    Without `may_create`, only `prepare` makes a file that is missing.
    """

    def __init__(
        self,
        path: Path,
        observe: Observer = lambda jobs, seconds: None,
        *,
        may_create: bool = True,
    ) -> None:
        self.path = path
        self.writer = Writer(path, observe, may_create=may_create)
        self.counts: dict[str, int] = {}
        """Messages by current_status when they were last counted; see `count_again`."""
        self.damage = ""
        """What is wrong with the file; empty: nothing that is known."""
        self._unreadable = ""

    def prepare(self, lock_seconds: float = LOCK_SECONDS * 3) -> None:
        """Create the file or what is missing in it, leaving no connection behind.

        Safe when several processes do it at once: each waits for the lock. Raises SchemaTooNew,
        sqlite3.Error or OSError (also when the folder does not exist).
        """
        database = Database(self.path)
        with database.lock.hold(lock_seconds):
            database.connect()
            database.close()
        database.lock.close()

    def record(self, update: StatusUpdate) -> Outcome:
        """Write one update durably; when this returns it is fsynced.

        Raises StoreUnavailable (try again later) or WorkRefused (never will).
        """
        return self.writer.submit(partial(apply_update, update=update))

    def claim_nonce(self, nonce: str, digest: bytes, parameters: str) -> bool:
        """Let the callback with `digest` own a V2 nonce; False if another owns it already.

        Raises StoreUnavailable or WorkRefused.
        """
        return self.writer.submit(
            partial(claim_nonce, nonce=nonce, digest=digest, parameters=parameters)
        )

    def knows_text(self, digest: bytes) -> bool:
        """Has an update been stored whose digest is of the same signed text?

        Raises StoreUnavailable or WorkRefused.
        """
        return self.writer.submit(partial(knows_text, digest=digest))

    def correct_some(self) -> bool:
        """Correct some rows of a file of version 2; False if that is done. See `upgrade`.

        Raises StoreUnavailable, WorkRefused or sqlite3.Error.
        """
        batch = upgrade.next_batch(self.path)
        if batch is None:
            return False
        self.writer.submit(partial(upgrade.correct, batch=batch))
        return True

    def claim_key(self, key: str, digest: bytes) -> keys.Claim | None:
        """Let a request own an Idempotency-Key; None if it does now, else the claim that stands.

        Raises StoreUnavailable or WorkRefused.
        """
        return self.writer.submit(partial(keys.claim_key, key=key, digest=digest))

    def keep_answer(self, key: str, answer: str) -> None:
        """Keep what the owner of a key was answered. Raises StoreUnavailable or WorkRefused."""
        self.writer.submit(partial(keys.keep_answer, key=key, answer=answer))

    def free_key(self, key: str) -> None:
        """Let another request own a key. Raises StoreUnavailable or WorkRefused."""
        self.writer.submit(partial(keys.free_key, key=key))

    def probe(self) -> None:
        """Write something and commit it. Raises StoreUnavailable.

        The schema version is written again, which also renews a damaged file header.
        """
        self.writer.submit(rewrite_header)

    def look(self) -> None:
        """Read as a newcomer to the file would; if that fails, see whether a write mends it.

        And have the writer see whether its files are still the ones at their paths, so that this is
        noticed while no callbacks come. Raises StoreUnavailable if something is not well.
        """
        if self.path.exists() and self.path.stat().st_size == 0:
            return self.probe()  # a reader would make SQLite remove what is left in the -wal
        try:
            with closing(open_readonly(self.path)) as connection:
                connection.execute("SELECT 1 FROM messages LIMIT 1").fetchall()
                connection.execute("SELECT 1 FROM upgrades LIMIT 1").fetchall()  # of an older one
            self._unreadable = ""
        except sqlite3.Error as error:
            if self._unreadable != str(error):  # else it was said a few seconds ago
                log.warning("database cannot be read afresh, writing its header again: %s", error)
            self._unreadable = str(error)
            self.probe()
        else:
            self.writer.submit(lambda connection: None)

    def count_again(self) -> None:
        """Keep in `counts` how many messages there are by current_status. Raises sqlite3.Error."""
        try:
            self.counts = counting.count_by_status(self.path)
        except sqlite3.DatabaseError as error:
            self.writer.met_damage |= is_damage(error)
            raise

    def take_suspicion(self) -> bool:
        """Has a write or a count met a damaged page since this was last asked?"""
        suspicion, self.writer.met_damage = self.writer.met_damage, False
        return suspicion

    def find_damage(self, seconds: float) -> str:
        """What is wrong with the file; empty if nothing was found in this time."""
        return repair.find_damage(self.path, seconds)

    def examine(self, seconds: float) -> None:
        """Look for damage, and rebuild the file if only its indexes have some; see `damage`.

        Raises sqlite3.Error or OSError if it cannot be looked at now.
        """
        self.damage = self.find_damage(seconds)
        if not self.damage:
            return
        log.error("database is damaged, rebuilding it from its tables: %s", self.damage)
        try:
            repair.rebuild(self.path)
        except (sqlite3.Error, OSError, FileDamaged, SchemaTooNew) as error:
            log.error("database cannot be rebuilt from its tables: %s", describe(error))
            return
        self.damage = self.find_damage(seconds)
        log.warning("database was rebuilt from its tables: %s", self.damage or "nothing is wrong")

    # Queries raise sqlite3.Error.

    def find(self, message_uuid: str) -> listing.Row | None:
        """One message with its events, or None."""
        return listing.find_message(self.path, message_uuid)

    def list(
        self, filters: listing.Filters, limit: int, after: listing.Position | None = None
    ) -> listing.Page:
        """A page of messages, newest first."""
        return listing.list_messages(self.path, filters, limit, after)

    def walk(self, filters: listing.Filters, limit: int | None = None) -> Iterator[listing.Row]:
        """All matching messages, newest first; no read stays open between them."""
        return listing.walk_messages(self.path, filters, limit)

    def stats(self, since: str, until: str) -> counting.Stats:
        """Counts, error codes and delivery times of a window."""
        return counting.read_stats(self.path, since, until)

    def history(self, edges: Sequence[str]) -> tuple[Sequence[dict[str, int]], counting.Stats]:
        """Counts between each two neighbouring times, and the stats of the whole."""
        return counting.read_history(self.path, edges)

    def change_marker(self) -> str:
        """A word that differs once something that is listed or counted has changed."""
        return counting.change_marker(self.path)

    def pulse(self, *, since: str, before: str, newest: int) -> counting.Pulse:
        """How many messages of a window wait, and when the newest callbacks came."""
        return counting.read_pulse(self.path, since=since, before=before, newest=newest)

    def waiting(self, *, silent_since: str, created_since: str) -> Sequence[str]:
        """UUIDs of messages to ask Plivo about; those not asked about for longest first."""
        return counting.waiting_messages(
            self.path, silent_since=silent_since, created_since=created_since
        )

    def backup(self, target: Path) -> None:
        """A consistent, fsynced copy. Raises FileExistsError, sqlite3.Error or OSError."""
        upkeep.backup(self.path, target)

    def count_older(self, created_before: str) -> int:
        """How many messages were first heard of before that."""
        return upkeep.count_older(self.path, created_before)

    def newest(self) -> str:
        """When the newest message was first heard of; empty if there is none."""
        return upkeep.newest(self.path)

    def prune_batch(self, created_before: str) -> int:
        """Remove some of them with their events; how many. Raises StoreUnavailable."""
        return self.writer.submit(partial(upkeep.prune_batch, created_before=created_before))

    def note_check(self, message_uuid: str, checked_at: str) -> None:
        """Remember when Plivo was asked. Raises StoreUnavailable or WorkRefused."""
        self.writer.submit(partial(mark_checked, message_uuid=message_uuid, checked_at=checked_at))

    def close(self) -> None:
        """Finish and close; the next use opens again."""
        self.writer.close()
