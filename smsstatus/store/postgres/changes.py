"""What is asked about changes: those to hand on now, all after a cursor, how it goes."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from typing import Any

from psycopg.rows import dict_row

from ...model import FINAL_STATUSES, PHASES
from ..contract import StoreUnavailable
from ..outbox import (
    COUNTED,
    Change,
    Claimed,
    Condition,
    CursorUnknown,
    Letter,
    News,
    OutboxState,
)
from ..packing import unpack
from ..rules import before, is_change
from .columns import EVENTS, as_text
from .connection import Connection

log = logging.getLogger(__name__)

SCANNED = 1000
"""Events that one answer of `read_news` looks at, whether they are changes or not."""

SETTLE_SECONDS = 1.0
"""How long `read_news` waits for transactions that could have ids before those it has seen."""
_STEP_SECONDS = 0.002

_START = "0"
_CURSOR = re.compile(r"([1-9][0-9]{0,17})\.([0-9a-f]{16})", re.ASCII)

_CHANGE = f"""e.id AS event_id, e.digest, m.message_uuid, e.status, b.status AS previous_status,
    NULLIF(e.error_code, '') AS error_code,
    coalesce({as_text("e.status_timestamp")}, '') AS status_timestamp, e.sequence, e.rank,
    m.sender_number, m.recipient_number, {as_text("e.received_at")} AS received_at, e.source,
    e.parameters, m.reference"""
_EVENT = f"""{EVENTS} AS e JOIN messages AS m ON m.id = e.message_id
    LEFT JOIN {EVENTS} AS b ON b.id = {before("e", EVENTS)}"""

_FIRST = """(
    SELECT min(w.event_id) FROM forwards AS w
    WHERE w.message_id = {}.message_id AND w.due_at IS NOT NULL)"""
_MAY_BE_CLAIMED = """f.due_at <= %(now)s
    AND (f.claim IS NULL OR f.claimed_until < now() OR f.claim = %(claim)s)
    AND (SELECT count(*) FROM status_events AS o JOIN forwards AS w ON w.event_id = o.id
         WHERE o.message_id = f.message_id AND w.event_id <> f.event_id
         AND w.claimed_until >= now()) = 0
    AND NOT EXISTS (SELECT FROM forwarder WHERE paused_at IS NOT NULL)"""
_OLDEST = f"""
    SELECT f.event_id FROM forwards AS f
    WHERE f.due_at IS NOT NULL AND f.event_id = {_FIRST.format("f")} AND {_MAY_BE_CLAIMED}
    ORDER BY f.due_at, f.event_id LIMIT %(limit)s FOR UPDATE OF f SKIP LOCKED
    """
_NEWEST = f"""
    SELECT f.event_id
    FROM (
        SELECT message_id, max(due_at) AS newest, max(event_id) AS last FROM (
            SELECT message_id, due_at, event_id FROM forwards
            WHERE due_at IS NOT NULL AND due_at <= %(now)s
            ORDER BY due_at DESC, event_id DESC LIMIT %(looked_at)s
        ) AS found GROUP BY message_id ORDER BY newest DESC, last DESC
    ) AS n JOIN forwards AS f ON f.attempts = 0 AND f.event_id = {_FIRST.format("n")}
    WHERE {_MAY_BE_CLAIMED}
    ORDER BY n.newest DESC, n.last DESC LIMIT %(limit)s FOR UPDATE OF f SKIP LOCKED
    """
_CLAIM = f"""
    WITH due AS MATERIALIZED ({{}}),
    claimed AS (
        UPDATE forwards AS f SET
            claim = %(claim)s, claimed_until = now() + %(seconds)s * interval '1 second'
        FROM due WHERE f.event_id = due.event_id
        RETURNING f.event_id, f.due_at, f.attempts, f.failing_since
    )
    SELECT f.attempts, {as_text("f.failing_since")} AS failing_since, {_CHANGE}
    FROM claimed AS f JOIN {_EVENT} ON e.id = f.event_id
    ORDER BY f.due_at, f.event_id
    """
"""The subqueries with min and count are asked row by row, for the few rows that the limit needs:
as joins they could read all that wait. A row that another process claims meanwhile is passed over:
while it is locked, and afterwards because the conditions of a row that has changed are asked again.
"""


def claim(
    connection: Connection,
    now: str,
    limit: int,
    claim: str,
    seconds: float,
    *,
    newest_first: bool,
) -> list[Claimed]:
    """Claim the first waiting change of messages where it is due; again: the same ones too.

    Newest first: of those with the newest due ones, whatever place these have in their message,
    where none that waits was tried yet.
    """
    values = {"now": now, "limit": limit, "claim": claim, "seconds": seconds}
    values["looked_at"] = 4 * limit + 400
    query = _CLAIM.format(_NEWEST if newest_first else _OLDEST)
    return [
        Claimed(_change(row), claim, row.pop("attempts"), row.pop("failing_since"))
        for row in _rows(connection, query, values)
    ]


def _rows(connection: Connection, query: str, values: Any) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), values).fetchall()


def _change(row: dict[str, Any]) -> Change:
    names = ("message_uuid", "status", "status_timestamp", "error_code", "sequence")
    own = [row[name] for name in names]
    values = {name: row[name] for name in Change.__slots__ if name in row}
    try:
        values["parameters"] = unpack(row["parameters"], *own)
    except ValueError as error:
        log.error(
            "event %d of message %s cannot be read: %s",
            row["event_id"],
            row["message_uuid"],
            error,
        )
        values["parameters"] = ""
    return Change(**values, phase=PHASES[row["rank"]], is_final=row["status"] in FINAL_STATUSES)


def read_news(connection: Connection, after: str | None, limit: int) -> News:
    """Changes behind a cursor, by event id.

    Transactions are not committed in the order of their ids. So those that have one now are waited
    for: after that no id up to those that were seen before can appear. None is given meanwhile.

    Raises CursorUnknown, or ValueError for what is no cursor.
    """
    cursor = _START if after is None else after
    start = _place(connection, cursor)
    scanned = connection.execute(
        f"SELECT id, digest FROM {EVENTS} AS e WHERE id > %s ORDER BY id LIMIT %s".encode(),
        (start, SCANNED),
    ).fetchall()
    if not scanned or not _have_ended(connection, _with_ids(connection)):
        return News((), cursor)
    last_id, last_digest = scanned[-1]
    rows = _rows(
        connection,
        f"""SELECT {_CHANGE} FROM {_EVENT}
            WHERE e.id > %s AND e.id <= %s AND {is_change("e", "b")} ORDER BY e.id LIMIT %s""",
        (start, last_id, limit),
    )
    changes = [_change(row) for row in rows]
    if len(changes) == limit:
        return News(changes, _cursor(changes[-1].event_id, changes[-1].digest))
    return News(changes, _cursor(last_id, last_digest))


def read_end(connection: Connection) -> str:
    """The cursor after the newest event, once no id before it can appear any more."""
    newest = connection.execute(
        f"SELECT id, digest FROM {EVENTS} AS e ORDER BY id DESC LIMIT 1".encode()
    ).fetchall()
    if not _have_ended(connection, _with_ids(connection)):
        raise StoreUnavailable("a transaction that writes events does not end")
    return _cursor(*newest[0]) if newest else _START


def _with_ids(connection: Connection) -> set[str]:
    """The transactions under way that have drawn ids of events: they hold a lock on the sequence
    from before the first until they have ended, and what they wrote can be seen.
    """
    rows = connection.execute(
        """SELECT virtualtransaction FROM pg_locks
           WHERE relation = pg_get_serial_sequence('status_events', 'id')::regclass
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND mode = 'RowExclusiveLock'"""
    ).fetchall()
    return {row[0] for row in rows}


def _have_ended(connection: Connection, transactions: set[str]) -> bool:
    """Wait until these have ended; False if they do not."""
    until = time.monotonic() + SETTLE_SECONDS
    while transactions:
        if time.monotonic() > until:
            return False
        time.sleep(_STEP_SECONDS)
        transactions &= _with_ids(connection)
    return True


def _cursor(event_id: int, digest: bytes) -> str:
    """The end of a digest is of all that an update says; its beginning is a time."""
    return f"{event_id}.{digest[-8:].hex():0>16}"


def _place(connection: Connection, cursor: str) -> int:
    """The id of the event at a cursor, also of one that was pruned since.

    No id is given twice, so one that was not given yet, or of another event, is of another
    database. One of another database is not always found out: repeated callbacks draw ids as well.
    """
    if cursor == _START:
        return 0
    made = _CURSOR.fullmatch(cursor)
    if made is None:
        raise ValueError("not a cursor")
    event_id = int(made[1])
    ((last, digest),) = connection.execute(
        f"""SELECT pg_sequence_last_value(pg_get_serial_sequence('status_events', 'id')::regclass),
                (SELECT digest FROM {EVENTS} AS e WHERE id = %s)""".encode(),
        (event_id,),
    ).fetchall()
    if event_id > (last or 0) or (digest is not None and _cursor(event_id, digest) != cursor):
        raise CursorUnknown("the database was replaced since this cursor was given")
    return event_id


def read_state(connection: Connection, now: str) -> OutboxState:
    """Counts up to COUNTED, which bounds their cost, and what the table `forwarder` says."""
    ((waiting, dead, due_since, *told),) = connection.execute(
        f"""SELECT (SELECT count(*) FROM (
                SELECT FROM forwards WHERE due_at IS NOT NULL LIMIT {COUNTED}) AS w),
            (SELECT count(*) FROM (
                SELECT FROM forwards WHERE state = 'dead' LIMIT {COUNTED}) AS d),
            (SELECT {as_text("min(due_at)")} FROM forwards WHERE due_at <= %s),
            {as_text("paused_at")}, {as_text("failing_since")}, coalesce(last_failure, ''),
            {as_text("last_taken_at")}
            FROM (SELECT) AS one LEFT JOIN forwarder ON true""".encode(),
        (now,),
    ).fetchall()
    return OutboxState(waiting, dead, due_since, told[0], Condition(*told[1:]))


def read_dead(connection: Connection, limit: int) -> Sequence[Letter]:
    """Dead changes, the newest first."""
    rows = connection.execute(
        f"""SELECT m.message_uuid, e.status, f.attempts, f.answer, {as_text("f.settled_at")}
            FROM forwards AS f JOIN status_events AS e ON e.id = f.event_id
            JOIN messages AS m ON m.id = f.message_id
            WHERE f.state = 'dead' ORDER BY f.event_id DESC LIMIT %s""".encode(),
        (limit,),
    ).fetchall()
    return [Letter(*row) for row in rows]
