"""Writes what another store has kept, as it is, inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..moving import Kept, Marks, as_replayed
from .updates import apply_updates, give_back


def restore(connection: sqlite3.Connection, kept: Sequence[Kept]) -> None:
    """An update that is here already keeps the greater of both counts.

    What was pruned there is not among them, so what was pruned here keeps none of them out.
    """
    pruned = connection.execute("DELETE FROM prunings RETURNING created_before").fetchall()
    apply_updates(connection, list(as_replayed(kept)))
    for each in kept:
        give_back(connection, each.updates[0])
    for (created_before,) in pruned:
        restore_marks(connection, Marks((), (), created_before))
    connection.executemany(
        """UPDATE status_events SET source = ?, repeats = max(repeats, ?)
           WHERE digest = ?
               AND message_id = (SELECT id FROM messages WHERE message_uuid = ?)""",
        [
            (update.source, repeats, update.digest, update.message_uuid)
            for each in kept
            for update, repeats in zip(each.updates, each.repeats, strict=True)
        ],
    )
    connection.executemany(
        """UPDATE messages SET checked_at = max(coalesce(checked_at, ''), ?)
           WHERE message_uuid = ?""",
        [(each.checked_at, each.message_uuid) for each in kept if each.checked_at],
    )


def restore_marks(connection: sqlite3.Connection, marks: Marks) -> None:
    connection.executemany(
        "INSERT INTO v2_nonces (nonce, digest) VALUES (?, ?) ON CONFLICT DO NOTHING", marks.nonces
    )
    connection.executemany(
        """INSERT INTO idempotency_keys AS k (key, digest, claimed_at, answer)
           VALUES (?, ?, ?, ?)
           ON CONFLICT (key) DO UPDATE SET answer = coalesce(k.answer, excluded.answer)""",
        marks.keys,
    )
    if marks.pruned_before is not None:
        connection.execute(
            """INSERT INTO prunings (id, created_before) VALUES (1, ?)
               ON CONFLICT (id) DO UPDATE SET
                   created_before = max(created_before, excluded.created_before)""",
            (marks.pruned_before,),
        )
