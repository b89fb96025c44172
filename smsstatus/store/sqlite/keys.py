"""Idempotency keys: which request owns one, and what it was answered."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from ...model import timestamp
from ..contract import KEYS_KEPT, Claim


def claim_key(connection: sqlite3.Connection, key: str, digest: bytes) -> Claim | None:
    """Let the request with `digest` own a key; None if it does now, else the claim that stands."""
    now = datetime.now(UTC)
    forget_old_keys(connection)
    claimed = connection.execute(
        "INSERT INTO idempotency_keys (key, digest, claimed_at) VALUES (?, ?, ?)"
        " ON CONFLICT (key) DO NOTHING",
        (key, digest, timestamp(now)),
    )
    if claimed.rowcount == 1:
        return None
    owner, claimed_at, answer = connection.execute(
        "SELECT digest, claimed_at, answer FROM idempotency_keys WHERE key = ?", (key,)
    ).fetchall()[0]
    return Claim(owner, now - datetime.fromisoformat(claimed_at), answer)


def keep_answer(connection: sqlite3.Connection, key: str, answer: str) -> None:
    """What everybody else gets who comes with this key."""
    connection.execute("UPDATE idempotency_keys SET answer = ? WHERE key = ?", (answer, key))


def free_key(connection: sqlite3.Connection, key: str) -> None:
    """Let the next request own the key: nothing came of its owner."""
    connection.execute("DELETE FROM idempotency_keys WHERE key = ? AND answer IS NULL", (key,))


def forget_old_keys(connection: sqlite3.Connection) -> None:
    """Remove keys that are older than KEYS_KEPT, and the answers with them."""
    before = timestamp(datetime.now(UTC) - KEYS_KEPT)
    connection.execute("DELETE FROM idempotency_keys WHERE claimed_at < ?", (before,))
