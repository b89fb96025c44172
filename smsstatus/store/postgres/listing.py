"""Messages, one or a page of them.

Every listing walks an index, newest first, so a page costs the same however deep it lies. The
server chooses which by the values of each page, so these statements are never prepared. Times are
written as text for the page alone: that takes longer than reading a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...model import FINAL_STATUSES
from ..contract import NO_COUNTRY, Event, Filters, Message, Page, Position, Unreadable
from ..outbox import Fate, Forward
from ..packing import unpack
from ..rules import order_key
from .columns import EVENTS, as_text, bucket
from .connection import Connection

_COLUMNS = f"""message_uuid, sender_number, recipient_number, message_body, initial_status,
    current_status, coalesce({as_text("status_timestamp")}, ''), error_code,
    {as_text("messages.created_at")}, {as_text("updated_at")}, is_final, reference, id,
    country, network, units, amount"""
"""The columns of Message, in its order, with the row's id in the place of the events."""


TWO_MINUTES, WEEK = 120, 604_800
"""What the indexes of outcomes, senders and places, and that of recipients, know of created_at."""

NEAREST = 1000
"""Of so many messages those that match are looked for first, by time alone: what is common fills a
page with them, however many came in two minutes.
"""

_FORWARDS = f"""LEFT JOIN LATERAL (
    SELECT state, attempts, answer, {as_text("due_at")}, CASE WHEN state = 'taken'
        THEN round(extract(epoch FROM settled_at - e.received_at), 3)::double precision END
    FROM forwards WHERE event_id = e.id
) AS f ON true"""


def find_message(
    connection: Connection, message_uuid: str, *, with_forwards: bool = False
) -> Message | None:
    """One message with its events, and how handing on each goes, all of one moment."""
    forwards = _FORWARDS if with_forwards else ""
    rows = connection.execute(
        f"""SELECT m.*, e.* FROM (SELECT {_COLUMNS} FROM messages WHERE message_uuid = %s) AS m
            LEFT JOIN LATERAL (
                SELECT e.status, coalesce({as_text("e.status_timestamp")}, ''),
                    NULLIF(e.error_code, ''), e.sequence, {as_text("e.received_at")}, e.source,
                    e.repeats, e.parameters{forwards and ", f.*"}
                FROM {EVENTS} AS e {forwards}
                WHERE e.message_id = m.id ORDER BY {order_key("e")}
            ) AS e ON true""".encode(),
        (message_uuid,),
    ).fetchall()
    if not rows:
        return None
    return _message(rows[0], tuple([_event(message_uuid, row[17:]) for row in rows if row[17]]))


def list_messages(
    connection: Connection, filters: Filters, limit: int, after: Position | None = None
) -> Page:
    """A page of messages, newest first."""
    rows: Sequence[Sequence[Any]] = []
    is_near = limit < NEAREST and _may_be_common(filters)
    for query in (_nearest_query, page_query) if is_near else (page_query,):
        sql, values = query(filters, limit + 1, after)
        rows = connection.execute(sql.encode(), values).fetchall()
        if len(rows) > limit:
            break
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        [_message(row) for row in rows[:limit]], Position(last[8], last[12]) if last else None
    )


def page_query(
    filters: Filters, limit: int, after: Position | None = None
) -> tuple[str, list[object]]:
    """The statement for a page and its values: an arm for each status asked for."""
    statuses: list[str | None] = list(dict.fromkeys(filters.statuses))
    arms: list[str] = []
    values: list[object] = []
    for status in statuses or [None]:
        arm, arm_values = _arm(filters, status, limit, after)
        arms.append(arm)
        values += arm_values
    page = arms[0]
    if len(arms) > 1:
        union = " UNION ALL ".join([f"({arm})" for arm in arms])
        page = f"{union} ORDER BY created_at DESC, id DESC LIMIT %s"
        values.append(limit)
    return (
        f"""SELECT {_COLUMNS} FROM ({page}) AS messages
            ORDER BY messages.created_at DESC, messages.id DESC""",
        values,
    )


def _may_be_common(filters: Filters) -> bool:
    """Whether an index that knows two minutes of time is walked, and not one with few messages."""
    is_rare = filters.recipient or filters.recipient_ending or filters.error_code
    is_asked = filters.statuses or filters.sender or filters.country or filters.network
    return bool(is_asked and not is_rare and filters.reference is None)


def _nearest_query(
    filters: Filters, limit: int, after: Position | None
) -> tuple[str, list[object]]:
    """The page, if it has `limit` rows: of the NEAREST messages those that match."""
    times, values = _times(filters, after, "created_at", "id")
    nearest = f"SELECT * FROM messages {_where(times)} ORDER BY created_at DESC, id DESC LIMIT %s"
    conditions, matching = _conditions(filters, None)
    if filters.statuses:
        conditions.append("current_status = ANY(%s)")
        matching.append([*filters.statuses])
    return (
        f"""SELECT {_COLUMNS} FROM ({nearest}) AS messages {_where(conditions)}
            ORDER BY messages.created_at DESC, messages.id DESC LIMIT %s""",
        [*values, NEAREST, *matching, limit],
    )


def _arm(
    filters: Filters, status: str | None, limit: int, after: Position | None
) -> tuple[str, list[object]]:
    """Pages of one status, or of all."""
    conditions, values = _conditions(filters, status)
    source, created_at, row_id = "", "messages.created_at", "messages.id"
    if filters.reference is not None:
        source, created_at, row_id = (
            """ JOIN reference_pairs AS p
                ON p.message_id = messages.id AND p.created_at = messages.created_at""",
            "p.created_at",
            "p.message_id",
        )
        conditions += ["p.pair = %s", "p.pair = ANY(reference_pairs)"]
        values.append(filters.reference)
    times, of_times = _times(filters, after, created_at, row_id)
    conditions += times
    values += of_times
    order = f"{created_at} DESC, {row_id} DESC"
    seconds = None if filters.reference is not None else _known_seconds(filters, status)
    if seconds is not None:
        order = f"{bucket(created_at, seconds)} DESC, {order}"
        of_place = filters.country or filters.network
        if seconds == TWO_MINUTES and status is not None and not of_place:  # NULL is no constant
            order = f"outcome DESC, {order}"
        for comparison, time in _edges(filters, after):
            known = bucket("%s::timestamptz", seconds)
            conditions.append(f"{bucket(created_at, seconds)} {comparison} {known}")
            values.append(time)
    return (
        f"SELECT messages.* FROM messages{source} {_where(conditions)} ORDER BY {order} LIMIT %s",
        [*values, limit],
    )


def _where(conditions: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def _times(
    filters: Filters, after: Position | None, created_at: str, row_id: str
) -> tuple[list[str], list[object]]:
    """Conditions on these columns, with their values."""
    conditions: list[str] = []
    values: list[object] = []
    if filters.since:
        conditions.append(f"{created_at} >= %s")
        values.append(filters.since)
    if filters.until:
        conditions.append(f"{created_at} < %s")
        values.append(filters.until)
    if after is not None:
        conditions.append(f"({created_at}, {row_id}) < (%s, %s)")
        values += [after.created_at, after.id]
    return conditions, values


def _known_seconds(filters: Filters, status: str | None) -> int | None:
    """What the index that the page walks knows of created_at; None: all of it."""
    if filters.recipient or filters.recipient_ending:
        return WEEK
    is_walked = filters.sender or filters.country or filters.network or status is not None
    return TWO_MINUTES if is_walked else None


def _edges(filters: Filters, after: Position | None) -> Iterator[tuple[str, str]]:
    """Between which times the page lies, for an index that knows them only by `bucket`."""
    if filters.since:
        yield ">=", filters.since
    if until := after.created_at if after is not None else filters.until:
        yield "<=", until


def _conditions(filters: Filters, status: str | None) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []

    def add(condition: str, *given: object) -> None:
        conditions.append(condition)
        values.extend(given)

    if status in FINAL_STATUSES:
        add("outcome = %s", status)
    elif status is not None:
        add("outcome IS NULL AND current_status = %s", status)
    if filters.recipient:
        number = filters.recipient.lstrip("+")
        endings = [number[-4:]]
        if len(number) < 4:  # the + of a short one is among its last four characters
            endings = [number, f"+{number}", filters.recipient[-4:]]
        add('"right"(recipient_number, 4) = ANY(%s)', endings)
        add("ltrim(recipient_number, '+') = %s", number)
    if filters.recipient_ending:
        ending = filters.recipient_ending
        add('"right"(recipient_number, 4) = %s', ending[-4:])
        add('"right"(recipient_number, %s) = %s', len(ending), ending)
    if filters.sender:
        add("ltrim(sender_number, '+') = %s", filters.sender.lstrip("+"))
    if filters.error_code:
        add("error_code = %s", filters.error_code)
    if filters.country == NO_COUNTRY:
        add("country IS NULL")
    elif filters.country:
        add("country = %s", filters.country)
    if filters.network:
        add("network = %s", filters.network)
    return conditions, values


def _message(row: Sequence[Any], events: tuple[Event, ...] | None = None) -> Message:
    values = (*row[:12], events, *row[13:17])
    return Message(*values)


def _event(message_uuid: str, row: Sequence[Any]) -> Event:
    status, status_timestamp, error_code, sequence = row[:4]
    own = (message_uuid, status, status_timestamp, error_code, sequence)
    forward = None
    if len(row) > 8 and row[8] is not None:
        forward = Forward(Fate(row[8]), *row[9:])
    try:
        parameters = unpack(row[7], *own)
    except ValueError as error:
        raise Unreadable(f"an event cannot be read: {error}") from None
    values = (*row[:7], parameters, forward)
    return Event(*values)
