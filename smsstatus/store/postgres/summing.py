"""Makes the sums that `tallies` reads: one span at a time, by one process at a time.

Triggers note the hour of each message that changes (see the schema), so it is seen which sums are
to be made again.
"""

from __future__ import annotations

from typing import NamedTuple

from .columns import as_text
from .connection import SILENCE, Connection
from .tallies import ALL_DAYS, KEPT, OF_ROW, TEN

LOCK = 7_305_431_969_000_002
"""An advisory lock's number: one process at a time sums up."""

SETTLING = "70 minutes"
"""An hour is summed up once it has been over for that long. Changes are noted from an hour on, and
no transaction takes the ten minutes between.
"""

PAYS = 4
"""Where a sum stands for fewer messages than that on average, reading those is as quick."""


class _Span(NamedTuple):
    """What is summed up as a whole: its length, the tables that say which are and their sums, and
    what these are made of. The column of their beginning has its name.
    """

    name: str
    length: str
    summed: str
    tallies: str
    rows: str


_MESSAGES = f"""(SELECT created_at AS at, {OF_ROW}, 1 AS messages,
    coalesce(units, 0) AS units, coalesce(amount, 0) AS amount FROM messages) AS m"""
_HOUR = _Span("hour", "1 hour", "summed_hours", "tallies", _MESSAGES)
_DAY = _Span("day", "24 hours", "summed_days", "day_tallies", _MESSAGES)
_DAYS = f"(SELECT day AS at, {KEPT}, messages, units, amount FROM day_tallies) AS d"
_TEN_DAYS = _Span("ten", "240 hours", "summed_tens", "ten_tallies", _DAYS)


def sum_up_one(connection: Connection, now: str) -> bool:
    """Sum up an hour, one that has changed first, else a day, else ten; False if none is left."""
    with connection.transaction():
        connection.execute(f"SELECT {SILENCE}".encode())
        ((is_held,),) = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (LOCK,))
        if not is_held:
            return False
        if (hour := _next_hour(connection, now)) is not None:
            connection.execute(
                """DELETE FROM changed_hours WHERE ctid = ANY (ARRAY(
                       SELECT ctid FROM changed_hours WHERE hour = %s FOR UPDATE SKIP LOCKED))""",
                (hour,),
            )
            _sum_up(connection, _HOUR, hour)
        elif (day := _next_day(connection)) is not None:
            _sum_up(connection, _DAY, day)
            connection.execute(  # it was made of what the day was before, if it is there
                f"DELETE FROM summed_tens WHERE ten = {TEN.format('%s::timestamptz')}".encode(),
                (day,),
            )
        elif (ten := _next_ten(connection)) is not None:
            _sum_up(connection, _TEN_DAYS, ten)
        else:
            return False
    return True


def _sum_up(connection: Connection, span: _Span, start: str) -> None:
    """Statement by statement: each sees what was committed before it, so what is not noted any more
    is read.
    """
    name, length, summed, sums, rows = span
    for statement in (
        f"DELETE FROM {sums} WHERE {name} = %(start)s",
        f"DELETE FROM {summed} WHERE {name} = %(start)s",
        f"""INSERT INTO {sums} ({name}, {KEPT}, messages, units, amount)
            SELECT start, {KEPT}, sum(messages), sum(units), sum(amount)
            FROM (SELECT %(start)s::timestamptz) AS s (start) JOIN {rows}
                ON at >= start AND at < start + interval '{length}'
            GROUP BY start, {KEPT}""",
        f"""INSERT INTO {summed} ({name}, pays)
            SELECT {name}, sum(messages) >= %(pays)s * count(*) FROM {sums}
            WHERE {name} = %(start)s GROUP BY {name}""",
        f"""DELETE FROM {sums} AS t USING {summed} AS s
            WHERE t.{name} = %(start)s AND s.{name} = t.{name} AND NOT s.pays""",
    ):
        connection.execute(statement.encode(), {"start": start, "pays": PAYS})


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
            SELECT {as_text("hour")} FROM (SELECT coalesce(
                (SELECT max(hour) FROM changed_hours, known WHERE hour BETWEEN first AND last),
                date_trunc('hour', (
                    SELECT min(created_at) FROM messages
                    WHERE created_at >= (SELECT last + interval '1 hour' FROM known)
                        AND created_at < (SELECT settled FROM known)), 'UTC'),
                date_trunc('hour', (
                    SELECT max(created_at) FROM messages
                    WHERE created_at < (SELECT coalesce(first, settled) FROM known)), 'UTC')
            ) AS hour) AS next""".encode(),
        (now,),
    ).fetchall()
    return found and str(found)


def _next_day(connection: Connection) -> str | None:
    """The newest one before the last hour's, of which no change is noted; None if none is left."""
    ((found,),) = connection.execute(
        f"""SELECT {as_text("max(day)")} FROM (
                SELECT date_trunc('day', hour, 'UTC') AS day FROM summed_hours
                EXCEPT SELECT day FROM summed_days) AS whole
            WHERE day < (SELECT date_trunc('day', max(hour), 'UTC') FROM summed_hours)
                AND NOT EXISTS (
                    SELECT FROM changed_hours
                    WHERE hour >= day AND hour < day + interval '24 hours')""".encode()
    ).fetchall()
    return found and str(found)


def _next_ten(connection: Connection) -> str | None:
    """The newest one, of which no day is the last one or the one before: in those messages change
    most, and each change takes the ten with it. None if none is left.
    """
    ((found,),) = connection.execute(
        f"""SELECT {as_text("max(ten)")} FROM (
                SELECT {TEN.format("day")} AS ten FROM summed_days
                EXCEPT SELECT ten FROM summed_tens) AS whole
            WHERE ten + interval '264 hours' <= (SELECT max(day) FROM summed_days)
                AND {ALL_DAYS}""".encode()
    ).fetchall()
    return found and str(found)
