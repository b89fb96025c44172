"""The whole database in a new file: as it is, or rebuilt from what its tables hold."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

from ...files import create_private, fsync_file, fsync_folder


def write_copy(
    connection: sqlite3.Connection,
    target: Path,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """SQLite's online backup of `connection` into the new file `target`, fsynced.

    It is of one moment: without a transaction around it, SQLite would begin again whenever somebody
    else has written. https://www.sqlite.org/c3ref/backup_finish.html
    """
    create_private(target)
    connection.execute("BEGIN")
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchall()
        connection.backup(
            copy,
            pages=1024,
            progress=lambda _, left, total: progress(1 - left / total),
        )
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
