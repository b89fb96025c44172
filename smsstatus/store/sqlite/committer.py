"""Commits jobs to the database file, and says in the contract's words what went wrong."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...logs import without_text
from ...model import StatusUpdate
from ..contract import Outcome, SchemaTooNew, StoreUnavailable, WorkRefused
from ..groupcommit import Mistake
from ..outbox import Wanted
from .database import LOCK_SECONDS, Database
from .errors import FileDamaged, describe, is_damage
from .forwards import Adding
from .updates import apply_updates

log = logging.getLogger(__name__)

_STORE_FAILURES = (sqlite3.DatabaseError, OSError, MemoryError, FileDamaged, SchemaTooNew)
_ROW_FAILURES = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)


class Committer:
    """One writing connection, opened on first use. `on_damage` is called for a damaged page,
    `on_change` after a commit that added a change to hand on, one of those `wanted`.

    What `commit` has answered for is fsynced (synchronous=FULL), in the file at the path.
    """

    def __init__(
        self,
        path: Path,
        *,
        may_create: bool = True,
        on_damage: Callable[[], None] = lambda: None,
        wanted: Wanted | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = Database(path, may_create=may_create)
        self._on_damage = on_damage
        self._on_change = on_change
        self._apply: Callable[[sqlite3.Connection, Sequence[StatusUpdate]], list[Outcome]]
        self._apply = apply_updates
        self._adding = None if wanted is None else Adding(wanted)
        if self._adding is not None:
            self._apply = partial(apply_updates, note_standing=self._adding.note)

    def commit(self, jobs: Sequence[Any]) -> list[Any]:
        """Do all of these in one transaction; their answers.

        Raises StoreUnavailable, or WorkRefused where one of the jobs is at fault; then none is
        done.
        """
        try:
            with self._database.lock.hold(LOCK_SECONDS):
                return self._transact(jobs)
        except _ROW_FAILURES as error:
            raise WorkRefused(f"{type(error).__name__}: {error}") from None
        except _STORE_FAILURES as error:
            if is_damage(error):
                self._on_damage()
            raise StoreUnavailable(describe(error)) from None

    def _transact(self, jobs: Sequence[Any]) -> list[Any]:
        connection = self._database.connect()
        try:
            connection.execute("BEGIN IMMEDIATE")
            answers, has_changes = self._do(connection, jobs)
            connection.execute("COMMIT")
        except BaseException as error:
            self._database.abandon(error)
            raise
        self._database.confirm()
        if has_changes:
            self._on_change()
        return answers

    def _do(self, connection: sqlite3.Connection, jobs: Sequence[Any]) -> tuple[list[Any], bool]:
        """The answers, and whether there are changes to hand on. Updates go before other jobs.

        Raises Mistake for what nobody foresaw.
        """
        try:
            if self._adding is not None:
                self._adding.begin()
            applied = iter(
                self._apply(connection, [job for job in jobs if isinstance(job, StatusUpdate)])
            )
            answers = [
                next(applied) if isinstance(job, StatusUpdate) else job(connection) for job in jobs
            ]
            return answers, self._adding is not None and self._adding.add(connection)
        except (*_ROW_FAILURES, *_STORE_FAILURES):
            raise
        except Exception as error:
            raise Mistake(without_text(error)) from error

    def close(self) -> None:
        """Close the connection; a file that was deleted meanwhile is put back first."""
        database = self._database
        try:
            with database.lock.hold(LOCK_SECONDS):
                with contextlib.suppress(*_STORE_FAILURES):
                    database.follow()
                database.close()
        except _STORE_FAILURES as error:
            log.warning("database not closed, SQLite does that at the next start: %s", error)
        database.lock.close()
