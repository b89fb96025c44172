"""Messages, one or a page of them.

Every listing walks one index, newest first, so a page costs the same however deep it lies. Each
function reads all it needs at once: a read that stays open keeps SQLite from checkpointing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..contract import Event, Filters, Message, Page, Position
from ..outbox import Fate, Forward
from ..rules import order_key
from . import parameters
from .connection import reading
from .walks import JOIN, SELECT, choose_query


def find_message(path: Path, message_uuid: str, *, with_forwards: bool = False) -> Message | None:
    """One message with its events, and how handing on each goes."""
    with reading(path) as connection:
        found = connection.execute(
            f"{SELECT} {JOIN} WHERE message_uuid = ?", (message_uuid,)
        ).fetchall()
        if not found:
            return None
        events = connection.execute(
            f"""SELECT id, status, status_timestamp, error_code, sequence, received_at, source,
                    repeats, parameters
                FROM status_events AS e WHERE message_id = ? ORDER BY {order_key("e")}""",
            (found[0]["id"],),
        ).fetchall()
        forwards = _forwards(connection, found[0]["id"]) if with_forwards else {}
    told = [_event(event, message_uuid, forwards.get(event["id"])) for event in events]
    return _message(found[0], tuple(told))


def _forwards(connection: sqlite3.Connection, message_id: int) -> dict[int, Forward]:
    """Those of a message, by the event's id."""
    rows = connection.execute(
        """SELECT event_id, state, attempts, answer, due_at, iif(state = 'taken',
                round((julianday(settled_at) - julianday(e.received_at)) * 86400, 3), NULL)
           FROM status_events AS e JOIN forwards AS f ON f.event_id = e.id
           WHERE e.message_id = ?""",
        (message_id,),
    ).fetchall()
    return {id: Forward(Fate(state), *values) for id, state, *values in rows}


def list_messages(path: Path, filters: Filters, limit: int, after: Position | None = None) -> Page:
    """A page of messages, newest first."""
    with reading(path) as connection:
        sql, values = choose_query(connection, filters, limit + 1, after)
        rows = connection.execute(sql, values).fetchall()
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        [_message(row) for row in rows[:limit]],
        Position(last["created_at"], last["id"]) if last else None,
    )


def walk_messages(path: Path, filters: Filters, limit: int | None) -> Iterator[Message]:
    """All matching messages, or the newest `limit`, fetched page by page."""
    after: Position | None = None
    left = limit
    while left is None or left > 0:
        page = list_messages(path, filters, min(left or 1000, 1000), after)
        yield from page.messages
        after = page.next
        if after is None:
            return
        left = None if left is None else left - len(page.messages)


def _event(row: sqlite3.Row, message_uuid: str, forward: Forward | None) -> Event:
    values = (*row[1:8], parameters.read(row, message_uuid), forward)
    return Event(*values)


def _message(row: sqlite3.Row, events: tuple[Event, ...] | None = None) -> Message:
    values = (*row[:10], bool(row[10]), row[11], events, *row[13:17])
    return Message(*values)
