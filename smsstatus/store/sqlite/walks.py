"""Which index a page of messages is read along, and the statement that does it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ...plivo.countries import country_of
from ..contract import NO_COUNTRY, Filters, Position
from .connection import marks
from .facts import second_of

COUNTED_TO_CHOOSE = 5000
"""The index with fewer entries is walked; counting stops here, where both have many."""

SELECT = """SELECT message_uuid, sender_number, recipient_number, message_body, initial_status,
    current_status, status_timestamp, error_code, created_at, updated_at, is_final,
    r.query AS reference, id, f.country, f.network, f.units, f.amount FROM messages"""
"""The columns of Message, in its order, but the row's id in place of its events."""
_JOIN_REFERENCE = "LEFT JOIN message_references AS r ON r.message_id = messages.id"
JOIN = f"{_JOIN_REFERENCE} LEFT JOIN message_facts AS f ON f.message_id = messages.id"
_PAGE_END = "ORDER BY created_at DESC, id DESC LIMIT ?"


def choose_query(
    connection: sqlite3.Connection, filters: Filters, limit: int, after: Position | None
) -> tuple[str, list[object]]:
    """The statement for a page and its values, along what has the fewest rows to pass over."""
    by_status = _has_rarer_statuses(connection, filters, after)
    by_reference = _has_rarer_reference(connection, filters, after, by_status)
    return page_query(
        filters,
        limit,
        after,
        by_status=by_status,
        by_reference=by_reference,
        by_country=not by_reference and _has_rarer_country(connection, filters, after, by_status),
    )


def page_query(
    filters: Filters,
    limit: int,
    after: Position | None = None,
    *,
    by_status: bool = False,
    by_reference: bool = True,
    by_country: bool = True,
) -> tuple[str, list[object]]:
    """The statement for a page and its values. One index is walked for each status asked for.

    The index is named, so that the plan does not depend on what SQLite guesses about the data.
    `by_status` prefers that index to the sender's, `by_country` the country's to those two and all
    others, and `by_reference` the reference's to that as well.
    """
    if filters.reference is not None and by_reference:
        return _beside(_PAIRS, filters, limit, after)
    if _country(filters) and by_country:
        return _beside(_facts(filters), filters, limit, after)
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
    """The index of messages to walk, and the filters that it serves."""
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
    filters = replace(_behind(filters, after), country=None, network=None)
    of_sender = replace(filters, statuses=())
    of_statuses = replace(filters, sender=None)
    return _count_some(connection, "messages_by_status_and_sender", of_statuses) < _count_some(
        connection, "messages_by_sender", of_sender
    )


def _has_rarer_reference(
    connection: sqlite3.Connection, filters: Filters, after: Position | None, by_status: bool
) -> bool:
    """Are messages with this reference rare, or at least not more than those of another filter?"""
    return filters.reference is not None and _is_rarer(
        connection, _PAIRS, _behind(filters, after), by_status, also_if=COUNTED_TO_CHOOSE
    )


def _has_rarer_country(
    connection: sqlite3.Connection, filters: Filters, after: Position | None, by_status: bool
) -> bool:
    """Are messages to this country not more than those of another filter?"""
    return _country(filters) is not None and _is_rarer(
        connection, _facts(filters), _behind(filters, after), by_status
    )


def _is_rarer(
    connection: sqlite3.Connection,
    table: _Table,
    filters: Filters,
    by_status: bool,
    *,
    also_if: int = 0,
) -> bool:
    """Has this table no more entries than the index of messages, or fewer than `also_if`?"""
    index, others = _walked(filters, by_status)
    if index == "messages_by_time":
        return True
    conditions, values = table.conditions(filters)
    ((count,),) = connection.execute(
        f"""SELECT count(*) FROM (
                SELECT 1 FROM {table.source} WHERE {" AND ".join(conditions)} LIMIT ?)""",
        (*values, COUNTED_TO_CHOOSE),
    ).fetchall()
    return bool(count < also_if) or count <= _count_some(connection, index, others)


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
    return f"{SELECT} INDEXED BY {index} {JOIN} {where} {_PAGE_END}", [*values, limit]


class _Table(NamedTuple):
    """A table beside the messages that is walked in their order."""

    alias: str
    source: str
    joined: str
    """What is joined besides the messages."""
    served: Mapping[str, Any]
    """The filters that its own conditions hold."""
    own: Callable[[Filters], tuple[list[str], list[object]]]
    place: str
    """As SQL: what a time is in its `filed_at`."""
    order: str

    def conditions(self, filters: Filters) -> tuple[list[str], list[object]]:
        conditions, values = self.own(filters)
        for time, comparison in ((filters.since, ">="), (filters.until, "<=")):
            if time:
                conditions.append(f"{self.alias}.filed_at {comparison} {self.place}")
                values.append(time)
        return conditions, values


def _country(filters: Filters) -> str | None:
    """The country whose messages include all that are asked for, if one is."""
    return filters.country or country_of(filters.network, None)


def _of_country(filters: Filters) -> tuple[list[str], list[object]]:
    is_known = filters.country != NO_COUNTRY
    conditions = ["f.country = ?" if is_known else "f.country IS NULL"]
    values: list[object] = [_country(filters)] if is_known else []
    if filters.network:
        return [*conditions, "f.network = ?"], [*values, filters.network]
    return conditions, values


_PAIRS = _Table(
    "p",
    "reference_pairs AS p",
    JOIN,
    dict.fromkeys(("reference",)),
    lambda filters: (["p.pair = ?"], [filters.reference]),
    "?",
    "p.filed_at DESC, p.message_id DESC",
)
_FACTS = _Table(
    "f",
    "message_facts AS f INDEXED BY message_facts_by_country",
    _JOIN_REFERENCE,
    dict.fromkeys(("country", "network")),
    _of_country,
    second_of("?"),
    "f.filed_at DESC, created_at DESC, id DESC",
)
_NO_FACTS = _FACTS._replace(source="message_facts AS f INDEXED BY message_facts_without_country")


def _facts(filters: Filters) -> _Table:
    return _NO_FACTS if filters.country == NO_COUNTRY else _FACTS


def _beside(
    table: _Table, filters: Filters, limit: int, after: Position | None
) -> tuple[str, list[object]]:
    """A walk along such a table; the other filters pass over some of its messages."""
    conditions, values = table.conditions(filters)
    if after is not None:
        conditions += [f"{table.alias}.filed_at <= {table.place}", "(created_at, id) < (?, ?)"]
        values += [after.created_at, after.created_at, after.id]
    others, other_values = _conditions(replace(filters, **table.served))
    # Where SQLite expects few rows it sorts them, and would read all of a value that most have.
    conditions += [f"likelihood({other}, 1.0)" for other in others]
    return (
        f"""{SELECT.replace("FROM messages", f"FROM {table.source} CROSS JOIN messages")}
            ON messages.id = {table.alias}.message_id {table.joined}
            WHERE {" AND ".join(conditions)} ORDER BY {table.order} LIMIT ?""",
        [*values, *other_values, limit],
    )


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
    if filters.country == NO_COUNTRY:  # one whose facts an upgrade has yet to read is none of them
        add("f.country IS NULL AND f.message_id IS NOT NULL")
    elif filters.country:
        add("f.country = ?", filters.country)
    if filters.network:
        add("f.network = ?", filters.network)
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
