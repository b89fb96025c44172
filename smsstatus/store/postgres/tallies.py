"""Messages counted by what they have in common, quickly: hours that are over are summed up once.

So are days, once all their hours are, and tens of days, since the hours of weeks are many. What is
`sent` counts by the hour until it has no report (see `rates`), so the latest days count for other
statuses alone.

Triggers note the hour of each message that changes later (see the schema), and then its sums, and
those of its day and ten, do not count until they are made again: so what is counted is what the
rows say, whoever writes them.

`summing` makes the sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise, starmap

from ..contract import HOUR, Tally
from .columns import bucket
from .connection import Connection, count

COLUMNS: Mapping[str, str] = {
    "country": "country",
    "network": "network",
    "sender": "ltrim(sender_number, '+')",
    "error_code": "error_code",
    "status": "current_status",
}
"""What stands for each of contract.GROUPS in a query of messages."""

KEPT = ", ".join(COLUMNS)
OF_ROW = ", ".join([f"{column} AS {name}" for name, column in COLUMNS.items()])
_HOUR_LONG = "interval '1 hour'"
_DAY_LONG = timedelta(days=1)
_A_MIDNIGHT = datetime(2000, 1, 1, tzinfo=UTC)

_SUMS = f"since, {KEPT}, messages, units, amount"

TEN = "to_timestamp(floor(date_part('epoch', {}) / 864000) * 864000)"
"""The ten days that a time is in: see forget_ten in the schema."""
ALL_DAYS = """10 = (SELECT count(*) FROM summed_days
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
            AND ten + interval '239 hours' <= %(first)s AND {ALL_DAYS}
    ),
    days AS MATERIALIZED (
        SELECT day AS since, day + interval '24 hours' AS until,
            day + interval '23 hours' > %(first)s AS is_late
        FROM summed_days
        WHERE {_IN_WINDOW.format("day", "24 hours")}
            AND {TEN.format("day")} NOT IN (SELECT since FROM tens)
    ),
    hours AS MATERIALIZED (
        SELECT hour AS since, hour + {_HOUR_LONG} AS until, is_late
        FROM summed_hours LEFT JOIN days ON since = date_trunc('day', hour, 'UTC')
        WHERE {_IN_WINDOW.format("hour", "1 hour")}
            AND {TEN.format("hour")} NOT IN (SELECT since FROM tens) AND is_late IS NOT FALSE
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
        SELECT {OF_ROW}, created_at, units, amount FROM messages
        WHERE created_at >= since AND created_at < until OFFSET 0) AS unsummed"""
_LATE = f"""
    SELECT sent.* FROM late, LATERAL (
        SELECT {OF_ROW}, created_at, units, amount FROM messages
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
            {KEPT}, CASE status WHEN 'sent' THEN greatest(since, %(first)s) END AS waiting,
            messages, units, amount
        FROM sums
        UNION ALL
        SELECT {_SLICE.format("created_at")}, {KEPT}, CASE status WHEN 'sent'
                THEN greatest(date_trunc('hour', created_at, 'UTC'), %(first)s) END,
            1, coalesce(units, 0), coalesce(amount, 0)
        FROM ({{rows}}) AS rows
    ) AS alike GROUP BY {{columns}}, country, status, waiting
    """


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
