"""Backup and pruning, both while callbacks keep coming."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from uuid import uuid4

from ...files import fsync_folder
from ...model import TEXT_DIGEST_SIZE
from .connection import reading
from .copies import write_copy
from .keys import forget_old_keys
from .updates import drop_reference

PRUNE_BATCH = 500


def backup(path: Path, target: Path) -> None:
    """A consistent, fsynced copy of the database in the new file `target`.

    Raises FileExistsError rather than overwrite, StoreUnavailable or OSError; then nothing is left
    behind.
    """
    if target.exists():
        raise FileExistsError(f"{target} exists already")
    partial = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with reading(path) as connection:
            write_copy(connection, partial)
        os.link(partial, target)  # unlike a rename it does not overwrite
    finally:
        partial.unlink(missing_ok=True)
    fsync_folder(target.parent)


def count_older(path: Path, created_before: str) -> int:
    """How many messages `prune_batch` would remove in all."""
    with reading(path) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM messages WHERE created_at < ?", (created_before,)
        ).fetchall()
    return int(rows[0][0])


def newest(path: Path) -> str:
    """When the newest message was first seen; empty if there is none."""
    with reading(path) as connection:
        rows = connection.execute("SELECT max(created_at) FROM messages").fetchall()
    return rows[0][0] or ""


def prune_batch(connection: sqlite3.Connection, created_before: str) -> int:
    """Remove up to PRUNE_BATCH old messages and their events, inside the caller's transaction."""
    forget_old_keys(connection)  # their answers hold texts and numbers
    ids = connection.execute(
        "SELECT id FROM messages WHERE created_at < ? ORDER BY created_at LIMIT ?",
        (created_before, PRUNE_BATCH),
    ).fetchall()
    if ids:  # not a time that a clock which is wrong made up: it would keep out all that comes
        connection.execute(
            """INSERT INTO prunings (id, created_before)
               SELECT 1, min(?, max(created_at)) FROM messages WHERE true
               ON CONFLICT (id) DO UPDATE SET
                   created_before = max(created_before, excluded.created_before)""",
            (created_before,),
        )
    connection.executemany(
        """DELETE FROM signed_texts WHERE digest IN (
                SELECT substr(digest, 1, ?) FROM status_events WHERE message_id = ?)""",
        [(TEXT_DIGEST_SIZE, message_id) for (message_id,) in ids],
    )
    for (message_id,) in ids:
        drop_reference(connection, message_id)
    connection.executemany("DELETE FROM status_events WHERE message_id = ?", ids)
    connection.executemany("DELETE FROM messages WHERE id = ?", ids)
    return len(ids)
