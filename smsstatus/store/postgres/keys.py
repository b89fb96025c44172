"""Idempotency keys: which request owns one, and what it was answered."""

from __future__ import annotations

from datetime import datetime

from ..contract import KEYS_KEPT, Claim
from .columns import as_text
from .connection import Connection


def claim_key(connection: Connection, key: str, digest: bytes, now: datetime) -> Claim | None:
    """Let the request with `digest` own a key; None if it does now, else the claim that stands.

    `now` tells this claim from another one of the same request.
    """
    forget_old_keys(connection, now)
    ((owner, claimed_at, answer),) = connection.execute(
        f"""INSERT INTO idempotency_keys AS k (key, digest, claimed_at) VALUES (%s, %s, %s)
            ON CONFLICT (key) DO UPDATE SET key = k.key
            RETURNING digest, {as_text("claimed_at")}, answer""".encode(),
        (key, digest, now),
    ).fetchall()
    age = now - datetime.fromisoformat(claimed_at)
    return Claim(owner, age, answer) if age or owner != digest else None


def keep_answer(connection: Connection, key: str, answer: str) -> None:
    """What everybody else gets who comes with this key."""
    connection.execute("UPDATE idempotency_keys SET answer = %s WHERE key = %s", (answer, key))


def free_key(connection: Connection, key: str) -> None:
    """Let the next request own the key: nothing came of its owner."""
    connection.execute("DELETE FROM idempotency_keys WHERE key = %s AND answer IS NULL", (key,))


def forget_old_keys(connection: Connection, now: datetime) -> None:
    """Remove keys that are older than KEYS_KEPT, and the answers with them."""
    connection.execute("DELETE FROM idempotency_keys WHERE claimed_at < %s", (now - KEYS_KEPT,))
