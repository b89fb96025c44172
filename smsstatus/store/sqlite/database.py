"""The writing connection to the database file, and whether it is still the file it was.

SQLite goes on "committing" into a file that was deleted, replaced or truncated under it
(https://www.sqlite.org/howtocorrupt.html, section 2). So before and after each transaction
the file is looked at with os.stat: never opened, since closing it would drop SQLite's locks.

So is the -shm, SQLite's index of the -wal. Who opens the database after that was removed makes
another, and two processes with two of them write over one another. So: who holds an index that is
not the one at the path neither writes nor checkpoints, closes, and opens again. SQLite then makes
the index from the -wal, or shares the one that another process has made so.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ...files import create_private, fsync_file, fsync_folder
from ...locking import FileLock
from ..contract import SchemaTooNew, StoreUnavailable
from ..rules import FORMER_SIZE, first_status, order_key

SCHEMA_VERSION = 3
SCHEMA = Path(__file__).resolve().parents[3] / "schema.sql"

BUSY_SECONDS = 1.5
LOCK_SECONDS = 1.0
CHECKPOINT_PAGES = 4000  # of the WAL; pages that are written often are copied once
MEND = (
    "move it and its -wal and -shm away, or put a backup in its place; "
    "callbacks are kept in the spool until then"
)
_DESCRIPTORS = "/proc/self/fd"
_PASSING = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL")

log = logging.getLogger(__name__)

_Write = Callable[[sqlite3.Connection, Path], None]

_closed_to_readers: set[Path] = set()
"""Files that no new query may read: those that read them keep the writer from a right -shm."""


class FileDamaged(StoreUnavailable):
    """The database file is not what was written to it. The text says what to do."""


class Writable(sqlite3.Connection):
    """A connection to a file that `apply_schema` has brought up to date."""

    was_upgraded = False
    """Has the file been of an earlier version? Then digests of then can be in it."""


class _Identity(NamedTuple):
    device: int
    inode: int
    size: int


class Database:
    """One writing connection. Use it from one thread, holding `lock`.

    Without `may_create` a file that is missing stays so: a command beside a service that is about
    to put it back must not put an empty one there.
    """

    def __init__(self, path: Path, *, may_create: bool = True) -> None:
        self.path = path
        self._may_create = may_create
        self.lock = FileLock(path.with_name(path.name + ".lock"))
        self._wal = path.with_name(path.name + "-wal")
        self._shm = path.with_name(path.name + "-shm")
        self._connection: sqlite3.Connection | None = None
        self._file = self._wal_file = _Identity(0, 0, 0)
        self._index: _Identity | None = None  # the -shm that is in use; None: cannot be told
        self._damaged: tuple[_Identity, sqlite3.Connection] | None = None

    def connect(self) -> sqlite3.Connection:
        """The open connection to the file that is at the path now.

        A file deleted under us is put back from the open connection; one that was replaced by a
        whole one is adopted. Raises FileDamaged, SchemaTooNew, sqlite3.Error or OSError.
        """
        if self._connection is not None:
            self._follow_the_path(self._connection)
        if self._connection is None:
            self._open()
        assert self._connection is not None
        return self._connection

    def confirm(self) -> None:
        """After a commit: is it in the file at the path, and the WAL beside it?

        Raises FileDamaged if not: the commit must not be answered for.
        """
        assert self._connection is not None
        file, wal = _identity(self.path), _identity(self._wal)
        if file is None or file[:2] != self._file[:2] or self._is_cut(file, self._connection):
            raise FileDamaged("the database file was changed by somebody else during a commit")
        if wal is None or (self._wal_file.inode and wal[:2] != self._wal_file[:2]):
            raise FileDamaged("the database's -wal file was removed during a commit")
        if not self._has_the_index():
            self.close()
            self._shm.unlink(missing_ok=True)  # one that was made meanwhile can lack our commit
            raise FileDamaged("the database's -shm file was removed during a commit")
        self._file, self._wal_file = file, wal

    def abandon(self, error: BaseException) -> None:
        """Roll back; after an error of the disk open the file anew next time.

        A busy or full disk passes by itself, so those keep the connection. So does a damaged file:
        what the connection has in its cache can mend it.
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
        file = _identity(self.path)
        is_moved = file is None or file[:2] != self._file[:2]  # then SQLite does not checkpoint
        if is_moved or self._has_the_index():
            self._connection.close()
        else:
            _close_without_checkpoint(self._connection, self.path)
        self._connection = None
        self._remove_orphaned_wal()

    def follow(self) -> None:
        """Put back a deleted file before closing. Raises as `connect`."""
        if self._connection is not None:
            self._follow_the_path(self._connection)

    def rebuild(self) -> None:
        """Put a new file in place of this one, see `repair`. Raises as `connect`."""
        self._put_back(self.connect(), write_tables)

    def _remove_orphaned_wal(self) -> None:
        """SQLite leaves the -wal of a file that was moved; it would be applied to the new one."""
        file, wal = _identity(self.path), _identity(self._wal)
        if file is None or wal is None or file[:2] == self._file[:2]:
            return
        if wal[:2] == self._wal_file[:2]:
            self._wal.unlink(missing_ok=True)
            self._shm.unlink(missing_ok=True)

    def _follow_the_path(self, connection: sqlite3.Connection) -> None:
        file, wal = _identity(self.path), _identity(self._wal)
        if file is None:
            log.error("database file %s was deleted: putting it back", self.path)
            self._put_back(connection)
        elif file[:2] != self._file[:2]:
            self._remove_orphaned_wal()
            if _is_whole_copy(self.path, connection):
                log.warning("database file %s was replaced: using the new one", self.path)
                self.close()
            else:
                log.error(
                    "database file %s was replaced by one without messages: putting ours back (to "
                    "begin with nothing, stop the service first)",
                    self.path,
                )
                self._put_back(connection)
        elif self._is_cut(file, connection):
            self._damaged = (file, connection)  # kept open: closing would checkpoint into it
            self._connection = None
        elif self._wal_file.inode and (wal is None or wal[:2] != self._wal_file[:2]):
            log.error("%s was removed: writing its content to the database", self._wal)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self.close()
        elif not self._has_the_index():
            log.error("%s was removed: opening the database again", self._shm)
            self.close()
        else:
            self._file = file

    def _has_the_index(self) -> bool:
        """Is the -shm that the connection has mapped the one that the next to open will map?"""
        if self._index is None:
            return True
        shm = _identity(self._shm)
        return shm is not None and shm[:2] == self._index[:2]

    def _is_cut(self, file: _Identity, connection: sqlite3.Connection) -> bool:
        """Has the file become smaller than what SQLite knows to be in it? After VACUUM it has not.

        Asked only where it became smaller. The connection knows the number of pages from the
        WAL's index in shared memory, which nobody who cuts the file changes.
        """
        if file.size >= self._file.size:
            return False
        try:
            pages = connection.execute("PRAGMA page_count").fetchall()[0][0]
            page_size = connection.execute("PRAGMA page_size").fetchall()[0][0]
        except sqlite3.Error:
            return True
        return bool(file.size < pages * page_size)

    def _put_back(self, connection: sqlite3.Connection, write: _Write | None = None) -> None:
        """The open connection still reads the deleted file: copy it to the path again."""
        copy = self.path.with_name(self.path.name + ".putback")
        copy.unlink(missing_ok=True)
        (write or write_copy)(connection, copy)
        for leftover in (self._wal, self._shm):
            leftover.unlink(missing_ok=True)
        os.rename(copy, self.path)
        fsync_folder(self.path.parent)
        self.close()

    def _open(self) -> None:
        if self._damaged is not None:
            self._refuse_damaged(self._damaged[0])
        if self._may_create:
            create_private(self.path)
        elif not self.path.exists():
            raise FileNotFoundError(
                f"there is no {self.path}: the service makes it when it starts, or `init-db`"
            )
        connection = open_writable(self.path)
        try:
            index = _mapped_index(self._shm)
            apply_schema(connection)
        except FileDamaged:
            _close_without_checkpoint(connection, self.path)
            _closed_to_readers.add(self.path)
            raise
        except BaseException:
            connection.close()
            raise
        file = _identity(self.path)
        if file is None:
            connection.close()
            raise FileDamaged("the database file was deleted while it was being opened")
        self._connection, self._file, self._index = connection, file, index
        self._wal_file = _identity(self._wal) or _Identity(0, 0, 0)
        self._damaged = None
        _closed_to_readers.discard(self.path)

    def _refuse_damaged(self, seen: _Identity) -> None:
        """Stay away from a cut file until somebody has replaced, removed or restored it."""
        file = _identity(self.path)
        if file is not None and file[:2] == seen[:2]:
            raise FileDamaged(
                f"{self.path.name} was truncated: {MEND} (if that was VACUUM: restart)"
            )


def describe(error: Exception) -> str:
    """What failed, in one line, and the mend where the file itself is damaged."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    damaged = name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))
    return f"{name}: {error}" + (f": {MEND}" if damaged else "")


def is_damage(error: BaseException | None) -> bool:
    """Did SQLite find a page that is no page?"""
    return getattr(error, "sqlite_errorname", "").startswith("SQLITE_CORRUPT")


def open_writable(path: Path) -> Writable:
    """A connection in autocommit mode whose commits are on disk when they return."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        timeout=BUSY_SECONDS,
        check_same_thread=False,
        factory=Writable,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -8192")  # KiB; holds what recent messages touch
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA user_version").fetchall()  # has SQLite open -wal and -shm
    except BaseException:
        connection.close()
        raise
    return connection


def _close_without_checkpoint(connection: sqlite3.Connection, path: Path) -> None:
    """Close a connection to the file at `path`, also if it is the last one in all processes.

    Beside another one of this process it does not checkpoint; and that one cannot write.
    """
    with closing(_open_readonly(path)) as other:
        with suppress(sqlite3.Error):
            other.execute("SELECT 1 FROM sqlite_master").fetchall()
        connection.close()


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for queries, closed in the end. Raises StoreUnavailable if one cannot be made.

    `error.__cause__` is what SQLite said.
    """
    try:
        with closing(open_readonly(path)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreUnavailable(str(error)) from error


def open_readonly(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, for queries; it never checkpoints. Raises sqlite3.Error."""
    if path in _closed_to_readers:
        raise sqlite3.OperationalError("the database is being opened again")
    return _open_readonly(path)


def _open_readonly(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_SECONDS
    )
    connection.row_factory = sqlite3.Row
    return connection


def _is_whole_copy(path: Path, ours: sqlite3.Connection) -> bool:
    """Is the file at the path one to use in place of ours? False: one that was made empty.

    Raises FileDamaged for one that is not whole, or not of this program, or sqlite3.Error.
    """
    try:
        if not _has_messages(ours):
            return True
    except sqlite3.Error:  # ours is damaged, so the other cannot be worse
        return True
    with closing(_open_readonly(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        if not tables:
            return False
        if "messages" not in [row[0] for row in tables]:
            raise FileDamaged(f"{path.name} was replaced by another program's database: {MEND}")
        ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
        ((page_size,),) = connection.execute("PRAGMA page_size").fetchall()
        file, wal = _identity(path), _identity(path.with_name(path.name + "-wal"))
        if file is None or (not (wal and wal.size) and file.size < pages * page_size):
            raise FileDamaged(f"{path.name} was replaced by one that is not whole yet: {MEND}")
        return _has_messages(connection)


def _has_messages(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM messages NOT INDEXED LIMIT 1").fetchall())


def marks(values: Sequence[object]) -> str:
    """As many `?` as there are values, for an IN (...)."""
    return ", ".join("?" * len(values))


def apply_schema(connection: Writable) -> None:
    """Create what is missing, drop what only earlier versions had.

    Raises SchemaTooNew for a file of a later version.
    """
    version = connection.execute("PRAGMA user_version").fetchall()[0][0]
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"the database has schema version {version}, this program knows {SCHEMA_VERSION}: "
            "install the version of smsstatus that wrote it, or restore an older backup"
        )
    schema = SCHEMA.read_text()
    if version < SCHEMA_VERSION or not _is_whole(connection, schema):
        before = _DROP_INDEXES if version == 1 else ""
        after = _NOTE_UPGRADE if 0 < version < SCHEMA_VERSION else ""
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {before} {schema} {after} COMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    connection.was_upgraded = bool(connection.execute("SELECT 1 FROM upgrades").fetchall())


_DROP_INDEXES = """
    DROP INDEX IF EXISTS messages_by_status;
    DROP INDEX IF EXISTS messages_waiting;
    DROP INDEX IF EXISTS messages_by_recipient;
    """
"""The first two are no longer needed; the third is another one now."""

_NOTE_UPGRADE = f"""
    INSERT OR IGNORE INTO upgrades (version, last_message, looked_at)
    VALUES (3, coalesce((SELECT max(id) FROM messages), 0), 0);
    CREATE TRIGGER IF NOT EXISTS standing_by_version_2 BEFORE UPDATE OF digest ON messages
    WHEN length(new.digest) = {FORMER_SIZE} AND ({order_key("new")}) < ({order_key("old")})
    BEGIN SELECT RAISE(IGNORE); END;
    CREATE TRIGGER IF NOT EXISTS event_by_version_2 AFTER INSERT ON status_events
    WHEN length(new.digest) = {FORMER_SIZE}
    BEGIN
        UPDATE messages SET
            current_status = new.status, status_timestamp = new.status_timestamp,
            error_code = new.error_code, updated_at = new.received_at, is_final = new.is_final,
            sequence = new.sequence, rank = new.rank, digest = new.digest
        WHERE id = new.message_id AND ({order_key("new")}) > ({order_key("messages")});
    END;
    CREATE TRIGGER IF NOT EXISTS first_by_version_2 AFTER UPDATE OF initial_status ON messages
    WHEN new.initial_status <> {first_status("new.id")}
    BEGIN UPDATE messages SET initial_status = {first_status("new.id")} WHERE id = new.id; END;
    """
"""A program of version 2 that has the file open goes on writing by its own order key until it ends:
at a deploy, for a minute. The triggers hold it to the key of now, in rows that are corrected too.
Whoever changes the key must drop them.
"""


def _is_whole(connection: sqlite3.Connection, schema: str) -> bool:
    """Is everything there that the schema creates? Somebody can have removed a table."""
    named = set(re.findall(r"^CREATE \w+ IF NOT EXISTS (\w+)", schema, re.MULTILINE))
    there = connection.execute("SELECT name FROM sqlite_master").fetchall()
    return named <= {name for (name,) in there}


def rewrite_header(connection: sqlite3.Connection) -> None:
    """A write that changes nothing: page 1, which holds the file's header, is written again.

    The version is the one in the file: a later program may be taking over from this one.
    """
    version = connection.execute("PRAGMA user_version").fetchall()[0][0]
    connection.execute(f"PRAGMA user_version = {version}")


def write_copy(connection: sqlite3.Connection, target: Path) -> None:
    """SQLite's online backup of `connection` into the new file `target`, fsynced.

    It is of one moment: without a transaction around it, SQLite would begin again whenever somebody
    else has written. https://www.sqlite.org/c3ref/backup_finish.html
    """
    create_private(target)
    connection.execute("BEGIN")
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchall()
        connection.backup(copy, pages=1024)
    finally:
        copy.close()
        connection.execute("ROLLBACK")
    fsync_file(target)
    fsync_folder(target.parent)


def write_tables(connection: sqlite3.Connection, target: Path) -> None:
    """What the tables of `connection` hold into the new file `target`, fsynced.

    The indexes are made of that, none is read. Raises sqlite3.Error if a table cannot be read to
    its end.
    """
    create_private(target)
    connection.execute("ATTACH ? AS rebuilt", (str(target),))
    try:
        connection.execute("BEGIN")
        made = connection.execute(
            """SELECT type, name, sql FROM main.sqlite_master
               WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY type = 'index'"""
        ).fetchall()
        for kind, name, sql in made:
            connection.execute(re.sub(r"^CREATE (UNIQUE )?\w+ ", r"\g<0>rebuilt.", sql))
            if kind == "table":  # with a WHERE, or SQLite would copy the indexes page by page
                rows = f'SELECT * FROM main."{name}" NOT INDEXED WHERE 1'
                connection.execute(f'INSERT INTO rebuilt."{name}" {rows}')
        ((version,),) = connection.execute("PRAGMA main.user_version").fetchall()
        connection.execute(f"PRAGMA rebuilt.user_version = {version}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("DETACH rebuilt")
    fsync_file(target)
    fsync_folder(target.parent)


def _mapped_index(shm: Path) -> _Identity | None:
    """The -shm at the path, which was opened just now. None if there is none.

    All connections of a process to a file share one -shm. So while a query goes on that began
    before the -shm was removed, a new connection still gets that one: then raises FileDamaged.
    """
    found = _identity(shm)
    if found is None or not os.path.isdir(_DESCRIPTORS):
        return found
    for name in os.listdir(_DESCRIPTORS):
        with suppress(OSError):  # closed since
            opened = os.fstat(int(name))
            if (opened.st_dev, opened.st_ino) == found[:2]:
                return found
    raise FileDamaged("the database's -shm file was removed, and a query still uses it")


def _identity(path: Path) -> _Identity | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return _Identity(found.st_dev, found.st_ino, found.st_size)
