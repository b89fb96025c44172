"""The same job as smsstatus on FastAPI: Plivo's SDK for the signature, one transaction a callback.

The writes go through one thread, so that the event loop goes on parsing and verifying while the
disk works; more threads would only wait for SQLite's single write lock.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from plivo.utils import validate_v3_signature

AUTH_TOKEN = os.environ["PLIVO_AUTH_TOKEN"]
CALLBACK_PATH = "/plivo/status"
SIGNED_URL = os.environ["BASE_URL"] + CALLBACK_PATH
SCHEMA = Path(__file__).resolve().parents[3] / "schema.sql"

RANKS = {
    "queued": 1,
    "sent": 2,
    "rejected": 3,
    "failed": 3,
    "undelivered": 3,
    "delivered": 4,
    "read": 5,
}

UPSERT_MESSAGE = """
    INSERT INTO messages (
        message_uuid, sender_number, recipient_number, initial_status, current_status,
        status_timestamp, error_code, created_at, updated_at, queued_at,
        is_final, sequence, rank, digest)
    VALUES (
        :uuid, :sender, :recipient, :status, :status,
        :timestamp, :error_code, :received_at, :received_at, :queued_at,
        :is_final, :sequence, :rank, :digest)
    ON CONFLICT (message_uuid) DO UPDATE SET
        current_status = excluded.current_status,
        status_timestamp = excluded.status_timestamp,
        error_code = excluded.error_code,
        updated_at = excluded.updated_at,
        is_final = excluded.is_final,
        sequence = excluded.sequence,
        rank = excluded.rank,
        digest = excluded.digest
    WHERE (excluded.is_final, excluded.status_timestamp, excluded.sequence,
           excluded.rank, excluded.digest)
        > (messages.is_final, messages.status_timestamp, messages.sequence,
           messages.rank, messages.digest)
"""

INSERT_EVENT = """
    INSERT INTO status_events (
        message_id, digest, status, status_timestamp, error_code, sequence, rank, is_final,
        received_at, source, parameters)
    VALUES (
        (SELECT id FROM messages WHERE message_uuid = :uuid), :digest, :status, :timestamp,
        :error_code, :sequence, :rank, :is_final, :received_at, 'callback', :parameters)
"""

CLAIM_TEXT = "INSERT INTO signed_texts (digest) VALUES (:digest) ON CONFLICT DO NOTHING"

COUNT_REPEAT = """
    UPDATE status_events SET repeats = repeats + 1
    WHERE message_id = (SELECT id FROM messages WHERE message_uuid = :uuid) AND digest = :digest
"""


def connect() -> sqlite3.Connection:
    """Open the database with the durability that all peers share: WAL, synchronous=FULL."""
    connection = sqlite3.connect(
        os.environ["DATABASE_PATH"], isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -8192")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.executescript(SCHEMA.read_text())
    return connection


app = FastAPI(openapi_url=None)
database = connect()
writer = ThreadPoolExecutor(max_workers=1)


def store(update: dict[str, Any]) -> None:
    """Write one update; it is on disk when this returns."""
    database.execute("BEGIN IMMEDIATE")
    try:
        database.execute(UPSERT_MESSAGE, update)
        is_new = database.execute(CLAIM_TEXT, update).rowcount == 1
        database.execute(INSERT_EVENT if is_new else COUNT_REPEAT, update)
        database.execute("COMMIT")
    except sqlite3.Error:
        database.rollback()
        raise


def utc(text: str | None) -> str:
    """Plivo's time in UTC text of fixed width; empty if there is none."""
    if not text:
        return ""
    try:
        return datetime.fromisoformat(text).isoformat(timespec="microseconds") + "Z"
    except ValueError:
        return ""


def status_timestamp(fields: dict[str, str], rank: int) -> str:
    """The time of the callback's status, else the nearest earlier one."""
    return utc(
        (rank > 2 and fields.get("DeliveryReportTime"))
        or (rank > 1 and fields.get("SentTime"))
        or fields.get("QueuedTime")
        or fields.get("MessageTime")
    )


def to_update(fields: dict[str, str], body: bytes) -> dict[str, Any]:
    """The columns of one callback."""
    rank = RANKS.get(fields["Status"], 0)
    error_code = fields.get("ErrorCode")
    sequence = fields.get("Sequence", "")
    return {
        "uuid": fields["MessageUUID"],
        "status": fields["Status"],
        "timestamp": status_timestamp(fields, rank),
        "error_code": None if error_code in ("", "000") else error_code,
        "is_final": rank > 2,
        "sequence": int(sequence) if sequence.isdecimal() else 0,
        "rank": rank,
        "digest": blake2b(body, digest_size=16).digest(),
        "sender": fields.get("From"),
        "recipient": fields.get("To"),
        "queued_at": utc(fields.get("QueuedTime")) or None,
        "received_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "parameters": body,
    }


def is_from_plivo(request: Request, fields: dict[str, str]) -> bool:
    """Whether the V3 signature is right, by Plivo's own SDK."""
    signature = request.headers.get("x-plivo-signature-v3")
    nonce = request.headers.get("x-plivo-signature-v3-nonce")
    if not signature or not nonce:
        return False
    return bool(validate_v3_signature("POST", SIGNED_URL, nonce, AUTH_TOKEN, signature, fields))


@app.post(CALLBACK_PATH)
async def status_callback(request: Request) -> Response:
    """Verify, write, answer."""
    body = await request.body()
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
    if not is_from_plivo(request, fields):
        return Response(status_code=403)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(writer, store, to_update(fields, body))
    return Response(status_code=200)
