"""Are the database's files still the ones they were?

SQLite goes on "committing" into a file that was deleted, replaced or truncated under it
(https://www.sqlite.org/howtocorrupt.html, section 2). So before and after each transaction
the file is looked at with os.stat: never opened, since closing it would drop SQLite's locks.

So is the -shm, SQLite's index of the -wal. Who opens the database after that was removed makes
another, and two processes with two of them write over one another. So: who holds an index that is
not the one at the path neither writes nor checkpoints, closes, and opens again. SQLite then makes
the index from the -wal, or shares the one that another process has made so.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

from .connection import open_beside
from .errors import FIX, FileDamaged

_DESCRIPTORS = "/proc/self/fd"


class Change(Enum):
    """What somebody else did to the files."""

    DELETED = auto()
    REPLACED = auto()
    CUT = auto()
    WAL_REMOVED = auto()
    INDEX_REMOVED = auto()


class Identity(NamedTuple):
    """Which file it is, and its size in bytes."""

    device: int
    inode: int
    size: int


_UNKNOWN = Identity(0, 0, 0)


class Files:
    """The file at `path`, its -wal and its -shm, as they were when a connection was opened to them
    or a commit was confirmed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wal = path.with_name(path.name + "-wal")
        self.shm = path.with_name(path.name + "-shm")
        self._file = self._wal_file = _UNKNOWN
        self._index: Identity | None = None  # the -shm that is in use; None: unknown

    def remember(self, index: Identity | None) -> bool:
        """A connection was opened, with this -shm. False: the file is not there."""
        file = _identity(self.path)
        if file is None:
            return False
        self._file, self._index = file, index
        self._wal_file = _identity(self.wal) or _UNKNOWN
        return True

    def look(self, connection: sqlite3.Connection, *, committed: bool = False) -> Change | None:
        """What has changed; None: nothing. `committed`: just now, so that there is a -wal."""
        # The file last: if all are deleted meanwhile, it must not seem that only the others were.
        wal, has_the_index, file = _identity(self.wal), self.has_the_index(), _identity(self.path)
        if file is None:
            return Change.DELETED
        if file[:2] != self._file[:2]:
            return Change.REPLACED
        if self._is_cut(file, connection):
            return Change.CUT
        if wal is None:
            if committed or self._wal_file.inode:
                return Change.WAL_REMOVED
        elif self._wal_file.inode and wal[:2] != self._wal_file[:2]:
            return Change.WAL_REMOVED
        if not has_the_index:
            return Change.INDEX_REMOVED
        self._file = file
        if committed and wal is not None:
            self._wal_file = wal
        return None

    def is_moved(self) -> bool:
        """Is the file at the path another one, or none?"""
        file = _identity(self.path)
        return file is None or file[:2] != self._file[:2]

    def has_the_index(self) -> bool:
        """Is the -shm that the connection has mapped the one that the next to open will map?"""
        if self._index is None:
            return True
        shm = _identity(self.shm)
        return shm is not None and shm[:2] == self._index[:2]

    def mapped_index(self) -> Identity | None:
        """The -shm at the path, which was opened just now. None if there is none.

        All connections of a process to a file share one -shm. So while a query goes on that began
        before the -shm was removed, a new connection still gets that one: then raises FileDamaged.
        """
        found = _identity(self.shm)
        if found is None or not os.path.isdir(_DESCRIPTORS):
            return found
        for name in os.listdir(_DESCRIPTORS):
            with suppress(OSError):  # closed since
                opened = os.fstat(int(name))
                if (opened.st_dev, opened.st_ino) == found[:2]:
                    return found
        raise FileDamaged("the database's -shm file was removed, and a query still uses it")

    def remove_orphaned_wal(self) -> None:
        """SQLite leaves the -wal of a file that was moved; it would be applied to the new one."""
        file, wal = _identity(self.path), _identity(self.wal)
        if file is None or wal is None or file[:2] == self._file[:2]:
            return
        if wal[:2] == self._wal_file[:2]:
            self.wal.unlink(missing_ok=True)
            self.shm.unlink(missing_ok=True)

    def is_whole_copy(self, ours: sqlite3.Connection) -> bool:
        """Is the file at the path one to use in place of ours? False: one that was made empty.

        Raises FileDamaged for one that is not whole, or not of this program, or sqlite3.Error.
        """
        try:
            if not _has_messages(ours):
                return True
        except sqlite3.Error:  # ours is damaged, so the other cannot be worse
            return True
        name = self.path.name
        with closing(open_beside(self.path)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
            if not tables:
                return False
            if "messages" not in [row[0] for row in tables]:
                raise FileDamaged(f"{name} was replaced by another program's database: {FIX}")
            file, wal = _identity(self.path), _identity(self.wal)
            size = _size_by_sqlite(connection)
            if file is None or (not (wal and wal.size) and file.size < size):
                raise FileDamaged(f"{name} was replaced by one that is not whole yet: {FIX}")
            return _has_messages(connection)

    def _is_cut(self, file: Identity, connection: sqlite3.Connection) -> bool:
        """Has the file become smaller than what SQLite knows to be in it? After VACUUM it has not.

        Asked only where it became smaller. The connection knows the number of pages from the
        WAL's index in shared memory, which nobody who cuts the file changes.
        """
        if file.size >= self._file.size:
            return False
        try:
            return file.size < _size_by_sqlite(connection)
        except sqlite3.Error:
            return True


def _size_by_sqlite(connection: sqlite3.Connection) -> int:
    """Bytes that the file should have once all of it is checkpointed."""
    ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
    ((page_size,),) = connection.execute("PRAGMA page_size").fetchall()
    return int(pages * page_size)


def _has_messages(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM messages NOT INDEXED LIMIT 1").fetchall())


def _identity(path: Path) -> Identity | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return Identity(found.st_dev, found.st_ino, found.st_size)
