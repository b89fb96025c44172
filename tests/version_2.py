"""Makes a database as version 2 of the schema left it, by plain SQL: its digest, its order key."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

SCHEMA = Path(__file__).with_name("schema_2.sql")
RANKS = {"queued": 1, "sent": 2, "failed": 3, "undelivered": 3, "delivered": 4, "read": 5}
PHASES = {-1: 0, 0: 1, 1: 1, 2: 2, 3: 3, 4: 3, 5: 4}


class Event(NamedTuple):
    """A row of status_events."""

    digest: bytes
    status: str
    status_timestamp: str
    error_code: str | None
    sequence: int
    rank: int
    is_final: bool
    received_at: str
    source: str
    parameters: str

    @property
    def former_key(self) -> tuple[Any, ...]:
        return (self.is_final, self.status_timestamp, self.sequence, self.rank, self.digest)

    @property
    def key(self) -> tuple[Any, ...]:
        return (PHASES[self.rank], *self.former_key[1:])


def event(parameters: str, received_at: str, source: str = "callback") -> Event:
    """What version 2 stored of these parameters; the time is in Timestamp."""
    pairs = parse_qsl(parameters, keep_blank_values=True)
    fields = dict(pairs)
    if source in ("send", "reconcile"):
        pairs.append(("source", source))
    text = "\0".join(chain.from_iterable(sorted(pairs)))
    status, time = fields["Status"], fields.get("Timestamp", "")
    rank = -1 if source == "send" else RANKS.get(status, 0)
    return Event(
        blake2b(text.encode(), digest_size=16).digest(),
        status,
        f"{time.replace(' ', 'T')}.000000Z" if time else "",
        fields.get("ErrorCode") or None,
        int(fields.get("Sequence", "0")),
        rank,
        rank >= 3,
        received_at,
        source,
        parameters,
    )


def some_messages(count: int) -> dict[str, list[Event]]:
    """Messages with one to four events each, some of which tell no time."""
    rng = random.Random(count)
    messages: dict[str, list[Event]] = {}
    for number in range(count):
        uuid = f"{number:08}-0000-4000-8000-000000000000"
        words = rng.sample(["queued", "sent", "odd", "delivered", "undelivered", "read"], 4)
        events = []
        for second, word in enumerate(words[: rng.randint(1, 4)]):
            fields = {"MessageUUID": uuid, "Status": word, "From": "1", "To": "2"}
            if rng.random() < 0.6:
                fields["Timestamp"] = f"2025-11-01 00:00:0{rng.randint(0, 9)}"
            if word == "undelivered":
                fields["ErrorCode"] = "30"
            source = "callback"
            if second == 0 and rng.random() < 0.2:
                source = "send"
                fields["Status"] = "queued"
            events.append(event(urlencode(fields), f"2025-11-01T00:00:1{second}.000000Z", source))
        messages[uuid] = events
    return messages


def fill(path: Path, messages: dict[str, list[Event]]) -> None:
    """Make the file at `path` with these messages."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.executescript(SCHEMA.read_text())
        connection.execute("BEGIN")
        for uuid, events in messages.items():
            first = min(events, key=lambda event: event.former_key)
            stands = max(events, key=lambda event: event.former_key)
            message_id = connection.execute(
                """INSERT INTO messages (message_uuid, sender_number, recipient_number,
                       initial_status, current_status, status_timestamp, error_code, created_at,
                       updated_at, is_final, sequence, rank, digest)
                   VALUES (?, '1', '2', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (
                    uuid,
                    first.status,
                    stands.status,
                    stands.status_timestamp,
                    stands.error_code,
                    events[0].received_at,
                    stands.received_at,
                    stands.is_final,
                    stands.sequence,
                    stands.rank,
                    stands.digest,
                ),
            ).lastrowid
            connection.executemany(
                """INSERT INTO status_events (message_id, digest, status, status_timestamp,
                       error_code, sequence, rank, is_final, received_at, source, parameters)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                [(message_id, *event) for event in events],
            )
        connection.execute("COMMIT")


def write(connection: sqlite3.Connection, message_uuid: str, event: Event) -> None:
    """What version 2 did with a callback: guarded by its own key, in one transaction."""
    values = {"message_uuid": message_uuid, **event._asdict()}
    with connection:
        stands = connection.execute(
            """INSERT INTO messages AS m (message_uuid, sender_number, recipient_number,
                   initial_status, current_status, status_timestamp, error_code, created_at,
                   updated_at, is_final, sequence, rank, digest)
               VALUES (:message_uuid, '1', '2', :status, :status, :status_timestamp, :error_code,
                   :received_at, :received_at, :is_final, :sequence, :rank, :digest)
               ON CONFLICT (message_uuid) DO UPDATE SET current_status = excluded.current_status,
                   status_timestamp = excluded.status_timestamp, error_code = excluded.error_code,
                   updated_at = excluded.updated_at, is_final = excluded.is_final,
                   sequence = excluded.sequence, rank = excluded.rank, digest = excluded.digest
               WHERE (excluded.is_final, excluded.status_timestamp, excluded.sequence,
                   excluded.rank, excluded.digest)
                   > (m.is_final, m.status_timestamp, m.sequence, m.rank, m.digest)""",
            values,
        )
        is_new = connection.execute(
            """INSERT INTO status_events (message_id, digest, status, status_timestamp, error_code,
                   sequence, rank, is_final, received_at, source, parameters)
               SELECT id, :digest, :status, :status_timestamp, :error_code, :sequence, :rank,
                   :is_final, :received_at, :source, :parameters
               FROM messages WHERE message_uuid = :message_uuid
               ON CONFLICT (message_id, digest) DO NOTHING""",
            values,
        )
        if is_new.rowcount == 1 and stands.rowcount == 0:
            connection.execute(
                """UPDATE messages AS m SET initial_status = (
                       SELECT status FROM status_events WHERE message_id = m.id
                       ORDER BY is_final, status_timestamp, sequence, rank, digest LIMIT 1)
                   WHERE message_uuid = :message_uuid""",
                values,
            )
