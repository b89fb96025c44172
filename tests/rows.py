"""Rows put straight into the database, where callbacks would take long or cannot be so old."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from smsstatus.model import FINAL_STATUSES, RANKS

PARAMETERS = """
    SELECT message_uuid, unpack(
        parameters, message_uuid, e.status, e.status_timestamp, e.error_code, e.sequence
    ) AS parameters FROM messages AS m JOIN status_events AS e ON m.id = message_id ORDER BY e.id
    """
"""What came about each message, where SQLite has `smsstatus.store.packing.unpack`."""

INSERT = """
    INSERT INTO messages (message_uuid, sender_number, recipient_number, message_body,
        initial_status, current_status, status_timestamp, error_code, created_at, updated_at,
        queued_at, is_final, sequence, rank, digest)
    VALUES (:message_uuid, :sender_number, :recipient_number, :message_body, 'queued',
        :current_status, :status_timestamp, :error_code, :created_at, :created_at, :queued_at,
        :is_final, 0, :rank, x'00')
    """


def insert(connection: sqlite3.Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Put rows in, all in one transaction."""
    connection.execute("BEGIN")
    connection.executemany(INSERT, rows)
    connection.execute("COMMIT")


def row(number: int, created_at: str, current_status: str = "sent", **more: Any) -> dict[str, Any]:
    """Values to insert."""
    return {
        "message_uuid": f"{number:08}-0000-4000-8000-000000000000",
        "created_at": created_at,
        "current_status": current_status,
        "is_final": current_status in FINAL_STATUSES,
        "rank": RANKS.get(current_status, 0),
        **dict.fromkeys(("sender_number", "recipient_number", "message_body", "error_code")),
        "status_timestamp": "",
        "queued_at": None,
        **more,
    }
