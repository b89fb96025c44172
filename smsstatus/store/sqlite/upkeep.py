"""Backup and pruning, both while callbacks keep coming."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

from ...files import fsync_folder
from ...model import TEXT_DIGEST_SIZE
from ..contract import FORGET_BATCH, PRUNE_BATCH
from . import parameters
from .connection import reading
from .copies import write_copy
from .keys import forget_old_keys
from .tallies import TEN
from .updates import drop_reference


def backup(path: Path, target: Path, progress: Callable[[float], None]) -> None:
    """A consistent, fsynced copy of the database in the new file `target`; see the contract.

    Raises FileExistsError rather than overwrite, StoreUnavailable or OSError; then nothing is left
    behind.
    """
    if target.exists():
        raise FileExistsError(f"{target} exists already")
    partial = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with reading(path) as connection:
            write_copy(connection, partial, progress)
        os.link(partial, target)  # unlike a rename it does not overwrite
    finally:
        partial.unlink(missing_ok=True)
    fsync_folder(target.parent)


_WAITS = "EXISTS (SELECT 1 FROM forwards WHERE message_id = m.id AND due_at IS NOT NULL)"


def _older(keeps_waiting: bool) -> str:
    return f"FROM messages AS m WHERE created_at < ? {f'AND NOT {_WAITS}' if keeps_waiting else ''}"


def count_older(path: Path, created_before: str, *, keeps_waiting: bool) -> int:
    """How many messages `prune_batch` would remove in all."""
    with reading(path) as connection:
        rows = connection.execute(
            f"SELECT count(*) {_older(keeps_waiting)}", (created_before,)
        ).fetchall()
    return int(rows[0][0])


def newest(path: Path) -> str:
    """When the newest message was first seen; empty if there is none."""
    with reading(path) as connection:
        rows = connection.execute("SELECT max(created_at) FROM messages").fetchall()
    return rows[0][0] or ""


def next_to_prune(path: Path, created_before: str, *, keeps_waiting: bool) -> tuple[int, ...]:
    """The ids of PRUNE_BATCH old messages at most, but those with a change that is to be handed on.

    Looked for with a connection of its own: callbacks need not wait while others are passed over.
    """
    with reading(path) as connection:
        rows = connection.execute(
            f"SELECT id {_older(keeps_waiting)} ORDER BY created_at LIMIT {PRUNE_BATCH}",
            (created_before,),
        ).fetchall()
    return tuple([row[0] for row in rows])


_REMOVE_SUMS = f"""
    DELETE FROM sums WHERE (span, kind) IN (
        SELECT span, kind FROM sums
        WHERE span < (SELECT substr(min(created_at), 1, {TEN}) FROM messages) LIMIT {PRUNE_BATCH})
    """
"""Of times that no message is left of. A message has less than one sum, so this keeps up."""


def prune_batch(
    connection: sqlite3.Connection,
    created_before: str,
    ids: Sequence[int],
    *,
    keeps_waiting: bool,
) -> int:
    """Remove these messages and all of theirs, inside the caller's transaction; how many."""
    forget_old_keys(connection)  # their answers hold texts and numbers
    if ids:  # not a time that a clock which is wrong made up: it would keep out all that comes
        connection.execute(
            """INSERT INTO prunings (id, created_before)
               SELECT 1, min(?, max(created_at)) FROM messages WHERE true
               ON CONFLICT (id) DO UPDATE SET
                   created_before = max(created_before, excluded.created_before)""",
            (created_before,),
        )
    removed = _remove_all(connection, ids, keeps_waiting=keeps_waiting)
    connection.execute(_REMOVE_SUMS)
    return removed


def forget_batch(connection: sqlite3.Connection, pair: str) -> int:
    """Remove FORGET_BATCH messages at most whose reference has this pair; how many."""
    rows = connection.execute(
        "SELECT message_id FROM reference_pairs WHERE pair = ? LIMIT ?", (pair, FORGET_BATCH)
    ).fetchall()
    return _remove_all(connection, [row[0] for row in rows], keeps_waiting=False)


def _remove_all(connection: sqlite3.Connection, ids: Sequence[int], *, keeps_waiting: bool) -> int:
    ((newest,),) = connection.execute("SELECT max(id) FROM status_events").fetchall()
    removed = sum([_remove(connection, message_id, keeps_waiting) for message_id in ids])
    if removed:
        _hold_place(connection, newest)
        connection.execute(
            """INSERT INTO removals (id, batches) VALUES (1, 1)
               ON CONFLICT (id) DO UPDATE SET batches = batches + 1"""
        )
    return removed


def _remove(connection: sqlite3.Connection, message_id: int, keeps_waiting: bool) -> bool:
    """Unless one of its changes has begun to wait since it was chosen."""
    if (
        keeps_waiting
        and connection.execute(
            f"SELECT 1 FROM messages AS m WHERE id = ? AND {_WAITS}", (message_id,)
        ).fetchall()
    ):
        return False
    connection.execute(
        """DELETE FROM signed_texts WHERE digest IN (
                SELECT substr(digest, 1, ?) FROM status_events WHERE message_id = ?)""",
        (TEXT_DIGEST_SIZE, message_id),
    )
    drop_reference(connection, message_id)
    connection.execute("DELETE FROM message_facts WHERE message_id = ?", (message_id,))
    connection.execute(
        """DELETE FROM forwards WHERE event_id IN (
                SELECT id FROM status_events WHERE message_id = ?)""",
        (message_id,),
    )
    connection.execute("DELETE FROM status_events WHERE message_id = ?", (message_id,))
    return connection.execute("DELETE FROM messages WHERE id = ?", (message_id,)).rowcount == 1


def _hold_place(connection: sqlite3.Connection, newest: int | None) -> None:
    """SQLite gives the id after the greatest that is there. Who reads changes after a cursor relies
    on ids that only rise, so a bare row holds the newest event's place until a newer one comes.
    """
    connection.execute("DELETE FROM status_events WHERE message_id = 0")
    connection.execute(
        """INSERT INTO status_events (
                id, message_id, digest, status, status_timestamp, sequence, rank, is_final,
                received_at, source, parameters)
           SELECT :newest, 0, x'', '', '', 0, 0, 0, '', 'pruned', :nothing
           WHERE :newest > (SELECT coalesce(max(id), 0) FROM status_events)""",
        {"newest": newest, "nothing": parameters.nothing(connection)},
    )
