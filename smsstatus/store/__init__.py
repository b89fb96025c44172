"""SQLite: the only room that speaks SQL.

* `database`: the writing connection, and whether its file is still the file it was;
* `writer`: group commit, and the guarantee that comes with it;
* `updates`: what a status update does to the tables, the ordering guard;
* `reads`: queries; `upkeep`: backup and pruning.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from ..callback import StatusUpdate
from . import reads
from .database import LOCK_SECONDS, Database, SchemaTooNew, open_readonly, rewrite_header
from .updates import Outcome, apply_update
from .writer import Observer, StoreUnavailable, WorkRefused, Writer

log = logging.getLogger(__name__)

__all__ = ["Outcome", "SchemaTooNew", "Store", "StoreUnavailable", "WorkRefused"]


class Store:
    """The messages and their events. Safe to use from any thread and after a fork."""

    def __init__(self, path: Path, observe: Observer = lambda jobs, seconds: None) -> None:
        self.path = path
        self.writer = Writer(path, observe)

    def prepare(self) -> None:
        """Create the file or what is missing in it, leaving no connection behind.

        Safe when several processes do it at once. Raises SchemaTooNew, sqlite3.Error or OSError
        (also when the folder does not exist).
        """
        database = Database(self.path)
        with database.lock.hold(LOCK_SECONDS * 10):
            database.connect()
            database.close()
        database.lock.close()

    def record(self, update: StatusUpdate) -> Outcome:
        """Write one update durably; when this returns it is fsynced.

        Raises StoreUnavailable (try again later) or WorkRefused (never will).
        """
        return self.writer.submit(partial(apply_update, update=update))

    def probe(self) -> None:
        """Write something and commit it. Raises StoreUnavailable.

        The schema version is written again, which also renews a damaged file header.
        """
        self.writer.submit(rewrite_header)

    def look(self) -> None:
        """Read as a newcomer to the file would; if that fails, see whether a write mends it.

        Raises StoreUnavailable if it does not.
        """
        try:
            with closing(open_readonly(self.path)) as connection:
                connection.execute("SELECT 1 FROM messages LIMIT 1").fetchall()
        except sqlite3.Error as error:
            log.warning("database cannot be read afresh, writing its header again: %s", error)
            self.probe()

    def count_by_status(self) -> dict[str, int]:
        """Messages by current_status, at most COUNT_SECONDS old. Raises sqlite3.Error."""
        return reads.count_by_status(self.path)

    def close(self) -> None:
        """Finish and close; the next use opens again."""
        self.writer.close()
