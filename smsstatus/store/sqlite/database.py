"""The one writing connection, which follows the database file wherever somebody puts it."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from ...files import create_private, fsync_folder
from ...locking import FileLock
from .connection import Writable, close_without_checkpoint, closed_to_readers, open_writable
from .copies import write_copy, write_tables
from .errors import FIX, FileDamaged
from .schema import apply_schema, refuse_foreign
from .watch import Change, Files

LOCK_SECONDS = 1.0
_PASSING = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL")
_REMOVED = {Change.WAL_REMOVED: "-wal", Change.INDEX_REMOVED: "-shm"}

log = logging.getLogger(__name__)


class Database:
    """One writing connection. Use it from one thread, holding `lock`.

    Without `may_create` a file that is missing stays so: a command beside a service that is about
    to put it back must not put an empty one there.
    """

    def __init__(self, path: Path, *, may_create: bool = True) -> None:
        self.path = path
        self._may_create = may_create
        self.lock = FileLock(path.with_name(path.name + ".lock"))
        self._files = Files(path)
        self._connection: Writable | None = None
        self._kept_open: Writable | None = None
        """To a file that was cut: closing it would checkpoint into that."""

    def connect(self) -> Writable:
        """The open connection to the file that is at the path now.

        A file deleted under us is put back from the open connection; one that was replaced by a
        whole one is adopted. Raises FileDamaged, SchemaTooNew, sqlite3.Error, OSError, or
        StoreUnavailable for another program's file.
        """
        if self._connection is not None:
            self._follow_the_path(self._connection)
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def confirm(self) -> None:
        """After a commit: is it in the file at the path, and the WAL beside it?

        Raises FileDamaged if not: the commit must not be answered for.
        """
        assert self._connection is not None
        change = self._files.look(self._connection, committed=True)
        if change is None:
            return
        if change is Change.INDEX_REMOVED:
            self.close()
            self._files.shm.unlink(missing_ok=True)  # one made meanwhile can lack our commit
        if change in _REMOVED:
            raise FileDamaged(f"the database's {_REMOVED[change]} file was removed during a commit")
        raise FileDamaged("the database file was changed by somebody else during a commit")

    def abandon(self, error: BaseException) -> None:
        """Roll back; after an error of the disk have the file opened again next time.

        A busy or full disk passes by itself, so those keep the connection. So does a damaged file:
        what the connection has in its cache can fix it.
        """
        assert self._connection is not None
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        name = getattr(error, "sqlite_errorname", "")
        if isinstance(error, sqlite3.OperationalError) and not name.startswith(_PASSING):
            self.close()

    def close(self) -> None:
        """Close the connection; SQLite checkpoints if it is the last one and its index is right."""
        if self._connection is None:
            return
        if self._files.is_moved() or self._files.has_the_index():  # moved: SQLite leaves it alone
            self._connection.close()
        else:
            close_without_checkpoint(self._connection, self.path)
        self._connection = None
        self._files.remove_orphaned_wal()

    def follow(self) -> None:
        """Put back a deleted file before closing. Raises as `connect`."""
        if self._connection is not None:
            self._follow_the_path(self._connection)

    def rebuild(self) -> None:
        """Put a new file in place of this one, see `repair`. Raises as `connect`."""
        self._put_back(self.connect(), write_tables)

    def _follow_the_path(self, connection: Writable) -> None:
        change = self._files.look(connection)
        if change is None:
            return
        if change is Change.DELETED:
            log.error("database file %s was deleted: putting it back", self.path)
            self._put_back(connection, write_copy)
        elif change is Change.REPLACED:
            self._adopt(connection)
        elif change is Change.CUT:
            self._kept_open, self._connection = connection, None
        elif change is Change.WAL_REMOVED:
            log.error("%s was removed: writing its content to the database", self._files.wal)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self.close()
        else:
            log.error("%s was removed: opening the database again", self._files.shm)
            self.close()

    def _adopt(self, connection: Writable) -> None:
        """Use the file that was put in place of ours, unless it lost what ours holds."""
        self._files.remove_orphaned_wal()
        if self._files.is_whole_copy(connection):
            log.warning("database file %s was replaced: using the new one", self.path)
            self.close()
            return
        log.error(
            "database file %s was replaced by one without messages: putting ours back (to "
            "begin with nothing, stop the service first)",
            self.path,
        )
        self._put_back(connection, write_copy)

    def _put_back(
        self, connection: Writable, write: Callable[[sqlite3.Connection, Path], None]
    ) -> None:
        """The open connection still reads the deleted file: have it written to the path again."""
        copy = self.path.with_name(self.path.name + ".putback")
        copy.unlink(missing_ok=True)
        write(connection, copy)
        for leftover in (self._files.wal, self._files.shm):
            leftover.unlink(missing_ok=True)
        os.rename(copy, self.path)
        fsync_folder(self.path.parent)
        self.close()

    def _open(self) -> Writable:
        if self._kept_open is not None and not self._files.is_moved():
            raise FileDamaged(
                f"{self.path.name} was truncated: {FIX} (if that was VACUUM: restart)"
            )
        if self._may_create:
            create_private(self.path)
        elif not self.path.exists():
            raise FileNotFoundError(
                f"there is no {self.path}: the service makes it when it starts, or `init-db`"
            )
        connection = open_writable(self.path, refuse_foreign)
        try:
            index = self._files.mapped_index()
            apply_schema(connection)
        except FileDamaged:
            close_without_checkpoint(connection, self.path)
            closed_to_readers.add(self.path)
            raise
        except BaseException:
            connection.close()
            raise
        if not self._files.remember(index):
            connection.close()
            raise FileDamaged("the database file was deleted while it was being opened")
        self._kept_open = None
        closed_to_readers.discard(self.path)
        return connection
