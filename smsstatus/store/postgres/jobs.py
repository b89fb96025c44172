"""What callers have the writer do beside StatusUpdates, as data, and what does it.

All is done inside the caller's transaction, and doing it again changes nothing. Each job knows its
own statement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ...model import TEXT_DIGEST_SIZE
from ..contract import Claim
from .batch import record
from .connection import Connection
from .upkeep import older

KEPT = timedelta(hours=24)
PRUNE_BATCH = 500
FORGET_BATCH = 100


@dataclass(frozen=True, slots=True)
class ClaimNonce:
    nonce: str
    digest: bytes

    def do(self, connection: Connection) -> bool:
        """False if another update owns it."""
        ((owner,),) = connection.execute(
            """INSERT INTO v2_nonces AS v (nonce, digest) VALUES (%s, %s)
               ON CONFLICT (nonce) DO UPDATE SET digest = v.digest RETURNING digest""",
            (self.nonce, self.digest),
        ).fetchall()
        return bool(owner == self.digest)


@dataclass(frozen=True, slots=True)
class KnowsText:
    digest: bytes

    def do(self, connection: Connection) -> bool:
        return bool(
            connection.execute(
                "SELECT 1 FROM status_events WHERE signed_text = %s",
                (self.digest[:TEXT_DIGEST_SIZE],),
            ).fetchall()
        )


@dataclass(frozen=True, slots=True)
class ClaimKey:
    """`now` tells this claim from another one of the same request."""

    key: str
    digest: bytes
    now: datetime

    def do(self, connection: Connection) -> Claim | None:
        """None if the key is this request's now, else the claim that stands."""
        forget_old_keys(connection, self.now)
        ((digest, claimed_at, answer),) = connection.execute(
            """INSERT INTO idempotency_keys AS k (key, digest, claimed_at) VALUES (%s, %s, %s)
               ON CONFLICT (key) DO UPDATE SET key = k.key
               RETURNING digest, claimed_at, answer""",
            (self.key, self.digest, self.now),
        ).fetchall()
        is_own = (digest, claimed_at) == (self.digest, self.now)
        return None if is_own else Claim(digest, self.now - claimed_at, answer)


@dataclass(frozen=True, slots=True)
class KeepAnswer:
    key: str
    answer: str

    def do(self, connection: Connection) -> None:
        connection.execute(
            "UPDATE idempotency_keys SET answer = %s WHERE key = %s", (self.answer, self.key)
        )


@dataclass(frozen=True, slots=True)
class FreeKey:
    """Nothing came of its owner."""

    key: str

    def do(self, connection: Connection) -> None:
        connection.execute(
            "DELETE FROM idempotency_keys WHERE key = %s AND answer IS NULL", (self.key,)
        )


@dataclass(frozen=True, slots=True)
class NoteCheck:
    message_uuid: str
    checked_at: str

    def do(self, connection: Connection) -> None:
        connection.execute(
            "UPDATE messages SET checked_at = %s WHERE message_uuid = %s",
            (self.checked_at, self.message_uuid),
        )


@dataclass(frozen=True, slots=True)
class Prune:
    """Remove up to PRUNE_BATCH old messages; their events and references go with them.

    Where the host has taken all rights but DELETE, because the database is full, what was pruned is
    not noted: a captured callback could bring such a message back.
    """

    created_before: str
    keeps_waiting: bool

    def do(self, connection: Connection) -> int:
        ((may_note,),) = connection.execute(
            """SELECT has_table_privilege('prunings', 'INSERT')
                   AND has_table_privilege('prunings', 'UPDATE')"""
        ).fetchall()
        forget_old_keys(connection, datetime.now(UTC))  # their answers hold texts and numbers
        found = older(keeps_waiting=self.keeps_waiting)
        ids = [
            row[0]
            for row in connection.execute(
                f"SELECT id {found} ORDER BY created_at LIMIT %s".encode(),
                (self.created_before, PRUNE_BATCH),
            ).fetchall()
        ]
        if ids and may_note:  # not a time that a wrong clock made up: it would keep out all
            connection.execute(
                """INSERT INTO prunings AS p (created_before)
                   SELECT least(%s, max(created_at)) FROM messages
                   ON CONFLICT (id) DO UPDATE SET
                       created_before = greatest(p.created_before, excluded.created_before)""",
                (self.created_before,),
            )
        deleted = connection.execute(
            f"DELETE {found} AND id = ANY(%s)".encode(), (self.created_before, ids)
        )
        return deleted.rowcount


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove up to FORGET_BATCH messages whose reference has a pair."""

    pair: str

    def do(self, connection: Connection) -> int:
        deleted = connection.execute(
            """DELETE FROM messages WHERE id IN (
                   SELECT m.id FROM reference_pairs AS p JOIN messages AS m ON m.id = p.message_id
                   WHERE p.pair = %s AND p.pair = ANY (m.reference_pairs) LIMIT %s)""",
            (self.pair, FORGET_BATCH),
        )
        return deleted.rowcount


@dataclass(frozen=True, slots=True)
class Probe:
    """All that a callback needs but the row: its tables, the rights to them, a commit."""

    def do(self, connection: Connection) -> None:
        record(connection, ())
        connection.execute("UPDATE schema_version SET version = version")


@dataclass(frozen=True, slots=True)
class Call:
    """Whatever else has to be done on the writer's connection."""

    work: Callable[[Connection], Any]

    def do(self, connection: Connection) -> Any:
        return self.work(connection)


def forget_old_keys(connection: Connection, now: datetime) -> None:
    """Remove keys that are older than KEPT, and the answers with them."""
    connection.execute("DELETE FROM idempotency_keys WHERE claimed_at < %s", (now - KEPT,))
