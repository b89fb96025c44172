"""Messages counted by what they have in common, quickly: hours that are over are summed up once.

So are days, once all their hours are, and tens of days, since the hours of weeks are many. What is
`sent` counts by the hour until it has no report (see `rates`), so the latest days count for other
statuses alone.

Triggers note the hour of each message that changes later (see the schema), and then its sums, and
those of its day and ten, do not count until they are made again: so what is counted is what the
rows say, whoever writes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise, starmap
from typing import NamedTuple

from ..contract import HOUR, Tally
from .columns import bucket
from .connection import SILENCE, Connection, count

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
_OF_ROW = ", ".join([f"{column} AS {name}" for name, column in COLUMNS.items()])
_HOUR_LONG = "interval '1 hour'"
_DAY_LONG = timedelta(days=1)
_A_MIDNIGHT = datetime(2000, 1, 1, tzinfo=UTC)

_SUMS = f"since, {_KEPT}, messages, units, amount"

_TEN = "to_timestamp(floor(date_part('epoch', {}) / 864000) * 864000)"
"""The ten days that a time is in: see forget_ten in the schema."""
_ALL_DAYS = """10 = (SELECT count(*) FROM summed_days
    WHERE pays AND day >= ten AND day < ten + interval '240 hours')"""
"""Whether the sums of a ten can be made of those of its days."""

_SLICE = "width_bucket({}, %(edges)s::timestamptz[])"
_WHOLE = " = ".join(
    [_SLICE.format("{0}"), _SLICE.format("{0} + interval '{1}' - interval '1 microsecond'")]
)
"""Whether a span lies between two neighbouring times."""

_UNCHANGED = """NOT EXISTS (
    SELECT FROM changed_hours AS c (changed)
    WHERE changed >= {0} AND changed < {0} + interval '{1}')"""
_IN_WINDOW = f"""pays AND {{0}} >= %(since)s AND {{0}} < %(until)s
    AND {{0}} + interval '{{1}}' <= %(until)s AND {_WHOLE} AND {_UNCHANGED}"""

_GAPS = """
    gaps AS MATERIALIZED (
        SELECT since, until FROM (
            SELECT lag(until, 1, %(since)s::timestamptz) OVER (ORDER BY since) AS since,
                since AS until
            FROM ({} UNION ALL SELECT %(until)s::timestamptz, NULL) AS done
        ) AS found WHERE since < until
    )"""
_HOURS = f"""
    hours AS MATERIALIZED (
        SELECT hour AS since, hour + {_HOUR_LONG} AS until FROM summed_hours
        WHERE {_IN_WINDOW.format("hour", "1 hour")}
    ),
    sums AS (SELECT {_SUMS} FROM hours JOIN tallies ON hour = since),
    {_GAPS.format("SELECT * FROM hours")}"""
"""Of hours between two of the `edges` the sums that count, and the gaps that they leave."""

_DONE = """
    SELECT * FROM tens
    UNION ALL SELECT since, until FROM days
    UNION ALL SELECT since, until FROM hours WHERE is_late IS NULL"""
_SPANS = f"""
    tens AS MATERIALIZED (
        SELECT ten AS since, ten + interval '240 hours' AS until FROM summed_tens
        WHERE {_IN_WINDOW.format("ten", "240 hours")}
            AND ten + interval '239 hours' <= %(first)s AND {_ALL_DAYS}
    ),
    days AS MATERIALIZED (
        SELECT day AS since, day + interval '24 hours' AS until,
            day + interval '23 hours' > %(first)s AS is_late
        FROM summed_days
        WHERE {_IN_WINDOW.format("day", "24 hours")}
            AND {_TEN.format("day")} NOT IN (SELECT since FROM tens)
    ),
    hours AS MATERIALIZED (
        SELECT hour AS since, hour + {_HOUR_LONG} AS until, is_late
        FROM summed_hours LEFT JOIN days ON since = date_trunc('day', hour, 'UTC')
        WHERE {_IN_WINDOW.format("hour", "1 hour")}
            AND {_TEN.format("hour")} NOT IN (SELECT since FROM tens) AND is_late IS NOT FALSE
    ),
    sums AS (
        SELECT {_SUMS} FROM tens JOIN ten_tallies ON ten = since
        UNION ALL SELECT {_SUMS} FROM days JOIN day_tallies ON day = since
        WHERE NOT is_late OR status <> 'sent'
        UNION ALL SELECT {_SUMS} FROM hours JOIN tallies ON hour = since
        WHERE is_late IS NULL OR status = 'sent'
    ),
    late AS MATERIALIZED (
        SELECT hour FROM days, generate_series(since, until - {_HOUR_LONG}, {_HOUR_LONG}) AS hour
        WHERE is_late EXCEPT SELECT since FROM hours
    ),
    {_GAPS.format(_DONE)}"""
"""The same of tens, days and hours. From hours after the `first` on, those of a day are told apart
where messages are `sent`: of a late day that status is counted by the hour, in the messages where
an hour has no sums.
"""

_UNSUMMED = f"""
    SELECT unsummed.* FROM gaps, LATERAL (
        SELECT {_OF_ROW}, created_at, units, amount FROM messages
        WHERE created_at >= since AND created_at < until OFFSET 0) AS unsummed"""
_LATE = f"""
    SELECT sent.* FROM late, LATERAL (
        SELECT {_OF_ROW}, created_at, units, amount FROM messages
        WHERE outcome IS NULL AND current_status = 'sent'
            AND created_at >= hour AND created_at < hour + {_HOUR_LONG}
            AND {bucket("created_at")} >= {bucket("hour")}
            AND {bucket("created_at")} <= {bucket(f"(hour + {_HOUR_LONG})")}
        OFFSET 0) AS sent"""

_TALLY = f"""
    WITH {{parts}}
    SELECT {{columns}}, country, status,
        coalesce(to_char(waiting AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24'), ''),
        sum(messages)::bigint, sum(units)::bigint, sum(amount)::bigint
    FROM (
        SELECT {_SLICE.format("since")} AS slice,
            {_KEPT}, CASE status WHEN 'sent' THEN greatest(since, %(first)s) END AS waiting,
            messages, units, amount
        FROM sums
        UNION ALL
        SELECT {_SLICE.format("created_at")}, {_KEPT}, CASE status WHEN 'sent'
                THEN greatest(date_trunc('hour', created_at, 'UTC'), %(first)s) END,
            1, coalesce(units, 0), coalesce(amount, 0)
        FROM ({{rows}}) AS rows
    ) AS alike GROUP BY {{columns}}, country, status, waiting
    """


class _Span(NamedTuple):
    """What is summed up as a whole: its length, the tables that say which are and their sums, and
    what these are made of. The column of their beginning has its name.
    """

    name: str
    length: str
    summed: str
    tallies: str
    rows: str


_MESSAGES = f"""(SELECT created_at AS at, {_OF_ROW}, 1 AS messages,
    coalesce(units, 0) AS units, coalesce(amount, 0) AS amount FROM messages) AS m"""
_HOUR = _Span("hour", "1 hour", "summed_hours", "tallies", _MESSAGES)
_DAY = _Span("day", "24 hours", "summed_days", "day_tallies", _MESSAGES)
_DAYS = f"(SELECT day AS at, {_KEPT}, messages, units, amount FROM day_tallies) AS d"
_TEN_DAYS = _Span("ten", "240 hours", "summed_tens", "ten_tallies", _DAYS)


def _sum_up(connection: Connection, span: _Span, start: str) -> None:
    """Statement by statement: each sees what was committed before it, so what is not noted any more
    is read.
    """
    name, length, summed, sums, rows = span
    for statement in (
        f"DELETE FROM {sums} WHERE {name} = %(start)s",
        f"DELETE FROM {summed} WHERE {name} = %(start)s",
        f"""INSERT INTO {sums} ({name}, {_KEPT}, messages, units, amount)
            SELECT start, {_KEPT}, sum(messages), sum(units), sum(amount)
            FROM (SELECT %(start)s::timestamptz) AS s (start) JOIN {rows}
                ON at >= start AND at < start + interval '{length}'
            GROUP BY start, {_KEPT}""",
        f"""INSERT INTO {summed} ({name}, pays)
            SELECT {name}, sum(messages) >= %(pays)s * count(*) FROM {sums}
            WHERE {name} = %(start)s GROUP BY {name}""",
        f"""DELETE FROM {sums} AS t USING {summed} AS s
            WHERE t.{name} = %(start)s AND s.{name} = t.{name} AND NOT s.pays""",
    ):
        connection.execute(statement.encode(), {"start": start, "pays": PAYS})


def read_tallies(
    connection: Connection, edges: Sequence[str], by: Sequence[str], first_hour: str
) -> list[list[Tally]]:
    """The sums of the spans that have them, and of the rows for what is between those."""
    has_days = any(starmap(_has_whole_day, pairwise(edges)))
    statement = _TALLY.format(
        columns=", ".join(["slice", *by]),
        # Choosing among days takes longer than it takes to add up the hours of one.
        parts=_SPANS if has_days else _HOURS,
        rows=f"{_UNSUMMED} UNION ALL {_LATE}" if has_days else _UNSUMMED,
    )
    values = {
        "since": edges[0],
        "until": edges[-1],
        "first": f"{first_hour}:00Z",
        "edges": [*edges],
    }
    found: list[list[Tally]] = [[] for _ in pairwise(edges)]
    for row in count(connection, statement, values):
        found[row[0] - 1].append(Tally(row[1:-6], *row[-6:]))
    return found


def _has_whole_day(since: str, until: str) -> bool:
    """Whether a day, in UTC, lies between these times."""
    start, end = datetime.fromisoformat(since), datetime.fromisoformat(until)
    to_midnight = (_A_MIDNIGHT - start) % _DAY_LONG
    return end - start >= to_midnight + _DAY_LONG


def read_history(connection: Connection, edges: Sequence[str]) -> list[Counter[str]]:
    """Messages by status between each two neighbouring times."""
    found = []
    for tallies in read_tallies(connection, edges, (), edges[-1][:HOUR]):
        counts = Counter[str]()
        for tally in tallies:
            counts[tally.status] += tally.messages
        found.append(counts)
    return found


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
                f"DELETE FROM summed_tens WHERE ten = {_TEN.format('%s::timestamptz')}".encode(),
                (day,),
            )
        elif (ten := _next_ten(connection)) is not None:
            _sum_up(connection, _TEN_DAYS, ten)
        else:
            return False
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


def _next_day(connection: Connection) -> str | None:
    """The newest one before the last hour's, of which no change is noted; None if none is left."""
    ((found,),) = connection.execute(
        """SELECT max(day)::text FROM (
               SELECT date_trunc('day', hour, 'UTC') AS day FROM summed_hours
               EXCEPT SELECT day FROM summed_days) AS whole
           WHERE day < (SELECT date_trunc('day', max(hour), 'UTC') FROM summed_hours)
               AND NOT EXISTS (
                   SELECT FROM changed_hours
                   WHERE hour >= day AND hour < day + interval '24 hours')"""
    ).fetchall()
    return found and str(found)


def _next_ten(connection: Connection) -> str | None:
    """The newest one, of which no day is the last one or the one before: in those messages change
    most, and each change takes the ten with it. None if none is left.
    """
    ((found,),) = connection.execute(
        f"""SELECT max(ten)::text FROM (
                SELECT {_TEN.format("day")} AS ten FROM summed_days
                EXCEPT SELECT ten FROM summed_tens) AS whole
            WHERE ten + interval '264 hours' <= (SELECT max(day) FROM summed_days)
                AND {_ALL_DAYS}""".encode()
    ).fetchall()
    return found and str(found)
