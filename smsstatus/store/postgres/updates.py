"""What is asked and written about callbacks beside their updates, which `batch` writes."""

from __future__ import annotations

from ...model import TEXT_DIGEST_SIZE
from .batch import record
from .connection import Connection


def claim_nonce(connection: Connection, nonce: str, digest: bytes) -> bool:
    """Let the callback with `digest` own a V2 nonce; False if another owns it already."""
    ((owner,),) = connection.execute(
        """INSERT INTO v2_nonces AS v (nonce, digest) VALUES (%s, %s)
           ON CONFLICT (nonce) DO UPDATE SET digest = v.digest RETURNING digest""",
        (nonce, digest),
    ).fetchall()
    return bool(owner == digest)


def knows_text(connection: Connection, digest: bytes) -> bool:
    """Does an update own the text of this digest?"""
    found = connection.execute(
        "SELECT 1 FROM status_events WHERE signed_text = %s", (digest[:TEXT_DIGEST_SIZE],)
    )
    return bool(found.fetchall())


def mark_checked(connection: Connection, message_uuid: str, checked_at: str) -> None:
    """Note when Plivo was last asked about a message."""
    connection.execute(
        "UPDATE messages SET checked_at = %s WHERE message_uuid = %s", (checked_at, message_uuid)
    )


def probe(connection: Connection) -> None:
    """All that a callback needs but the row: its tables, the rights to them, a commit."""
    record(connection, ())
    connection.execute("UPDATE schema_version SET version = version")
