"""What is asked about changes: which are due, all after a cursor, how it goes.

As in `listing`, each function reads all it needs at once.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...model import PHASES
from ..contract import StoreUnavailable
from ..outbox import COUNTED, Change, Condition, CursorUnknown, Letter, News, OutboxState
from ..rules import before, is_change
from . import parameters
from .connection import marks, reading

SCANNED = 1000
"""Events that one answer of `read_news` looks at, whether they are changes or not."""

_START = "0"
_CURSOR = re.compile(r"([1-9][0-9]{0,17})\.([0-9a-f]{16})", re.ASCII)

_SELECT = f"""
    SELECT e.id AS event_id, e.digest, m.message_uuid, e.status, b.status AS previous_status,
        e.error_code, e.is_final, e.status_timestamp, e.sequence, e.rank, m.sender_number,
        m.recipient_number, e.received_at, e.source, e.parameters, r.query AS reference
    FROM status_events AS e JOIN messages AS m ON m.id = e.message_id
    LEFT JOIN message_references AS r ON r.message_id = e.message_id
    LEFT JOIN status_events AS b ON b.id = {before("e")}
    """


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Due:
    """A change that may be tried now."""

    change: Change
    message_id: int
    attempts: int
    failing_since: str | None


def read_due(
    path: Path, now: str, limit: int, *, newest_first: bool, but: Container[int], some: int
) -> Sequence[Due]:
    """The first waiting change of messages where it is due, without `some` messages, `but`.

    Newest first: of those with the newest due ones, whatever place these have in their message,
    where none that waits was tried yet.
    """
    with reading(path) as connection:
        if connection.execute("SELECT 1 FROM forwarder WHERE paused_at IS NOT NULL").fetchall():
            return ()
        if newest_first:
            asked, count = _NEWEST, 4 * (limit + some) + 400
        else:
            asked, count = _OLDEST, limit + some
        found = connection.execute(asked, (now, count)).fetchall()
        rows = {row["event_id"]: row for row in found if row["message_id"] not in but}
        chosen = list(rows)[:limit]
        changes = {
            row["event_id"]: _change(row)
            for row in connection.execute(
                f"{_SELECT} WHERE e.id IN ({marks(chosen)})", chosen
            ).fetchall()
        }
    return [
        Due(changes[id], rows[id]["message_id"], rows[id]["attempts"], rows[id]["failing_since"])
        for id in chosen
        if id in changes
    ]


_OLDEST = """
    SELECT event_id, message_id, attempts, failing_since
    FROM forwards AS f INDEXED BY forwards_by_time
    WHERE due_at IS NOT NULL AND due_at <= ? AND NOT EXISTS (
        SELECT 1 FROM forwards AS w INDEXED BY forwards_by_message
        WHERE w.message_id = f.message_id AND w.due_at IS NOT NULL AND w.event_id < f.event_id)
    ORDER BY due_at, event_id LIMIT ?
    """

_NEWEST = """
    SELECT f.event_id, f.message_id, f.attempts, f.failing_since
    FROM (
        SELECT message_id FROM forwards INDEXED BY forwards_by_time
        WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY due_at DESC LIMIT ?) AS n
    JOIN forwards AS f ON f.attempts = 0 AND f.event_id = (
        SELECT min(w.event_id) FROM forwards AS w INDEXED BY forwards_by_message
        WHERE w.message_id = n.message_id AND w.due_at IS NOT NULL)
    """


def _change(row: sqlite3.Row) -> Change:
    """One whose parameters are damaged has none: else it would keep back all that come after it."""
    values = dict(row)
    values["is_final"] = bool(row["is_final"])
    try:
        values["parameters"] = parameters.read(row, row["message_uuid"])
    except StoreUnavailable as error:
        log.error("event %d of message %s: %s", row["event_id"], row["message_uuid"], error)
        values["parameters"] = ""
    return Change(**values, phase=PHASES[row["rank"]])


def read_news(path: Path, after: str | None, limit: int) -> News:
    """Changes behind a cursor, by event id: one writer at a time, so ids rise with the commits.

    Raises CursorUnknown, or ValueError for what is no cursor.
    """
    cursor = _START if after is None else after
    with reading(path) as connection:
        connection.execute("BEGIN")
        start = _place(connection, cursor)
        scanned = connection.execute(
            "SELECT id, digest FROM status_events WHERE id > ? ORDER BY id LIMIT ?",
            (start, SCANNED),
        ).fetchall()
        if not scanned:
            return News((), cursor)
        last = scanned[-1]
        rows = connection.execute(
            f"""{_SELECT} WHERE e.id > ? AND e.id <= ? AND {is_change("e", "b")}
                ORDER BY e.id LIMIT ?""",
            (start, last["id"], limit),
        ).fetchall()
    changes = [_change(row) for row in rows]
    if len(changes) == limit:
        return News(changes, _cursor(changes[-1].event_id, changes[-1].digest))
    return News(changes, _cursor(last["id"], last["digest"]))


def read_end(path: Path) -> str:
    """The cursor after the newest event."""
    with reading(path) as connection:
        newest = connection.execute(
            "SELECT id, digest FROM status_events ORDER BY id DESC LIMIT 1"
        ).fetchall()
    return _cursor(newest[0]["id"], newest[0]["digest"]) if newest else _START


def _cursor(event_id: int, digest: bytes) -> str:
    """The end of a digest is of all that an update says; its beginning is a time."""
    return f"{event_id}.{digest[-8:].hex():0>16}"


def _place(connection: sqlite3.Connection, cursor: str) -> int:
    """The id of the event at a cursor, also of one that was pruned since.

    The newest id is never given twice (see `upkeep`), so one that is beyond all that are there,
    or of another event, is of another file.
    """
    if cursor == _START:
        return 0
    made = _CURSOR.fullmatch(cursor)
    if made is None:
        raise ValueError("not a cursor")
    event_id = int(made[1])
    rows = connection.execute(
        "SELECT id, digest FROM status_events WHERE id >= ? ORDER BY id LIMIT 1", (event_id,)
    ).fetchall()
    if not rows or (
        rows[0]["id"] == event_id
        and rows[0]["digest"]
        and _cursor(event_id, rows[0]["digest"]) != cursor
    ):
        raise CursorUnknown("the database was replaced since this cursor was given")
    return event_id


def read_state(path: Path, now: str) -> OutboxState:
    """Counts up to COUNTED, which bounds their cost, and what the table `forwarder` says."""
    with reading(path) as connection:
        waiting, dead, due_at = connection.execute(
            """SELECT (SELECT count(*) FROM (
                    SELECT 1 FROM forwards INDEXED BY forwards_by_time
                    WHERE due_at IS NOT NULL LIMIT :counted)),
                (SELECT count(*) FROM (
                    SELECT 1 FROM forwards INDEXED BY forwards_dead
                    WHERE state = 'dead' LIMIT :counted)),
                (SELECT min(due_at) FROM forwards WHERE due_at IS NOT NULL)""",
            {"counted": COUNTED},
        ).fetchall()[0]
        told = connection.execute(
            "SELECT paused_at, failing_since, last_failure, last_taken_at FROM forwarder"
        ).fetchall()
    paused_at, *condition = told[0] if told else (None, *[None, "", None])
    due_since = due_at if due_at and due_at <= now else None
    return OutboxState(waiting, dead, due_since, paused_at, Condition(*condition))


def read_dead(path: Path, limit: int) -> list[Letter]:
    """Dead changes, the newest first."""
    with reading(path) as connection:
        rows = connection.execute(
            """SELECT m.message_uuid, e.status, f.attempts, f.answer, f.settled_at
               FROM forwards AS f INDEXED BY forwards_dead
               JOIN status_events AS e ON e.id = f.event_id
               JOIN messages AS m ON m.id = f.message_id
               WHERE f.state = 'dead' ORDER BY f.event_id DESC LIMIT ?""",
            (limit,),
        ).fetchall()
    return [Letter(*row) for row in rows]
