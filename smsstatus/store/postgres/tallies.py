"""Messages counted by what they have in common, quickly: hours that are over are summed up once.

Triggers note the hour of each message that changes later (see the schema), and then its sums do not
count until it is summed up again: so what is counted is what the rows say, whoever writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..contract import Tally
from .connection import Connection

LOCK = 7_305_431_969_000_002
"""An advisory lock's number: one process at a time sums up."""

SETTLING = "70 minutes"
"""An hour is summed up once it has been over for that long. Changes are noted from an hour on, and
no transaction takes the ten minutes between.
"""

PAYS = 4
"""Where a sum stands for fewer messages than that on average, reading those is as quick."""

COLUMNS: Mapping[str, str] = {
    "country": "country",
    "network": "network",
    "sender": "ltrim(sender_number, '+')",
    "error_code": "error_code",
    "status": "current_status",
}
"""What stands for each of contract.GROUPS in a query of messages."""

_KEPT = ", ".join(COLUMNS)
_OF_ROWS = ", ".join([f"{column} AS {name}" for name, column in COLUMNS.items()])

_PARTS = """
    WITH done AS MATERIALIZED (
        SELECT hour FROM summed_hours AS s
        WHERE pays AND hour >= %(since)s AND hour + interval '1 hour' <= %(until)s AND {}
            AND NOT EXISTS (SELECT FROM changed_hours AS c WHERE c.hour = s.hour)
    ),
    gaps AS MATERIALIZED (
        SELECT since, until FROM (
            SELECT hour AS until,
                coalesce(lag(hour) OVER (ORDER BY hour) + interval '1 hour', %(since)s) AS since
            FROM (SELECT hour FROM done UNION ALL SELECT %(until)s::timestamptz) AS edges (hour)
        ) AS found WHERE since < until
    )"""
"""The hours of a window whose sums count, of those that suit, and the times between them."""

_TALLY = f"""
    {_PARTS.format("true")}
    SELECT {{}}, country, status,
        coalesce(to_char(waiting AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24'), ''),
        sum(messages)::bigint, sum(units)::bigint, sum(amount)::bigint
    FROM (
        SELECT {_KEPT}, CASE status WHEN 'sent' THEN greatest(hour, %(first)s) END AS waiting,
            messages, units, amount
        FROM done JOIN tallies USING (hour)
        UNION ALL
        SELECT {_KEPT}, CASE status WHEN 'sent'
                THEN greatest(date_trunc('hour', created_at, 'UTC'), %(first)s) END,
            1, coalesce(units, 0), coalesce(amount, 0)
        FROM gaps, LATERAL (
            SELECT {_OF_ROWS}, created_at, units, amount FROM messages
            WHERE created_at >= since AND created_at < until OFFSET 0
        ) AS unsummed
    ) AS alike GROUP BY {{}}, country, status, waiting
    """


_SLICE = "width_bucket({}, %(edges)s::timestamptz[])"
_LAST = "hour + interval '1 hour' - interval '1 microsecond'"

_HISTORY = f"""
    {_PARTS.format(f"{_SLICE.format('hour')} = {_SLICE.format(_LAST)}")}
    SELECT slice, status, error_code, sum(messages)::bigint
    FROM (
        SELECT {_SLICE.format("hour")} AS slice, status, error_code, messages
        FROM done JOIN tallies USING (hour)
        UNION ALL
        SELECT {_SLICE.format("created_at")}, current_status, error_code, 1
        FROM gaps, LATERAL (
            SELECT created_at, current_status, error_code FROM messages
            WHERE created_at >= since AND created_at < until OFFSET 0
        ) AS unsummed
    ) AS alike GROUP BY slice, status, error_code
    """

_SUM_UP = (
    "DELETE FROM tallies WHERE hour = %(hour)s",
    "DELETE FROM summed_hours WHERE hour = %(hour)s",
    f"""INSERT INTO tallies (hour, {_KEPT}, messages, units, amount)
        SELECT h.hour, {", ".join(COLUMNS.values())}, count(*), coalesce(sum(units), 0),
            coalesce(sum(amount), 0)
        FROM (SELECT %(hour)s::timestamptz) AS h (hour) JOIN messages
            ON created_at >= h.hour AND created_at < h.hour + interval '1 hour'
        GROUP BY h.hour, {", ".join(COLUMNS.values())}""",
    """INSERT INTO summed_hours (hour, pays)
        SELECT hour, sum(messages) >= %(pays)s * count(*) FROM tallies WHERE hour = %(hour)s
        GROUP BY hour""",
    """DELETE FROM tallies AS t USING summed_hours AS s
        WHERE t.hour = %(hour)s AND s.hour = t.hour AND NOT s.pays""",
)


def read_tally(
    connection: Connection, since: str, until: str, by: Sequence[str], first_hour: str
) -> list[Tally]:
    """The sums of the hours that have them, and of the rows for what is between those."""
    columns = ", ".join(["NULL", *by]), ", ".join(["()", *by])
    rows = connection.execute(
        _TALLY.format(*columns).encode(),
        {"since": since, "until": until, "first": f"{first_hour}:00Z"},
    ).fetchall()
    return [Tally(row[1:-6], *row[-6:]) for row in rows]


def read_slices(connection: Connection, edges: Sequence[str]) -> list[tuple[Any, ...]]:
    """Between each two neighbouring times, numbered from 1, how many messages of each status and
    error code were first seen: number, status, error code, count.
    """
    return connection.execute(
        _HISTORY.encode(), {"since": edges[0], "until": edges[-1], "edges": list(edges)}
    ).fetchall()


def sum_up_one(connection: Connection, now: str) -> bool:
    """Sum up an hour: one that has changed, else the next one; False if none is left."""
    with connection.transaction():
        ((is_held,),) = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (LOCK,))
        hour = _next_hour(connection, now) if is_held else None
        if hour is None:
            return False
        # Statement by statement: each sees what was committed before it, so what is not noted any
        # more is read.
        connection.execute(
            """DELETE FROM changed_hours WHERE ctid = ANY (ARRAY(
                   SELECT ctid FROM changed_hours WHERE hour = %s FOR UPDATE SKIP LOCKED))""",
            (hour,),
        )
        for statement in _SUM_UP:
            connection.execute(statement.encode(), {"hour": hour, "pays": PAYS})
    return True


def _next_hour(connection: Connection, now: str) -> str | None:
    """Of those between the first and the last that are summed up one that has changed, else the
    next one with messages, later ones first; None if none is left.
    """
    ((found,),) = connection.execute(
        f"""WITH known AS MATERIALIZED (
                SELECT min(hour) AS first, max(hour) AS last, date_trunc('hour',
                    least(%s, clock_timestamp()) - interval '{SETTLING}', 'UTC') AS settled
                FROM summed_hours
            )
            SELECT (coalesce(
                (SELECT max(hour) FROM changed_hours, known WHERE hour BETWEEN first AND last),
                date_trunc('hour', (
                    SELECT min(created_at) FROM messages
                    WHERE created_at >= (SELECT last + interval '1 hour' FROM known)
                        AND created_at < (SELECT settled FROM known)), 'UTC'),
                date_trunc('hour', (
                    SELECT max(created_at) FROM messages
                    WHERE created_at < (SELECT coalesce(first, settled) FROM known)), 'UTC')))::text
            """.encode(),
        (now,),
    ).fetchall()
    return found and str(found)
