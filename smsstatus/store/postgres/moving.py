"""What this store keeps, for another one, and the other way round."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from psycopg.errors import ProgramLimitExceeded

from ...model import TEXT_DIGEST_SIZE
from ..contract import WorkRefused
from ..moving import Kept, Marks, as_replayed, read_kept
from ..rules import order_key
from .batch import record
from .columns import EVENTS, NOT_TOLD, as_text
from .connection import Connection
from .errors import describe
from .store import COUNT_SECONDS, PostgresStore


class PostgresMover:
    """Reads and writes through a store; see `moving.Mover`."""

    def __init__(self, store: PostgresStore) -> None:
        self.store = store

    def _ask(self, query: str, *values: object) -> list[Any]:
        def work(connection: Connection) -> list[Any]:
            return connection.execute(query.encode(), values).fetchall()

        found: list[Any] = self.store.writer.submit(work)
        return found

    def last(self) -> int:
        return int(self._ask("SELECT max(id) FROM messages")[0][0] or 0)

    def totals(self) -> tuple[int, int]:
        def work(connection: Connection) -> tuple[int, int]:
            ((messages, events),) = connection.execute(
                "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM status_events)"
            ).fetchall()
            return messages, events

        return self.store._read(work, COUNT_SECONDS)

    def uuids(self, after: int, limit: int) -> Sequence[tuple[int, str]]:
        return self._ask(
            "SELECT id, message_uuid FROM messages WHERE id > %s ORDER BY id LIMIT %s", after, limit
        )

    def kept(self, uuids: Sequence[str]) -> Sequence[Kept]:
        rows = self._ask(
            f"""SELECT message_uuid, {as_text("queued_at")}, {as_text("checked_at")}, e.digest,
                    e.rank
                FROM messages AS m JOIN {EVENTS} AS e ON e.message_id = m.id
                WHERE message_uuid = ANY(%s) ORDER BY m.id, {order_key("e")}""",
            list(uuids),
        )
        return read_kept(self.store, rows)

    def restore(self, kept: Sequence[Kept]) -> None:
        def work(connection: Connection) -> None:
            try:
                _restore(connection, kept)
            except ProgramLimitExceeded as error:  # version 1.0 kept numbers of any length
                raise WorkRefused(describe(error)) from None

        self.store.writer.submit(work)

    def marks(self, nonce: str, key: str, limit: int) -> Marks:
        nonces = self._ask(
            "SELECT nonce, digest FROM v2_nonces WHERE nonce > %s ORDER BY nonce LIMIT %s",
            nonce,
            limit,
        )
        keys = self._ask(
            f"""SELECT key, digest, {as_text("claimed_at")}, answer FROM idempotency_keys
                WHERE key > %s ORDER BY key LIMIT %s""",
            key,
            limit,
        )
        ((pruned,),) = self._ask(f"SELECT {as_text('max(created_before)')} FROM prunings")
        return Marks(nonces, keys, pruned)

    def restore_marks(self, marks: Marks) -> None:
        self.store.writer.submit(partial(_restore_marks, marks=marks))


def _restore(connection: Connection, kept: Sequence[Kept]) -> None:
    """An update that is here already keeps the greater of both counts.

    What was pruned there is not among them, so what was pruned here keeps none of them out.
    """
    pruned = connection.execute(
        f"DELETE FROM prunings RETURNING {as_text('created_before')}".encode()
    ).fetchall()
    record(connection, as_replayed(kept))
    for (created_before,) in pruned:
        _restore_marks(connection, Marks((), (), created_before or NOT_TOLD))
    events = [
        {
            "signed_text": update.digest[:TEXT_DIGEST_SIZE].hex(),
            "reading": update.digest[TEXT_DIGEST_SIZE:].hex(),
            "source": update.source,
            "repeats": repeats,
        }
        for each in kept
        for update, repeats in zip(each.updates, each.repeats, strict=True)
    ]
    connection.execute(
        """UPDATE status_events AS e
           SET source = g.source, repeats = greatest(e.repeats, g.repeats)
           FROM json_to_recordset(%s::json) AS g (
               signed_text text, reading text, source text, repeats integer)
           WHERE e.signed_text = decode(g.signed_text, 'hex')
               AND e.reading = decode(g.reading, 'hex')""",
        (json.dumps(events),),
    )
    checked = {each.message_uuid: each.checked_at for each in kept if each.checked_at}
    connection.execute(
        """UPDATE messages AS m SET checked_at = greatest(m.checked_at, g.value::timestamptz)
           FROM json_each_text(%s::json) AS g WHERE m.message_uuid = g.key""",
        (json.dumps(checked),),
    )


def _restore_marks(connection: Connection, marks: Marks) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO v2_nonces (nonce, digest) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            marks.nonces,
        )
        cursor.executemany(
            """INSERT INTO idempotency_keys AS k (key, digest, claimed_at, answer)
               VALUES (%s, %s, %s, %s)
               ON CONFLICT (key) DO UPDATE SET answer = coalesce(k.answer, excluded.answer)""",
            marks.keys,
        )
    if marks.pruned_before is not None:
        connection.execute(
            """INSERT INTO prunings AS p (created_before) VALUES (%s)
               ON CONFLICT (id) DO UPDATE SET
                   created_before = greatest(p.created_before, excluded.created_before)""",
            (marks.pruned_before,),
        )
