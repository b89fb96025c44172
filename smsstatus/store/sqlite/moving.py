"""What this store keeps, for another one, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..moving import Kept, Marks, read_kept
from ..rules import order_key
from .connection import marks as question_marks
from .connection import reading
from .restoring import restore, restore_marks
from .store import SqliteStore


class SqliteMover:
    """Reads and writes through a store; see `moving.Mover`."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store

    def last(self) -> int:
        with reading(self.store.path) as connection:
            ((found,),) = connection.execute("SELECT max(id) FROM messages").fetchall()
        return found or 0

    def totals(self) -> tuple[int, int]:
        with reading(self.store.path) as connection:
            ((messages, events),) = connection.execute(
                """SELECT (SELECT count(*) FROM messages),
                          (SELECT count(*) FROM status_events WHERE message_id <> 0)"""
            ).fetchall()
        return messages, events

    def uuids(self, after: int, limit: int) -> Sequence[tuple[int, str]]:
        with reading(self.store.path) as connection:
            rows = connection.execute(
                "SELECT id, message_uuid FROM messages WHERE id > ? ORDER BY id LIMIT ?",
                (after, limit),
            ).fetchall()
        return [(row[0], row[1]) for row in rows]

    def kept(self, uuids: Sequence[str]) -> Sequence[Kept]:
        with reading(self.store.path) as connection:
            rows = connection.execute(
                f"""SELECT message_uuid, queued_at, checked_at, e.digest, e.rank
                    FROM messages AS m JOIN status_events AS e ON e.message_id = m.id
                    WHERE message_uuid IN ({question_marks(uuids)})
                    ORDER BY m.id, {order_key("e")}""",
                tuple(uuids),
            ).fetchall()
        return read_kept(self.store, [tuple(row) for row in rows])

    def restore(self, kept: Sequence[Kept]) -> None:
        self.store.writer.submit(partial(restore, kept=kept))

    def marks(self, nonce: str, key: str, limit: int) -> Marks:
        with reading(self.store.path) as connection:
            nonces = connection.execute(
                "SELECT nonce, digest FROM v2_nonces WHERE nonce > ? ORDER BY nonce LIMIT ?",
                (nonce, limit),
            ).fetchall()
            keys = connection.execute(
                """SELECT key, digest, claimed_at, answer FROM idempotency_keys
                   WHERE key > ? ORDER BY key LIMIT ?""",
                (key, limit),
            ).fetchall()
            ((pruned,),) = connection.execute("SELECT max(created_before) FROM prunings").fetchall()
        return Marks(
            [(row[0], row[1]) for row in nonces],
            [(row[0], row[1], row[2], row[3]) for row in keys],
            pruned,
        )

    def restore_marks(self, marks: Marks) -> None:
        self.store.writer.submit(partial(restore_marks, marks=marks))
