"""Messages, one or a page of them.

Every listing walks one index, newest first, so a page costs the same however deep it lies. Each
function reads all it needs at once: a read that stays open keeps SQLite from checkpointing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..contract import Event, Filters, Message, Page, Position
from ..outbox import Fate, Forward
from ..rules import order_key
from . import parameters
from .connection import marks, reading

COUNTED_TO_CHOOSE = 5000
"""The index with fewer entries is walked; counting stops here, where both have many."""

_SELECT = """SELECT message_uuid, sender_number, recipient_number, message_body, initial_status,
    current_status, status_timestamp, error_code, created_at, updated_at, is_final,
    r.query AS reference, id FROM messages"""
"""The columns of Message, in its order, and the row's id."""
_JOIN = "LEFT JOIN message_references AS r ON r.message_id = messages.id"
_PAGE_END = "ORDER BY created_at DESC, id DESC LIMIT ?"


def find_message(path: Path, message_uuid: str, *, with_forwards: bool = False) -> Message | None:
    """One message with its events, and how handing on each goes."""
    with reading(path) as connection:
        found = connection.execute(
            f"{_SELECT} {_JOIN} WHERE message_uuid = ?", (message_uuid,)
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
        by_status = _has_rarer_statuses(connection, filters, after)
        by_reference = _has_rarer_reference(connection, filters, after, by_status)
        sql, values = page_query(
            filters, limit + 1, after, by_status=by_status, by_reference=by_reference
        )
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


def page_query(
    filters: Filters,
    limit: int,
    after: Position | None = None,
    *,
    by_status: bool = False,
    by_reference: bool = True,
) -> tuple[str, list[object]]:
    """The statement for a page and its values. One index is walked for each status asked for.

    The index is named, so that the plan does not depend on what SQLite guesses about the data.
    `by_status` prefers that index to the sender's, `by_reference` the reference's to all others.
    """
    if filters.reference is not None and by_reference:
        return _reference_arm(filters, limit, after)
    index, _ = _walked(filters, by_status)
    if index != "messages_by_status_and_sender":
        return _arm(index, filters, limit, after)
    arms: list[str] = []
    values: list[object] = []
    for status in dict.fromkeys(filters.statuses):
        arm, arm_values = _arm(index, replace(filters, statuses=(status,)), limit, after)
        arms.append(f"SELECT * FROM ({arm})")
        values += arm_values
    return f"{' UNION ALL '.join(arms)} {_PAGE_END}", [*values, limit]


def _walked(filters: Filters, by_status: bool) -> tuple[str, Filters]:
    """The index to walk where it is not the reference's, and the filters that it serves."""
    chosen = Filters(since=filters.since, until=filters.until)
    if filters.recipient or filters.recipient_ending:
        return "messages_by_recipient", replace(
            chosen, recipient=filters.recipient, recipient_ending=filters.recipient_ending
        )
    if filters.error_code:
        return "messages_by_error", replace(chosen, error_code=filters.error_code)
    if filters.sender and not (by_status and filters.statuses):
        return "messages_by_sender", replace(chosen, sender=filters.sender)
    if filters.statuses:
        return "messages_by_status_and_sender", replace(chosen, statuses=filters.statuses)
    return "messages_by_time", chosen


def _has_rarer_statuses(
    connection: sqlite3.Connection, filters: Filters, after: Position | None
) -> bool:
    """Are messages of these statuses rarer than those of this sender, if both are asked for?

    Some senders have sent nearly everything, and some statuses are those of nearly everything. If
    both are frequent, the sender is taken.
    """
    others = filters.recipient or filters.recipient_ending or filters.error_code
    if others or not (filters.sender and filters.statuses):
        return False
    filters = _behind(filters, after)
    of_sender = replace(filters, statuses=())
    of_statuses = replace(filters, sender=None)
    return _count_some(connection, "messages_by_status_and_sender", of_statuses) < _count_some(
        connection, "messages_by_sender", of_sender
    )


def _has_rarer_reference(
    connection: sqlite3.Connection, filters: Filters, after: Position | None, by_status: bool
) -> bool:
    """Are messages with this reference rare, or at least not more than those of another filter?"""
    if filters.reference is None:
        return False
    index, others = _walked(_behind(filters, after), by_status)
    if index == "messages_by_time":
        return True
    conditions, values = _pair_conditions(_behind(filters, after))
    ((count,),) = connection.execute(
        f"""SELECT count(*) FROM (
                SELECT 1 FROM reference_pairs AS p WHERE {" AND ".join(conditions)} LIMIT ?)""",
        (*values, COUNTED_TO_CHOOSE),
    ).fetchall()
    return bool(count < COUNTED_TO_CHOOSE) or count <= _count_some(connection, index, others)


def _behind(filters: Filters, after: Position | None) -> Filters:
    """Without what the pages before this one have shown."""
    return filters if after is None else replace(filters, until=after.created_at)


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
    return f"{_SELECT} INDEXED BY {index} {_JOIN} {where} {_PAGE_END}", [*values, limit]


def _reference_arm(
    filters: Filters, limit: int, after: Position | None
) -> tuple[str, list[object]]:
    """A walk along the messages of one pair; the other filters pass over some of them."""
    conditions, values = _pair_conditions(filters)
    if after is not None:
        conditions.append("(p.filed_at, p.message_id) < (?, ?)")
        values += [after.created_at, after.id]
    others, other_values = _conditions(replace(filters, reference=None, since=None, until=None))
    # Where SQLite expects few rows it sorts them, and would read all of a pair that most have.
    conditions += [f"likelihood({other}, 1.0)" for other in others]
    return (
        f"""{_SELECT.replace("FROM messages", "FROM reference_pairs AS p CROSS JOIN messages")}
            ON messages.id = p.message_id {_JOIN} WHERE {" AND ".join(conditions)}
            ORDER BY p.filed_at DESC, p.message_id DESC LIMIT ?""",
        [*values, *other_values, limit],
    )


def _pair_conditions(filters: Filters) -> tuple[list[str], list[object]]:
    conditions = ["p.pair = ?"]
    values: list[object] = [filters.reference]
    if filters.since:
        conditions.append("p.filed_at >= ?")
        values.append(filters.since)
    if filters.until:
        conditions.append("p.filed_at < ?")
        values.append(filters.until)
    return conditions, values


def _conditions(filters: Filters) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []

    def add(condition: str, *given: object) -> None:
        conditions.append(condition)
        values.extend(given)

    if filters.statuses:
        add(f"current_status IN ({marks(filters.statuses)})", *filters.statuses)
    if filters.recipient:
        number = filters.recipient.lstrip("+")
        if len(number) < 4:  # the + of a short one is among its last four characters
            endings = (number, f"+{number}", filters.recipient[-4:])
            add("substr(recipient_number, -4) IN (?, ?, ?)", *endings)
        else:
            add("substr(recipient_number, -4) = ?", number[-4:])
        add("ltrim(recipient_number, '+') = ?", number)
    if filters.recipient_ending:
        ending = filters.recipient_ending
        add("substr(recipient_number, -4) = ?", ending[-4:])
        add("substr(recipient_number, ?) = ?", -len(ending), ending)
    if filters.sender:
        add("ltrim(sender_number, '+') = ?", filters.sender.lstrip("+"))
    if filters.error_code:
        add("error_code = ?", filters.error_code)
    if filters.reference is not None:
        add(
            "EXISTS (SELECT 1 FROM reference_pairs AS p WHERE p.pair = ?"
            " AND p.filed_at = messages.created_at AND p.message_id = messages.id)",
            filters.reference,
        )
    if filters.since:
        add("created_at >= ?", filters.since)
    if filters.until:
        add("created_at < ?", filters.until)
    return conditions, values


def _event(row: sqlite3.Row, message_uuid: str, forward: Forward | None) -> Event:
    values = (*row[1:8], parameters.read(row, message_uuid), forward)
    return Event(*values)


def _message(row: sqlite3.Row, events: tuple[Event, ...] | None = None) -> Message:
    values = (*row[:10], bool(row[10]), row[11], events)
    return Message(*values)
