"""Queries. Each opens a read-only connection of its own and fetches all it needs at once: a
read that stays open keeps SQLite from checkpointing.

Every listing walks one index, newest first, so a page costs the same however deep it lies.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..callback import FINAL_STATUSES
from .database import open_readonly

COLUMNS = (
    *("message_uuid", "sender_number", "recipient_number", "message_body", "initial_status"),
    *("current_status", "status_timestamp", "error_code", "created_at", "updated_at", "is_final"),
)
EVENT_COLUMNS = (
    *("status", "status_timestamp", "error_code", "sequence", "received_at", "source", "repeats"),
    "parameters",
)
PERCENTILE_SAMPLE = 10_000
"""Percentiles rest on the newest so many deliveries of a window, which bounds their cost."""
COUNTED_TO_CHOOSE = 5000
"""Of two indexes the one with fewer entries is walked; so far they are counted."""
WAITING_COUNTED = 1000
"""Where reports are never sent, most messages wait: counting stops here."""

_SELECT = f"SELECT {', '.join(COLUMNS)}, id FROM messages"
_PAGE_END = "ORDER BY created_at DESC, id DESC LIMIT ?"

Row = dict[str, Any]


@dataclass(frozen=True)
class Position:
    """A place in a listing: the row after which to go on."""

    created_at: str
    id: int


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What to list. Numbers match with or without `+`; `since` is inclusive, `until` is not.

    Times have the form of callback.utc_timestamp and are compared with created_at.
    """

    statuses: tuple[str, ...] = ()
    recipient: str | None = None
    recipient_ending: str | None = None
    sender: str | None = None
    error_code: str | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True)
class Page:
    """Messages, and where the next page starts (None: there is none)."""

    messages: list[Row]
    next: Position | None


@dataclass(frozen=True)
class Stats:
    """Counts of messages first heard of in a window. Seconds are from queued to delivered."""

    counts: dict[str, int]
    errors: dict[str, int]
    delivered_in: list[float]


@dataclass(frozen=True)
class Pulse:
    """How many messages wait (WAITING_COUNTED: so many or more), and when the newest callbacks
    were received, oldest first.
    """

    waiting: int
    arrivals: list[str]


def find_message(path: Path, message_uuid: str) -> Row | None:
    """One message, with its events under `events`, in the order in which they happened."""
    with closing(open_readonly(path)) as connection:
        found = connection.execute(f"{_SELECT} WHERE message_uuid = ?", (message_uuid,)).fetchall()
        if not found:
            return None
        events = connection.execute(
            f"""SELECT {", ".join(EVENT_COLUMNS)} FROM status_events WHERE message_id = ?
                ORDER BY is_final, status_timestamp, sequence, rank, digest""",
            (found[0]["id"],),
        ).fetchall()
    message = _message(found[0])
    message["events"] = [dict(event) for event in events]
    return message


def list_messages(path: Path, filters: Filters, limit: int, after: Position | None = None) -> Page:
    """A page of messages, newest first."""
    with closing(open_readonly(path)) as connection:
        by_status = _has_rarer_statuses(connection, filters, after)
        sql, values = page_query(filters, limit + 1, after, by_status=by_status)
        rows = connection.execute(sql, values).fetchall()
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        [_message(row) for row in rows[:limit]],
        Position(last["created_at"], last["id"]) if last else None,
    )


def walk_messages(path: Path, filters: Filters, limit: int | None) -> Iterator[Row]:
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


def page_query(
    filters: Filters, limit: int, after: Position | None = None, *, by_status: bool = False
) -> tuple[str, list[object]]:
    """The statement for a page and its values. One index is walked for each status asked for.

    The index is named, so that the plan does not depend on what SQLite guesses about the data.
    `by_status` prefers that index to the sender's.
    """
    if filters.recipient or filters.recipient_ending:
        return _arm("messages_by_recipient", filters, limit, after)
    if filters.error_code:
        return _arm("messages_by_error", filters, limit, after)
    if filters.sender and not (by_status and filters.statuses):
        return _arm("messages_by_sender", filters, limit, after)
    if not filters.statuses:
        return _arm("messages_by_time", filters, limit, after)
    arms: list[str] = []
    values: list[object] = []
    for status in dict.fromkeys(filters.statuses):
        arm, arm_values = _arm(
            "messages_by_status_and_sender", replace(filters, statuses=(status,)), limit, after
        )
        arms.append(f"SELECT * FROM ({arm})")
        values += arm_values
    return f"{' UNION ALL '.join(arms)} {_PAGE_END}", [*values, limit]


def _has_rarer_statuses(
    connection: sqlite3.Connection, filters: Filters, after: Position | None
) -> bool:
    """Are messages of these statuses rarer than those of this sender, if both are asked for?

    Some senders have sent nearly everything, and some statuses are those of nearly everything. Of
    two that are both frequent the sender is taken.
    """
    others = filters.recipient or filters.recipient_ending or filters.error_code
    if others or not (filters.sender and filters.statuses):
        return False
    if after is not None:
        filters = replace(filters, until=after.created_at)
    of_sender = replace(filters, statuses=())
    of_statuses = replace(filters, sender=None)
    return _count_some(connection, "messages_by_status_and_sender", of_statuses) < _count_some(
        connection, "messages_by_sender", of_sender
    )


def _count_some(connection: sqlite3.Connection, index: str, filters: Filters) -> int:
    """How many entries of an index these filters let through, COUNTED_TO_CHOOSE at most."""
    conditions, values = _conditions(filters)
    found = connection.execute(
        f"""SELECT count(*) FROM (
                SELECT 1 FROM messages INDEXED BY {index} WHERE {" AND ".join(conditions)} LIMIT ?
            )""",
        (*values, COUNTED_TO_CHOOSE),
    ).fetchall()
    return int(found[0][0])


def _arm(
    index: str, filters: Filters, limit: int, after: Position | None
) -> tuple[str, list[object]]:
    conditions, values = _conditions(filters)
    if after is not None:
        conditions.append("(created_at, id) < (?, ?)")
        values += [after.created_at, after.id]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"{_SELECT} INDEXED BY {index} {where} {_PAGE_END}", [*values, limit]


def _conditions(filters: Filters) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []

    def add(condition: str, *given: object) -> None:
        conditions.append(condition)
        values.extend(given)

    if filters.statuses:
        add(f"current_status IN ({_marks(filters.statuses)})", *filters.statuses)
    ending = filters.recipient_ending or filters.recipient
    if ending:
        add("substr(recipient_number, -4) = ?", ending[-4:])
    if filters.recipient:
        add("ltrim(recipient_number, '+') = ?", filters.recipient.lstrip("+"))
    if filters.recipient_ending:
        add("substr(recipient_number, ?) = ?", -len(ending or ""), ending)
    if filters.sender:
        add("ltrim(sender_number, '+') = ?", filters.sender.lstrip("+"))
    if filters.error_code:
        add("error_code = ?", filters.error_code)
    if filters.since:
        add("created_at >= ?", filters.since)
    if filters.until:
        add("created_at < ?", filters.until)
    return conditions, values


def count_by_status(path: Path, since: str = "", until: str = "~") -> dict[str, int]:
    """Messages by current_status, first heard of in the window; from the index alone."""
    with closing(open_readonly(path)) as connection:
        return _count_by_status(connection, since, until)


def read_stats(path: Path, since: str, until: str) -> Stats:
    """Counts, error codes and delivery times of messages first heard of in the window."""
    with closing(open_readonly(path)) as connection:
        counts = _count_by_status(connection, since, until)
        return _stats(connection, since, until, counts)


def read_history(path: Path, edges: Sequence[str]) -> tuple[list[dict[str, int]], Stats]:
    """Counts by current_status between each two neighbouring times, and the stats of them all.

    Both at once, so that the index is walked once.
    """
    with closing(open_readonly(path)) as connection:
        statuses = _distinct(connection, "current_status", "messages_by_status_and_sender")
        slices = [
            _count_by_status(connection, since, until, statuses) for since, until in pairwise(edges)
        ]
        counts: dict[str, int] = {}
        for slice_counts in slices:
            for status, count in slice_counts.items():
                counts[status] = counts.get(status, 0) + count
        return slices, _stats(connection, edges[0], edges[-1], counts)


def _stats(connection: sqlite3.Connection, since: str, until: str, counts: dict[str, int]) -> Stats:
    errors = {
        code: connection.execute(
            """SELECT count(*) FROM messages INDEXED BY messages_by_error
               WHERE error_code = ? AND created_at >= ? AND created_at < ?""",
            (code, since, until),
        ).fetchall()[0][0]
        for code in _distinct(connection, "error_code", "messages_by_error")
    }
    seconds = connection.execute(
        """SELECT (julianday(status_timestamp) - julianday(queued_at)) * 86400
           FROM messages INDEXED BY messages_by_status_and_sender
           WHERE current_status = 'delivered' AND created_at >= ? AND created_at < ?
           ORDER BY created_at DESC LIMIT ?""",
        (since, until, PERCENTILE_SAMPLE),
    ).fetchall()
    return Stats(
        counts,
        {code: count for code, count in errors.items() if count},
        sorted(max(row[0], 0.0) for row in seconds if row[0] is not None),
    )


def _count_by_status(
    connection: sqlite3.Connection, since: str, until: str, statuses: Sequence[str] | None = None
) -> dict[str, int]:
    if statuses is None:
        statuses = _distinct(connection, "current_status", "messages_by_status_and_sender")
    counts = {
        status: connection.execute(
            """SELECT count(*) FROM messages INDEXED BY messages_by_status_and_sender
               WHERE current_status = ? AND created_at >= ? AND created_at < ?""",
            (status, since, until),
        ).fetchall()[0][0]
        for status in statuses
    }
    return {status: count for status, count in counts.items() if count}


def _distinct(connection: sqlite3.Connection, column: str, index: str) -> list[str]:
    """The values of an index's first column, found by jumping from one to the next."""
    values: list[str] = []
    value = ""
    while True:
        found = connection.execute(
            f"""SELECT {column} FROM messages INDEXED BY {index}
                WHERE {column} > ? ORDER BY {column} LIMIT 1""",
            (value,),
        ).fetchall()
        if not found:
            return values
        value = found[0][0]
        values.append(value)


def waiting_messages(path: Path, *, silent_since: str, created_since: str) -> list[str]:
    """UUIDs of messages that are not final, were last heard of before `silent_since` and first
    heard of after `created_since`; those that Plivo was not asked about for longest come first.
    """
    with closing(open_readonly(path)) as connection:
        statuses = _waiting_statuses(connection)
        rows = connection.execute(
            f"""SELECT message_uuid FROM messages INDEXED BY messages_by_status_and_sender
                WHERE current_status IN ({_marks(statuses)}) AND created_at >= ? AND updated_at < ?
                ORDER BY coalesce(checked_at, ''), created_at""",
            (*statuses, created_since, silent_since),
        ).fetchall()
    return [row[0] for row in rows]


def _waiting_statuses(connection: sqlite3.Connection) -> list[str]:
    """Those of the statuses in the database that are not final, the undocumented ones too."""
    statuses = _distinct(connection, "current_status", "messages_by_status_and_sender")
    return [status for status in statuses if status not in FINAL_STATUSES]


def change_marker(path: Path) -> str:
    """A word that differs once a message or an event was added or the oldest were pruned.

    A repeated callback alone does not change it. It costs three look-ups, whatever there is.
    """
    with closing(open_readonly(path)) as connection:
        found = connection.execute(
            """SELECT (SELECT max(id) FROM status_events),
                      (SELECT max(id) FROM messages), (SELECT min(id) FROM messages)"""
        ).fetchall()[0]
    return "-".join(str(value or 0) for value in found)


def read_pulse(path: Path, *, since: str, before: str, newest: int) -> Pulse:
    """Messages first heard of in the window that still wait, and when callbacks came lately."""
    with closing(open_readonly(path)) as connection:
        statuses = _waiting_statuses(connection)
        waiting = connection.execute(
            f"""SELECT count(*) FROM (
                    SELECT 1 FROM messages INDEXED BY messages_by_status_and_sender
                    WHERE current_status IN ({_marks(statuses)})
                        AND created_at >= ? AND created_at < ? LIMIT ?)""",
            (*statuses, since, before, WAITING_COUNTED),
        ).fetchall()[0][0]
        events = connection.execute(
            "SELECT received_at, source FROM status_events ORDER BY id DESC LIMIT ?", (newest,)
        ).fetchall()
    return Pulse(waiting, sorted(at for at, source in events if source in ("callback", "replay")))


def _message(row: sqlite3.Row) -> Row:
    message = {name: row[name] for name in COLUMNS}
    message["is_final"] = bool(message["is_final"])
    return message


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)
