"""What the service and its operator ask about the database itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ..contract import FORGET_BATCH, PRUNE_BATCH, Engine
from .columns import NOT_TOLD, as_text
from .connection import Connection
from .keys import forget_old_keys

MAY_NOTE = """(has_table_privilege('prunings', 'INSERT')
    AND has_table_privilege('prunings', 'UPDATE') AND has_table_privilege('messages', 'UPDATE'))"""
"""May what is removed be noted?"""

HOW_TO_BACK_UP = (
    "PostgreSQL is backed up with its host's own command: heroku pg:backups:capture on Heroku, "
    'postgres:export with Dokku, elsewhere: pg_dump --format=custom --file={} "$DATABASE_URL"'
)

_FSYNC_IS_OFF = (
    "runs with fsync off, so what was answered 200 can be lost when its machine fails: set "
    "fsync = on in postgresql.conf"
)


def engine(connection: Connection) -> Engine:
    """The server's version, and whether it keeps what it has committed."""
    ((version, fsync),) = connection.execute(
        "SELECT current_setting('server_version'), current_setting('fsync')"
    ).fetchall()
    number = version.split()[0]
    if fsync == "on":
        return Engine("PostgreSQL", number, "")
    return Engine("PostgreSQL", number, _FSYNC_IS_OFF, may_lose=True)


def _older(*, keeps_waiting: bool) -> str:
    """Messages first seen before a time; not those with a change that is to be handed on."""
    kept = """AND NOT EXISTS (
        SELECT FROM forwards AS w WHERE w.message_id = m.id AND w.due_at IS NOT NULL)"""
    return f"FROM messages AS m WHERE created_at < %s {kept if keeps_waiting else ''}"


def count_older(connection: Connection, created_before: str, *, keeps_waiting: bool) -> int:
    """How many messages `prune_batch` would remove in all."""
    ((count,),) = connection.execute(
        f"SELECT count(*) {_older(keeps_waiting=keeps_waiting)}".encode(), (created_before,)
    ).fetchall()
    return int(count)


def newest(connection: Connection) -> str:
    """When the newest message was first seen; empty if there is none."""
    ((found,),) = connection.execute(
        f"SELECT {as_text('max(created_at)')} FROM messages".encode()
    ).fetchall()
    return found or ""


def prune_batch(connection: Connection, created_before: str, *, keeps_waiting: bool) -> int:
    """Remove up to PRUNE_BATCH old messages; their events and references go with them.

    Where the host has taken all rights but DELETE, because the database is full, what was pruned is
    not noted: a captured callback could bring such a message back.
    """
    ((may_note,),) = connection.execute(f"SELECT {MAY_NOTE}".encode()).fetchall()
    forget_old_keys(connection, datetime.now(UTC))  # their answers hold texts and numbers
    found = _older(keeps_waiting=keeps_waiting)
    ids = [
        row[0]
        for row in connection.execute(
            f"SELECT id {found} ORDER BY created_at LIMIT %s".encode(),
            (created_before, PRUNE_BATCH),
        ).fetchall()
    ]
    if ids and may_note:
        _note(connection, created_before)
        _lock(connection, ids)
    deleted = connection.execute(f"DELETE {found} AND id = ANY(%s)".encode(), (created_before, ids))
    return deleted.rowcount


def forget_batch(connection: Connection, pair: str) -> int:
    """Remove up to FORGET_BATCH messages whose reference has a pair."""
    ((may_note,),) = connection.execute(f"SELECT {MAY_NOTE}".encode()).fetchall()
    ids = [
        row[0]
        for row in connection.execute(
            """SELECT m.id FROM reference_pairs AS p JOIN messages AS m ON m.id = p.message_id
               WHERE p.pair = %s AND p.pair = ANY (m.reference_pairs) LIMIT %s""",
            (pair, FORGET_BATCH),
        ).fetchall()
    ]
    if ids and may_note:
        _note(connection, NOT_TOLD)
        _lock(connection, ids)
    deleted = connection.execute(
        "DELETE FROM messages WHERE id = ANY (%s) AND %s = ANY (reference_pairs)", (ids, pair)
    )
    return deleted.rowcount


def _note(connection: Connection, created_before: str) -> None:
    """Not a time that a wrong clock made up: it would keep out all. The row is written again in any
    case, which is what the change marker sees.
    """
    connection.execute(
        """INSERT INTO prunings AS p (created_before)
           SELECT least(%s, max(created_at)) FROM messages
           ON CONFLICT (id) DO UPDATE SET
               created_before = greatest(p.created_before, excluded.created_before)""",
        (created_before,),
    )


def _lock(connection: Connection, ids: Sequence[int]) -> None:
    """In the order in which a batch of callbacks does, else each could wait for the other."""
    connection.execute(
        "SELECT FROM messages WHERE id = ANY (%s) ORDER BY message_uuid FOR UPDATE", (ids,)
    )
